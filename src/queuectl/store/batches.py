"""The port of batches."""

from __future__ import annotations

from queuectl.typed import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:  # few commands need it
    from queuectl.domain.batch import Batch


class BatchTimes(NamedTuple):
    """When the first job of a batch was enqueued and began, and when the latest one ended."""

    created_at: float | None
    started_at: float | None
    finished_at: float | None


class BatchStore(Protocol):
    """What people ask and set of batches."""

    def batches(self, name: str | None = None) -> list[Batch]:
        """All batches that a job or a setting names, or this one if it is there, by name."""

    def batch_spans(self, name: str | None = None) -> dict[str, BatchTimes]:
        """When batches, or this one, began and ended. The cost grows with their jobs."""

    def open_batches(self) -> dict[str, int]:
        """How many unfinished jobs each batch has that has any."""

    def at_most(self, name: str) -> int | None:
        """How many jobs of a batch may run at once, if somebody has limited them."""

    def set_batch(self, name: str, at_most: int | None, max_fails: str | None) -> None:
        """Keeps what is set for a batch; None leaves it as it is. Jobs that wait mind it too."""
