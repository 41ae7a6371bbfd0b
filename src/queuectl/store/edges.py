"""The port of dependencies: what jobs wait for, and what is left to settle."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from queuectl.typed import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:  # few commands need these
    from queuectl.domain.dependency import Awaited, Neighbours
    from queuectl.domain.job import Job


class Edge(NamedTuple):
    """A dependency of the job whose `seq` is `child`. `parent`: the job it is on, or one of the batch it is on, if that
    is known. `verdict`: None while undecided, 1: met, 0: it cannot hold."""

    child: int
    ref: str
    parent: int | None
    verdict: int | None
    why: str | None


class EdgeStore(Protocol):
    """What jobs depend on."""

    def settle(self) -> None:
        """Settles what ends, retries and removals of jobs mean for those that depend on them and for batches, until
        nothing is left that nobody else works on."""

    def together(self) -> AbstractContextManager[dict[str, Job]]:
        """Jobs that are inserted inside, in one transaction, may depend on each other in any order. What `insert` would
        have returned is there at the end."""

    def below(self, ids: Sequence[str]) -> list[Job]:
        """The jobs that depend on these or on their batches, directly or over others, each after the jobs that it
        depends on itself."""

    def awaited(self, jobs: Sequence[Job]) -> dict[int, Awaited]:
        """The oldest thing that each of these jobs waits for, by their `seq`."""

    def around(self, job: Job, most: int) -> tuple[list[Edge], list[Job], bool]:
        """The jobs that this one depends on or that depend on it, over others too, with itself, the nearest `most` of
        them, and the edges there; and whether these are all."""

    def refs_there(self, job: Job) -> tuple[str, ...]:
        """What a job depends on, as far as it is there."""

    def neighbours(self, job: Job, limit: int) -> Neighbours:
        """What a job depends on, what does not hold yet first, and what depends on it: `limit` of each."""

    def parents(self, job: Job, limit: int | None = None, *, undecided: bool = False) -> list[Awaited]:
        """What a job depends on, the oldest first; without what is gone. `undecided`: only what it waits for."""
