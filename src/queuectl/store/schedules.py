"""The port of schedules: what workers fire and tell of, and what people see and set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager

from queuectl.typed import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # few commands need these
    from queuectl.domain.alerts import Verdict
    from queuectl.domain.errors import QueuectlError
    from queuectl.domain.job import Job
    from queuectl.domain.lifecycle import Event
    from queuectl.domain.scheduled import Earlier, Fire, Schedule
    from queuectl.store.arrivals import Admitted, Arrival


class ScheduleStore(Protocol):
    """What adds jobs at set times."""

    defaults: Mapping[str, str]

    def now(self) -> float: ...

    def transaction(self, *, synced: bool = True) -> AbstractContextManager[None]: ...

    def policies(self) -> tuple[dict[str, str], dict[str, dict[str, Any]]]: ...

    def insert(self, jobs: Iterable[Job]) -> object: ...

    def admit(self, arrivals: Sequence[Arrival]) -> list[Admitted]: ...

    def at_most(self, name: str) -> int | None: ...

    def set_batch(self, name: str, at_most: int | None, max_fails: str | None) -> None: ...

    def change(self, ids: Sequence[str], event: Event, who: str | None) -> list[Job | QueuectlError]: ...

    def schedules(self, after: str = "", limit: int | None = None) -> list[Schedule]:
        """Schedules by name, from beyond `after` on."""

    def schedule(self, name: str) -> Schedule | None:
        """The schedule of this name."""

    def add_schedule(self, schedule: Schedule) -> bool:
        """Adds a schedule; False if its name is taken. Workers of releases that know none are shut out from then on."""

    def change_schedule(self, name: str, change: Callable[[Schedule], Schedule]) -> Schedule | None:
        """Keeps what a function makes of a schedule. Nobody else changes or fires it meanwhile. None: there is none."""

    def delete_schedule(self, name: str) -> bool:
        """Removes a schedule with the lines about its fires. Its jobs stay."""

    def next_looks(
        self, without_zones: Sequence[str] = (), without: Sequence[str] = ()
    ) -> tuple[float | None, float | None]:
        """When the next schedule is to be fired, but for those in these zones and with these names; and when there may
        be something to tell of one's runs."""

    def due_schedules(
        self, now: float, limit: int, without_zones: Sequence[str] = (), without: Sequence[str] = (),
        only: str | None = None,
    ) -> list[Schedule]:  # fmt: skip
        """The first schedules that are to be looked at, or this one if it is, inside a transaction. They are the
        caller's until it ends: those that somebody else is looking at are left out."""

    def move_schedule(self, before: Schedule, after: Schedule) -> bool:
        """Notes that due fires were looked at. False, and nothing has changed, if somebody else has done so."""

    def add_fires(self, fires: Sequence[Fire]) -> None:
        """Keeps what became of fires; the oldest lines are forgotten."""

    def fires(self, name: str, limit: int) -> list[Fire]:
        """What became of the latest fires, latest first."""

    def fired(self, name: str, first: float, until: float) -> set[float]:
        """The fires of this time that have made a job."""

    def outcomes(self, names: Sequence[str]) -> dict[str, tuple[bool, float | None]]:
        """For each of these schedules: whether the latest of its jobs to end is dead, and when one last succeeded, as
        far as its fires are on record."""

    def taken_ids(self, ids: Sequence[str]) -> set[str]:
        """Which of these ids jobs have."""

    def unfinished_of(self, names: Sequence[str]) -> dict[str, dict[str, Earlier]]:
        """The unfinished jobs of these schedules, by their ids, by the schedule's name."""

    def hold(self, arrivals: Sequence[Arrival], names: Sequence[str]) -> dict[str, dict[str, Earlier]]:
        """Has nobody else change, until this transaction ends, who holds the unique keys of these new jobs, where
        `admit` is going to, nor the unfinished jobs of these schedules, which it returns. First the keys and then the
        jobs, all in one order. Raises `StoreBusy` if others have one of them in hand for more than a moment."""


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
