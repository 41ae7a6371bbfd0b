"""The SQLite store: one file, all workers on one machine.

No lease runs out here. Every worker shares one kernel, so a supervisor is alive exactly while it holds the
lock on its lock file; a locked, full or missing store ends no command.
"""

from __future__ import annotations

import heapq
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from queuectl import ids
from queuectl.clock import Clock, SystemClock
from queuectl.domain.errors import Conflict, IdTaken, Invalid, NotFound, QueuectlError
from queuectl.domain.job import FINISHED, Attempt, Job, JobState, Spec
from queuectl.domain.lifecycle import Event, apply
from queuectl.domain.selector import Selector
from queuectl.store import identity
from queuectl.store.liveness import is_held, is_this_boot, lives, supervisor_folder
from queuectl.store.passfile import Access
from queuectl.store.port import LEASE_S, Backlog, Change, Grip, Moved, Note, Output, OutputRelay, Superseded, WorkerRow
from queuectl.store.shared import migrations, rows
from queuectl.store.shared.ledger import Ledger
from queuectl.store.shared.recording import applied, attempt_rows, loss_taken_back
from queuectl.store.sqlite import reserve
from queuectl.store.sqlite.connection import connect, connect_in_memory, folder_of, sqlite3, sync_file, translated
from queuectl.store.sqlite.guard import Guard
from queuectl.wire.jobs import spec_from_text, spec_to_text

if TYPE_CHECKING:
    from pathlib import Path

SUSPECTS_SEEN = 16
"""How many jobs that may not be claimed now a claim looks past."""
PRIORITY_TOP = 1 << 62
PEOPLE_BUSY_TIMEOUT_S = 10.0
"""How long a command waits for the write lock. A dispatcher waits far less, and tries again in its loop."""


@cache
def _queries() -> dict[str, str]:
    life = ", ".join(f"{name} = ?" for name in rows.LIFE)
    text = migrations.sql_text("sqlite", "queries.sql")
    return dict(rows.named_queries(text, job_columns=rows.JOB_COLUMNS, life=life))


class SqliteStore(Ledger):
    """A `Store` (see store/port.py) in one SQLite file. One object, one connection, one thread."""

    def __init__(
        self, path: str | Path, clock: Clock | None = None, busy_timeout_s: float = PEOPLE_BUSY_TIMEOUT_S,
        make: bool = True,
    ) -> None:  # fmt: skip
        """Makes the file where it is missing; without `make`, an empty store in memory stands in for it."""
        self.url = self.address = os.path.abspath(path)
        self.access = Access(self.address)
        self.path = os.path.realpath(path)  # all names of one file must lead to the same locks
        self.watch: str | None = f"{self.path}-wal"
        self.wake_handle, self.leases = -1, False
        self.relay: OutputRelay | None = None  # everybody here can read the files
        self.defaults: Mapping[str, str] = {}
        self._clock = clock or SystemClock()
        self._sql = _queries()
        self._depth, self._synced, self._may_sync = 0, True, True
        self._counted: Counter[tuple[str, str]] = Counter()
        self._specs: dict[int, Spec] = {}
        self._spec_ids: dict[int, tuple[Spec, int]] = {}
        self._db = connect(self.path, busy_timeout_s) if make else connect_in_memory()
        try:
            self._migrate()
            self._guard = Guard(self._db, self.path, folder_of(self.path), self.now)
            self._may_sync = self.config().get("durability") != "normal"
            self._version = self._data_version()
        except BaseException:
            self._db.close()
            raise

    @cached_property
    def folder(self) -> Path:
        from pathlib import Path

        return Path(folder_of(self.path))

    def now(self) -> float:
        return self._clock.now()

    def of_here(self, at: float) -> float:
        return at

    def close(self) -> None:
        self._guard.close()

    def wait_at_most(self, seconds: float, answer_s: float = 0.0) -> None:
        self._db.execute(f"PRAGMA busy_timeout = {round(seconds * 1000)}")

    def guard(self) -> None:
        self._guard.begin()
        reserve.keep(str(self.folder))

    def replaced(self) -> str:
        return self._guard.replaced()

    # --- transactions -----------------------------------------------------------------------

    @contextmanager
    def transaction(self, *, synced: bool = True) -> Iterator[None]:
        if self._depth:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
            return
        with translated(self.path):
            try:
                self._set_synced(synced)
                self._db.execute("BEGIN IMMEDIATE")
                self._depth = 1
                yield
                self._write_counts()
                self._db.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise
            finally:
                self._depth = 0
                self._spec_ids.clear()  # another process may prune a spec as soon as the lock is free

    def try_write(self) -> None:
        with self.transaction():
            pass  # it begins with the lock of whoever writes

    def sync(self) -> None:
        if self._may_sync:
            with translated(self.path):
                sync_file(f"{self.path}-wal")

    def _set_synced(self, wanted: bool) -> None:
        wanted = wanted and self._may_sync
        if wanted is not self._synced:
            self._db.execute(f"PRAGMA synchronous = {'FULL' if wanted else 'NORMAL'}")
            self._synced = wanted

    def _roll_back(self) -> None:
        if self._db.in_transaction:  # a full disk has already rolled back
            self._db.execute("ROLLBACK")
        self._specs.clear()
        self._counted.clear()

    def _write_counts(self) -> None:
        """Once a transaction, not once a job: one row is all jobs' of a queue."""
        if self._counted:
            changes = [(*key, change) for key, change in self._counted.items() if change]
            self._db.executemany(self._sql["count"], changes)
            self._counted.clear()

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        """Lets several reads see one moment."""
        with translated(self.path):
            inside: bool = self._db.in_transaction
            if inside:
                yield
                return
            try:
                self._db.execute("BEGIN")
                yield
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    def _read(self, sql: str, parameters: Any = ()) -> list[Any]:
        with translated(self.path):
            return self._db.execute(sql, parameters).fetchall()

    def _look(self, text: str, values: Sequence[object] = ()) -> list[Any]:
        return self._read(text.replace("{schema}.", ""), values)

    _put = _look

    def _migrate(self) -> None:
        with translated(self.path):
            (current,) = self._db.execute("PRAGMA user_version").fetchone()
        migrations.migrate("sqlite", current, self.url, self._oldest_reader, self._run_step)

    def _oldest_reader(self, schema: int) -> int | None:
        found = self._read("SELECT value FROM meta WHERE name = ?", (f"oldest reader of schema {schema}",))
        return int(found[0][0]) if found else None

    def _run_step(self, number: int, sql: str) -> None:
        with self.transaction():
            (current,) = self._db.execute("PRAGMA user_version").fetchone()
            if current >= number:  # another process was faster
                return
            for statement in _statements(sql):
                self._db.execute(statement)
            if number == 1:
                self._db.execute("INSERT INTO meta VALUES ('store_id', ?)", (ids.random_id(16),))
            reader = (f"oldest reader of schema {number}", str(migrations.oldest_reader(sql)))
            self._db.execute("INSERT INTO meta VALUES (?, ?)", reader)
            self._db.execute(f"PRAGMA user_version = {number}")

    def store_id(self) -> str:
        """The store's random identity, which tells it from another one at the same path."""
        return str(self._read("SELECT value FROM meta WHERE name = 'store_id'")[0][0])

    def moved_to(self) -> str | None:
        """Where this store's jobs are now, if they were moved."""
        found = self._read("SELECT value FROM meta WHERE name = 'moved to'")
        return str(found[0][0]) if found else None

    def schema_version(self) -> int:
        return int(self._read("PRAGMA user_version")[0][0])

    def integrity(self) -> list[str]:
        """What SQLite's own check finds wrong; empty when all is well. Reads the whole file."""
        return [text for (text,) in self._read("PRAGMA quick_check") if text != "ok"]

    def changed(self) -> bool:
        version = self._data_version()
        changed, self._version = version != self._version, version
        if changed:
            self._guard.look()
        return changed

    def _data_version(self) -> int:
        return int(self._read("PRAGMA data_version")[0][0])

    # --- jobs, for people -------------------------------------------------------------------

    def insert(self, jobs: Iterable[Job]) -> None:
        now = self.now()
        jobs = list(jobs)
        with self.transaction():
            new_rows = [rows.new_job_row(job, self._spec_id(job.spec), now) for job in jobs]
            self._db.execute("SAVEPOINT insertion")
            try:
                self._db.executemany(rows.INSERT_JOB, new_rows)
            except sqlite3.IntegrityError:
                self._db.execute("ROLLBACK TO insertion")
                raise self._taken([job.id for job in jobs]) from None
            self._counted.update((job.queue, job.state._value_) for job in jobs)

    def _taken(self, new_ids: Sequence[object]) -> QueuectlError:
        if place := self.moved_to():
            return Moved(self.url, place)
        seen: set[object] = set()
        for new_id in new_ids:
            if new_id in seen:
                return Conflict(f"id {new_id} comes twice", "each job needs an id of its own, or none")
            seen.add(new_id)
        for new_id in new_ids:
            if self._read("SELECT 1 FROM jobs WHERE id = ?", (new_id,)):
                return IdTaken(str(new_id))
        return Conflict("a job could not be added", "run: queuectl doctor")

    def _spec_id(self, spec: Spec) -> int:
        known = self._spec_ids.get(id(spec))
        if known is None:
            body = spec_to_text(spec)
            found = self._db.execute("SELECT id FROM specs WHERE body = ?", (body,)).fetchone()
            if found is None:
                found = self._db.execute("INSERT INTO specs (body) VALUES (?) RETURNING id", (body,)).fetchone()
            known = self._spec_ids[id(spec)] = (spec, int(found[0]))  # holding the spec keeps its id() taken
        return known[1]

    def _spec(self, spec_id: int) -> Spec:
        spec = self._specs.get(spec_id)
        if spec is None:
            if len(self._specs) >= rows.SPECS_KNOWN_MAX:
                self._specs.clear()
            ((body,),) = self._db.execute("SELECT body FROM specs WHERE id = ?", (spec_id,)).fetchall()
            spec = self._specs[spec_id] = spec_from_text(body)
        return spec

    def _jobs(self, sql: str, parameters: Any = ()) -> list[Job]:
        with self._snapshot():
            return [rows.job_from_row(row, self._spec) for row in self._db.execute(sql, parameters).fetchall()]

    def get(self, ref: str) -> Job:
        def matching(condition: str, values: list[str]) -> list[Job]:
            return self._jobs(f"SELECT {rows.JOB_COLUMNS} FROM jobs WHERE {condition}", values)

        return rows.only_one(ref, matching, "?")

    def find(
        self, selector: Selector, *, limit: int | None = None, newest_first: bool = False, after_seq: int | None = None
    ) -> list[Job]:
        rest, values = rows.page(
            selector, "jobs", rows.SQLITE, limit=limit, newest_first=newest_first, after_seq=after_seq
        )
        return self._jobs(f"SELECT {rows.JOB_COLUMNS} FROM jobs {rest}", values)

    def count(self, selector: Selector) -> int:
        condition, values = rows.where(selector)
        return int(self._read(f"SELECT count(*) FROM jobs WHERE {condition}", values)[0][0])

    def change(self, ids: Sequence[str], event: Event, who: str | None) -> list[Job | QueuectlError]:
        now = self.now()

        def one(job: Job) -> Job:
            after = apply(job, event, now)
            self._write([(job, after)], now)
            self._db.execute(
                "INSERT INTO events (at, job, kind, who) VALUES (?, ?, ?, ?)", (now, job.seq, type(event).__name__, who)
            )
            return after

        return self._each(ids, one)

    def delete(self, ids: Sequence[str]) -> list[Job | QueuectlError]:
        def one(job: Job) -> Job:
            if job.state is JobState.PROCESSING:
                raise Conflict(f"job {job.id} is running", "cancel it first, or use --force")
            self._remove([job.seq])
            self._counted[job.queue, job.state.value] -= 1
            return job

        return self._each(ids, one)

    def _each(self, ids: Sequence[str], one: Any) -> list[Job | QueuectlError]:
        results: list[Job | QueuectlError] = []
        with self.transaction():
            for job_id in ids:
                try:
                    results.append(one(self.get(job_id)))
                except (Conflict, NotFound, Invalid) as error:
                    results.append(error)
        return results

    def _write(self, changed: Sequence[tuple[Job, Job]], now: float) -> None:
        """Replaces jobs, each (before, after) in the hands it was in: the caller has seen that under the lock."""
        lives = [rows.life_of(after, before.state, before.worker, now) for before, after in changed]
        written = self._db.executemany(self._sql["write_job"], lives).rowcount
        assert written == len(changed), f"{len(changed)} jobs to be written, but {written} found"
        for before, after in changed:
            if before.state is not after.state:
                self._counted[before.queue, before.state.value] -= 1
                self._counted[after.queue, after.state.value] += 1

    def _remove(self, seqs: Sequence[int]) -> None:
        marks = ", ".join("?" * len(seqs))
        for table, column in (("outputs", "job"), ("attempts", "job"), ("events", "job"), ("jobs", "seq")):
            self._db.execute(f"DELETE FROM {table} WHERE {column} IN ({marks})", seqs)

    def counts(self) -> dict[tuple[str, JobState], int]:
        found = self._read("SELECT queue, state, jobs FROM counts WHERE jobs > 0 ORDER BY queue")
        return {(queue, JobState(state)): jobs for queue, state, jobs in found}

    def backlog(self, retries: int) -> Backlog:
        waiting = [due_at for (queue,) in self._read(self._sql["ready_queues"]) for due_at in self._lanes(queue)]
        waiting += [due for (due,) in self._read(self._sql["next_due"]) if due is not None and due <= self.now()]
        next_retries = self._jobs(self._sql["next_retries"], {"limit": retries})
        return Backlog(oldest_due=min(waiting, default=None), next_retries=next_retries)

    def _lanes(self, queue: str) -> Iterator[float]:
        """Since when the oldest claimable job waits, for each priority of a queue: one index probe each."""
        below = PRIORITY_TOP
        while found := self._read(self._sql["first_of_lane"], {"queue": queue, "below": below}):
            ((below, due_at),) = found
            yield due_at

    def ahead(self, job: Job, most: int, queues: Sequence[str] = ()) -> int:
        at = {"priority": job.priority, "due_at": job.due_at, "seq": job.seq, "most": most}
        line = json.dumps(queues or [job.queue])
        return min(most, int(self._read(self._sql["ahead"], {**at, "queues": line})[0][0]))

    def attempts(self, job: Job) -> list[Attempt]:
        sql = f"SELECT {rows.ATTEMPT_COLUMNS} FROM attempts WHERE job = ? ORDER BY number"
        return [rows.attempt_from_row(row) for row in self._read(sql, (job.seq,))]

    def outputs(self, job: Job, number: int) -> list[Output]:
        sql = f"SELECT {rows.OUTPUT_COLUMNS} FROM outputs WHERE job = ? AND number = ? ORDER BY stream"
        return [rows.output_from_row(row) for row in self._read(sql, (job.seq, number))]

    def notes(self, job: Job) -> list[Note]:
        found = self._read("SELECT at, kind, who FROM events WHERE job = ? ORDER BY id", (job.seq,))
        return [Note(at=at, kind=kind, who=who) for at, kind, who in found]

    def prune(self, selector: Selector, limit: int) -> int:
        states = tuple(state for state in selector.states or FINISHED if state in FINISHED)
        if not states:
            return 0
        condition, values = rows.where(selector._replace(states=states))
        with self.transaction():
            sql = f"SELECT seq, spec, queue, state FROM jobs WHERE {condition} LIMIT ?"
            found = self._db.execute(sql, [*values, limit]).fetchall()
            self._remove([seq for seq, *_ in found])
            self._counted.subtract((queue, state) for _, _, queue, state in found)
            for spec in {spec for _, spec, *_ in found}:
                self._db.execute(self._sql["forget_spec"], {"spec": spec})
                self._specs.pop(spec, None)
        return len(found)

    # --- settings ---------------------------------------------------------------------------

    def config(self) -> dict[str, str]:
        return dict(self._read("SELECT name, value FROM config"))

    def set_config(self, name: str, value: str | None) -> None:
        with self.transaction():
            if value is None:
                self._db.execute("DELETE FROM config WHERE name = ?", (name,))
            else:
                self._db.execute("INSERT OR REPLACE INTO config VALUES (?, ?)", (name, value))

    # --- workers ----------------------------------------------------------------------------

    def register(self, row: WorkerRow, lease_s: float = LEASE_S) -> None:
        row = row._replace(home=self._home())
        values = [getattr(row, name) for name in WorkerRow._fields]
        values[WorkerRow._fields.index("queues")] = json.dumps(row.queues)
        with self.transaction():
            columns = ", ".join(WorkerRow._fields)
            self._db.execute(f"INSERT INTO workers ({columns}) VALUES ({', '.join('?' * len(values))})", values)

    def deregister(self, grip: Grip) -> None:
        with self.transaction():
            self._check(grip)
            if self._read("SELECT 1 FROM jobs WHERE worker = ? AND state = 'processing' LIMIT 1", (grip.worker,)):
                raise Conflict(f"worker {grip.worker} still holds jobs")
            self._db.execute("DELETE FROM workers WHERE id = ?", (grip.worker,))

    def workers(self) -> list[WorkerRow]:
        names = WorkerRow._fields
        found = self._read(f"SELECT {', '.join(names)} FROM workers ORDER BY started_at, id")
        return [
            WorkerRow(**{**dict(zip(names, row, strict=True)), "queues": tuple(json.loads(row[names.index("queues")]))})
            for row in found
        ]

    def _home(self) -> str:
        return identity.home_of_file(self.path, folder_of(self.path))

    def is_at_home(self, row: WorkerRow) -> bool:
        return identity.is_same(row.home, self._home())

    def alive(self, row: WorkerRow) -> bool:
        folder = supervisor_folder(self.folder, row.id)
        if not self.is_at_home(row):
            return bool(is_held(folder))
        sign = lives(folder, row)
        return is_this_boot(row.machine) if sign is None else sign

    def seen(self, ids: Sequence[str]) -> dict[str, float]:
        return dict.fromkeys(ids, self.now())  # their locks tell

    def holds(self, grip: Grip) -> bool:
        return bool(self._read(self._sql["holds_worker"], {"worker": grip.worker, "epoch": grip.epoch}))

    def adopt(
        self, row: WorkerRow, dispatcher: int, lease_s: float = LEASE_S, only_expired: bool = False
    ) -> Grip | None:
        with self.transaction():
            cursor = self._db.execute(
                "UPDATE workers SET epoch = epoch + 1, dispatcher = ? WHERE id = ? AND epoch = ?",
                (dispatcher, row.id, row.epoch),
            )
            return Grip(worker=row.id, epoch=row.epoch + 1) if cursor.rowcount else None

    def renew(self, grips: Sequence[Grip], lease_s: float) -> None:
        pass  # nothing runs out on one machine

    def request_stop(self, ids: Sequence[str], how: str) -> None:
        with self.transaction():
            self._db.executemany("UPDATE workers SET stop = ? WHERE id = ?", [(how, worker) for worker in ids])

    def stop_requests(self, ids: Sequence[str]) -> dict[str, str]:
        marks = ", ".join("?" * len(ids))
        return dict(self._read(f"SELECT id, stop FROM workers WHERE stop IS NOT NULL AND id IN ({marks})", ids))

    def _check(self, grip: Grip) -> None:
        """Refuses a writer whose supervisor was taken over. Counts because the write lock is held."""
        parameters = {"worker": grip.worker, "epoch": grip.epoch}
        if self._db.execute(self._sql["holds_worker"], parameters).fetchone() is None:
            raise Superseded(f"worker {grip.worker} is driven by another process now")

    def claim(
        self, grip: Grip, host: str, limit: int, queues: Sequence[str], suspects: int | None = None, losses: int = 1
    ) -> list[Job]:
        now = self.now()
        with self.transaction():
            self._check(grip)
            self._db.execute(self._sql["promote"], {"now": now})
            chosen = dict(self._candidates(limit, queues, limit if suspects is None else suspects, losses))
            taking = {"seqs": json.dumps(list(chosen)), "worker": grip.worker, "host": host, "now": now}
            found = self._db.execute(self._sql["claim"], taking).fetchall()
            claimed = {job.seq: job for job in (rows.job_from_row(row, self._spec) for row in found)}
            for seq, was in chosen.items():
                self._counted[claimed[seq].queue, was] -= 1
                self._counted[claimed[seq].queue, JobState.PROCESSING.value] += 1
            return [claimed[seq] for seq in chosen]

    def _candidates(self, limit: int, queues: Sequence[str], suspects: int, losses: int) -> Iterator[tuple[int, str]]:
        """`seq` and state of the jobs to be claimed next, over all served queues."""
        served = list(dict.fromkeys(queues)) or [
            queue for (queue,) in self._db.execute(self._sql["ready_queues"]).fetchall()
        ]
        look = {"limit": limit + SUSPECTS_SEEN, "losses": losses}
        found = [self._db.execute(self._sql["claim_candidates"], {"queue": queue, **look}) for queue in served]
        for seq, _, _, suspect, state in heapq.merge(*found, key=lambda row: (-row[1], row[2], row[0])):
            if not limit:
                return
            if not suspect or suspects:
                limit, suspects = limit - 1, suspects - suspect
                yield seq, state

    def record(self, grip: Grip, changes: Sequence[Change]) -> list[Job | None]:
        now = self.now()
        with self.transaction():
            self._check(grip)
            asked = {"seqs": json.dumps([change.job.seq for change in changes]), "worker": grip.worker}
            found = self._db.execute(self._sql["in_hand"], asked)
            in_hand = {
                (seq, lease): (bool(held), bool(cancel), lost, in_row)
                for seq, lease, held, cancel, lost, in_row in found
            }
            results = applied(in_hand, changes, now)
            counts = [(change, after) for change, after in zip(changes, results, strict=True) if after]
            self._write([(change.job, after) for change, after in counts], now)
            for query, values in attempt_rows(counts):
                self._db.executemany(self._sql[query], values)
        return results

    def take_back_losses(self, worker: str, stopped: Mapping[tuple[int, int], float]) -> list[Job]:
        now, taken_back = self.now(), []
        with self.transaction():
            for (seq, lease), ended_at in stopped.items():
                for job in self._jobs(f"SELECT {rows.JOB_COLUMNS} FROM jobs WHERE seq = ?", (seq,)):
                    if found := loss_taken_back(job, self.attempts(job), worker, lease, ended_at, now):
                        after, attempt = found
                        self._write([(job, after)], now)
                        self._db.execute(self._sql["break_attempt"], attempt)
                        taken_back.append(after)
        return taken_back

    def running(self, worker: str) -> list[Job]:
        return self._jobs(f"SELECT {rows.JOB_COLUMNS} FROM jobs WHERE worker = ? AND state = 'processing'", (worker,))

    def wishes(self, worker: str) -> list[int]:
        return [seq for (seq,) in self._read(self._sql["wishes"], {"worker": worker})]

    def has_work(self, queues: Sequence[str]) -> bool:
        return bool(self._read(self._sql["has_work"], {"queues": json.dumps(queues) if queues else None})[0][0])

    def next_due(self) -> float | None:
        due: float | None = self._read(self._sql["next_due"])[0][0]
        return due


def _statements(sql: str) -> Iterator[str]:
    """The single statements of a script, so that they can run inside one transaction."""
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
