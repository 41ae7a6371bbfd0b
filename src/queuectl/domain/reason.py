"""Why a job is not running yet, in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from queuectl.domain.job import Job, JobState

AHEAD_MAX = 1000
"""The longest line that is counted: counting takes as long as the line."""


class Surroundings(NamedTuple):
    """The slots that serve the job's queue, how many of them are busy, and the number of jobs ahead, at most
    `AHEAD_MAX`; None if they were not counted."""

    slots: int
    busy: int
    ahead: int | None


def reason(
    job: Job, now: float, look_around: Callable[[], Surroundings], duration: Callable[[float], str],
    time: Callable[[float], str],
) -> str | None:  # fmt: skip
    """A phrase, or None if the job runs normally, is completed or cancelled.

    `look_around` is called only if the job itself does not explain it; `duration` and `time` format values.
    """
    match job.state:
        case JobState.PROCESSING:
            return "being cancelled" if job.cancel_requested else None
        case JobState.COMPLETED | JobState.DEAD | JobState.CANCELLED:
            return job.error if job.state is JobState.DEAD else None
        case _:
            pass
    if job.held:
        return "held"
    if job.due_at > now:
        if job.state is JobState.FAILED:
            return f"retry {job.attempts}/{job.spec.max_retries} in {duration(job.due_at - now)}"
        return f"scheduled for {time(job.due_at)}"
    around = look_around()
    if not around.slots:
        return f'no live worker serves queue "{job.queue}"'
    if around.ahead is None:
        return "in line"
    if not around.ahead:
        return "next in line"
    place = f"{ordinal(around.ahead + 1)} in line" if around.ahead < AHEAD_MAX else f"{AHEAD_MAX} or more before it"
    if around.busy < around.slots:
        return place
    return f"{'the only slot' if around.slots == 1 else f'all {around.slots} slots'} busy, {place}"


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th, 21st."""
    suffix = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"
