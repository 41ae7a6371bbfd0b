"""The port of changes to jobs that wait."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from queuectl.typed import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from queuectl.domain.errors import QueuectlError
    from queuectl.domain.job import Job
    from queuectl.store.selections import Refs


class EditStore(Protocol):
    """What changes a job that waits, or its order."""

    def edit(
        self, refs: Refs, edited: Callable[[Job], tuple[Mapping[str, Any], str]], who: str | None
    ) -> list[Job | QueuectlError]:
        """Changes what waiting jobs are to do: `edited` returns new values of a job's attributes, and what is told of
        it, or raises what stands in the job's place. A job claimed meanwhile is refused."""

    def take_in(self, pages: Iterable[Sequence[Job]]) -> int:
        """Adds jobs as they were in another store, with their state and results, all or none. Returns how many.

        Raises `IdTaken`, `IdTwice`, `KeyTaken`, and `NotFound` for what one waits for.
        """

    def move(self, ref: str, before: str | None, who: str | None) -> Job:
        """Puts a due job in line just before another one of its queue, with its priority; None: before all of them.

        Raises `Conflict` if one of both runs, has ended or is not due, or if they are in two queues.
        """
