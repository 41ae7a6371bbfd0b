"""Limits of queues and units of locks as text: `100/h`, `5/15m,even`, `0,1,2,3`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from queuectl.domain.errors import Invalid
from queuectl.domain.limits import CAPACITY_MAX, RATE_STARTS_MAX, Pause, Rate, numbered
from queuectl.domain.proposed import named
from queuectl.wire.kinds import NONE, check_queue, check_text, shown
from queuectl.wire.times import parse_duration
from queuectl.wire.words import local_time

REASON_MAX = 1000
"""Characters of a pause's reason that are kept."""
RATE = r"[0-9]{1,5}/[0-9]*[0-9.a-zA-Z]+(,even)?"
VARIABLE = r"[A-Za-z_][A-Za-z0-9_]{0,127}"
NEEDED = frozenset({"HOME", "IFS", "LANG", "LOGNAME", "PATH", "PWD", "SHELL", "TMPDIR", "TZ", "USER"})
"""Variables that commands cannot do with a list of units in."""
_RATE_HINT = "write it as 10/s, 100/h, 5/15m, or with ,even to space the starts"
_SIZES = ((86400, "d"), (3600, "h"), (60, "m"))


def parse_rate(value: object, key: str) -> Rate:
    """A rate from `N/WINDOW`, with `,even` if its starts are to be spaced. Raises `Invalid`."""
    count, slash, rest = value.strip().partition("/") if isinstance(value, str) else ("", "", "")
    window, comma, even = rest.partition(",")
    if not (slash and re.fullmatch("[0-9]{1,9}", count) and even.strip() == ("even" if comma else "")):
        raise Invalid(f"{key} {shown(value)} is not a rate", _RATE_HINT)
    try:
        seconds = parse_duration(f"1{window}" if re.fullmatch("d|h|m|s|ms", window) else window)
    except Invalid:
        raise Invalid(f"{key} {shown(value)} is not a rate", _RATE_HINT) from None
    if not 1 <= int(count) <= RATE_STARTS_MAX:
        hint = "use a shorter window" if int(count) else "to start none, pause the queue: queuectl queue pause QUEUE"
        raise Invalid(f"{key} must be of 1 to {RATE_STARTS_MAX:,} starts, not {count}", hint)
    if seconds <= 0:
        raise Invalid(f"{key} {shown(value)} has a window of no length", _RATE_HINT)
    return Rate(int(count), seconds, bool(comma))


def format_rate(rate: Rate) -> str:
    """The inverse of `parse_rate`."""
    size, unit = next((each for each in _SIZES if rate.window_s % each[0] == 0), (1, "s"))
    windows = rate.window_s / size
    return f"{rate.starts}/{'' if windows == 1 else f'{windows:g}'}{unit}{',even' if rate.even else ''}"


def check_units(value: object, key: str) -> tuple[str, ...]:
    """The names of a lock's units, from a list or from words with commas between. Raises `Invalid`."""
    units = [unit.strip() for unit in value.split(",")] if isinstance(value, str) else value
    if not isinstance(units, (list, tuple)) or not units:
        raise Invalid(f"{key} must be a list of names, not {shown(value)}", "e.g. 0,1,2,3")
    if list(units) == [NONE]:
        raise Invalid(f"{key} cannot be none", "a lock has at least one: queuectl lock set NAME 1")
    if len(units) > CAPACITY_MAX:
        raise Invalid(f"{key} has {len(units):,} names; the limit is {CAPACITY_MAX:,}")
    return tuple(check_queue(unit, "unit") for unit in units)


def check_variable(value: object, key: str) -> str:
    """The name of a variable that queuectl does not set itself. Raises `Invalid`."""
    name = check_text(value, key)
    if not re.fullmatch(VARIABLE, name):
        raise Invalid(f"{key} {shown(value)} is not a variable's name", "A-Z a-z 0-9 _, the first not a digit")
    if name.startswith("QUEUECTL_"):
        raise Invalid(f"{key} must not begin with QUEUECTL_", "commands see those already")
    if name in NEEDED or name.startswith(("LD_", "LC_")):
        raise Invalid(f"{key} must not be {name}", "commands need that variable as it is")
    return name


def units_missing(job: str, lock: str, units: Sequence[str], needed: int) -> Invalid:
    """The error for a job that needs more units than a lock has. The SQL function says the same."""
    more = str(needed) if tuple(units) == numbered(len(units)) else f"units={','.join(units)},…"
    return Invalid(
        f"{job} needs {needed} units of lock {lock}, which has {len(units)}",
        f"give it more: queuectl lock set {named(lock)} {more}",
    )


def pause_reason(given: str | None) -> str | None:
    """Why something is paused, as it is kept. Raises `Invalid`."""
    return check_text(given, "reason")[:REASON_MAX] if given else None


def pause_words(pause: Pause, time: Callable[[float], str] = local_time) -> str:
    """A pause in words: since when, by whom, until when and why."""
    by = f" by {pause.by}" if pause.by else ""
    until = f" until {time(pause.until)}" if pause.until is not None else ""
    return f"paused since {time(pause.since)}{by}{until}{f': {pause.reason}' if pause.reason else ''}"
