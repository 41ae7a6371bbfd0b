"""Schedules, their fires, and the jobs that these have made."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from queuectl.domain.job import JobState
from queuectl.store.shared.limits import Limits
from queuectl.store.shared.rows import UNFINISHED, WAITING
from queuectl.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:  # few commands need these
    from queuectl.domain.alerts import Streak
    from queuectl.domain.scheduled import Earlier, Fire, Schedule
    from queuectl.store.arrivals import Arrival

KEPT = (
    "name", "cron", "every", "anchor", "zone", "overlap", "catch_up", "late_max", "jitter", "document", "surroundings",
    "created_at", "created_by", "updated_at", "updated_by", "paused_at", "paused_by", "paused_reason", "nominal",
    "next_at", "last", "idle", "alert", "ping", "expect_within", "streak", "judged", "tell_at",
)  # fmt: skip
_COLUMNS = ", ".join(KEPT)
STILL_IN_THE_WAY = f"state {UNFINISHED} AND (start_by IS NULL OR start_by > ? OR state IN ('processing', 'failed'))"
"""The condition of jobs that have not ended, but for those that have expired and wait to be cancelled."""
FORGET_EACH = 16
"""One in so many fires has old lines forgotten. Which ones must not go by the time: most rules prefer some seconds."""
KEPT_S = 4 * 3600.0
PATIENCE_S = 0.2
"""How long a fire waits for keys and jobs that somebody else has in hand, such as an application's transaction."""

FIRE = ("schedule", "at", "until", "decided_at", "job", "reason", "fires", "at_least")
_FIRE = ", ".join(FIRE)


class Schedules(Limits):
    """This part of a `Store` (see store/schedules.py)."""

    def schedules(self, after: str = "", limit: int | None = None) -> list[Schedule]:
        most = "" if limit is None else f"LIMIT {limit}"
        return self._found(f"WHERE name > ? ORDER BY name {most}", [after])

    def schedule(self, name: str) -> Schedule | None:
        return next(iter(self._found("WHERE name = ?", [name])), None)

    def add_schedule(self, schedule: Schedule) -> bool:
        marks = ", ".join("?" * len(KEPT))
        text = f"INSERT INTO {{schema}}.schedules ({_COLUMNS}) VALUES ({marks}) ON CONFLICT (name) DO NOTHING"
        with self.transaction():
            self._shut_out_older()
            added = bool(self._select(f"{text} RETURNING 1", _values(schedule)))
            self._announce()
        return added

    def change_schedule(self, name: str, change: Callable[[Schedule], Schedule]) -> Schedule | None:
        with self.transaction():
            found = self._found(f"WHERE name = ? {self._dialect.locked}", [name])
            if not found:
                return None
            after = change(found[0])
            settings = ", ".join(f"{column} = ?" for column in KEPT)
            self._execute(f"UPDATE {{schema}}.schedules SET {settings} WHERE name = ?", [*_values(after), name])
            self._announce()
        return after

    def delete_schedule(self, name: str) -> bool:
        with self.transaction():
            # First: whoever fires it has it, and then adds such rows.
            there = self._select("DELETE FROM {schema}.schedules WHERE name = ? RETURNING 1", [name])
            for table in ("fires", "run_ends"):
                self._execute(f"DELETE FROM {{schema}}.{table} WHERE schedule = ?", [name])
        return bool(there)

    # --- firing -----------------------------------------------------------------------------

    def next_looks(
        self, without_zones: Sequence[str] = (), without: Sequence[str] = ()
    ) -> tuple[float | None, float | None]:
        if self._behind:
            return None, None
        but, values = _but(without_zones, without)
        text = (
            f"SELECT (SELECT min(next_at) FROM {{schema}}.schedules WHERE next_at IS NOT NULL {but}), "
            "CASE WHEN EXISTS (SELECT 1 FROM {schema}.run_ends) THEN 0 "
            "ELSE (SELECT min(tell_at) FROM {schema}.schedules WHERE tell_at IS NOT NULL) END"
        )
        fire_at, tell_at = self._select(text, values)[0]
        return fire_at, tell_at

    def due_schedules(
        self, now: float, limit: int, without_zones: Sequence[str] = (), without: Sequence[str] = (),
        only: str | None = None,
    ) -> list[Schedule]:  # fmt: skip
        but, values = _but(without_zones, without)
        if only is not None:
            but, values = f"{but} AND name = ?", [*values, only]
        rest = f"WHERE next_at IS NOT NULL AND next_at <= ? {but} ORDER BY next_at LIMIT ? {self._dialect.skip_locked}"
        return self._found(rest, [now, *values, limit])

    def move_schedule(self, before: Schedule, after: Schedule) -> bool:
        text = (
            "UPDATE {schema}.schedules SET nominal = ?, next_at = ?, last = ?, idle = ?, tell_at = ? "
            "WHERE name = ? AND next_at = ? RETURNING 1"
        )
        values = [after.nominal, after.next_at, after.last, after.idle, after.tell_at, before.name, before.next_at]
        return bool(self._select(text, values))

    # --- what became of fires ---------------------------------------------------------------

    def add_fires(self, fires: Sequence[Fire]) -> None:
        from zlib import crc32

        text = f"INSERT INTO {{schema}}.fires ({_FIRE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
        for fire in fires:
            self._execute(text, fire)
            if crc32(f"{fire.schedule} {fire.at}".encode()) % FORGET_EACH == 0:
                self._forget_fires(fire)

    def _forget_fires(self, latest: Fire) -> None:
        """Forgets old lines. Those of the last hours stay, so that a clock which goes back fires nothing twice, and
        those that may become late."""
        from queuectl.domain.scheduled import FIRES_KEPT

        nth = "SELECT at FROM {schema}.fires WHERE schedule = ? ORDER BY at DESC LIMIT 1 OFFSET ?"
        judged = "coalesce((SELECT judged FROM {schema}.schedules WHERE name = ? AND paused_at IS NULL), ?)"
        text = f"DELETE FROM {{schema}}.fires WHERE schedule = ? AND at < ? AND at < ({nth}) AND at <= {judged}"
        name = latest.schedule
        self._execute(text, [name, latest.at - KEPT_S, name, FIRES_KEPT - 1, name, latest.at])

    def fires(self, name: str, limit: int) -> list[Fire]:
        from queuectl.domain.scheduled import Fire

        text = f"SELECT {_FIRE} FROM {{schema}}.fires WHERE schedule = ? ORDER BY at DESC, decided_at DESC LIMIT ?"
        found = [Fire._make(row) for row in self._select(text, [name, limit])]
        return [fire._replace(at_least=bool(fire.at_least)) for fire in found]

    def fired(self, name: str, first: float, until: float) -> set[float]:
        text = "SELECT at FROM {schema}.fires WHERE schedule = ? AND at >= ? AND at <= ? AND job IS NOT NULL"
        return {at for (at,) in self._select(text, [name, first, until])}

    def outcomes(self, names: Sequence[str]) -> dict[str, tuple[bool, float | None]]:
        of = (
            "FROM {schema}.fires JOIN {schema}.jobs ON jobs.id = fires.job "
            "WHERE fires.schedule = schedules.name AND jobs.state IN "
        )
        latest = f"SELECT state {of} ('completed', 'dead', 'cancelled') ORDER BY fires.at DESC LIMIT 1"
        success = f"SELECT finished_at {of} ('completed') ORDER BY fires.at DESC LIMIT 1"
        text = f"SELECT name, ({latest}), ({success}) FROM {{schema}}.schedules WHERE name {self._dialect.any_of}"
        found = {} if self._behind else self._select(text, [self._dialect.array(list(names))])
        ended = {name: (state == "dead", at) for name, state, at in found}
        return {name: ended.get(name, (False, None)) for name in names}

    def taken_ids(self, ids: Sequence[str]) -> set[str]:
        text = f"SELECT id FROM {{schema}}.jobs WHERE id {self._dialect.any_of}"
        return {job_id for (job_id,) in self._select(text, [self._dialect.array(ids)])}

    def unfinished_of(self, names: Sequence[str]) -> dict[str, dict[str, Earlier]]:
        which = f"schedule {self._dialect.any_of} AND {STILL_IN_THE_WAY} ORDER BY seq"
        return self._earlier(names, which, [self._dialect.array(list(names)), self.now()])

    def _earlier(self, names: Sequence[str], which: str, values: Sequence[object]) -> dict[str, dict[str, Earlier]]:
        from queuectl.domain.scheduled import Earlier

        found: dict[str, dict[str, Earlier]] = {name: {} for name in names}
        text = f"SELECT schedule, id, state, starts FROM {{schema}}.jobs WHERE {which}"
        for name, job_id, state, starts in self._select(text, values):
            if name in found:
                found[name][job_id] = Earlier(JobState(state), starts)
        return found

    def hold(self, arrivals: Sequence[Arrival], names: Sequence[str]) -> dict[str, dict[str, Earlier]]:
        from queuectl.store.shared.unique import hold

        any_of, array = self._dialect.any_of, self._dialect.array
        self._have_patience(PATIENCE_S)
        holders = hold(self, arrivals) if arrivals else []
        text = (
            f"SELECT seq FROM {{schema}}.jobs WHERE schedule {any_of} AND state {UNFINISHED} "
            f"UNION SELECT seq FROM {{schema}}.jobs WHERE id {any_of} AND state {WAITING}"
        )
        seqs = [seq for (seq,) in self._select(text, [array(list(names)), array(holders)])]
        which = f"seq {any_of} AND {STILL_IN_THE_WAY} ORDER BY seq {self._dialect.locked}"
        found = self._earlier(names, which, [array(seqs), self.now()])
        self._have_patience(None)
        return found

    def _found(self, rest: str, values: Sequence[object]) -> list[Schedule]:
        if self._behind:
            return []
        return [_schedule(row) for row in self._select(f"SELECT {_COLUMNS} FROM {{schema}}.schedules {rest}", values)]


def _but(zones: Sequence[str], names: Sequence[str]) -> tuple[str, Sequence[str]]:
    given = (("zone", zones), ("name", names))
    conditions = [f"AND {column} NOT IN ({', '.join('?' * len(some))})" for column, some in given if some]
    return " ".join(conditions), [*zones, *names]


def _values(schedule: Schedule) -> list[object]:
    """The columns `KEPT`."""
    policy, pause = schedule.policy, schedule.pause
    paused = (None, None, None) if pause is None else (pause.since, pause.by, pause.reason)
    return [
        schedule.name, schedule.cron, schedule.every, schedule.anchor, schedule.zone, policy.overlap._value_,
        policy.catch_up._value_, policy.late_max, schedule.jitter, schedule.document, schedule.surroundings,
        schedule.created_at, schedule.created_by, schedule.updated_at, schedule.updated_by, *paused, schedule.nominal,
        schedule.next_at, schedule.last, schedule.idle, *schedule.watch, streak_text(schedule.streak), schedule.judged,
        schedule.tell_at,
    ]  # fmt: skip


def _schedule(row: Sequence[Any]) -> Schedule:
    from queuectl.domain.alerts import Watch
    from queuectl.domain.limits import Pause
    from queuectl.domain.schedule import CatchUp, Overlap, Policy
    from queuectl.domain.scheduled import Schedule

    kept: dict[str, Any] = dict(zip(KEPT, row, strict=True))
    overlap, catch_up, late_max = (kept.pop(name) for name in ("overlap", "catch_up", "late_max"))
    since, by, reason = (kept.pop(f"paused_{name}") for name in ("at", "by", "reason"))
    pause = None if since is None else Pause(since, None, by, reason)
    watch = Watch(*(kept.pop(name) for name in Watch._fields))
    kept["streak"] = _streak(kept["streak"])
    return Schedule(policy=Policy(Overlap(overlap), CatchUp(catch_up), late_max), pause=pause, watch=watch, **kept)


def streak_text(streak: Streak | None) -> str | None:
    """A streak as its column has it."""
    return None if streak is None else json.dumps([*streak[:2], streak.latest])


def _streak(text: str | None) -> Streak | None:
    from queuectl.domain.alerts import Streak, Trouble, Verdict

    if text is None:
        return None
    since, told_at, (decided_at, at, trouble, job, why) = json.loads(text)
    return Streak(since, told_at, Verdict(decided_at, at, Trouble(trouble), job, why))
