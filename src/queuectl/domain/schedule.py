"""When a schedule fires, and what becomes of each fire. Pure; zones come in as `tzinfo`.

Clock changes are Debian cron's. An entry whose minute or hour begins with `*` goes by real time: it fires whenever the
wall clock shows a matching time, through both of autumn's hours. Any other fires once for each wall time: repeated, the
first time only; skipped, at once after the gap, and one gap makes one fire. Libraries get these wrong, so the mapping
of wall times to instants is done here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from itertools import filterfalse, islice, takewhile
from math import floor
from zlib import crc32

from queuectl.domain.cron import Cron, next_wall
from queuectl.typed import NamedTuple

CHANGE_MAX_S = 26 * 3600
"""No clock change is larger, and none comes sooner after another one."""
PROBE_S = 3600
SECOND = timedelta(seconds=1)
GAPS_MAX = 200
"""A search passes no more gaps: each year has at most a few."""

ON_TIME_S = 60.0
"""Where nobody looked for this long, the fires of that time are not missed."""
CATCH_UP_MAX = 100
COUNTED_MAX = 1000
"""At most this many fires of a time in which nobody looked are counted one by one."""


class Every(NamedTuple):
    """Fires at `anchor` (seconds since the epoch) and each `seconds` before and after it. Both are whole numbers."""

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


# --- due fires -----------------------------------------------------------------------------


class Due(NamedTuple):
    """The fires of a stretch of time: the latest, oldest first, at most `CATCH_UP_MAX`; and how many came before them,
    from `first` to `until`. If that is not `counted` to the end, there were at least that many."""

    fires: Sequence[float] = ()
    earlier: int = 0
    first: float = 0.0
    until: float = 0.0
    counted: bool = True


def due_fires(
    rule: Rule, after: float, until: float, zone: tzinfo, fired: Collection[float] = frozenset()
) -> Due:  # fmt: skip
    """The fires later than `after` and up to `until`, but for those in `fired`."""
    first = next(_between(rule, after, until, zone, fired), None)
    if first is None:
        return Due()
    if isinstance(rule, Every) and not fired:
        number = floor((until - first) / rule.seconds) + 1
        latest = [first + n * rule.seconds for n in range(max(0, number - CATCH_UP_MAX), number)]
        return Due(latest, number - len(latest), first, latest[0] - rule.seconds)
    latest = _latest(rule, after, until, zone, fired)
    earlier = list(islice(_between(rule, after, latest[0] - 1, zone, fired), COUNTED_MAX))
    counted = len(earlier) < COUNTED_MAX
    return Due(latest, len(earlier), first, earlier[-1] if earlier and counted else latest[0] - 1, counted)


def _between(rule: Rule, after: float, until: float, zone: tzinfo, but: Collection[float]) -> Iterator[float]:
    def fires() -> Iterator[float]:
        at = after
        while (found := next_fire(rule, at, zone)) is not None:
            yield found
            at = found

    return filterfalse(but.__contains__, takewhile(lambda at: at <= until, fires()))


def _latest(rule: Rule, after: float, until: float, zone: tzinfo, fired: Collection[float]) -> list[float]:
    """The latest fires, looked for in windows that end at `until`: rules only know what comes next."""
    low, window, high = 0.0, 64.0, float("inf")
    while True:
        start = max(after, until - window)
        found = list(islice(_between(rule, start, until, zone, fired), COUNTED_MAX))
        if len(found) == COUNTED_MAX:
            high = window
        elif len(found) >= CATCH_UP_MAX or start <= after:
            return found[-CATCH_UP_MAX:]
        else:
            low = window
        window = window * 2 if high == float("inf") else (low + high) / 2


def offset(name: str, jitter: float) -> float:
    """By how much a schedule of this name fires later than its rule says: up to `jitter`, always the same."""
    return crc32(f"{name} jitter".encode()) % (round(jitter * 1000) + 1) / 1000


def fire_id(name: str, at: float) -> str:
    """The id of the job of one fire: `NAME.20261129T020000Z`."""
    return f"{name}.{datetime.fromtimestamp(at, UTC):%Y%m%dT%H%M%SZ}"


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
    """How a schedule treats its fires. `late_max`: seconds after which a fire makes no job any more."""

    overlap: Overlap = Overlap.SKIP
    catch_up: CatchUp = CatchUp.ONE
    late_max: float | None = None


class Act(StrEnum):
    """What a fire does: adds a job, or one that waits for the earlier ones; cancels these for it; or nothing."""

    ENQUEUE = "enqueue"
    QUEUE = "queue"
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
    were_missed = bool(due) and now - due[0] > ON_TIME_S
    for later, at in zip(reversed(range(len(due))), due, strict=True):
        if reason := why_missed(at, later if were_missed else 0, now, policy):
            made.append(Decision(at, Act.NOTHING, reason))
            continue
        made.append(_overlapping(at, policy.overlap, unfinished, running))
        if made[-1].act in (Act.ENQUEUE, Act.QUEUE):
            unfinished += 1
        elif made[-1].act is Act.REPLACE:
            unfinished, running = 1, 0
    return made


def why_missed(at: float, later: int, now: float, policy: Policy) -> str:
    """Why a fire is not made up, or "". `later`: how many later ones are due too, if any of them were missed."""
    late = now - at
    if policy.late_max is not None and late > policy.late_max:
        return "missed, and too late"
    if not later and late <= ON_TIME_S:
        return ""
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
        return Decision(at, Act.QUEUE)
    return Decision(
        at, Act.NOTHING, "the earlier job has not ended" if overlap is Overlap.SKIP else "one waits already"
    )
