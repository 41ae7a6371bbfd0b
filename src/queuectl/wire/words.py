"""Values for people: short times, ages, sizes, counts, times in the reader's zone."""

from __future__ import annotations

import re
from functools import lru_cache

from queuectl.wire.sizes import SMALL_BYTES
from queuectl.wire.times import format_duration

SUPERVISOR_BYTES_MAX = 24 << 20
"""What a supervisor holds itself, at most, unless its machine is unusual."""


def ago(seconds: float) -> str:
    """`now`, `12s ago`, `3h05m ago`."""
    return "now" if seconds < 1 else f"{age(seconds)} ago"


def age(seconds: float) -> str:
    """An age in whole seconds: `0s`, `12s`, `3h05m`."""
    return format_duration(float(int(max(0.0, seconds))))


def short(seconds: float) -> str:
    """A duration for a column: whole seconds from 10 on."""
    return format_duration(round(seconds) if seconds >= 10 else seconds)


def local_time(seconds: float) -> str:
    """A time in the reader's zone, in a form that `--at` takes: `2026-11-21 18:00:05+01:00`."""
    from datetime import datetime

    return datetime.fromtimestamp(seconds).astimezone().isoformat(" ", "seconds")


def local_log(line: str) -> str:
    """A line of a worker's log with its time in the reader's zone. A line without a time is left unchanged."""
    at, blank, message = line.partition(" ")
    try:
        return f"{_of_log(at)}{blank}{message}" if at.endswith("Z") else line
    except ValueError:
        return line


@lru_cache(1)
def _of_log(at: str) -> str:
    """The time of a line in the reader's zone, cached: many lines have the same time."""
    from datetime import datetime

    return local_time(datetime.fromisoformat(at).timestamp())


ESCAPES = r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-Z\\^-~])"
"""Terminal control sequences: colours, movements, titles."""


def plain(text: str) -> str:
    """A command's output without terminal control sequences."""
    return re.sub(ESCAPES, "", text)


LAST_LINE_MAX, LAST_LINE_WITHIN = 300, 8 << 10


def last_line(output: bytes) -> str | None:
    """The last line that says anything, in its last state, without control characters; None if there is none."""
    for line in reversed(output[-LAST_LINE_WITHIN:].decode("utf-8", "replace").split("\n")):
        said = plain(line.rstrip("\r").rpartition("\r")[2])
        if said := "".join(each for each in said.replace("\t", " ") if each.isprintable()).strip():
            return said[:LAST_LINE_MAX]
    return None


def natural(text: str) -> list[tuple[int, str]]:
    """A sort key that puts q2 before q10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", text)]


def size(count: int | None) -> str:
    """Bytes for people: `0 B`, `1.5 KiB`, `10 MiB`; empty for None."""
    if count is None:
        return ""
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.0f} {unit}" if unit == "B" or value >= 10 else f"{value:.1f} {unit}"


def peak(max_rss: int | None, cpu_time: float | None) -> str:
    """The most memory of an execution for people; where only its processor time is known, it was small. A figure not
    much larger may be that of the supervisor, with which the kernel's figure of a child begins."""
    if max_rss is None:
        return "" if cpu_time is None else f"< {size(SMALL_BYTES)}"
    return f"≤ {size(max_rss)}" if SMALL_BYTES <= max_rss < SUPERVISOR_BYTES_MAX else size(max_rss)


def counted(number: int, noun: str) -> str:
    """`1 job`, `12 jobs`, `1,234 jobs`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
