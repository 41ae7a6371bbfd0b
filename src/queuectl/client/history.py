"""What has been: how dead jobs failed, figures, and what people did."""

from __future__ import annotations

from queuectl.client.documents import DEED, FIGURES, GROUP
from queuectl.client.figures import STRETCHES, STRETCHES_MAX, Figures, figures, with_parts
from queuectl.client.operation import (
    ACTIVITY,
    ADMINISTRATION,
    DEAD,
    DLQ,
    DURATION,
    FLAG,
    JOBS,
    ROW,
    Argument,
    Command,
    number,
    plain,
)
from queuectl.client.shapes import listed
from queuectl.client.values import DEEDS, GROUPS
from queuectl.domain.job import JobState
from queuectl.domain.selector import ALL_JOBS, Selector
from queuectl.store.past import Deed, Group
from queuectl.store.port import Store
from queuectl.wire import schema
from queuectl.wire.keywords import Duration, seconds_of

GROUPS_MAX, DEEDS_MAX = 1000, 1000
HOURS, HOUR_S = 24, 3600.0
NO_HOURS = (0,) * HOURS
WINDOW = "1h"
ID = ROW._replace(schema={**schema.COUNT, "minimum": 1})


def dead_groups(
    store: Store, who: str, selector: Selector = ALL_JOBS, limit: int = GROUPS, waiting: bool = False
) -> list[Group]:
    """Matching dead jobs by how they failed, the largest groups first; with `waiting`, those that wait for a retry
    too."""
    states = (JobState.DEAD, JobState.FAILED) if waiting else (JobState.DEAD,)
    groups = store.fault_groups(selector._replace(states=states), limit)
    recent = _hourly(store, [group.fault for group in groups if group.fault is not None])
    return [group._replace(recent=recent.get(group.fault, NO_HOURS)) for group in groups]


def _hourly(store: Store, faults: list[str]) -> dict[str | None, list[int]]:
    """How many jobs of each fault failed in each of the last hours."""
    found: dict[str | None, list[int]] = {}
    until = (store.now() // HOUR_S + 1) * HOUR_S
    for each in store.fault_tallies(faults, until - HOURS * HOUR_S, until, HOURS) if faults else ():
        found.setdefault(each.fault, list(NO_HOURS))[each.place] = each.number
    return found


GROUP_DEAD = plain(
    "group_dead", "GET", "/dlq/groups", DLQ, "Group dead jobs by how they failed", dead_groups,
    listed(GROUP.kind), "largest group first",
    arguments=(
        Argument("selector", DEAD, default=ALL_JOBS),
        Argument("limit", number(1, GROUPS_MAX), default=GROUPS, told=f"most groups (default: {GROUPS})"),
        Argument("waiting", FLAG, default=False, told="also jobs that wait for a retry"),
    ),
)  # fmt: skip


def stats(store: Store, who: str, window: Duration = WINDOW, stretches: int = STRETCHES) -> Figures:
    """Throughput, failures, and how long jobs waited and ran, by queue and by program, over a stretch of time that ends
    now."""
    return with_parts(store, figures(store, seconds_of(window), stretches))


STATS = plain(
    "stats", "GET", "/stats", ACTIVITY, "Show throughput, failures, run and wait times", stats, FIGURES.kind,
    "over a window that ends now",
    arguments=(
        Argument(
            "window", DURATION, default=WINDOW, spelled="--window D",
            help=f"how far back, at most 30d (default: {WINDOW})",
            told=f"how far back, from 1s to 30d (default: {WINDOW})",
        ),
        Argument(
            "stretches", number(1, STRETCHES_MAX), default=STRETCHES,
            told=f"number of parts (default: {STRETCHES})", typed=False,
        ),
    ),
    command=Command(
        "stats", JOBS, "show throughput, failures, and how long jobs wait and run",
        "Show how many executions ended, how many of them failed, and the percentiles of how long jobs waited for a "
        "worker and ran: in all, by queue, and by the program that their command runs.",
        ("queuectl stats", "queuectl stats --window 7d --json"),
    ),
)  # fmt: skip


def audit(store: Store, who: str, limit: int = DEEDS, before: int | None = None) -> list[Deed]:
    """What people did, the latest first."""
    return store.deeds(limit, before)


AUDIT = plain(
    "audit", "GET", "/audit", ADMINISTRATION, "List what people did, latest first", audit, listed(DEED.kind),
    "what people did", full_only=True,
    arguments=(
        Argument("limit", number(1, DEEDS_MAX), default=DEEDS, told=f"most entries (default: {DEEDS})"),
        Argument("before", ID, default=None, told="only entries before this id"),
    ),
)  # fmt: skip
