"""The filter of a page of jobs, as its address gives it. The words are those of the API's selectors:

    state=failed&state=dead  queue=video  tag=nightly  owner=ann  command=ffmpeg  error=timed  exit_code=1
    older_than=1h  text=oom  outcome=failed  ended_after=1h

`command` without `*` or `?` matches a part of the command line; with one it is a GLOB that matches the whole.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from urllib.parse import parse_qsl, urlencode

from queuectl.domain.selector import Selector
from queuectl.typed import NamedTuple
from queuectl.wire.selections import KEYS, exactly, parse_selection

NOTHING: Mapping[str, str] = MappingProxyType({})
REPEATED = frozenset({"state", "queue", "tag", "batch", "schedule", "outcome"})
WILD = frozenset("*?")


class Filter(NamedTuple):
    """The fields of a filter, as typed."""

    given: Mapping[str, tuple[str, ...]]
    sort: str = ""
    size: int = 0
    view: Mapping[str, str] = NOTHING
    """Of order and page size what is not as usual, as in the address."""

    def first(self, name: str) -> str:
        """A field's only value, or an empty text: for a form."""
        return self.given.get(name, ("",))[0]

    def has(self, name: str, value: str) -> bool:
        return value in self.given.get(name, ())

    def beyond(self, fields: Collection[str]) -> list[tuple[str, str]]:
        """What a form with one field for each of these (all for `state`) cannot show."""
        return [
            (name, value)
            for name in KEYS
            if (values := self.given.get(name, ()))
            for value in (values if name not in fields else () if name == "state" else values[1:])
        ]

    def shown(self, fields: Collection[str]) -> bool:
        """Whether one of these fields has a value."""
        return any(name in fields for name in self.given)

    def query(self, **more: str | int) -> str:
        """The filter and `more` as the query of a URL."""
        pairs = [(name, value) for name, values in self.given.items() for value in values]
        return urlencode([*pairs, *self.view.items(), *more.items()])

    def toggled(self, name: str, value: str) -> str:
        """The query with a value of a repeated field added, or removed if it is there."""
        now = self.given.get(name, ())
        after = tuple(each for each in now if each != value) if value in now else (*now, value)
        return self._replace(given={**self.given, name: after}).query()

    def without(self, *names: str) -> Filter:
        """The filter without some fields."""
        return self._replace(given={name: values for name, values in self.given.items() if name not in names})

    def viewed(self, **view: str) -> str:
        """The query with another order or page size; an empty one is left out."""
        kept = {name: value for name, value in {**self.view, **view}.items() if value}
        return self._replace(view=kept).query()

    def words(self) -> dict[str, list[str]]:
        """The filter as the API takes it."""
        words = {name: list(values) for name, values in self.given.items()}
        if "command" in words:
            words["command"] = [text if WILD & set(text) else f"*{exactly(text)}*" for text in words["command"]]
        return words

    def selector(self, now: float) -> Selector:
        """The selector. Raises `Invalid` with the field's name."""
        return parse_selection(self.words(), now)


def of_query(query: str, orders: Collection[str] = (), sizes: Sequence[int] = (), size: int = 0) -> Filter:
    """The filter in the query of a URL, with an order of `orders` or the reverse of one, and one of the page `sizes`;
    unknown and empty fields are ignored."""
    given: dict[str, tuple[str, ...]] = {}
    view: dict[str, str] = {}
    for name, value in parse_qsl(query):
        if name in REPEATED:
            if several := [part.strip() for part in value.split(",") if part.strip()]:
                given[name] = tuple(dict.fromkeys((*given.get(name, ()), *several)))
        elif name in KEYS and value.strip():
            given[name] = (value.strip(),)
        elif (name == "sort" and value.removeprefix("-") in orders) or (name == "size" and value in map(str, sizes)):
            view[name] = value
    return Filter(given, view.get("sort", ""), int(view.get("size", size)), view)
