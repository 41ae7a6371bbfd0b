"""Use cases on schedules: one typed line each, the same on a store and over HTTP."""

from __future__ import annotations

from collections.abc import Mapping

from queuectl.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from queuectl.client.operation import Operation, T
    from queuectl.client.schedule_views import Run, ScheduleView
    from queuectl.wire.keywords import Duration, JobKeys


class ScheduleVerbs:
    """Methods of `Client` and `RemoteClient`, which define `do`."""

    def do(self, operation: Operation[T], **arguments: Any) -> T:
        """Carries out a plain use case."""
        raise NotImplementedError

    def schedules(self) -> list[ScheduleView]:
        """Every schedule."""
        from queuectl.client import schedule_views

        return self.do(schedule_views.LIST)

    def schedule(self, name: str, *, limit: int = 20) -> ScheduleView:
        """A schedule with its next five fires, and what became of the `limit` latest. Raises `NotFound`."""
        from queuectl.client import schedule_views

        return self.do(schedule_views.SHOW, name=name, limit=limit)

    def add_schedule(
        self, name: str, job: JobKeys, *, cron: str | None = None, every: Duration | None = None,
        tz: str | None = None, overlap: str | None = None, catch_up: str | None = None,
        late_max: Duration | None = None, jitter: Duration | None = None, alert: str | None = None,
        ping: str | None = None, expect_within: Duration | None = None, replace: bool = False, paused: bool = False,
    ) -> ScheduleView:  # fmt: skip
        """Adds a schedule that fires by a cron expression, in the time zone `tz` (default: here), or every so often.

        `job` has the keys of its jobs, as `enqueue` takes them. The command or URL `alert` is told when its runs fail,
        or have not ended well within `expect_within`; the URL `ping` is called when one starts and ends. Raises
        `Invalid`, and `Conflict` if the name is taken.
        """
        from queuectl import zones
        from queuectl.client import schedules

        return self.do(
            schedules.ADD, name=name, job=job, cron=cron, every=every,
            tz=zones.local() if tz is None and cron is not None else tz, overlap=overlap, catch_up=catch_up,
            late_max=late_max, jitter=jitter, alert=alert, ping=ping, expect_within=expect_within, replace=replace,
            paused=paused,
        )  # fmt: skip

    def set_schedule(
        self, name: str, *, job: Mapping[str, Any] | None = None, cron: str | None = None,
        every: Duration | None = None, tz: str | None = None, overlap: str | None = None, catch_up: str | None = None,
        late_max: Duration | None = None, jitter: Duration | None = None, alert: str | None = None,
        ping: str | None = None, expect_within: Duration | None = None,
    ) -> ScheduleView:  # fmt: skip
        """Changes what is given of a schedule; of `job` the keys that it has. Another rule counts from now on. "none"
        lifts `late_max`, `jitter`, `alert`, `ping` and `expect_within`. Raises `NotFound`, `Invalid`."""
        from queuectl.client import schedules

        return self.do(
            schedules.SET, name=name, job=job, cron=cron, every=every, tz=tz, overlap=overlap, catch_up=catch_up,
            late_max=late_max, jitter=jitter, alert=alert, ping=ping, expect_within=expect_within,
        )  # fmt: skip

    def pause_schedule(self, name: str, *, reason: str | None = None) -> ScheduleView:
        """Keeps a schedule from firing until it is resumed. Raises `NotFound`."""
        from queuectl.client import schedules

        return self.do(schedules.PAUSE_ROW, name=name, reason=reason)

    def resume_schedule(self, name: str) -> ScheduleView:
        """Lets a paused schedule fire again, from now on. Raises `NotFound`."""
        from queuectl.client import schedules

        return self.do(schedules.RESUME, name=name)

    def run_schedule(self, name: str) -> Run:
        """Adds the job of a schedule now. Raises `NotFound`."""
        from queuectl.client import schedules

        return self.do(schedules.RUN_ROW, name=name)

    def delete_schedule(self, name: str) -> ScheduleView:
        """Deletes a schedule; its jobs stay. Returns it as it was. Raises `NotFound`."""
        from queuectl.client import schedules

        return self.do(schedules.DELETE, name=name)

    def preview_schedule(
        self, cron: str, *, tz: str | None = None, after: str | datetime | None = None, count: int = 10
    ) -> list[float]:
        """The next times at which a cron expression fires, in the time zone `tz` (default: here). Raises `Invalid`."""
        from queuectl import zones
        from queuectl.client import schedule_views

        return self.do(schedule_views.PREVIEW, cron=cron, tz=tz or zones.local(), from_=after, count=count)
