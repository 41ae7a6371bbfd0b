"""What people set that keeps jobs from starting: limits and pauses of queues, units of locks; and who holds them."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from math import inf

from queuectl.domain.errors import Conflict, NotFound
from queuectl.domain.proposed import named
from queuectl.store.shared.edges import Edges
from queuectl.store.shared.rows import WAITING
from queuectl.store.shared.settings import KeptSettings
from queuectl.store.shared.workers import Workers
from queuectl.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:  # few commands need these
    from queuectl.domain.job import Job
    from queuectl.domain.limits import Hold, Lock, Passed, Queue, Rate, Window

GATES_SCHEMA = 9
"""The first schema whose releases mind limits, locks and expiry."""

NOT_YET = 1e12
"""The time of a start that is not on record: later than any."""

_PAUSE = "paused_at, paused_until, paused_by, paused_reason"
_EARLIER = "priority > ?", "priority = ? AND (due_at, seq) < (?, ?)"
QUEUE = f"name, concurrency, rate_starts, rate_window, rate_even, {_PAUSE}, defaults"


class Limits(KeptSettings, Workers, Edges):
    """This part of a `Store` (see store/port.py)."""

    _is_guarded = False
    """Whether it is known that older releases are shut out."""

    @abstractmethod
    def places(self) -> list[tuple[Queue, int]]:
        """The queues of `queues`, each with how many of its jobs are in process, as this transaction sees it. What that
        says of a queue without a limit is of no use."""

    @abstractmethod
    def _shut_gates(self) -> None:
        """The same, and claims that have not minded any limit yet have ended."""

    @abstractmethod
    def _shut_gates_late(self) -> None:
        """The same, just before this transaction ends. What it changes, nobody claims until then: it is locked."""

    def _free_locks(self, names: Sequence[str]) -> None:
        """Units of these locks become free in this transaction: its next claim looks at who waits for them."""
        self._open_lines(names)

    def _shut_out_older(self) -> None:
        """Releases that know no limits may neither open the store from now on, nor claim from it."""
        if self._is_guarded:
            return
        readers = self._select("SELECT name, value FROM {schema}.meta WHERE name LIKE ?", ["oldest reader of schema %"])
        older = [name for name, value in readers if int(value) < GATES_SCHEMA]
        if not older:
            self._is_guarded = True
            return
        # Nobody waits for a long transaction that is doing it. Should that be taken back, the next claim does it.
        free = f"SELECT name FROM {{schema}}.meta WHERE name {self._dialect.any_of} {self._dialect.skip_locked}"
        text = f"UPDATE {{schema}}.meta SET value = ? WHERE name IN ({free}) RETURNING 1"
        if self._select(text, [str(GATES_SCHEMA), self._dialect.array(older)]):
            text = "UPDATE {schema}.workers SET epoch = epoch + 1 WHERE schema IS NULL OR schema < ?"
            self._execute(text, [GATES_SCHEMA])

    # --- queues -----------------------------------------------------------------------------

    def limited(self) -> set[str]:
        if self._behind:
            return set()
        kinds = ("concurrency", "rate_starts", "paused_at")
        condition = " OR ".join(f"{column} IS NOT NULL" for column in kinds)
        return {name for (name,) in self._select(f"SELECT name FROM {{schema}}.queues WHERE {condition}")}

    def queues(self) -> list[Queue]:
        if self._behind:
            return []
        return [queue_of(row) for row in self._select(f"SELECT {QUEUE} FROM {{schema}}.queues ORDER BY name")]

    def set_queue(self, queue: Queue) -> None:
        self.change_queue(queue.name, lambda _: queue)

    def change_queue(self, name: str, change: Callable[[Queue], Queue]) -> Queue:
        from queuectl.domain.limits import Queue

        with self.transaction():
            self._shut_gates()
            self._shut_out_older()
            queue = change(next((each for each in self.queues() if each.name == name), Queue(name)))
            self._execute("DELETE FROM {schema}.queues WHERE name = ?", [name])
            if any((queue.concurrency, queue.rate, queue.pause, queue.defaults)):
                values = _values(queue)
                marks = ", ".join("?" * len(values))
                self._execute(f"INSERT INTO {{schema}}.queues ({QUEUE}) VALUES ({marks})", values)
            self._announce()
        return queue

    def policies(self) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
        if self._behind:
            return self.config(), {}
        text = (
            "SELECT 0, name, value FROM {schema}.config UNION ALL "
            "SELECT 1, name, defaults FROM {schema}.queues WHERE defaults IS NOT NULL"
        )
        found = self._select(text)
        settings = {name: value for of_queue, name, value in found if not of_queue}
        return settings, {name: json.loads(value) for of_queue, name, value in found if of_queue}

    def window(self, queue: str, rate: Rate, now: float) -> Window:
        from queuectl.domain.limits import Window

        since, which = now - rate.window_s, "FROM {schema}.starts WHERE queue = ? AND at >= ?"
        ((starts, latest),) = self._select(f"SELECT count(*), max(at) {which}", [queue, since])
        nth = f"SELECT at {which} ORDER BY at DESC LIMIT 1 OFFSET ?"
        oldest = self._select(nth, [queue, since, rate.starts - 1]) if starts >= rate.starts else []
        return Window(starts, _at(oldest[0][0]) if oldest else None, _at(latest))

    # --- locks ------------------------------------------------------------------------------

    def locks(self) -> list[Lock]:
        if self._behind:
            return []
        return [_lock(row) for row in self._select("SELECT name, units, env FROM {schema}.locks ORDER BY name")]

    def lock(self, name: str) -> Lock:
        from queuectl.domain.limits import Lock

        found = self._select("SELECT name, units, env FROM {schema}.locks WHERE name = ?", [name])
        return _lock(found[0]) if found else Lock(name)

    def set_lock(self, lock: Lock) -> None:
        self.change_lock(lock.name, lambda _: lock)

    def change_lock(self, name: str, change: Callable[[Lock], Lock]) -> Lock:
        with self.transaction():
            self._shut_gates()
            self._shut_out_older()
            lock = change(self.lock(name))
            units = json.dumps(list(lock.units) if lock.named else lock.capacity)
            self._limit_batch(name, lock.capacity)
            self._execute("DELETE FROM {schema}.locks WHERE name = ?", [name])
            text = "INSERT INTO {schema}.locks (name, units, env) VALUES (?, ?, ?)"
            self._execute(text, [name, units, lock.env])
            self._open_lines([name])
            self._announce()
        return lock

    def delete_lock(self, name: str) -> None:
        with self.transaction():
            self._shut_gates()
            if self.holders(name) or any(name in map(_name, locks) for locks, _ in self.needs()):
                raise Conflict(f"lock {name} is held or waited for", f"see by whom: queuectl lock show {named(name)}")
            self._limit_batch(name, 1)
            if not self._select("DELETE FROM {schema}.locks WHERE name = ? RETURNING 1", [name]):
                raise NotFound(f"no lock {name}", "see them with: queuectl lock list")

    def _limit_batch(self, lock: str, capacity: int) -> None:
        """A lock has this many units now: if it is that of a batch with a limit, this is the limit."""
        from queuectl.domain.batch import batch_of

        if batch := batch_of(lock):
            text = "UPDATE {schema}.batches SET at_most = ? WHERE name = ? AND at_most IS NOT NULL"
            self._execute(text, [capacity, batch])

    def holders(self, name: str) -> list[tuple[int, list[str]]]:
        text = (
            "SELECT holds.job, holds.units FROM {schema}.holds JOIN {schema}.jobs ON jobs.seq = holds.job "
            "AND jobs.lease = holds.lease AND jobs.state = 'processing' WHERE holds.lock = ? ORDER BY holds.job"
        )
        return [(job, json.loads(units)) for job, units in self._select(text, [name])]

    def held(self) -> dict[str, list[Hold]]:
        from queuectl.domain.limits import Hold

        if self._behind:
            return {}
        text = (
            "SELECT holds.lock, jobs.id, coalesce(jobs.started_at, jobs.updated_at), holds.units "
            "FROM {schema}.holds JOIN {schema}.jobs ON jobs.seq = holds.job "
            "AND jobs.lease = holds.lease AND jobs.state = 'processing' ORDER BY 3, holds.job"
        )
        found: dict[str, list[Hold]] = {}
        for lock, job, since, units in self._select(text):
            found.setdefault(lock, []).append(Hold(job, since, tuple(json.loads(units))))
        return found

    def waiting_for(self, name: str, most: int | None = None) -> int:
        limit = "" if most is None else f"LIMIT {most}"
        text = (
            f"SELECT count(*) FROM (SELECT 1 FROM {{schema}}.jobs WHERE {self._dialect.is_parked} AND locks IN "
            f"(SELECT locks FROM {{schema}}.line_locks WHERE lock = ?) {limit}) AS waiting"
        )
        return int(self._select(text, [name])[0][0])

    def needs(self) -> list[tuple[list[str], int]]:
        if self._behind:
            return []
        text = f"SELECT locks, count(*) FROM {{schema}}.jobs WHERE locks IS NOT NULL AND state {WAITING} GROUP BY locks"
        return [(json.loads(locks), jobs) for locks, jobs in self._select(text)]

    def before_in_line(self, job: Job, name: str, most: int) -> int | None:
        parked, before = self._dialect.is_parked, 0
        if self._behind or not self._select(f"SELECT 1 FROM {{schema}}.jobs WHERE seq = ? AND {parked}", [job.seq]):
            return None
        counted = "SELECT count(*) FROM (SELECT 1 FROM {schema}.jobs WHERE " + parked
        counted += " AND locks = ? AND queue = ? AND {} LIMIT ?) AS earlier"
        more_urgent, earlier = (counted.replace("{}", each) for each in _EARLIER)
        for (locks,) in self._select("SELECT locks FROM {schema}.line_locks WHERE lock = ?", [name]):
            for (queue,) in self.read("parked_queues", locks=locks):
                at = [locks, queue, job.priority]
                before += self._select(more_urgent, [*at, most])[0][0]
                before += self._select(earlier, [*at, job.due_at, job.seq, most])[0][0]
            if before >= most:
                return most
        return before

    def passed_by(self, before: float, name: str | None = None) -> list[Passed]:
        from queuectl.domain.limits import Passed, requests_of

        text = (
            "SELECT jobs.id, first.passed_since, jobs.queue, first.locks, first.priority, first.due_at, first.seq "
            "FROM {schema}.lock_lines AS first JOIN {schema}.jobs ON jobs.seq = first.seq "
            f"AND jobs.{self._dialect.is_parked} WHERE first.passed_since < ?"
        )
        if name is not None:
            text += " AND first.locks IN (SELECT locks FROM {schema}.line_locks WHERE lock = ?)"
        found = [] if self._behind else self._select(text, [before, *([] if name is None else [name])])
        return [
            Passed(job, since, queue, requests_of(json.loads(locks)), (-priority, due_at, seq))
            for job, since, queue, locks, priority, due_at, seq in found
        ]

    def _left_lines(self, jobs: Iterable[Job]) -> None:
        """Somebody has changed these jobs: one that kept units for itself may not need them any more."""
        if needed := {_name(text) for job in jobs for text in job.locks}:
            self._free_locks(sorted(needed))

    def _open_lines(self, locks: Sequence[str]) -> bool:
        return bool(self._select(*self._opening(locks)))

    def _opening(self, locks: Sequence[str]) -> tuple[str, list[object]]:
        """The statement that has the next claim look at the lines in which somebody waits for one of these locks, and
        its values. It has a row for each."""
        text = (
            "UPDATE {schema}.lock_lines SET open = 1 WHERE locks IN "
            f"(SELECT locks FROM {{schema}}.line_locks WHERE lock {self._dialect.any_of}) RETURNING 1"
        )
        return text, [self._dialect.array(locks)]


def _name(request: str) -> str:
    """The name in `NAME` or `NAME=N`."""
    return request.partition("=")[0]


def _values(queue: Queue) -> list[object]:
    """The columns `QUEUE`."""
    rate, pause = queue.rate or (None, None, False), queue.pause or (None, None, None, None)
    defaults = json.dumps(dict(queue.defaults)) if queue.defaults else None
    return [queue.name, queue.concurrency, *rate[:2], int(rate[2]), *pause, defaults]


def _at(start: float | None) -> float | None:
    return inf if start == NOT_YET else start


def queue_of(row: Sequence[object]) -> Queue:
    """The columns `QUEUE`."""
    from queuectl.domain.limits import Pause, Queue, Rate

    name, concurrency, starts, window, even, *pause, defaults = row
    return Queue(
        str(name), concurrency, Rate(starts, window, bool(even)) if starts else None,  # type: ignore[arg-type]
        Pause(*pause) if pause[0] is not None else None,  # type: ignore[arg-type]
        json.loads(str(defaults)) if defaults else {},
    )  # fmt: skip


def _lock(row: Sequence[object]) -> Lock:
    """The column `units` has their number, or a JSON list of their names."""
    from queuectl.domain.limits import Lock, numbered

    name, units, env = row
    kept = json.loads(str(units))
    named = isinstance(kept, list)
    return Lock(str(name), tuple(kept) if named else numbered(kept), str(env) if env else None, named)
