"""The port of alerts: what there is to tell of the runs of schedules."""

from __future__ import annotations

from collections.abc import Sequence

from queuectl.store.schedules import ScheduleStore
from queuectl.typed import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # few commands need these
    from queuectl.domain.alerts import Verdict
    from queuectl.domain.job import Job
    from queuectl.domain.scheduled import Schedule


class AlertStore(ScheduleStore, Protocol):
    """What adds jobs at set times, and tells how they end."""

    def to_tell(self, now: float, limit: int) -> list[Schedule]:
        """The first schedules of which there may be something to tell, inside a transaction. They are the caller's
        until it ends: those that somebody else is looking at are left out."""

    def take_run_ends(self, schedule: Schedule) -> list[Verdict]:
        """What the ends of runs mean that nobody has looked at, in their order. The first ones, if there are many."""

    def late(self, schedule: Schedule, until: float) -> tuple[list[Verdict], float | None]:
        """Which fires have become late until then, of those that were not judged yet; the last that was looked at."""

    def next_unjudged(self, schedule: Schedule) -> float | None:
        """The first fire that was not judged yet."""

    def keep_streak(self, schedule: Schedule) -> None:
        """Keeps what was found of the runs of a schedule."""

    def add_told(self, told: Sequence[tuple[Job, str, str]]) -> None:
        """Adds hooks, each with its input and whom it tells of what."""
