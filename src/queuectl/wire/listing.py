"""Many jobs as JSON text at once: what `json.dumps(job_to_json(job, reason))` gives, at a fraction of its cost.

A page of jobs is turned into text column by column. In most columns of a page all values are the same or come again,
and jobs that share a spec share the text of its part.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat
from json.encoder import encode_basestring, encode_basestring_ascii
from math import isfinite
from operator import is_, mod

from queuectl.domain.fields import FIELDS, Field
from queuectl.domain.job import Job, Spec
from queuectl.typed import Any
from queuectl.wire.jobs import COMPUTED, TO_JSON

DISTINCT = ("id", "command")
"""Kinds of which every job has another value."""
TEMPLATES_MAX = 1000
"""How many specs' texts are remembered."""

_SHOWN = [field for field in FIELDS if field.shown]
_OF_JOBS = [field for field in _SHOWN if field.place in ("column", "life") or field.name in (*COMPUTED, "reason")]


class _Texts(dict[Any, str]):
    """The text of each value, made once."""

    def __init__(self, text_of: Callable[[Any], str]) -> None:
        self._text_of = text_of

    def __missing__(self, value: Any) -> str:
        text = self[value] = self._text_of(value)
        return text


class JobTexts:
    """Turns jobs into JSON text. `plain`: characters beyond ASCII are escaped."""

    def __init__(self, plain: bool) -> None:
        self._quoted: Callable[[str], str] = encode_basestring_ascii if plain else encode_basestring
        self._dumped = json.JSONEncoder(ensure_ascii=plain).encode
        self._templates: dict[int, tuple[Spec, str]] = {}

    def of(self, jobs: Sequence[Job], reasons: Sequence[str | None]) -> Iterator[str]:
        """The text of each job."""
        columns: dict[str, Sequence[Any]] = dict(zip(Job._fields, zip(*jobs, strict=True), strict=True))
        columns["reason"] = reasons
        for name, value_of in COMPUTED.items():
            columns[name] = list(map(value_of, jobs))
        known: dict[str, _Texts] = {}
        texts = [self._column(field, columns[field.name], known) for field in _OF_JOBS]
        return map(mod, self._templates_of(columns["spec"]), zip(*texts, strict=True))

    def _column(self, field: Field, values: Sequence[Any], known: dict[str, _Texts]) -> Iterable[str]:
        text_of = self._text_of(field)
        if values[0] == values[-1] and values.count(values[0]) == len(values):
            return repeat(text_of(values[0]), len(values))
        if field.kind in DISTINCT and set(map(type, values)) == {str}:
            return map(self._quoted, values)
        texts = known.setdefault(field.kind, _Texts(text_of))
        return [texts[value] for value in values]

    def _text_of(self, field: Field) -> Callable[[Any], str]:
        """What turns values of this kind into text."""
        to_json, text = TO_JSON.get(field.kind), self._text
        return text if to_json is None else lambda value: text(to_json(value))

    def _text(self, value: Any) -> str:
        """A value as JSON text. The encoder takes long to be called, so simple values do without it."""
        kind = type(value)
        if kind is str:
            return self._quoted(value)
        if value is None:
            return "null"
        if kind is int or (kind is float and isfinite(value)):
            return repr(value)
        return self._dumped(value)

    def _templates_of(self, specs: Sequence[Spec]) -> Iterator[str]:
        first = specs[0]
        if all(map(is_, specs, repeat(first))):
            return repeat(self._template(first))
        return map(self._template, specs)

    def _template(self, spec: Spec) -> str:
        """A job's text with the values of its spec, and a `%s` for each other value. Stores give a spec once."""
        found = self._templates.get(id(spec))
        if found is None or found[0] is not spec:
            if len(self._templates) >= TEMPLATES_MAX:
                self._templates.clear()
            found = self._templates[id(spec)] = spec, self._new_template(spec)
        return found[1]

    def _new_template(self, spec: Spec) -> str:
        parts = []
        for field in _SHOWN:
            value = "%s" if field in _OF_JOBS else "null"
            if field.place == "spec":
                value = self._text_of(field)(getattr(spec, field.name)).replace("%", "%%")
            parts.append(f'"{field.name}": {value}')
        return "{" + ", ".join(parts) + "}"
