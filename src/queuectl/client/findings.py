"""What is wrong with schedules: those that nobody fires, whose jobs nobody runs, and those that make no jobs. And with
hooks: those that gave up, and those that no worker runs."""

from __future__ import annotations

from collections.abc import Iterator

from queuectl import zones
from queuectl.client.schedule_views import FIRES_SHOWN, views
from queuectl.client.workers import living, unserved
from queuectl.domain.alerts import Trouble
from queuectl.domain.condition import Condition
from queuectl.domain.finding import OK, PROBLEM, Finding
from queuectl.domain.job import DEFAULT_QUEUE, HOOKS, JobState
from queuectl.domain.proposed import named, option
from queuectl.domain.scheduled import IDLE_TOLD
from queuectl.domain.selector import Selector
from queuectl.store.port import Store
from queuectl.wire.times import format_second
from queuectl.wire.words import counted

NOTICED_WITHIN_S = 30.0
"""A worker notices hooks within a second, and then starts a process for them; on a busy machine that takes longer."""
LOOKED_AT = 1000
SERVING = (Condition.DRIVEN, Condition.UNKNOWN)


def of_schedules(store: Store) -> Iterator[Finding]:
    """Problems with schedules that need a person's attention."""
    for each in views(store, ""):
        show = f"queuectl schedule show {named(each.name)}"
        if each.overdue:
            what = f"schedule {each.name} was due at {format_second(each.next[0])}, and no worker has fired it"
            lacks = each.cron is not None and zones.find(each.zone) is None
            fix = f"this machine has no rules for time zone {each.zone}: update tzdata where workers run"
            yield Finding(PROBLEM, "schedule_late", what, fix if lacks else "queuectl worker start")
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


def of_all_schedules(store: Store) -> Iterator[Finding]:
    """The same for `doctor`, with schedules whose queue nobody serves, and the release of the time zones' rules."""
    yield from of_schedules(store)
    found = [each for each in views(store, "") if not each.pause]
    for queue in unserved(store, (each.job.get("queue", DEFAULT_QUEUE) for each in found)):
        names = ", ".join(each.name for each in found if each.job.get("queue", DEFAULT_QUEUE) == queue)
        what = f"no live worker serves queue {queue}, to which schedules add jobs: {names[:200]}"
        yield Finding(PROBLEM, "schedule_unserved", what, f"queuectl worker start {option('--queue', queue)}")
    if found:
        release = zones.version()
        what = f"time zones: tzdata {release}" if release else "time zones: of an unknown release"
        yield Finding(OK, "time_zones", what)


def of_hooks(store: Store, since: float = 0.0) -> Iterator[Finding]:
    """Hooks that gave up since then, and those that no worker runs."""
    yield from _unserved(store)
    if not store.hooks_given_up():
        return
    dead = Selector(states=(JobState.DEAD,), hooks=True)
    number = store.count(dead) - (store.count(dead._replace(before=since)) if since else 0)
    if number <= 0:
        return
    (latest,) = store.find(dead, limit=1, newest_first=True)
    key, about = latest.tags
    kind, _, name = about.partition(":")
    what = f"{counted(number, 'hook')} gave up; the latest, {key} of {kind} {name}: {latest.error}"
    yield Finding(PROBLEM, "hooks_gave_up", what, "queuectl dlq list --hooks")


def _unserved(store: Store) -> Iterator[Finding]:
    """Finds hooks that wait although workers live. A worker that runs hooks starts a supervisor for them when it sees
    the first one, so where none has, all were started with `--no-hooks`."""
    if not store.has_hooks():
        return
    now = store.now()
    serving = [each for each in living(store) if each.condition in SERVING and not each.stopping]
    if not serving or any(row.queues == (HOOKS,) for each in serving for row in each.rows):
        return
    if any(queue.name == HOOKS and queue.pause and queue.pause.lasts(now) for queue in store.queues()):
        return
    waiting = store.find(Selector(states=(JobState.PENDING, JobState.FAILED), hooks=True), limit=LOOKED_AT)
    due = [hook.due_at for hook in waiting if not hook.held and hook.due_at <= now]
    since = max(min(due, default=now), *(each.started_at for each in serving))
    if now - since < NOTICED_WITHIN_S:
        return
    number = f"{counted(len(due), 'hook')}{' or more' if len(waiting) == LOOKED_AT else ''}"
    waits = "waits" if len(due) == 1 else "wait"
    what = f"{number} {waits}, and no live worker runs hooks: each was started with --no-hooks"
    yield Finding(PROBLEM, "hooks_unserved", what, "queuectl worker start")
