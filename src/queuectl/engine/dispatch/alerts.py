"""Alerts about schedules whose runs fail or are late, and about those that are well again."""

from __future__ import annotations

import json

from queuectl import ids
from queuectl.domain import hooks
from queuectl.domain.alerts import News, Trouble, Verdict, followed, reminded
from queuectl.domain.errors import QueuectlError
from queuectl.domain.job import Job, Spec
from queuectl.domain.scheduled import Schedule
from queuectl.domain.selector import Selector
from queuectl.factory import scheduled_job
from queuectl.settings import Settings
from queuectl.store.port import WorkStore
from queuectl.wire.jobs import job_to_json
from queuectl.wire.times import format_duration, format_second

AT_ONCE = 100
"""How many schedules one transaction looks at."""


class Alerts:
    """Decides what there is to tell of runs, and adds the hooks that do it, in one transaction."""

    def __init__(self, store: WorkStore) -> None:
        self._store = store

    def tell(self) -> int:
        """Looks at the schedules that may have something to tell. Returns how many it looked at, at most `AT_ONCE`."""
        now = self._store.now()
        with self._store.transaction(synced=False):
            schedules = self._store.to_tell(now, AT_ONCE)
            for schedule in schedules:
                self._tell(schedule, now)
        return len(schedules)

    def _tell(self, schedule: Schedule, now: float) -> None:
        verdicts, judged = self._store.take_run_ends(schedule), schedule.judged
        if not schedule.pause:
            late, last = self._store.late(schedule, now)
            verdicts, judged = [*verdicts, *late], judged if last is None else last
        streak, news = followed(schedule.streak, verdicts, now)
        if streak is not None and not schedule.pause:
            streak, more = reminded(streak, now)
            news = [*news, *more]
        after = schedule._replace(streak=streak, judged=judged)
        self._store.keep_streak(after._replace(tell_at=after.tell_next(self._store.next_unjudged(after))))
        if schedule.watch.alert is not None and news:
            command = schedule.watch.alert
            of = hooks.tells("schedule", schedule.name, command)
            self._store.add_told([(*self._hook(schedule, command, each, now), of) for each in news])

    def _hook(self, schedule: Schedule, command: str, news: News, now: float) -> tuple[Job, str]:
        """What tells of it, and its input."""
        verdict = news.verdict
        run = next(iter(self._store.find(Selector(ids=(verdict.job,)), limit=1)), None) if verdict.job else None
        kept = self._store.outputs(run, run.starts) if run else ()
        tail = hooks.tail_text((output.head, output.tail) for output in kept)
        about = {
            "schedule": schedule.name, "state": news.state, "since": format_second(news.since),
            "scheduled_at": format_second(verdict.at), "error": _why(schedule, verdict),
            "job": run and {**job_to_json(run), "output_tail": tail},
        }  # fmt: skip
        hook = hooks.hook_of(self._like(schedule, verdict, now), hooks.ALERT, command, ids.job_id(), now)
        return hook._replace(tags=(hooks.ALERT, f"schedule:{schedule.name}")), json.dumps(about)

    def _like(self, schedule: Schedule, verdict: Verdict, now: float) -> Job:
        """A job of the schedule as it would be made now: what tells of its runs runs as they do."""
        try:
            settings = Settings(self._store.config(), self._store.defaults)
            job, _ = scheduled_job(schedule, verdict.at, schedule.name, settings, now)
        except QueuectlError:  # no job can be made of it any more
            return Job(schedule.name, "", Spec(), now, now, now, owner=schedule.created_by)
        return job


def _why(schedule: Schedule, verdict: Verdict) -> str | None:
    """What is wrong with the run."""
    if verdict.trouble is not Trouble.LATE:
        return verdict.why
    late = f"not ended well within {format_duration(schedule.watch.expect_within or 0.0)}"
    return f"{late}: {verdict.why}" if verdict.why else late
