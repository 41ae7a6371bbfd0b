"""Everything at a glance, in one read whose cost depends on what runs, not on the history: for `top`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from queuectl.client import looking
from queuectl.client.reasons import FORM, Listing
from queuectl.client.values import Status
from queuectl.domain.job import Job, JobState
from queuectl.domain.reason import Code, Gate, closed_gates
from queuectl.domain.selector import Selector
from queuectl.store.past import Failure
from queuectl.store.port import Store
from queuectl.typed import NamedTuple

WAITING_SEEN = 300
"""How many waiting jobs are looked at for why they wait."""
RUNNING_SEEN = 500
FAILURES_SHOWN = 20
WAITING = (JobState.BLOCKED, JobState.PENDING, JobState.FAILED)

WORDS: Mapping[Code, str] = {
    Code.SCHEDULED: "scheduled for later", Code.RETRY: "retry later", Code.HELD: "held", Code.PAUSED: "queue paused",
    Code.CONCURRENCY: "queue at its limit", Code.RATE: "rate limit", Code.BLOCKED: "after other jobs",
    Code.NO_WORKER: "no worker", Code.BUSY: "in line for a slot", Code.LINE: "in line for a slot",
    Code.NEXT: "in line for a slot",
    Code.EXPIRED: "expired",
}  # fmt: skip


class Overview(NamedTuple):
    """`status` has workers, counts and pauses. `running` are jobs in process, the longest first. `waiting` says how
    many of the first `waiting_seen` waiting jobs wait for what, most first. `failures` are the latest, latest first."""

    status: Status
    running: Sequence[Job]
    waiting: Sequence[tuple[str, int]]
    waiting_seen: int
    failures: Sequence[Failure]


def overview(store: Store) -> Overview:
    """The overview of this moment."""
    status = looking.status(store, retries=0)
    running = store.find(Selector(states=(JobState.PROCESSING,)), limit=RUNNING_SEEN)
    running.sort(key=lambda job: (job.started_at is None, job.started_at or 0.0, job.seq))
    waiting = store.find(Selector(states=WAITING), limit=WAITING_SEEN)
    listing = Listing(store)
    why = Counter(_why(next(closed_gates(job, status.at, listing, FORM), None)) for job in waiting)
    return Overview(status, running, why.most_common(), len(waiting), store.latest_failures(FAILURES_SHOWN))


def _why(gate: Gate | None) -> str:
    if gate is None:
        return "starting"
    return f"lock {gate.name}" if gate.code is Code.LOCK else WORDS[gate.code]
