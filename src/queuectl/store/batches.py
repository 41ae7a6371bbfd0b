"""The port of batches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from queuectl.typed import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:  # few commands need these
    from queuectl.domain.batch import Batch
    from queuectl.wire.requests import JobRequest


class BatchTimes(NamedTuple):
    """When the first job of a batch was enqueued and began, and when the latest one ended. `resumed_at`: since when all
    that are left could run, where that is later than the first began, as after a retry. `done_since` have ended then.
    """

    created_at: float | None
    started_at: float | None
    finished_at: float | None
    resumed_at: float | None = None
    done_since: int = 0


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


class LimitedStore(Protocol):
    """What `BatchLimits` needs of a store."""

    def transaction(self) -> AbstractContextManager[None]: ...

    def set_batch(self, name: str, at_most: int | None, max_fails: str | None) -> None: ...


class BatchLimits:
    """What new jobs say of their batches."""

    def __init__(self) -> None:
        self._of_batch: dict[str, tuple[int | None, str | None]] = {}

    def add(self, request: JobRequest) -> None:
        """The later one counts."""
        if request.at_most is not None or request.max_fails is not None:
            name = request.columns["batch"]
            at_most, max_fails = self._of_batch.get(name, (None, None))
            self._of_batch[name] = request.at_most or at_most, request.max_fails or max_fails

    @contextmanager
    def kept(self, store: LimitedStore) -> Iterator[None]:
        """Sets them in the transaction that adds the jobs, after these: claims wait for whoever sets limits. There is
        none of its own if nothing is to be set."""
        if not self._of_batch:
            yield
            return
        with store.transaction():
            yield
            for name, limits in sorted(self._of_batch.items()):
                store.set_batch(name, *limits)
