"""What a history of executions says about limits: who ran at the same time, who started when, what lay unused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import heappop, heappush
from typing import NamedTuple

from queuectl.domain.job import Attempt, Job
from queuectl.store.port import Store

CLOCKS_DIFFER_S = 0.05
"""So well workers know the time of a PostgreSQL server under load, by which starts and ends are on record."""


class Execution(NamedTuple):
    """An execution of a job that was due since `due_at`, by a store's record."""

    job: str
    due_at: float
    started_at: float
    finished_at: float


def executions(store: Store, jobs: Iterable[Job]) -> list[Execution]:
    """All that have ended, in the order of their starts."""
    found = [_execution(job, attempt) for job in jobs for attempt in store.attempts(job) if attempt.finished_at]
    return sorted(found, key=lambda each: each.started_at)


def _execution(job: Job, attempt: Attempt) -> Execution:
    assert attempt.finished_at is not None
    return Execution(job.id, job.run_at, attempt.started_at, attempt.finished_at)


def most_at_once(history: Sequence[Execution], doubt_s: float = 0.0) -> int:
    """How many executions there were at the same time, at most, by clocks that differ by no more than that."""
    most, ends = 0, list[float]()
    for each in history:
        while ends and ends[0] <= each.started_at:
            heappop(ends)
        heappush(ends, each.finished_at - doubt_s)
        most = max(most, len(ends))
    return most


def narrowest(history: Sequence[Execution], starts: int) -> float:
    """The shortest stretch of time with more than so many starts."""
    at = [each.started_at for each in history]
    return min((late - early for early, late in zip(at, at[starts:], strict=False)), default=float("inf"))


def longest_unused(history: Sequence[Execution], places: int) -> float:
    """For how long fewer than `places` ran though somebody waited, at the longest."""
    changes = [(each.started_at, -1, 1) for each in history] + [(each.finished_at, 0, -1) for each in history]
    waits = [(each.due_at, 1, 0) for each in history]
    longest, since = 0.0, None
    running = waiting = 0
    for at, waits_more, runs_more in sorted([*changes, *waits]):
        is_unused = running < places and waiting > 0
        if is_unused and since is not None:
            longest = max(longest, at - since)
        running, waiting = running + runs_more, waiting + waits_more
        if not (running < places and waiting > 0):
            since = None
        elif since is None or runs_more > 0:  # whoever starts shows that places are taken
            since = at
    return longest


class Line(NamedTuple):
    """What a command wrote in its diary: that it began or ended, under which lease, with which units."""

    job: str
    lease: str
    what: str
    units: tuple[str, ...]


def diary(lines: Iterable[Sequence[str]]) -> Iterator[Line]:
    """The lines of a diary that lie in order, as they were written."""
    for job, lease, what, units in lines:
        yield Line(job, lease, what, tuple(units.split(",")))


def check_units(lines: Iterable[Line], capacity: Mapping[str, int]) -> int:
    """No unit was anybody's twice; how many commands there were. A command's end stands before the next one's start."""
    held: dict[tuple[str, str], tuple[str, ...]] = {}
    began = 0
    for line in lines:
        if line.what == "end":
            held.pop((line.job, line.lease), None)
            continue
        began += 1
        held = {key: units for key, units in held.items() if key[0] != line.job}
        held[line.job, line.lease] = line.units
        taken = Counter(unit for units in held.values() for unit in units)
        shared = {unit for unit in taken if taken[unit] > capacity[unit]}
        assert not shared, f"{line} shares {shared} with {held}"
    return began
