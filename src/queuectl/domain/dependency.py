"""What a job depends on: other jobs or batches, and how they have to end."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from queuectl.domain.job import FINISHED, JobState

BATCH = "batch:"
"""The prefix of a batch's name where a job's id could stand."""


class Wants(StrEnum):
    """How a dependency has to end."""

    OK = "ok"
    ANY = "any"
    FAILED = "failed"


MEETS = {
    Wants.OK: frozenset({JobState.COMPLETED}),
    Wants.ANY: FINISHED,
    Wants.FAILED: frozenset({JobState.DEAD, JobState.CANCELLED}),
}
"""The final states of a job that meet each wish."""


class Dependency(NamedTuple):
    """A job's dependency: on the job with the id `name`, or on a batch of that name."""

    name: str
    wants: Wants = Wants.OK
    is_batch: bool = False

    def __str__(self) -> str:
        """`a`, `a:any`, `batch:x:failed`: the shortest text that is parsed as the same."""
        said = f"{BATCH}{self.name}" if self.is_batch else self.name
        _, colon, last = said.rpartition(":")
        is_misread = colon and last in tuple(Wants)
        return said if self.wants is Wants.OK and not is_misread else f"{said}:{self.wants}"

    @property
    def what(self) -> str:
        """`job a`, `batch x`."""
        return f"batch {self.name}" if self.is_batch else f"job {self.name}"


def parse(text: str) -> Dependency:
    """The dependency that a text means: `ID[:ok|any|failed]` or `batch:NAME[:ok|any|failed]`. Checks no name."""
    name, colon, last = text.rpartition(":")
    if colon and last in tuple(Wants):
        text, wants = name, Wants(last)
    else:
        wants = Wants.OK
    is_batch = text.startswith(BATCH)
    return Dependency(text.removeprefix(BATCH), wants, is_batch)


def is_met(wants: Wants, state: JobState) -> bool:
    """Whether a job's final state is what a dependent wants. Any other state counts as that of a job that was deleted
    before it had finished, which is as if it had been cancelled."""
    return (state if state in FINISHED else JobState.CANCELLED) in MEETS[wants]


def why_not(name: str, state: JobState) -> str:
    """Why a dependency on a job cannot hold, for `Job.error`. A state that is not final: it was deleted in it."""
    return f"job {name} is {state}" if state in FINISHED else f"job {name} was deleted"
