"""Reads jobs and the status."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

from queuectl.client.values import Status
from queuectl.client.workers import workers_of
from queuectl.domain.errors import Invalid, NotFound
from queuectl.domain.job import Job, JobState
from queuectl.domain.selector import ALL_JOBS, Selector
from queuectl.typed import TYPE_CHECKING

if TYPE_CHECKING:  # few commands need it
    from queuectl.domain.limits import Pause
    from queuectl.store.port import Store
    from queuectl.store.selections import Refs

PAGE = 500
"""Jobs read at a time if all of them are wanted."""


def find(store: Store, selector: Selector, limit: int | None, newest_first: bool) -> list[Job]:
    """Matching jobs. Raises `Invalid` for a limit below 0."""
    if limit is not None and limit < 0:
        raise Invalid(f"limit must not be below 0, not {limit}")
    return store.find(selector, limit=limit, newest_first=newest_first)


def pages(store: Store, selector: Selector, newest: int | None = None) -> Iterator[list[Job]]:
    """All matching jobs, or the `newest` of them, in the order of enqueueing, `PAGE` at a time. Jobs enqueued later
    are not among them."""
    latest = store.latest()
    after = None if newest is None else store.before_newest(selector, newest)
    while page := store.find(selector, limit=PAGE, after_seq=after, up_to_seq=latest):
        yield page
        after = page[-1].seq


def by_death(store: Store, selector: Selector, latest: int | None = None) -> Iterator[list[Job]]:
    """All matching dead jobs, or the `latest` of them, the one that died last first, `PAGE` at a time."""
    shown, before, wanted = 0, None, latest or 1 << 62
    while shown < wanted and (page := store.fallen(selector, min(PAGE, wanted - shown), before)):
        yield page
        shown, before = shown + len(page), (page[-1].finished_at or 0.0, page[-1].seq)
    if shown < wanted and store.count(selector) > shown:  # jobs that were imported dead, and nobody knows since when
        for found in pages(store, selector):
            page = [job for job in found if job.finished_at is None][: wanted - shown]
            shown += len(page)
            yield page


def there(store: Store, refs: Refs) -> list[Job]:
    """Those of the jobs that exist."""
    if refs and isinstance(refs[0], int):
        return store.at([ref for ref in refs if isinstance(ref, int)])
    found: list[Job] = []
    for ref in refs:
        with suppress(NotFound, Invalid):
            found.append(store.get(str(ref)))
    return found


def known_count(store: Store, selector: Selector) -> int | None:
    """The number of matching jobs from the kept counts, which know only queue and state; else None."""
    return store.count(selector) if selector._replace(states=(), queues=()) == ALL_JOBS else None


def pauses(store: Store, now: float) -> dict[str, Pause]:
    """The queues that are paused now."""
    return {queue.name: queue.pause for queue in store.queues() if queue.pause and queue.pause.lasts(now)}


def pauses_among(store: Store, queues: Iterable[str]) -> dict[str, Pause]:
    """Those of these queues."""
    found = pauses(store, store.now())
    return {queue: found[queue] for queue in dict.fromkeys(queues) if queue in found}


def status(store: Store, retries: int) -> Status:
    """Workers, counts by state and queue, the oldest waiting job, the next retries."""
    counts: dict[JobState, int] = dict.fromkeys(JobState, 0)
    queues: dict[str, dict[JobState, int]] = {}
    for (queue, state), number in store.counts().items():
        counts[state] += number
        queues.setdefault(queue, dict.fromkeys(JobState, 0))[state] = number
    backlog, now = store.backlog(retries), store.now()
    return Status(
        url=store.url, at=now, workers=workers_of(store), counts=counts, queues=queues,
        oldest_due=backlog.oldest_due, next_retries=backlog.next_retries, paused=pauses(store, now),
    )  # fmt: skip
