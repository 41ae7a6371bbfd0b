"""What is wrong with schedules: those that nobody fires, whose jobs nobody runs, and those that make no jobs."""

from __future__ import annotations

from collections.abc import Iterator

from queuectl import zones
from queuectl.client.schedule_views import FIRES_SHOWN, views
from queuectl.client.workers import unserved
from queuectl.domain.alerts import Trouble
from queuectl.domain.finding import OK, PROBLEM, Finding
from queuectl.domain.job import DEFAULT_QUEUE
from queuectl.domain.scheduled import IDLE_TOLD
from queuectl.store.port import Store
from queuectl.wire.times import format_second


def findings(store: Store) -> Iterator[Finding]:
    """Problems with schedules that need a person's attention."""
    for each in views(store, ""):
        show = f"queuectl schedule show {each.name}"
        if each.overdue:
            what = f"schedule {each.name} was due at {format_second(each.next[0])}, and no worker has fired it"
            yield Finding(PROBLEM, "schedule_late", what, "queuectl worker start")
        if each.streak is not None and each.streak.state is Trouble.LATE and not each.pause:
            what = f"run {format_second(each.streak.scheduled_at)} of schedule {each.name} has not ended well in time"
            yield Finding(PROBLEM, "schedule_run_late", what, show)
        if each.idle >= IDLE_TOLD and not each.pause:
            lines = store.fires(each.name, FIRES_SHOWN)
            reason = next((line.reason for line in lines if line.reason and line.job is None), None)
            what = f"the last {each.idle:,} fires of schedule {each.name} made no job"
            yield Finding(PROBLEM, "schedule_idle", f"{what}: {reason}" if reason else what, show)
        if each.failing:
            what = f"the last job of schedule {each.name} is dead"
            yield Finding(PROBLEM, "schedule_failing", what, show)


def examined(store: Store) -> Iterator[Finding]:
    """The same for `doctor`, with schedules whose queue nobody serves, and the release of the time zones' rules."""
    yield from findings(store)
    found = [each for each in views(store, "") if not each.pause]
    for queue in unserved(store, (each.job.get("queue", DEFAULT_QUEUE) for each in found)):
        names = ", ".join(each.name for each in found if each.job.get("queue", DEFAULT_QUEUE) == queue)
        what = f"no live worker serves queue {queue}, to which schedules add jobs: {names[:200]}"
        yield Finding(PROBLEM, "schedule_unserved", what, f"queuectl worker start -q {queue}")
    if found:
        release = zones.version()
        what = f"time zones: tzdata {release}" if release else "time zones: of an unknown release"
        yield Finding(OK, "time_zones", what)
