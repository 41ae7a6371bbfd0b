"""Parses selectors given as text, by options such as `--state` or by a request's selector."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from queuectl.domain.errors import Invalid
from queuectl.domain.job import JobState, Outcome
from queuectl.domain.selector import Selector
from queuectl.wire.kinds import check_text
from queuectl.wire.times import parse_duration, parse_time

ENDED = ("ended_after", "ended_before")
ONCE = (*ENDED, "older_than", "hooks")
KEYS = (
    "state", "queue", "tag", "batch", "schedule", "owner", "exit_code", "command", "error", "fault", "text", "outcome",
    *ONCE,
)  # fmt: skip
"""Keys of a selector. All but `ONCE` may be repeated, to match any of their values."""
LISTS = frozenset({"state", "queue", "tag", "batch", "schedule", "owner", "exit_code", "fault", "outcome"})
"""Keys whose values have no comma, so that a text may list several. A GLOB or an error may contain one."""

EXIT_CODE_MAX = 255
DAY_S = 86400.0
VALUES_MAX, TEXT_MAX = 100, 4096
"""Limits of the number and the length of values."""


def parse_selection(given: Mapping[str, Sequence[str]], now: float, spelled: Callable[[str], str] = str) -> Selector:
    """The selector that these words give. Raises `Invalid`, with keys as they are `spelled`.

    A text may list several values with commas, for keys in `LISTS`.
    """
    for key in given:
        if key not in KEYS:
            from queuectl.domain.likeness import nearest

            raise Invalid(f"unknown selector {key!r}", nearest(key, KEYS))
    words = {key: _listed(texts) if key in LISTS else texts for key, texts in given.items()}
    for key, texts in words.items():
        if len(texts) > VALUES_MAX or any(len(text) > TEXT_MAX for text in texts):
            most = f"at most {VALUES_MAX} values of {TEXT_MAX} characters each"
            raise Invalid(f"{spelled(key)} selects by too much", most)
    for key in ONCE:
        if len(words.get(key, ())) > 1:
            raise Invalid(f"{spelled(key)} is given twice", "give it once")
    before = None
    if ages := words.get("older_than"):
        before = now - parse_duration(ages[0], spelled("older_than"))
    since, until = (next((_past(text, now, spelled(key)) for text in words.get(key, ())), None) for key in ENDED)
    return Selector(
        states=parse_states(words.get("state", ())), queues=_texts(words, "queue"), tags=_texts(words, "tag"),
        batches=_texts(words, "batch"), schedules=_texts(words, "schedule"), owners=_texts(words, "owner"),
        exit_codes=tuple(map(_exit_code, words.get("exit_code", ()))),
        commands=_texts(words, "command"), errors=_texts(words, "error"), before=before,
        faults=_texts(words, "fault"), hooks=any(_flag(text, spelled("hooks")) for text in words.get("hooks", ())),
        texts=_texts(words, "text"), outcomes=tuple(map(_outcome, words.get("outcome", ()))), ended_after=since,
        ended_before=until,
    )  # fmt: skip


def _past(text: str, now: float, what: str) -> float:
    """A time, or a duration before now; a time of day is the latest one."""
    try:
        return now - parse_duration(text, what)
    except Invalid:
        then = parse_time(text, now, what)
        return then - DAY_S if ":" in text[:3] and then > now else then


def _listed(texts: Sequence[str]) -> list[str]:
    """The values in each text, separated by commas. A text without values stands for itself, not for all."""
    listed: list[str] = []
    for text in texts:
        listed += [part.strip() for part in text.split(",") if part.strip()] or [text]
    return listed


def parse_states(given: Sequence[str]) -> tuple[JobState, ...]:
    """States, repeated or separated by commas."""
    return tuple(dict.fromkeys(map(_state, _listed(given))))


def _state(name: str) -> JobState:
    try:
        return JobState(name)
    except ValueError:
        from queuectl.domain.likeness import STATES, nearest

        raise Invalid(f"unknown state {name!r}", nearest(name, [state.value for state in JobState], STATES)) from None


def _outcome(name: str) -> Outcome:
    try:
        return Outcome(name)
    except ValueError:
        from queuectl.domain.likeness import nearest

        raise Invalid(f"unknown outcome {name!r}", nearest(name, [each.value for each in Outcome])) from None


def _exit_code(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text[:4]) > EXIT_CODE_MAX:
        raise Invalid(f"{text!r} is not an exit code", f"a whole number from 0 to {EXIT_CODE_MAX}")
    return int(text)


def _flag(text: str, key: str) -> bool:
    if text.lower() not in ("true", "1", "false", "0"):
        raise Invalid(f"{key} must be true or false, not {text!r}")
    return text.lower() in ("true", "1")


def _texts(given: Mapping[str, Sequence[str]], key: str) -> tuple[str, ...]:
    return tuple(check_text(text, key) for text in given.get(key, ()))


def exactly(text: str) -> str:
    """A GLOB that matches this text and no other."""
    return "".join(f"[{each}]" if each in "*?[" else each for each in text)
