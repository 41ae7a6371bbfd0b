"""The port of new jobs that may meet others, by their ids or unique keys."""

from __future__ import annotations

from collections.abc import Sequence

from queuectl.typed import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from queuectl.domain.job import Job
    from queuectl.domain.unique import Fate, Rule


class Arrival(NamedTuple):
    """A new job that may meet others with its id or unique key. `delay`: what it gave instead of a time to start."""

    job: Job
    rule: Rule | None = None
    delay: float | None = None


class Admitted(NamedTuple):
    """What becomes of a new job: the job to be added, or the one in its place as it is now."""

    job: Job
    fate: Fate


class ArrivalStore(Protocol):
    """What takes them in."""

    def admit(self, arrivals: Sequence[Arrival]) -> list[Admitted]:
        """Decides about new jobs with unique keys, in the transaction that then inserts those that are to be added.

        Others that want the same keys wait for that transaction. Raises `KeyTaken`.
        """
