"""Cron by walking: minute by minute, as Debian's daemon does. Slow, and shares nothing with `domain/cron.py`."""

from __future__ import annotations

import calendar
import random
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta, tzinfo
from functools import lru_cache

FIRST_YEAR, LAST_YEAR = 2024, 2028
AROUND_MIN = 300

ZONES = (
    "Europe/Berlin", "Europe/London", "Europe/Dublin", "Europe/Lisbon", "Europe/Chisinau", "Europe/Istanbul",
    "America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles", "America/St_Johns",
    "America/Halifax", "America/Havana", "America/Santiago", "America/Asuncion", "America/Sao_Paulo",
    "America/Scoresbysund", "America/Nuuk", "America/Miquelon", "America/Port-au-Prince", "America/Mexico_City",
    "America/Tijuana", "Asia/Beirut", "Asia/Jerusalem", "Asia/Gaza", "Asia/Hebron", "Asia/Tehran",
    "Asia/Kolkata", "Asia/Kathmandu", "Asia/Almaty", "Asia/Tokyo", "Africa/Cairo", "Africa/Casablanca",
    "Africa/El_Aaiun", "Australia/Lord_Howe", "Australia/Sydney", "Australia/Adelaide", "Pacific/Auckland",
    "Pacific/Chatham", "Antarctica/Troll",
)  # fmt: skip


def changes(zone: tzinfo) -> Iterator[int]:
    """Each minute of these years at which the offset changes."""
    at, end = calendar.timegm((FIRST_YEAR, 1, 1, 0, 0, 0)), calendar.timegm((LAST_YEAR + 1, 1, 1, 0, 0, 0))
    while at < end:
        following = at + 86400
        if _offset(at, zone) != _offset(following, zone):
            yield next(m for m in range(at, following + 60, 60) if _offset(m, zone) != _offset(at, zone))
        at = following


def _offset(at: int, zone: tzinfo) -> timedelta | None:
    return datetime.fromtimestamp(at, zone).utcoffset()


Minutes = Sequence[tuple[int, Sequence[datetime], bool]]
"""For each real minute: its time; the wall minutes that have now passed for the first time; whether clocks show again
what they have shown. The last of the wall minutes is what clocks show."""


def walked(start: int, minutes: int, zone: tzinfo) -> Minutes:
    """The minutes from `start` on."""
    found = []
    latest = _shown(start - 60, zone)
    for at in range(start, start + 60 * minutes, 60):
        shown = _shown(at, zone)
        if shown <= latest:
            found.append((at, [shown], True))
            continue
        passed = [latest + timedelta(minutes=n) for n in range(1, round((shown - latest).total_seconds() / 60) + 1)]
        found.append((at, passed, False))
        latest = shown
    return found


def _shown(at: int, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(at, zone).replace(tzinfo=None, fold=0)


class Entry:
    """An entry of five fields that were drawn as sets of numbers, with their text."""

    def __init__(self, draw: random.Random) -> None:
        fields = [_drawn(draw, low, high) for low, high in ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))]
        self.text = " ".join(text for text, _ in fields)
        (minute, self._minutes), (hour, self._hours), (day, self._days), (_, self._months), (weekday, self._week) = (
            fields
        )
        self._runs_by_time = minute.startswith("*") or hour.startswith("*")
        self._both = day.startswith("*") or weekday.startswith("*")

    @lru_cache(maxsize=64)  # noqa: B019
    def _is_day(self, day: date) -> bool:
        of_month, of_week = day.day in self._days, {day.isoweekday(), day.isoweekday() % 7} & self._week
        return day.month in self._months and bool(of_month and of_week if self._both else of_month or of_week)

    def _matches(self, shown: datetime) -> bool:
        return shown.minute in self._minutes and shown.hour in self._hours and self._is_day(shown.date())

    def fires(self, minutes: Minutes) -> list[int]:
        """When it fires within these minutes."""
        if self._runs_by_time:
            return [at for at, passed, _ in minutes if self._matches(passed[-1])]
        return [at for at, passed, again in minutes if not again and any(map(self._matches, passed))]


def _drawn(draw: random.Random, low: int, high: int) -> tuple[str, set[int]]:
    """A field and its numbers. Near the hours of clock changes more often than elsewhere."""
    top = min(high, 6) if high == 7 else high
    if draw.random() < 0.3:
        return "*", set(range(low, high + 1))
    parts, numbers = [], set[int]()
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        text, found = _part(draw, low, top)
        parts.append(text)
        numbers |= found
    return ",".join(parts), numbers


def _part(draw: random.Random, low: int, high: int) -> tuple[str, set[int]]:
    first = draw.randint(low, min(high, 3) if draw.random() < 0.4 else high)
    match draw.randrange(5):
        case 0:
            step = draw.randint(1, high)
            return f"*/{step}", set(range(low, high + 1, step))
        case 1:
            last = draw.randint(first, high)
            return f"{first}-{last}", set(range(first, last + 1))
        case 2:
            last, step = draw.randint(first, high), draw.randint(1, 9)
            return f"{first}-{last}/{step}", set(range(first, last + 1, step))
        case _:
            return str(first), {first}
