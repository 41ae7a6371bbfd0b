"""What a job depends on: other jobs or batches, and how they have to end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum

from queuectl.domain.errors import Invalid
from queuectl.domain.job import FINISHED, Job, JobState
from queuectl.typed import NamedTuple

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


class Awaited(NamedTuple):
    """What a job depends on: a job as it is now, running since then, perhaps held, or a batch."""

    job: str | None
    state: JobState | None = None
    since: float | None = None
    batch: str | None = None
    held: bool = False

    def __str__(self) -> str:
        """`job a (running)`, `job a (held)`, `batch x`."""
        if self.job is None:
            return f"batch {self.batch}"
        state = "running" if self.state is JobState.PROCESSING else "held" if self.held else self.state
        return f"job {self.job} ({state})"


class Neighbour(NamedTuple):
    """What a job depends on, or a job that depends on it. `name` is the id of a job or the name of a batch; `state` is
    None for a batch, and for a job that is gone. `verdict`: whether the dependency holds; None: undecided."""

    name: str
    state: JobState | None
    wants: Wants
    verdict: bool | None
    is_batch: bool = False


class Neighbours(NamedTuple):
    """The first of a job's neighbours on each side, and how many there are."""

    parents: Sequence[Neighbour] = ()
    parents_all: int = 0
    children: Sequence[Neighbour] = ()
    children_all: int = 0


def parse(text: str) -> Dependency:
    """The dependency that a text means: `ID[:ok|any|failed]` or `batch:NAME[:ok|any|failed]`. Checks no name."""
    name, colon, last = text.rpartition(":")
    if colon and last in tuple(Wants):
        text, wants = name, Wants(last)
    else:
        wants = Wants.OK
    is_batch = text.startswith(BATCH)
    return Dependency(text.removeprefix(BATCH), wants, is_batch)


def in_order(jobs: Sequence[Job]) -> list[Job]:
    """Jobs that are added together, each after those that it depends on, and else in their order. Raises `Invalid` for
    jobs that wait for each other."""
    by_id = {job.id: job for job in jobs}
    placed: dict[str, Job] = {}
    for job in jobs:
        way = {job.id: _parents(job, by_id)}  # from the job up to those that come first
        while way:
            at = next(reversed(way))
            parent = next((each for each in way[at] if each.id not in placed), None)
            if parent is None:
                placed.setdefault(at, by_id[at])
                del way[at]
            elif parent.id in way:
                ids = list(way)
                circle = [*ids[ids.index(parent.id) :], parent.id]
                raise Invalid(f"jobs wait for each other: {' after '.join(circle)}", "leave out one of these")
            else:
                way[parent.id] = _parents(parent, by_id)
    twice = [job for job in jobs if placed[job.id] is not job]  # they are refused later
    return [*placed.values(), *twice]


def _parents(job: Job, by_id: Mapping[str, Job]) -> Iterator[Job]:
    wanted = map(parse, job.depends_on)
    return (by_id[each.name] for each in wanted if not each.is_batch and each.name in by_id)


def is_met(wants: Wants, state: JobState) -> bool:
    """Whether a job's final state is what a dependent wants. Any other state counts as that of a job that was deleted
    before it had finished, which is as if it had been cancelled."""
    return (state if state in FINISHED else JobState.CANCELLED) in MEETS[wants]


def why_not(name: str, state: JobState) -> str:
    """Why a dependency on a job cannot hold, for `Job.error`. A state that is not final: it was deleted in it."""
    return f"job {name} is {state}" if state in FINISHED else f"job {name} was deleted"
