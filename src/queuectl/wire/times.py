"""Parses and formats durations and times, by the same rules everywhere, also in SQL."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from math import modf

from queuectl.domain.errors import Invalid
from queuectl.wire.showing import quoted

_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
# Patterns are text, so that an enqueue compiles only those it needs.
_PART = r"([0-9]+(?:\.[0-9]+)?)(d|h|ms|m|s)"
DURATION_MAX = 100 * 365 * 86400.0


def parse_duration(value: object, what: str = "duration") -> float:
    """Seconds from `90`, `"90"`, `"90s"`, `"10m"`, `"1h30m"` or `"2d"`. Raises `Invalid`."""
    seconds: float | None = None
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value <= DURATION_MAX:
        seconds = float(value)
    elif isinstance(value, str):
        text = value.strip()
        if text[:-1].isdecimal() and text.isascii() and text[-1] in "dhms":
            seconds = float(text[:-1]) * _UNITS[text[-1]]
        elif re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
            seconds = float(text)
        elif text.isascii() and re.fullmatch(f"(?:{_PART})+", text.lower()):
            seconds = sum(float(number) * _UNITS[unit] for number, unit in re.findall(_PART, text.lower()))
    if seconds is not None and seconds > DURATION_MAX:
        raise Invalid(f"{what} {quoted(value)} is too long", f"at most {format_duration(DURATION_MAX)}")
    if seconds is None or seconds < 0:
        raise Invalid(f"{what} {quoted(value)} is not a duration", "write it as 90, 90s, 10m, 1h30m or 2d")
    return seconds + 0.0


def format_duration(seconds: float) -> str:
    """A duration for people, two units at most: `3.1s`, `2m05s`, `1h30m`, `2d04h`."""
    if seconds < 0.0005:
        return "0s"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 59.95:
        return f"{seconds:.1f}".removesuffix(".0") + "s"
    whole = round(seconds)
    for size, unit, small, small_unit in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            rest = whole % size // small
            return f"{whole // size}{unit}" + (f"{rest:02d}{small_unit}" if rest else "")
    return f"{whole}s"


_MOMENT = (
    r"[0-9]{4}(-?)[0-9]{2}\1[0-9]{2}"
    r"(?:.(?!24)[0-9]{2}(?:(:?)[0-9]{2}(?:\2[0-9]{2}(?:[.,][0-9]+)?)?)?(?:[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)
"""RFC 3339, also with fewer parts or in ISO 8601's basic format. `fromisoformat` alone would take more, and more with
each Python version: weeks, and 24:00 from 3.14 on. The SQL function has the same pattern."""


def parse_time(value: object, now: float, what: str = "time", zone: tzinfo | None = None) -> float:
    """Seconds since the epoch from RFC 3339, `2026-11-21 18:00`, `18:00` (the next one) or `+10m`. A time that names no
    zone is one of `zone` (None: the local one)."""
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("+"):
            return now + parse_duration(text[1:], what)
        try:
            if re.fullmatch(r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?", text):
                return _next_time_of_day(text, now, zone)
            if re.fullmatch(_MOMENT, text, re.DOTALL):
                moment = datetime.fromisoformat(text.replace("z", "Z"))
                then = (moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp()
                datetime.fromtimestamp(then, UTC)  # raises if the offset moves it beyond the year 9999
                return then
        except (ValueError, OverflowError, OSError):
            pass
    raise Invalid(
        f"{what} {quoted(value)} is not a time",
        "write it as 2026-11-21T18:00:00Z, '2026-11-21 18:00' (local time), 18:00 or +10m",
    )


def _next_time_of_day(text: str, now: float, zone: tzinfo | None) -> float:
    today = datetime.fromtimestamp(now, zone)
    hour, minute, *second = (int(part) for part in text.split(":"))
    then = today.replace(hour=hour, minute=minute, second=second[0] if second else 0, microsecond=0)
    return (then if then > today else then + timedelta(days=1)).timestamp()


def format_time(seconds: float | None) -> str | None:
    """RFC 3339 in UTC with microseconds and a `Z`."""
    if seconds is None:
        return None
    if not 0 <= seconds < 4e9:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    fraction, whole = modf(seconds)
    minute, second = divmod(int(whole), 60)
    microseconds = round(fraction * 1e6)
    if microseconds == 1_000_000:
        return format_time(whole + 1)
    return f"{_minute(minute)}{second:02d}.{microseconds:06d}Z"


@lru_cache(4096)
def _minute(number: int) -> str:
    """A minute since the epoch as text up to its seconds, cached: listings have many times of the same minute."""
    return datetime.fromtimestamp(number * 60, UTC).strftime("%Y-%m-%dT%H:%M:")


def format_second(seconds: float) -> str:
    """RFC 3339 in UTC without fractions, for sentences."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
