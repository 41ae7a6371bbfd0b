"""Selections of jobs as text: what `--state`, `--queue` … or a request's selector say, checked here and only here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from queuectl import wire
from queuectl.domain.errors import Invalid
from queuectl.domain.job import JobState
from queuectl.domain.selector import Selector

KEYS = ("state", "queue", "tag", "owner", "exit_code", "command", "error", "older_than")
"""What a selection can go by. Each may be repeated, the last one aside: any of the values will do."""

EXIT_CODE_MAX = 255
VALUES_MAX, TEXT_MAX = 100, 4096
"""No store has to look for more, or for longer ones."""


def parse_selection(given: Mapping[str, Sequence[str]], now: float) -> Selector:
    """The selection that these words describe, none of which has to be there. Raises `Invalid`."""
    for key in given:
        if key not in KEYS:
            raise Invalid(f"unknown selector {key!r}", wire.nearest(key, KEYS))
        if len(given[key]) > VALUES_MAX or any(len(text) > TEXT_MAX for text in given[key]):
            raise Invalid(f"{key} selects by too much", f"at most {VALUES_MAX} values of {TEXT_MAX} signs each")
    before = None
    if ages := given.get("older_than"):
        if len(ages) > 1:
            raise Invalid("older_than is given twice", "give it once")
        before = now - wire.parse_duration(ages[0], "older_than")
    return Selector(
        states=parse_states(given.get("state", ())), queues=_texts(given, "queue"), tags=_texts(given, "tag"),
        owners=_texts(given, "owner"), exit_codes=tuple(_exit_code(code) for code in given.get("exit_code", ())),
        commands=_texts(given, "command"), errors=_texts(given, "error"), before=before,
    )  # fmt: skip


def parse_states(given: Sequence[str]) -> tuple[JobState, ...]:
    """States as written: repeated, or with commas between."""
    names = [name.strip() for text in given for name in text.split(",")]
    return tuple(dict.fromkeys(map(_state, names)))


def _state(name: str) -> JobState:
    try:
        return JobState(name)
    except ValueError:
        raise Invalid(f"unknown state {name!r}", wire.nearest(name, [state.value for state in JobState])) from None


def _exit_code(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text[:4]) > EXIT_CODE_MAX:
        raise Invalid(f"exit code {text!r} is none", f"a whole number from 0 to {EXIT_CODE_MAX}")
    return int(text)


def _texts(given: Mapping[str, Sequence[str]], key: str) -> tuple[str, ...]:
    return tuple(wire.searched(text, key) for text in given.get(key, ()))


def exactly(text: str) -> str:
    """A GLOB that matches this text and no other."""
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in text)
