"""The port of limits and locks: what people set, and who holds units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from queuectl.typed import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # few commands need these
    from queuectl.domain.job import Job
    from queuectl.domain.limits import Hold, Lock, Passed, Queue, Rate, Window


class GateStore(Protocol):
    """What a worker learns of the gates that its claims have met."""

    def limited(self) -> set[str]:
        """The queues that have a limit, a rate or a pause."""

    @property
    def held_up(self) -> bool:
        """Whether the last claim left due jobs behind a limit or lock that the end of another job may open."""

    @property
    def awaits(self) -> bool:
        """Whether, when jobs were last claimed, any waited for the end of another."""

    @property
    def took_all(self) -> bool:
        """Whether the last claim is known to have left nothing that is due."""

    def holds_back(self, job: Job) -> bool:
        """Whether a running job holds a lock, or a place of a queue that had few when jobs were last claimed."""

    def sweep(self) -> list[Job]:
        """Does a slice of what a claim does besides claiming: cancels jobs that were to start by now and have not, and
        settles what is listed. Returns the jobs it has cancelled."""

    def take_expired(self) -> list[Job]:
        """The jobs that claims have cancelled since the last call, as they were to start by then and had not."""

    def vacating(self, jobs: Sequence[Job]) -> AbstractContextManager[None]:
        """Has the claims of this transaction count as free what these jobs hold. Their executions have ended, and their
        trees are gone; it is recorded by a later transaction."""


class LimitStore(Protocol):
    """What keeps due jobs from starting."""

    def queues(self) -> list[Queue]:
        """What is set for queues, by name."""

    def set_queue(self, queue: Queue) -> None:
        """Keeps what is set for a queue. No claim goes by what was set before once this has returned."""

    def change_queue(self, name: str, change: Callable[[Queue], Queue]) -> Queue:
        """The same for a function of what is set. Nobody else changes it meanwhile. Returns what is set then."""

    def window(self, queue: str, rate: Rate, now: float) -> Window:
        """The starts of a queue that count for its rate."""

    def policies(self) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
        """The settings, and what queues set for jobs enqueued from now on."""

    def oldest_waiting(self) -> dict[str, float]:
        """Since when the oldest due job of each queue has waited."""

    def line(self, queue: str, limit: int) -> list[Job]:
        """The first due jobs of a queue, in the order of claiming."""

    def lock_line(self, name: str, limit: int) -> tuple[list[Job], list[Job]]:
        """The first jobs that need a lock and have yet to start, in the order of claiming: those in its lines, and
        others, which no claim has looked at yet. At most `limit` in all."""

    def locks(self) -> list[Lock]:
        """The locks that somebody has set, by name."""

    def lock(self, name: str) -> Lock:
        """A lock as it is set; one that nobody has set has one unit."""

    def set_lock(self, lock: Lock) -> None:
        """Keeps a lock's units."""

    def change_lock(self, name: str, change: Callable[[Lock], Lock]) -> Lock:
        """The same for a function of what is set. Nobody else changes it meanwhile. Returns what is set then."""

    def delete_lock(self, name: str) -> None:
        """Forgets a lock's units. Raises `Conflict` while it is held or waited for, and `NotFound`."""

    def holders(self, name: str) -> list[tuple[int, list[str]]]:
        """Who holds units of a lock: `seq` of the jobs, and which units."""

    def held(self) -> dict[str, list[Hold]]:
        """Who holds units of each lock, longest first. The cost depends on what runs alone."""

    def waiting_for(self, name: str, most: int | None = None) -> int:
        """How many due jobs wait in a line of this lock, counted up to `most`."""

    def before_in_line(self, job: Job, name: str, most: int) -> int | None:
        """How many jobs that wait for the same lock come before this one, counted up to `most`. None: it waits in no
        line, since no claim has looked at it yet."""

    def passed_by(self, before: float, name: str | None = None) -> list[Passed]:
        """The jobs that others have passed by, in a line of this lock (None: of any), since before then. They keep its
        units."""

    def needs(self) -> list[tuple[list[str], int]]:
        """The `locks` of jobs that have yet to start, and how many jobs have the same."""
