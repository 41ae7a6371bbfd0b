"""Unique jobs: who holds a key, and what becomes of a new job whose key somebody holds.

A key is held until its job has finished, or can start no more, and the job's `unique_for` has passed since it was
enqueued. While a job runs, at most one successor with the same key waits for its end, and holds the key from then on.
"""

from __future__ import annotations

from enum import StrEnum

from queuectl.domain.job import Job, JobState, seen_state
from queuectl.typed import NamedTuple

DELAYS_MAX = 10
"""A job that is replaced again and again starts at most this many delays after it was first enqueued."""


class Rule(StrEnum):
    """What to do with a new job whose key or id is taken."""

    IGNORE = "ignore"
    ERROR = "error"
    REPLACE = "replace"


class Held(NamedTuple):
    """The job that has a key, and the one whose end it waits for; None if there is none, or it was deleted."""

    job: Job | None
    before: Job | None = None

    def by(self, now: float) -> Job | None:
        """The job that holds the key now. One that has finished comes after one that has not."""
        found = [job for job in self if job is not None and holds(job, now)]
        return min(found, key=lambda job: job.finished, default=None)


class Fate(StrEnum):
    """What becomes of a new job: it is added, or added to wait for the end of its key's holder; it is left out for the
    holder's sake, or for that of the job that has its id; it is refused; or merged into the holder."""

    ADDED = "added"
    NEXT = "next"
    LEFT_OUT = "left out"
    ID_THERE = "id there"
    REFUSED = "refused"
    MERGED = "merged"


ADDED = (Fate.ADDED, Fate.NEXT)
"""Of a job that is new in the store."""


def holds(job: Job, now: float) -> bool:
    """Whether a job keeps others from taking its key."""
    return not job.is_over(now) or (job.unique_until is not None and now < job.unique_until)


def fate(holder: Job | None, rule: Rule) -> Fate:
    """What becomes of a new job whose key this job holds. One that has finished is not replaced any more."""
    if holder is None:
        return Fate.ADDED
    if rule is Rule.ERROR:
        return Fate.REFUSED
    if rule is Rule.IGNORE or holder.finished:
        return Fate.LEFT_OUT
    return Fate.NEXT if holder.state is JobState.PROCESSING else Fate.MERGED


def after(new: Job, holder: Job) -> Job:
    """A new job that begins once the holder of its key has ended."""
    from queuectl.domain.dependency import Dependency, Wants  # few jobs have a key

    on = str(Dependency(holder.id, Wants.ANY))
    return new._replace(depends_on=(*(each for each in new.depends_on if each != on), on))


def due(waiting: Job, new: Job, delay: float | None) -> float:
    """When a job that waits may start once it is replaced. `delay`: what the new one gave instead of a time."""
    if not delay:
        return new.run_at
    return min(new.run_at, waiting.created_at + DELAYS_MAX * delay)


def state_in_words(job: Job) -> str:
    """The state of a holder, for people."""
    seen = seen_state(job)
    return "running" if seen == JobState.PROCESSING else seen
