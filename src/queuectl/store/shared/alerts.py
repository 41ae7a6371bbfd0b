"""What there is to tell of the runs of schedules: their ends, and fires that may have become late."""

from __future__ import annotations

from collections.abc import Sequence

from queuectl.store.shared.schedules import Schedules, streak_text
from queuectl.typed import TYPE_CHECKING

if TYPE_CHECKING:  # few commands need these
    from queuectl.domain.alerts import Verdict
    from queuectl.domain.job import Job
    from queuectl.domain.scheduled import Schedule

JUDGED_AT_ONCE = 200
ENDS_AT_ONCE = 1000


class Alerts(Schedules):
    """This part of a `Store` (see store/schedules.py)."""

    def to_tell(self, now: float, limit: int) -> list[Schedule]:
        self._execute("DELETE FROM {schema}.run_ends WHERE schedule NOT IN (SELECT name FROM {schema}.schedules)")
        text = (
            "WHERE name IN (SELECT name FROM {schema}.schedules WHERE tell_at <= ? "
            f"UNION SELECT schedule FROM {{schema}}.run_ends) ORDER BY name LIMIT ? {self._dialect.skip_locked}"
        )
        return self._found(text, [now, limit])

    def take_run_ends(self, schedule: Schedule) -> list[Verdict]:
        from queuectl.domain.alerts import ended

        text = (
            "DELETE FROM {schema}.run_ends WHERE id IN (SELECT id FROM {schema}.run_ends WHERE schedule = ? "
            "ORDER BY id LIMIT ?) RETURNING id, well, at, ended_at, job, why"
        )
        found = sorted(self._select(text, [schedule.name, ENDS_AT_ONCE]))
        within = schedule.watch.expect_within
        verdicts = [ended(bool(well), at, ended_at, job, why, within) for _, well, at, ended_at, job, why in found]
        return [verdict for verdict in verdicts if verdict is not None]

    def late(self, schedule: Schedule, until: float) -> tuple[list[Verdict], float | None]:
        from queuectl.domain.alerts import Trouble, Verdict

        within = schedule.watch.expect_within
        if within is None or schedule.judged is None:
            return [], None
        covered = (
            "SELECT 1 FROM {schema}.fires AS later JOIN {schema}.jobs AS run ON run.id = later.job "
            "WHERE later.schedule = fires.schedule AND later.at >= fires.at AND later.at <= fires.at + ? "
            "AND run.state = 'completed' AND run.finished_at <= fires.at + ?"
        )
        text = (
            "SELECT at, fires.job, reason, jobs.state, jobs.finished_at, CASE WHEN fires.job IS NULL "
            f"AND fires.fires > 0 AND NOT EXISTS ({covered}) THEN 1 ELSE 0 END "
            "FROM {schema}.fires LEFT JOIN {schema}.jobs ON jobs.id = fires.job "
            "WHERE fires.schedule = ? AND at > ? AND at <= ? ORDER BY at LIMIT ?"
        )
        values = [within, within, schedule.name, schedule.judged, until - within, JUDGED_AT_ONCE]
        fires = self._select(text, values)
        found = [
            Verdict(at + within, at, Trouble.LATE, job, reason)
            for at, job, reason, state, finished_at, is_open in fires
            if is_open
            or state not in (None, "dead", "completed")
            or (state == "completed" and finished_at > at + within)
        ]
        return found, fires[-1][0] if fires else None

    def next_unjudged(self, schedule: Schedule) -> float | None:
        text = "SELECT min(at) FROM {schema}.fires WHERE schedule = ? AND at > ?"
        at = None if schedule.judged is None else self._select(text, [schedule.name, schedule.judged])[0][0]
        return None if at is None else float(at)

    def keep_streak(self, schedule: Schedule) -> None:
        text = "UPDATE {schema}.schedules SET streak = ?, judged = ?, tell_at = ? WHERE name = ?"
        self._execute(text, [streak_text(schedule.streak), schedule.judged, schedule.tell_at, schedule.name])

    def add_told(self, told: Sequence[tuple[Job, str, str]]) -> None:
        from queuectl.store.shared.hooks import insert_hooks

        insert_hooks(self, told)
