"""Many values as text for PostgreSQL: arrays, and the rows of a COPY.

We write them column by column: the driver's way, value by value, costs more than everything else about a job.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import NoneType

from queuectl.domain.errors import Invalid
from queuectl.store.shared.births import Column
from queuectl.typed import Any


def array(values: Sequence[Any]) -> str:
    """A column as an array."""
    if len(values) > 1 and values.count(values[0]) == len(values):  # as most columns of a batch do
        return "{" + ",".join([_element(values[0])] * len(values)) + "}"
    kinds = set(map(type, values))
    if kinds <= {int, float}:
        body = ",".join(map(str, values))
    elif kinds == {str}:
        body = _texts(values)
    elif kinds == {NoneType}:
        body = "NULL" + ",NULL" * (len(values) - 1)
    else:
        body = ",".join([_element(value) for value in values])
    return "{" + body + "}"


def _texts(values: Sequence[str]) -> str:
    """Texts, escaped all at once, which is many times faster. No text in PostgreSQL has a NUL."""
    text = "\0".join(values)
    if text.count("\0") >= len(values):
        raise Invalid("the store cannot hold a text with a NUL in it", "leave it out")
    return '"' + _escaped(text).replace("\0", '","') + '"'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _element(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return '"' + _escaped(value) + '"'
    if isinstance(value, bytes):
        return '"\\\\x' + value.hex() + '"'
    return str(value)


def copy_text(columns: Sequence[Column], rows: int) -> str:
    """Rows as COPY reads them. A value that all rows share is written once, and repeated with the rest of the line."""
    shared = [None if column.each is not None else _field(column.value).replace("%", "%%") for column in columns]
    line = "\t".join("%s" if field is None else field for field in shared) + "\n"
    fields = [map(_field, column.each) for column in columns if column.each is not None]
    return "".join(map(line.__mod__, zip(*fields, strict=True))) if fields else line % () * rows


def _field(value: object) -> str:
    if value is None:
        return "\\N"
    if isinstance(value, str) and not value.isalnum():
        return value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
    return str(value)
