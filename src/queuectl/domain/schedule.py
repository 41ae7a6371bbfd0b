"""When a schedule fires, and what becomes of each fire. Pure; zones come in as `tzinfo`.

Clock changes are Debian cron's. An entry whose minute or hour begins with `*` goes by real time: it fires whenever the
wall clock shows a matching time, through both of autumn's hours. Any other fires once for each wall time: repeated, the
first time only; skipped, at once after the gap, and one gap makes one fire. Libraries get these wrong, so the mapping
of wall times to instants is done here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo
from enum import StrEnum
from math import floor
from typing import NamedTuple

from queuectl.domain.cron import Cron, next_wall

CHANGE_MAX_S = 26 * 3600
"""No clock change is larger, and none comes sooner after another one."""
PROBE_S = 3600
SECOND = timedelta(seconds=1)
GAPS_MAX = 200
"""A search passes no more gaps: each year has at most a few."""

ON_TIME_S = 60.0
"""A fire that is looked at within this time is not missed."""
CATCH_UP_MAX = 100


class Every(NamedTuple):
    """Fires at `anchor` (seconds since the epoch) and each `seconds` before and after it."""

    seconds: float
    anchor: float


Rule = Cron | Every


def next_fire(rule: Rule, after: float, zone: tzinfo) -> float | None:
    """The first fire later than `after`; both are seconds since the epoch. None: it never fires again."""
    if isinstance(rule, Every):
        return rule.anchor + (floor((after - rule.anchor) / rule.seconds) + 1) * rule.seconds
    try:
        return (_next_elapsed if rule.is_elapsed else _next_fixed)(rule, floor(after), zone)
    except (OverflowError, ValueError):  # beyond the year 9999
        return None


def _next_fixed(cron: Cron, after: int, zone: tzinfo) -> float | None:
    here = datetime.fromtimestamp(after, zone)
    start = here.replace(tzinfo=None, fold=0) + SECOND
    if here.fold:  # all times of the repeated stretch have been
        first, second = _instant(here.replace(fold=0)), _instant(here)
        changed_at = _change(first, second, zone)
        start = _wall(changed_at, zone) + timedelta(seconds=second - first)
    wall = next_wall(cron, start)
    return None if wall is None else _first_instant(wall, zone)


def _next_elapsed(cron: Cron, after: int, zone: tzinfo) -> float | None:
    at = after + 1
    for _ in range(GAPS_MAX):
        offset = _offset(at, zone)
        wall = next_wall(cron, _wall(at, zone))
        if wall is None:
            return None
        there = _as_utc(wall) - offset
        changed_at = _next_change(at, min(there, at + CHANGE_MAX_S), zone)
        if changed_at is not None:
            at = changed_at
            continue
        found = there if there <= at + CHANGE_MAX_S else _first_instant(wall, zone)
        if _wall(found, zone) == wall:
            return float(found)
        at = found  # the wall time is skipped
    return None


# --- zones ----------------------------------------------------------------------------------

_EPOCH = datetime(1970, 1, 1)


def _as_utc(wall: datetime) -> int:
    return round((wall - _EPOCH).total_seconds())


def _instant(local: datetime) -> int:
    offset = local.utcoffset()
    assert offset is not None
    return _as_utc(local.replace(tzinfo=None, fold=0)) - round(offset.total_seconds())


def _offset(at: int, zone: tzinfo) -> int:
    offset = datetime.fromtimestamp(at, zone).utcoffset()
    assert offset is not None
    return round(offset.total_seconds())


def _wall(at: int, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(at, zone).replace(tzinfo=None, fold=0)


def _first_instant(wall: datetime, zone: tzinfo) -> int:
    """The first instant at which clocks show the wall time; the end of the gap if they skip it."""
    at = _instant(wall.replace(tzinfo=zone, fold=0))
    if _wall(at, zone) == wall:
        return at
    return _change(_instant(wall.replace(tzinfo=zone, fold=1)), at, zone)


def _change(low: int, high: int, zone: tzinfo) -> int:
    """The first instant after `low` and up to `high` at which another offset holds than at `low`."""
    was = _offset(low, zone)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _offset(middle, zone) == was else (low, middle)
    return high


def _next_change(low: int, high: int, zone: tzinfo) -> int | None:
    """The first change of the offset after `low` and up to `high`; None if there is none."""
    was = _offset(low, zone)
    while low < high:
        step = min(low + PROBE_S, high)
        if _offset(step, zone) != was:
            return _change(low, step, zone)
        low = step
    return None


# --- what becomes of a fire -----------------------------------------------------------------


class Overlap(StrEnum):
    """What a fire does while an earlier job of the schedule has not ended."""

    SKIP = "skip"
    QUEUE = "queue"
    REPLACE = "replace"
    ALLOW = "allow"


class CatchUp(StrEnum):
    """Which of the fires that nobody looked at in time are made up."""

    SKIP = "skip"
    ONE = "one"
    ALL = "all"


class Policy(NamedTuple):
    """How a schedule treats its fires. `late_max`: seconds after which a fire is not made up any more."""

    overlap: Overlap = Overlap.SKIP
    catch_up: CatchUp = CatchUp.ONE
    late_max: float | None = None


class Act(StrEnum):
    """What a fire does."""

    ENQUEUE = "enqueue"
    REPLACE = "replace"
    NOTHING = "nothing"


class Decision(NamedTuple):
    """What becomes of the fire at `at`; `reason`: why it makes no job."""

    at: float
    act: Act
    reason: str = ""


def decide(due: Sequence[float], now: float, policy: Policy, unfinished: int, running: int) -> list[Decision]:
    """What becomes of the fires that are due, oldest first.

    `unfinished`: how many earlier jobs of the schedule have not ended, of which `running` have begun.
    """
    made: list[Decision] = []
    for later, at in zip(reversed(range(len(due))), due, strict=True):
        if reason := _missed(at, later, now, policy):
            made.append(Decision(at, Act.NOTHING, reason))
            continue
        made.append(_overlapping(at, policy.overlap, unfinished, running))
        if made[-1].act is Act.ENQUEUE:
            unfinished += 1
        elif made[-1].act is Act.REPLACE:
            unfinished, running = 1, 0
    return made


def _missed(at: float, later: int, now: float, policy: Policy) -> str:
    """Why a fire is not made up, or "". `later`: how many later ones are due too."""
    late = now - at
    if not later and late <= ON_TIME_S:
        return ""
    if policy.late_max is not None and late > policy.late_max:
        return "missed, and too late"
    if policy.catch_up is CatchUp.SKIP:
        return "missed"
    most = 1 if policy.catch_up is CatchUp.ONE else CATCH_UP_MAX
    return "" if later < most else "missed, as later ones were"


def _overlapping(at: float, overlap: Overlap, unfinished: int, running: int) -> Decision:
    if not unfinished or overlap is Overlap.ALLOW:
        return Decision(at, Act.ENQUEUE)
    if overlap is Overlap.REPLACE:
        return Decision(at, Act.REPLACE)
    if overlap is Overlap.QUEUE and unfinished == running:
        return Decision(at, Act.ENQUEUE)
    return Decision(
        at, Act.NOTHING, "the earlier job has not ended" if overlap is Overlap.SKIP else "one waits already"
    )
