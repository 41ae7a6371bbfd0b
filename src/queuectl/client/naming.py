"""Names of what is in a store, for completion: as few reads and modules as possible, since somebody waits after Tab."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing

from queuectl.domain.job import HOOKS, Job, JobState, seen_state
from queuectl.domain.selector import Selector
from queuectl.places import open_existing
from queuectl.store.port import Store

JOBS_MAX = 100
COMMAND_SHOWN = 60
Named = tuple[str, str]
"""A name, and what is said of it."""


def names(db: str | None, kind: str) -> list[Named]:
    """The names of a kind of things in a store, such as `QUEUE`. Raises `StoreUnavailable`."""
    with closing(open_existing(db)) as store:
        return sorted(KINDS[kind](store))


def jobs(db: str | None, begun: str, states: Iterable[JobState]) -> list[Named]:
    """The jobs in these states (none: in any) whose id begins so; of all jobs, the latest."""
    wanted = tuple(states)
    with closing(open_existing(db)) as store:
        if begun:
            found = store.beginning(begun, JOBS_MAX)
        else:
            found = store.find(Selector(states=wanted), limit=JOBS_MAX, newest_first=True)
    return [(job.id, _told(job)) for job in found if job.queue != HOOKS and (not wanted or job.state in wanted)]


def _told(job: Job) -> str:
    command = job.command if isinstance(job.command, str) else " ".join(job.command)
    return f"{seen_state(job)}: {command[:COMMAND_SHOWN]}"


def _queues(store: Store) -> Iterator[Named]:
    waiting: dict[str, int] = {queue.name: 0 for queue in store.queues()}
    for (name, state), number in store.counts().items():
        waiting[name] = waiting.get(name, 0) + (number if state is JobState.PENDING else 0)
    return ((name, f"{number:,} pending" if number else "") for name, number in waiting.items())


def _workers(store: Store) -> Iterator[Named]:
    found = {row.name: row.host for row in store.living(store.workers())}
    return ((name, f"on {host}") for name, host in found.items())


KINDS: Mapping[str, Callable[[Store], Iterable[Named]]] = {
    "QUEUE": _queues, "WORKER": _workers, "LOCK": lambda store: ((lock.name, "") for lock in store.locks()),
    "BATCH": lambda store: ((batch.name, "") for batch in store.batches()),
    "SCHEDULE": lambda store: ((each.name, each.cron or f"every {each.every}") for each in store.schedules()),
    "TOKEN": lambda store: ((token.name, token.role.value) for token in store.tokens()),
}  # fmt: skip
