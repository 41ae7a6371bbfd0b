"""What a cron expression means, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from queuectl.domain.cron import DAY_NAMES, MONTHS, Cron, Days, Weekdays, fields_of

NAMED_MAX = 4
"""More values of a field are shown as they were written."""
ORDINALS = {1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth"}


def described(cron: Cron) -> str:
    """What the expression means: its times, its days, and what it does when clocks change."""
    second, minute, hour, day, month, weekday = fields_of(cron.text)
    when = [_time_words(cron, second, minute, hour), *_day_words(cron, hour, day, weekday)]
    if month != "*":
        when.append(f"in {_listed([MONTHS[each - 1].capitalize() for each in sorted(cron.months)])}")
    change = "by elapsed time when clocks change" if cron.is_elapsed else "once each local day when clocks change"
    return f"{' '.join(when)}; {change}"


def _time_words(cron: Cron, second: str, minute: str, hour: str) -> str:
    if len(cron.hours) * len(cron.minutes) * len(cron.seconds) <= NAMED_MAX:
        exact = [(h, m, s) for h in cron.hours for m in cron.minutes for s in cron.seconds]
        return "at " + _listed([f"{h:02}:{m:02}" + (f":{s:02}" if s or second != "0" else "") for h, m, s in exact])
    parts = [] if second == "0" else [_every(second, "second", cron.seconds)]
    if minute != "*" or (second != "*" and not _is_even(second, 60)):
        parts.append(_every(minute, "minute", cron.minutes))
    if hour != "*" or (minute != "*" and not _is_even(minute, 60)):
        parts.append(_every(hour, "hour", cron.hours))
    return " of ".join(parts)


def _every(text: str, unit: str, numbers: Sequence[int]) -> str:
    if text == "*":
        return f"each {unit}"
    if unit != "hour" and _is_even(text, 60):
        return f"every {text[2:]} {unit}s"
    return f"{unit} {text if len(numbers) > NAMED_MAX else _listed([str(number) for number in numbers])}"


def _is_even(text: str, of: int) -> bool:
    """Whether a field counts on evenly: `*/5` of 60, but not `*/7`, after which an hour begins again."""
    return text.startswith("*/") and text[2:] != "1" and of % int(text[2:]) == 0


def _day_words(cron: Cron, hour: str, day: str, weekday: str) -> list[str]:
    days = "" if day == "*" else _listed([*_month_day_words(cron.days, day)], "or")
    weekdays = "" if weekday == "*" else _weekday_words(cron.weekdays)
    if days and weekdays:
        return ["on", f"{days} if it is {weekdays}" if cron.both else f"{days} or on {weekdays}"]
    if days or weekdays:
        return [f"on {days or weekdays}"]
    return [] if hour == "*" else ["each day"]


def _month_day_words(days: Days, text: str) -> Iterator[str]:
    if days.numbers:
        parts = ",".join(part for part in text.split(",") if not {"L", "W"}.intersection(part.upper()))
        numbers = [str(number) for number in sorted(days.numbers)]
        yield f"day {parts if len(numbers) > NAMED_MAX else _listed(numbers, 'or')} of the month"
    for number in sorted(days.near):
        yield f"the weekday nearest to day {number}"
    if days.last:
        yield "the last day of the month"
    if days.last_working:
        yield "the last weekday of the month"


def _weekday_words(weekdays: Weekdays) -> str:
    numbers = sorted(weekdays.numbers, key=lambda number: number or 7)
    names = [DAY_NAMES[number] for number in numbers]
    if len(numbers) > 2 and (numbers[-1] or 7) - (numbers[0] or 7) == len(numbers) - 1:
        names = [f"{names[0]} to {names[-1]}"]
    names += [f"the last {DAY_NAMES[number]}" for number in sorted(weekdays.last)]
    names += [f"the {ORDINALS[n]} {DAY_NAMES[number]}" for number, n in sorted(weekdays.nth)]
    return _listed(names, "or")


def _listed(words: Sequence[str], last: str = "and") -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"
