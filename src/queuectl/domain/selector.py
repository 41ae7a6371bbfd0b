"""Selections of jobs by what they have in common."""

from __future__ import annotations

from queuectl.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from queuectl.domain.job import JobState, Outcome


class Selector(NamedTuple):
    """Jobs that match every given criterion; of a criterion's values one must match.

    `command` is a GLOB over the command line, `error` a text contained in the error. `before`: the job was last changed
    before this time (seconds since the epoch). `held`: whether it is held. `fault` is `Job.fault`, or `NO_FAULT`.
    `text` is in the id, queue, tags, command, error or last line, in capitals or not. A job has an execution with
    one of `outcomes` that ended at or after `ended_after` and before `ended_before`. Hooks are left out unless they
    are named by `ids`; with `hooks` only they are selected; None: both. An empty selector matches all jobs but hooks.
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
    held: bool | None = None
    batches: tuple[str, ...] = ()
    schedules: tuple[str, ...] = ()
    hooks: bool | None = False
    faults: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    ended_after: float | None = None
    ended_before: float | None = None


NO_FAULT = "none"
"""Stands for the fault of jobs without one, such as those that failed under a release that kept none."""

ALL_JOBS = Selector()
