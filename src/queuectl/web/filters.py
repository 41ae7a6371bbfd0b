"""Which jobs a page is about, as its address says it: the query of an URL as a selection, and back.

    state=failed&state=dead  queue=video  tag=nightly  owner=ann  q=ffmpeg  error=timed  exit=1  older=1h

`q` is a piece of the command line, or a GLOB over it where it has `*` or `?`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode

from queuectl import wire
from queuectl.cli.choosing import states_of
from queuectl.client import Client
from queuectl.domain.errors import Invalid
from queuectl.domain.selector import Selector

FIELDS = ("state", "queue", "tag", "owner", "q", "error", "exit", "older")
REPEATED = frozenset({"state", "queue", "tag"})
WILD = frozenset("*?")


class Filter(NamedTuple):
    """What was asked for, field by field, as it was typed."""

    given: Mapping[str, tuple[str, ...]]

    def first(self, name: str) -> str:
        """The field's only value, or none: for a form."""
        return self.given.get(name, ("",))[0]

    def has(self, name: str, value: str) -> bool:
        return value in self.given.get(name, ())

    @property
    def narrow(self) -> bool:
        """Whether more than states and queues are asked for, so that nobody has counted the jobs yet."""
        return bool(self.given.keys() - {"state", "queue"})

    def query(self, **more: str | int) -> str:
        """The filter as an URL's query, with `more` in it."""
        pairs = [(name, value) for name, values in self.given.items() for value in values]
        return urlencode([*pairs, *more.items()])

    def toggled(self, name: str, value: str) -> str:
        """The query with a value of a repeated field put in, or taken out."""
        now = self.given.get(name, ())
        after = tuple(each for each in now if each != value) if value in now else (*now, value)
        return Filter({**self.given, name: after}).query()

    def without(self, *names: str) -> Filter:
        """The filter with some fields left open."""
        return Filter({name: values for name, values in self.given.items() if name not in names})

    def selector(self, now: float) -> Selector:
        """The selection. Raises `Invalid` naming the field."""
        given = self.given
        older = self.first("older")
        return Selector(
            states=states_of(given.get("state", ())), queues=given.get("queue", ()), tags=given.get("tag", ()),
            owners=given.get("owner", ()), commands=tuple(map(_glob, given.get("q", ()))),
            errors=given.get("error", ()), exit_codes=tuple(map(_exit_code, given.get("exit", ()))),
            before=now - wire.parse_duration(older, "age") if older else None,
        )  # fmt: skip


def of_pairs(pairs: Sequence[tuple[str, str]]) -> Filter:
    """The filter in the fields of a query or a form; other fields and empty ones mean nothing."""
    given: dict[str, tuple[str, ...]] = {}
    for name, value in pairs:
        if name in FIELDS and (value := value.strip()) and value not in given.get(name, ()):
            given[name] = (*given.get(name, ()), value) if name in REPEATED else (value,)
    return Filter(given)


def of_query(query: str) -> Filter:
    """The filter in the query of an URL."""
    return of_pairs(parse_qsl(query))


def known_count(client: Client, wanted: Filter, selector: Selector) -> int | None:
    """How many jobs match, where that is known without looking at them."""
    if wanted.narrow:
        return None
    states, queues = set(selector.states), set(selector.queues)
    return sum(
        number
        for (queue, state), number in client.store.counts().items()
        if (not states or state in states) and (not queues or queue in queues)
    )


def _glob(text: str) -> str:
    if WILD & set(text):
        return text
    return "*" + "".join(f"[{sign}]" if sign == "[" else sign for sign in text) + "*"


def _exit_code(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text[:4]) > 255:
        raise Invalid(f"{text!r} is no exit code", "a whole number from 0 to 255")
    return int(text)
