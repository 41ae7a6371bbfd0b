"""The part of a client that reads jobs a page at a time, at a cost that does not grow with their number."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from queuectl.client import looking
from queuectl.domain.job import Job, JobState
from queuectl.domain.selector import Selector
from queuectl.store.port import Store

if TYPE_CHECKING:
    from queuectl.domain.dependency import Neighbours


class Tables(ABC):
    """Pages of jobs."""

    @property
    @abstractmethod
    def store(self) -> Store:
        """The open store. Only the package `client` uses it."""

    def page(
        self, selector: Selector, limit: int, *, newest_first: bool = False, after: int | None = None
    ) -> list[Job]:
        """A page of matching jobs, after the one with the `seq` `after`."""
        return self.store.find(selector, limit=limit, newest_first=newest_first, after_seq=after)

    def fallen(self, selector: Selector, limit: int, before: tuple[float, int] | None = None) -> list[Job]:
        """The matching failed and dead jobs by when they failed, latest first, after one with that time and `seq`."""
        return self.store.fallen(selector, limit, before)

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
