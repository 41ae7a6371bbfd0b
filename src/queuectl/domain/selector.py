"""Which jobs a command means: by id, or by what they have in common."""

from __future__ import annotations

from typing import NamedTuple

from queuectl.domain.job import JobState


class Selector(NamedTuple):
    """Jobs that match every criterion given; within one criterion any value will do.

    `command` is a GLOB over the command line, `error` a piece of text in the error, `before` the time
    before which the job was last changed (seconds since the epoch). An empty selector matches all.
    """

    ids: tuple[str, ...] = ()
    states: tuple[JobState, ...] = ()
    queues: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    exit_codes: tuple[int, ...] = ()
    commands: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    before: float | None = None


ALL_JOBS = Selector()
