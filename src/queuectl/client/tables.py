"""The part of a client that reads jobs a page at a time, at a cost that does not grow with their number."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence

from queuectl.client import looking
from queuectl.domain.selector import Selector
from queuectl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from queuectl.domain.dependency import Neighbours
    from queuectl.domain.job import Job, JobState
    from queuectl.store.port import Store


FIRST_WINDOW, LAST_WINDOW = 500, 8_000
"""How many jobs a search looks at in one go: few at first, since most searches find enough there."""
SEARCH_S = 0.04


class Tables(ABC):
    """Pages of jobs."""

    @property
    @abstractmethod
    def store(self) -> Store:
        """The open store. Only the package `client` uses it."""

    def beginning(self, prefix: str, most: int) -> list[Job]:
        """The first `most` jobs whose id begins with `prefix`, by id."""
        return self.store.beginning(prefix, most)

    def prunable(self, selectors: Sequence[Selector]) -> int:
        """How many jobs `prune` would delete: not what an unfinished job depends on, or whose unique key is held."""
        return sum(self.store.prunable(selector) for selector in selectors)

    def page(
        self, selector: Selector, limit: int, *, newest_first: bool = False, after: int | None = None,
        up_to: int | None = None,
    ) -> list[Job]:  # fmt: skip
        """A page of matching jobs, after the one with the `seq` `after`, and none later than `up_to`."""
        return self.store.find(selector, limit=limit, newest_first=newest_first, after_seq=after, up_to_seq=up_to)

    def search(
        self, selector: Selector, limit: int, *, newest_first: bool, start: int | None = None
    ) -> tuple[list[Job], int | None]:
        """A page of matching jobs, after the one with the `seq` `start`, in the order of their `seq`s or newest first;
        and, if time was up before it was full, how far it has looked."""
        if selector.batches or selector.faults or selector.outcomes or selector.ended_after or selector.ended_before:
            return self.page(selector, limit, newest_first=newest_first, after=start), None  # an index leads to them
        latest = self.store.latest()
        at = start if start is not None else latest + 1 if newest_first else 0
        found: list[int] = []
        began, width = time.monotonic(), FIRST_WINDOW
        while len(found) < limit and (at > 1 if newest_first else at < latest):
            low, high = (max(0, at - 1 - width), at - 1) if newest_first else (at, at + width)
            seqs = self.store.seqs(selector, limit=width, after_seq=low, up_to_seq=high)
            found += reversed(seqs) if newest_first else seqs
            at = low + 1 if newest_first else high
            if time.monotonic() - began > SEARCH_S:
                break
            width = min(4 * width, LAST_WINDOW)
        is_whole = len(found) >= limit or not (at > 1 if newest_first else at < latest)
        wanted = found[:limit]
        place = {seq: number for number, seq in enumerate(wanted)}
        jobs = sorted(self.store.at(wanted), key=lambda job: place[job.seq])
        return jobs, None if is_whole else at

    def newer(self, selector: Selector, seq: int, most: int) -> int:
        """How many matching jobs were added after that one, of the next few; at most `most`."""
        return len(self.store.seqs(selector, limit=most, after_seq=seq, up_to_seq=seq + LAST_WINDOW))

    def latest(self) -> int:
        """`seq` of the newest job, or 0."""
        return self.store.latest()

    def fallen(self, selector: Selector, limit: int, before: tuple[float, int] | None = None) -> list[Job]:
        """The matching failed and dead jobs by when they failed, latest first, after one with that time and `seq`."""
        return self.store.fallen(selector, limit, before)

    def search_fallen(
        self, selector: Selector, limit: int, before: tuple[float, int] | None = None
    ) -> tuple[list[Job], tuple[float, int] | None]:
        """The same; and, if time was up before the page was full, how far it has looked."""
        if selector.faults or selector == Selector(states=selector.states):
            return self.fallen(selector, limit, before), None  # an index leads to them
        found: list[Job] = []
        began, width = time.monotonic(), FIRST_WINDOW
        while True:
            since = self.store.fell_at(width, before and before[0])
            found += self.store.fallen(selector, limit - len(found), before, since)
            if since is None or len(found) >= limit:
                return found, None
            before = since, 0
            if time.monotonic() - began > SEARCH_S:
                return found, before
            width = min(4 * width, LAST_WINDOW)

    def newly_fallen(self, selector: Selector, since: float, most: int) -> int:
        """How many matching jobs failed after that time; at most `most`."""
        return sum((job.finished_at or 0.0) > since for job in self.store.fallen(selector, most, None, since))

    def next_retries(self, limit: int) -> Sequence[Job]:
        """The failed jobs with the next retries."""
        return self.store.backlog(limit).next_retries

    def line(self, queue: str, limit: int) -> list[Job]:
        """The first due jobs of a queue, in the order of claiming."""
        return self.store.line(queue, limit)

    def lock_line(self, name: str, limit: int) -> tuple[list[Job], list[Job]]:
        """The first jobs that need a lock and have yet to start: those in line for it, and others."""
        return self.store.lock_line(name, limit)

    def neighbours(self, job: Job, limit: int) -> Neighbours:
        """What a job depends on and what depends on it, at most `limit` of each."""
        return self.store.neighbours(job, limit)

    def counts(self) -> dict[tuple[str, JobState], int]:
        """Jobs by queue and state."""
        return self.store.counts()

    def known_count(self, selector: Selector) -> int | None:
        """The number of matching jobs; None if they would have to be counted."""
        return looking.known_count(self.store, selector)
