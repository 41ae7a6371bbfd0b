"""Cron expressions: what they mean in wall time, as Debian's cron reads them. Zones are in schedule.py.

Where Debian accepts an entry and never runs it (`5-1`), or drops a part of it (`5#3`), it is refused here or means what
it says.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from calendar import monthrange
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from zlib import crc32

from queuectl.domain.errors import Invalid
from queuectl.domain.likeness import nearest
from queuectl.typed import NamedTuple

SEARCHED_YEARS = 41
"""Any rule that fires at all does so within 40 years: a 29 February on a certain weekday, over a year such as 2100."""

NICKNAMES: Mapping[str, str] = {
    "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
}  # fmt: skip
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
DAY_NAMES = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
SUNDAY, SATURDAY = 0, 6


class Field(NamedTuple):
    """One field of an expression: its bounds, and names for its numbers from `low` on."""

    name: str
    low: int
    high: int
    names: Sequence[str] = ()


SECOND, MINUTE, HOUR = Field("second", 0, 59), Field("minute", 0, 59), Field("hour", 0, 23)
DAY, MONTH = Field("day of month", 1, 31), Field("month", 1, 12, MONTHS)
WEEKDAY = Field("day of week", 0, 7, WEEKDAYS)


class Days(NamedTuple):
    """Days of a month: `numbers`, the last one, the last one from Monday to Friday, and those from Monday to Friday
    nearest to the days `near`."""

    numbers: frozenset[int] = frozenset()
    last: bool = False
    last_working: bool = False
    near: frozenset[int] = frozenset()


class Weekdays(NamedTuple):
    """Days of the week, 0 is Sunday: each such day; the last of a month; (day, n): the nth of a month."""

    numbers: frozenset[int] = frozenset()
    last: frozenset[int] = frozenset()
    nth: frozenset[tuple[int, int]] = frozenset()


class Cron(NamedTuple):
    """A parsed expression.

    `is_elapsed`: its minute or hour begins with `*`, so that it goes by real time when clocks change. `both`: a day has
    to match day of month and day of week, since one of them begins with `*`; else either is enough.
    """

    text: str
    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: Days
    months: frozenset[int]
    weekdays: Weekdays
    both: bool
    is_elapsed: bool


def parse_cron(text: str, name: str = "") -> Cron:
    """The expression of 5 fields, of 6 (seconds first), or a word such as `@daily`.

    `H` stands for a value that follows from the schedule's `name`. Raises `Invalid` for what is malformed, and for what
    would never fire.
    """
    second, minute, hour, day, month, weekday = fields_of(text)
    cron = Cron(
        text=" ".join(text.split()), seconds=_numbers(second, SECOND, name), minutes=_numbers(minute, MINUTE, name),
        hours=_numbers(hour, HOUR, name), days=_days(day, name), months=frozenset(_numbers(month, MONTH, name)),
        weekdays=_weekdays(weekday, name), both=day[0] == "*" or weekday[0] == "*",
        is_elapsed=minute[0] == "*" or hour[0] == "*",
    )  # fmt: skip
    if not any(days_of(cron, length, first) for length in _lengths(cron.months) for first in range(7)):
        raise Invalid(f"cron expression {text!r} never fires", "no month that it names has such a day")
    return cron


def fields_of(text: str) -> Sequence[str]:
    """The six fields of an expression, or of what a word such as `@daily` stands for. Raises `Invalid`."""
    given = " ".join(text.split())
    fields = (_nickname(given) if given.startswith("@") else given).split()
    if len(fields) not in (5, 6):
        hint = "minute, hour, day of month, month, day of week; six have the second first"
        raise Invalid(f"cron expression {text!r} has {len(fields)} fields, not 5 or 6", hint)
    return ["0", *fields] if len(fields) == 5 else fields


def _nickname(word: str) -> str:
    if word == "@reboot":
        raise Invalid("@reboot is no time", "start it with the machine: as a service, or from a worker's unit")
    if word not in NICKNAMES:
        raise Invalid(f"unknown word {word!r}", nearest(word, tuple(NICKNAMES)))
    return NICKNAMES[word]


# --- fields ---------------------------------------------------------------------------------


def _numbers(text: str, field: Field, name: str) -> tuple[int, ...]:
    return tuple(sorted({number for part in text.split(",") for number in _part(part, field, name, text)}))


def _days(text: str, name: str) -> Days:
    numbers, near, last, last_working = set[int](), set[int](), False, False
    for part in text.split(","):
        match part.upper():
            case "L":
                last = True
            case "LW" | "WL":
                last_working = True
            case upper if re.fullmatch(r"\d{1,2}W", upper):
                near.add(_number(upper[:-1], DAY, text))
            case _:
                numbers.update(_part(part, DAY, name, text))
    return Days(frozenset(numbers), last, last_working, frozenset(near))


def _weekdays(text: str, name: str) -> Weekdays:
    numbers, last, nth = set[int](), set[int](), set[tuple[int, int]]()
    for part in text.split(","):
        if found := re.fullmatch(r"(\w+)#([1-5])", part):
            nth.add((_number(found[1], WEEKDAY, text) % 7, int(found[2])))
        elif found := re.fullmatch(r"(\d|[A-Za-z]{3})L", part, re.IGNORECASE):
            last.add(_number(found[1], WEEKDAY, text) % 7)
        else:
            numbers.update(number % 7 for number in _part(part, WEEKDAY, name, text))
    return Weekdays(frozenset(numbers), frozenset(last), frozenset(nth))


_RANGE = re.compile(r"(?P<first>\w+)(-(?P<last>\w+))?(/(?P<step>\d{1,9}))?")
_STAR = re.compile(r"\*(/(?P<step>\d{1,9}))?")
_HASHED = re.compile(r"H(\((?P<first>\d{1,2})-(?P<last>\d{1,2})\))?(/(?P<step>\d{1,9}))?")


def _part(part: str, field: Field, name: str, text: str) -> Sequence[int]:
    """The numbers of one part between commas."""
    if found := _STAR.fullmatch(part):
        return range(field.low, _top(field) + 1, _step(found["step"], field, text))
    if found := _HASHED.fullmatch(part):
        return _hashed(found, field, name, text)
    found = _RANGE.fullmatch(part)
    if found is None:
        raise _malformed(field, text, part)
    first = _number(found["first"], field, text)
    if found["last"] is None:
        if found["step"] is not None:
            hint = f"write {found['first']}-{_top(field)}/{found['step']}"
            raise Invalid(f"{field.name} {text!r}: a step needs a range", hint)
        return (first,)
    last = _number(found["last"], field, text)
    if first > last:
        hint = f"write it in order: {_in_order(first, _top(field))},{_in_order(field.low, last)}"
        raise Invalid(f"{field.name} {text!r}: the range {found['first']}-{found['last']} runs backward", hint)
    return range(first, last + 1, _step(found["step"], field, text))


def _in_order(first: int, last: int) -> str:
    return ",".join(map(str, range(first, last + 1))) if last - first < 3 else f"{first}-{last}"


def _hashed(found: re.Match[str], field: Field, name: str, text: str) -> Sequence[int]:
    """`H`, `H(0-29)`, `H/15`, `H(0-29)/10`: spread by the schedule's name, always the same."""
    top = 28 if field is DAY else _top(field)  # a day that each month has
    low, high = field.low, top
    if found["first"] is not None:
        low, high = (_number(found[key], field, text) for key in ("first", "last"))
        if low > high:
            raise Invalid(f"{field.name} {text!r}: the range in H({low}-{high}) runs backward")
    draw = crc32(f"{name} {field.name}".encode())
    if found["step"] is None:
        return (low + draw % (high - low + 1),)
    step = min(_step(found["step"], field, text), high - low + 1)
    return range(low + draw % step, high + 1, step)


def _top(field: Field) -> int:
    return SATURDAY if field is WEEKDAY else field.high


def _step(given: str | None, field: Field, text: str) -> int:
    step = 1 if given is None else int(given)
    if not step:
        raise Invalid(f"{field.name} {text!r}: a step of 0")
    return step


def _number(given: str, field: Field, text: str) -> int:
    word = given.lower()
    if word in field.names:
        return field.low + field.names.index(word)
    if not (given.isascii() and given.isdigit()):
        raise _malformed(field, text, given)
    if not field.low <= int(given) <= field.high:
        raise Invalid(f"{field.name} {text!r}: {given} is not in {field.low} to {field.high}")
    return int(given)


def _malformed(field: Field, text: str, part: str) -> Invalid:
    more = {DAY: ", L, LW, 15W", WEEKDAY: f", {WEEKDAYS[1]}, 5L, 5#3", MONTH: f", {MONTHS[0]}"}.get(field, "")
    hint = f"numbers {field.low} to {field.high}, lists 1,2, ranges 1-3, steps */2, H{more}"
    return Invalid(f"{field.name} {text!r}: {part!r} is not understood", hint)


# --- days -----------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def _lengths(months: frozenset[int]) -> frozenset[int]:
    """The lengths that these months can have."""
    return frozenset(
        {length for month in months for length in ((28, 29) if month == 2 else (monthrange(2001, month)[1],))}
    )


@lru_cache(maxsize=4096)
def days_of(cron: Cron, length: int, first: int) -> tuple[int, ...]:
    """The days that match in a month of this length whose first day is the weekday `first` (0: Sunday)."""
    rule = _of_month(cron.days, length, first), _of_week(cron.weekdays, length, first)
    return tuple(sorted(rule[0] & rule[1] if cron.both else rule[0] | rule[1]))


def _of_month(days: Days, length: int, first: int) -> set[int]:
    def weekday(day: int) -> int:
        return (first + day - 1) % 7

    def working(day: int) -> int:
        if weekday(day) == SATURDAY:
            return day - 1 if day > 1 else day + 2
        if weekday(day) == SUNDAY:
            return day + 1 if day < length else day - 2
        return day

    found = {day for day in days.numbers if day <= length} | {working(day) for day in days.near if day <= length}
    if days.last:
        found.add(length)
    if days.last_working:
        found.add(working(length))
    return found


def _of_week(weekdays: Weekdays, length: int, first: int) -> set[int]:
    def of(weekday: int) -> range:
        return range(1 + (weekday - first) % 7, length + 1, 7)

    found = {day for weekday in weekdays.numbers for day in of(weekday)}
    found |= {of(weekday)[-1] for weekday in weekdays.last}
    return found | {of(weekday)[n - 1] for weekday, n in weekdays.nth if n <= len(of(weekday))}


# --- wall time ------------------------------------------------------------------------------


def next_wall(cron: Cron, at: datetime) -> datetime | None:
    """The first wall time from `at` on that matches; None if there is none within 41 years, or before year 9999."""
    start = at if not at.microsecond else at.replace(microsecond=0) + timedelta(seconds=1)
    for year, month in _months_from(start, cron.months):
        weekday, length = monthrange(year, month)
        is_first = (year, month) == (start.year, start.month)
        for day in days_of(cron, length, (weekday + 1) % 7):
            if is_first and day < start.day:
                continue
            from_second = _second_of(start) if is_first and day == start.day else 0
            if (time := _next_time(cron, from_second)) is not None:
                return datetime(year, month, day) + timedelta(seconds=time)
    return None


def _months_from(start: datetime, months: frozenset[int]) -> Iterator[tuple[int, int]]:
    for year in range(start.year, min(start.year + SEARCHED_YEARS, 9998)):
        for month in sorted(months):
            if year > start.year or month >= start.month:
                yield year, month


def _second_of(at: datetime) -> int:
    return at.hour * 3600 + at.minute * 60 + at.second


def _next_time(cron: Cron, second: int) -> int | None:
    """The first matching second of a day from `second` on."""
    hour, rest = divmod(second, 3600)
    minute, second = divmod(rest, 60)
    at = bisect_left(cron.hours, hour)
    if at < len(cron.hours) and cron.hours[at] == hour:
        in_hour = _next_in_hour(cron, minute, second)
        if in_hour is not None:
            return hour * 3600 + in_hour
        at += 1
    return cron.hours[at] * 3600 + cron.minutes[0] * 60 + cron.seconds[0] if at < len(cron.hours) else None


def _next_in_hour(cron: Cron, minute: int, second: int) -> int | None:
    at = bisect_left(cron.minutes, minute)
    if at < len(cron.minutes) and cron.minutes[at] == minute:
        of_minute = bisect_left(cron.seconds, second)
        if of_minute < len(cron.seconds):
            return minute * 60 + cron.seconds[of_minute]
        at += 1
    return cron.minutes[at] * 60 + cron.seconds[0] if at < len(cron.minutes) else None
