"""Batches: jobs that belong together, how far they are, and when the rest of one is cancelled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from queuectl.domain.job import FINISHED, JobState
from queuectl.typed import NamedTuple


class Batch(NamedTuple):
    """The jobs of a batch by state, and what is set for it: `at_most` of them run at once; with more dead ones than
    `max_fails` (`N` or `N%` of them all) the rest is cancelled.
    """

    name: str
    counts: Mapping[JobState, int]
    at_most: int | None = None
    max_fails: str | None = None

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def done(self) -> int:
        """How many jobs have finished, however they ended."""
        return sum(self.counts.get(state, 0) for state in FINISHED)

    @property
    def failed(self) -> int:
        """How many jobs are dead or cancelled."""
        return self.done - self.counts.get(JobState.COMPLETED, 0)

    @property
    def is_done(self) -> bool:
        """Whether none of its jobs is unfinished."""
        return self.done == self.total

    @property
    def has_failed_too_often(self) -> bool:
        """Whether more of its jobs are dead than may be."""
        if self.max_fails is None:
            return False
        dead = self.counts.get(JobState.DEAD, 0)
        if self.max_fails.endswith("%"):
            return dead * 100 > int(self.max_fails[:-1]) * self.total
        return dead > int(self.max_fails)

    @property
    def end(self) -> JobState:
        """How it stands for those that wait for it: completed, dead if a job of it is not, or pending."""
        if not self.is_done:
            return JobState.PENDING
        return JobState.DEAD if self.failed else JobState.COMPLETED


def lock_of(batch: str) -> str:
    """The lock of a batch with a limit: each of its jobs needs one unit."""
    return f"batch:{batch}"


def batch_of(lock: str) -> str | None:
    """The batch whose lock this is, if it is one's."""
    return lock.removeprefix("batch:") if lock.startswith("batch:") else None


def needs(locks: Sequence[str], lock: str) -> bool:
    """Whether a job with these `locks` needs this one."""
    return any(each.partition("=")[0] == lock for each in locks)


def with_lock(locks: Sequence[str], lock: str) -> tuple[str, ...]:
    """The `locks` of a job that also needs a unit of this one."""
    if needs(locks, lock):
        return tuple(locks)
    return tuple(sorted((*locks, lock), key=lambda each: each.partition("=")[0]))


def without_lock(locks: Sequence[str], lock: str) -> tuple[str, ...]:
    """The `locks` of a job that no longer needs this one."""
    return tuple(each for each in locks if each.partition("=")[0] != lock)
