"""The port of limits and locks: what people set, and who holds units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # few commands need these
    from queuectl.domain.limits import Lock, Queue


class LimitStore(Protocol):
    """What keeps due jobs from starting."""

    def queues(self) -> list[Queue]:
        """What is set for queues, by name."""

    def set_queue(self, queue: Queue) -> None:
        """Keeps what is set for a queue. No claim goes by what was set before once this has returned."""

    def locks(self) -> list[Lock]:
        """The locks that somebody has set, by name."""

    def lock(self, name: str) -> Lock:
        """A lock as it is set; one that nobody has set has one unit."""

    def set_lock(self, lock: Lock) -> None:
        """Keeps a lock's units."""

    def delete_lock(self, name: str) -> None:
        """Forgets a lock's units. Raises `Conflict` while it is held or waited for, and `NotFound`."""

    def holders(self, name: str) -> list[tuple[int, list[str]]]:
        """Who holds units of a lock: `seq` of the jobs, and which units."""

    def waiting_for(self, name: str) -> int:
        """How many due jobs wait in a line of this lock."""
