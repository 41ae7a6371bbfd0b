"""The lines of an input, cut into columns, each of which fills in the template of a job."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from itertools import count
from typing import BinaryIO

from queuectl.domain.errors import Invalid
from queuectl.typed import NamedTuple
from queuectl.wire.documents import BOM, LINE_BYTES_MAX, Documents
from queuectl.wire.kinds import JsonObject
from queuectl.wire.templates import Template

BLOCK_BYTES = 1 << 16


class Cut(NamedTuple):
    """How an input is cut: at NUL bytes (`null`) or line ends, and each line at `colsep`.

    One character separates as it is, a longer `colsep` is a regular expression; blanks around a column are left out.
    `header`: the first line names the columns.
    """

    null: bool = False
    colsep: str | None = None
    header: bool = False


def jobs_of_lines(file: BinaryIO, document: JsonObject, cut: Cut) -> tuple[Documents, Template]:
    """The jobs that the lines make of a document with placeholders, and its template."""
    kind = "item" if cut.null else "line"
    numbered = _items(file) if cut.null else _lines(file)
    split = _split(cut.colsep)
    names = _names(numbered, split) if cut.header else []
    template = Template(document, names, cut.colsep is not None)
    numbers = count(1)

    def decode(raw: tuple[int, bytes]) -> JsonObject:
        number, data = raw
        if b"\0" in data:
            raise Invalid("a NUL byte is in it", "separate by NUL bytes with -0")
        return template.job(split(_text(data)), number)

    return Documents(kind, ((at, (next(numbers), data)) for at, data in numbered), decode), template


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The lines that are not empty, without their ends (LF or CR LF), with their numbers."""
    for number in count(1):
        line = file.readline(LINE_BYTES_MAX)
        if not line:
            return
        if len(line) == LINE_BYTES_MAX and not line.endswith(b"\n"):
            raise Invalid(f"line {number} is longer than {LINE_BYTES_MAX:,} bytes", "-0 separates by NUL bytes")
        if number == 1:
            line = line.removeprefix(BOM)
        line = line.removesuffix(b"\n").removesuffix(b"\r")
        if line:
            yield number, line


def _items(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """What stands between NUL bytes and is not empty, with its number."""
    number, rest = 0, b""
    while block := file.read(BLOCK_BYTES):
        *whole, rest = (rest + block).split(b"\0")
        for item in whole:
            number += 1
            if item:
                yield number, item
        if len(rest) > LINE_BYTES_MAX:
            raise Invalid(f"item {number + 1} is longer than {LINE_BYTES_MAX:,} bytes", "-0 separates by NUL bytes")
    if rest:
        yield number + 1, rest


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Invalid("not UTF-8 text, as which jobs are kept", "rename the file, or recode the list") from None


def _split(colsep: str | None) -> Callable[[str], list[str]]:
    if colsep is None:
        return lambda line: [line]
    if not colsep:
        raise Invalid("--colsep is empty", "say what separates columns, such as --colsep ,")
    if len(colsep) == 1:
        return lambda line: [column.strip() for column in line.split(colsep)]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # for a set that a later Python may read in another way, such as [[:space:]]
            pattern = re.compile(colsep)
    except Warning:
        hint = r"write \s for [[:space:]], and \[ \- \& \| \~ for these characters in a set"
        raise Invalid(f"--colsep {colsep!r} can be read in two ways", hint) from None
    except (re.error, OverflowError, RecursionError) as error:
        raise Invalid(f"--colsep {colsep!r} is not a regular expression: {error}") from None
    if pattern.groups:
        raise Invalid(f"--colsep {colsep!r} has a group", "write it as (?:…)")
    return lambda line: [column.strip() for column in pattern.split(line)]


def _names(numbered: Iterator[tuple[int, bytes]], split: Callable[[str], list[str]]) -> list[str]:
    """The names of the columns, from the first line."""
    _, first = next(numbered, (0, b""))
    names = split(_text(first))
    for name in filter(None, names):
        if names.count(name) > 1:
            raise Invalid(f"the header names {name!r} twice", "give each column a name of its own")
    return names
