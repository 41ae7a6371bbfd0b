"""The PostgreSQL store: one schema of a database, workers on any number of machines.

A supervisor of this machine lives while it holds the lock on its lock file, as everywhere; for others a lease in its
row counts, by the server's clock. Rows are locked by whoever is about to replace them: first workers, then jobs in
the order of `seq`, so that two transactions wait for each other only by accident.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from queuectl.clock import Clock, boottime
from queuectl.domain.errors import Conflict, Invalid, NotFound, QueuectlError, StoreBusy
from queuectl.domain.job import FINISHED, Attempt, Job, JobState
from queuectl.domain.lifecycle import Event, apply
from queuectl.domain.selector import Selector
from queuectl.settings import Settings
from queuectl.store.identity import is_same
from queuectl.store.liveness import lives, supervisor_folder
from queuectl.store.port import (
    ANSWER_WITHIN_S,
    LEASE_S,
    REPLACED,
    Backlog,
    Grip,
    Note,
    Output,
    OutputRelay,
    Superseded,
    WorkerRow,
)  # fmt: skip
from queuectl.store.postgres.address import access, parse_address
from queuectl.store.postgres.dialect import POSTGRES
from queuectl.store.postgres.health import Health, health
from queuectl.store.postgres.insert import Inserting
from queuectl.store.postgres.listener import Listener
from queuectl.store.postgres.record import Recording
from queuectl.store.postgres.relay import PostgresRelay
from queuectl.store.postgres.schema import empty, find_identity
from queuectl.store.shared import rows
from queuectl.store.shared.ledger import Ledger
from queuectl.store.shared.recording import loss_taken_back

FOLD_FROM = 2000
"""Rows of counts that somebody who reads them folds."""
PEOPLE_LOCK_TIMEOUT_S = 10.0
TRANSACTION_MAX = 2
"""A transaction of somebody with little patience may take so many times as long as an answer."""


class PostgresStore(Recording, Inserting, Ledger):
    """A `Store` (see store/port.py) in a schema of a PostgreSQL database. One object, one thread."""

    _dialect = POSTGRES

    def __init__(
        self, url: str, below: Path, clock: Clock | None = None, lock_timeout_s: float = PEOPLE_LOCK_TIMEOUT_S,
        make: bool = True,
    ) -> None:  # fmt: skip
        """`below` is where this machine keeps the folders of stores. `clock` stands in for the server's, in tests.
        Without `make`, tables that are missing are a `StoreUnavailable`."""
        super().__init__(parse_address(url), clock, lock_timeout_s, make)
        self.address, self.url = self._address.given, self._address.shown
        self.access = access(self._address)
        self.watch: str | None = None
        self.leases = True
        self.defaults: Mapping[str, str] = {"env-capture": ""}  # another machine's PATH is no help
        self._below = below
        self._listener = Listener(self._address, self._channel, self._me)
        self.relay: OutputRelay | None = PostgresRelay(self)

    @property
    def folder(self) -> Path:
        """A copy of a store, which has the same id, has a folder of its own."""
        store_id, home, is_copy = self._identity
        return self._below / "-".join([store_id, *([home.replace("/", "-")] if is_copy else []), os.uname().nodename])

    @property
    def wake_handle(self) -> int:
        return self._listener.handle

    def close(self) -> None:
        self._line.close()
        self._listener.close()

    def wait_at_most(self, seconds: float, answer_s: float = ANSWER_WITHIN_S) -> None:
        self._lock_timeout_s = seconds
        self._line.answer_within_s = seconds + answer_s
        self._listener.answer_within_s = answer_s
        self._transaction_max_s = TRANSACTION_MAX * (seconds + answer_s)  # frozen, it must not hold locks for ever
        self._greet()

    def moved_to(self) -> str | None:
        """Where this store's jobs are now, if they were moved."""
        found = self._select("SELECT value FROM {schema}.meta WHERE name = 'moved to'")
        return str(found[0][0]) if found else None

    def guard(self) -> None:
        pass  # nobody but the server can write its files

    def replaced(self) -> str:
        try:
            here = find_identity(self._line, self._address)
            is_other = here.store_id != self._identity.store_id or not is_same(here.home, self._identity.home)
        except QueuectlError:
            return ""  # away, for all we know; who wants to use it learns why
        return REPLACED if is_other else ""

    def health(self) -> Health:
        """What the server says about itself."""
        return health(self._line, self._address)

    def reset(self) -> None:
        """Removes everything. The emptied store is another one: workers of the old one see that it was replaced."""
        empty(self._line, self._address)

    def changed(self) -> bool:
        return self._listener.heard()

    # --- jobs, for people -------------------------------------------------------------------

    def get(self, ref: str) -> Job:
        return rows.only_one(ref, lambda condition, values: self._jobs(f"WHERE {condition}", values), "%s")

    def find(
        self, selector: Selector, *, limit: int | None = None, newest_first: bool = False, after_seq: int | None = None
    ) -> list[Job]:
        rest, values = rows.page(
            selector, "{schema}.jobs", POSTGRES, limit=limit, newest_first=newest_first, after_seq=after_seq
        )
        return self._jobs(rest, values)

    def count(self, selector: Selector) -> int:
        condition, values = rows.where(selector, POSTGRES)
        return int(self._select(f"SELECT count(*) FROM {{schema}}.jobs WHERE {condition}", values)[0][0])

    def change(self, ids: Sequence[str], event: Event, who: str | None) -> list[Job | QueuectlError]:
        now = self.now()
        changed: list[tuple[Job, Job]] = []

        def one(job: Job) -> Job:
            changed.append((job, apply(job, event, now)))
            return changed[-1][1]

        with self.transaction():
            results = self._each(ids, one)
            if changed:
                self._write(changed, now)
                self._count(changed)
            self.send("note", now=now, kind=type(event).__name__, who=who, seqs=[job.seq for job, _ in changed])
            self._tell = True
        return results

    def delete(self, ids: Sequence[str]) -> list[Job | QueuectlError]:
        deleted: dict[int, Job] = {}

        def one(job: Job) -> Job:
            if job.state is JobState.PROCESSING:
                raise Conflict(f"job {job.id} is running", "cancel it first, or use --force")
            if job.seq in deleted:
                raise NotFound(f"no job {job.id}", "it has just been deleted")
            return deleted.setdefault(job.seq, job)

        with self.transaction():
            results = self._each(ids, one)
            self._remove(list(deleted))
            self._counted.subtract((job.queue, job.state.value) for job in deleted.values())
        return results

    def _each(self, refs: Sequence[str], one: Any) -> list[Job | QueuectlError]:
        """What `one` makes of each job, or why there is nothing. All are locked, in one order for everybody."""
        locked = self._jobs("WHERE id = ANY (%s) ORDER BY seq FOR UPDATE", [[ref for ref in refs if "\0" not in ref]])
        standing = {job.id: job for job in locked}
        results: list[Job | QueuectlError] = []
        for ref in refs:
            try:
                job = standing.get(ref) or self._locked(self.get(ref), standing)
                standing[job.id] = one(job)
                results.append(standing[job.id])
            except (Conflict, NotFound, Invalid) as error:
                results.append(error)
        return results

    def _locked(self, job: Job, standing: dict[str, Job]) -> Job:
        """The job that a prefix means, once it is locked."""
        if job.id in standing:
            return standing[job.id]
        found = self._jobs("WHERE seq = %s FOR UPDATE", [job.seq])
        if not found:
            raise NotFound(f"no job {job.id}", "it has just been deleted")
        return found[0]

    def _remove(self, seqs: Sequence[int]) -> None:
        """Removes jobs with all that only they needed."""
        schema = f'"{self._address.schema}"'
        for table in ("followers", "pieces", "outputs", "attempts", "events"):
            self._line.execute(f"DELETE FROM {schema}.{table} WHERE job = ANY (%s)", [list(seqs)])
        gone = self._line.execute(f"DELETE FROM {schema}.jobs WHERE seq = ANY (%s) RETURNING spec", [list(seqs)])
        if left := Counter(spec for (spec,) in gone.fetchall()):
            self._send_rows("use_specs", [(spec, -jobs) for spec, jobs in left.items()])
            idle = [spec for (spec,) in self.send("idle_specs", specs=list(left)).fetchall()]
            self.send("fold_uses", specs=idle)
            self.send("forget_specs", specs=idle)

    def counts(self) -> dict[tuple[str, JobState], int]:
        found = self._select(
            "SELECT queue, state, sum(jobs)::bigint, count(*) FROM {schema}.counts GROUP BY queue, state ORDER BY queue"
        )
        if not self._depth and sum(rows_ for *_, rows_ in found) > FOLD_FROM:
            self.fold_counts()
        return {(queue, JobState(state)): jobs for queue, state, jobs, _ in found if jobs > 0}

    def backlog(self, retries: int) -> Backlog:
        due = [*self.read("oldest_ready")[0], self.next_due()]
        waiting = [at for at in due if at is not None and at <= self.now()]
        next_retries = self._made(self.read("next_retries", limit=retries))
        return Backlog(oldest_due=min(waiting, default=None), next_retries=next_retries)

    def ahead(self, job: Job, most: int, queues: Sequence[str] = ()) -> int:
        at = {"priority": job.priority, "due_at": job.due_at, "seq": job.seq, "most": most}
        return min(most, int(self.read("ahead", **at, queues=list(queues or [job.queue]))[0][0]))

    def attempts(self, job: Job) -> list[Attempt]:
        text = f"SELECT {rows.ATTEMPT_COLUMNS} FROM {{schema}}.attempts WHERE job = %s ORDER BY number"
        return [rows.attempt_from_row(row) for row in self._select(text, [job.seq])]

    def outputs(self, job: Job, number: int) -> list[Output]:
        text = f"SELECT {rows.OUTPUT_COLUMNS} FROM {{schema}}.outputs WHERE job = %s AND number = %s ORDER BY stream"
        return [rows.output_from_row(row) for row in self._select(text, [job.seq, number])]

    def notes(self, job: Job) -> list[Note]:
        found = self._select("SELECT at, kind, who FROM {schema}.events WHERE job = %s ORDER BY id", [job.seq])
        return [Note(at=at, kind=kind, who=who) for at, kind, who in found]

    def prune(self, selector: Selector, limit: int) -> int:
        states = tuple(state for state in selector.states or FINISHED if state in FINISHED)
        if not states:
            return 0
        condition, values = rows.where(selector._replace(states=states), POSTGRES)
        with self.transaction():
            text = f"SELECT seq, queue, state FROM {{schema}}.jobs WHERE {condition} ORDER BY seq LIMIT %s"
            found = self._select(f"{text} FOR UPDATE SKIP LOCKED", [*values, limit])
            if found:
                self._remove([seq for seq, *_ in found])
                self._counted.subtract((queue, state) for _, queue, state in found)
        return len(found)

    # --- settings ---------------------------------------------------------------------------

    def config(self) -> dict[str, str]:
        return dict(self._select("SELECT name, value FROM {schema}.config"))

    def set_config(self, name: str, value: str | None) -> None:
        table = f'"{self._address.schema}".config'
        with self.transaction():
            self._line.execute(f"DELETE FROM {table} WHERE name = %s", [name])
            if value is not None:
                self._line.execute(f"INSERT INTO {table} VALUES (%s, %s)", [name, value])
            self._tell = True

    # --- workers ----------------------------------------------------------------------------

    def register(self, row: WorkerRow, lease_s: float = LEASE_S) -> None:
        with self.transaction():
            values = {**row._asdict(), "home": self._identity.home, "queues": json.dumps(row.queues)}
            self.send("register", **values, lease_s=lease_s)

    def deregister(self, grip: Grip) -> None:
        with self.transaction():
            self._check(grip)
            text = "SELECT 1 FROM {schema}.jobs WHERE worker = %s AND state = 'processing' LIMIT 1"
            if self._select(text, [grip.worker]):
                raise Conflict(f"worker {grip.worker} still holds jobs")
            self._line.execute(f'DELETE FROM "{self._address.schema}".workers WHERE id = %s', [grip.worker])

    def workers(self) -> list[WorkerRow]:
        names = WorkerRow._fields
        found = self._select(f"SELECT {', '.join(names)} FROM {{schema}}.workers ORDER BY started_at, id")
        made = (WorkerRow(*row) for row in found)
        return [row._replace(queues=tuple(json.loads(str(row.queues)))) for row in made]

    def is_at_home(self, row: WorkerRow) -> bool:
        return is_same(row.home, self._identity.home)

    def alive(self, row: WorkerRow) -> bool:
        if not self.is_at_home(row):
            return False
        folder = supervisor_folder(self.folder, row.id)
        sign = lives(folder, row) if folder.exists() else None  # without it, nobody here can ask: the lease counts
        return bool(self.read("unexpired", worker=row.id)) if sign is None else sign

    def seen(self, ids: Sequence[str]) -> dict[str, float]:
        ttl_s = Settings(self.config(), self.defaults)["lease-ttl"]
        return {worker: expires_at - ttl_s for worker, expires_at in self.read("expiries", workers=list(ids))}

    def holds(self, grip: Grip) -> bool:
        found = self._select("SELECT 1 FROM {schema}.workers WHERE id = %s AND epoch = %s", grip)
        return bool(found)

    def adopt(
        self, row: WorkerRow, dispatcher: int, lease_s: float = LEASE_S, only_expired: bool = False
    ) -> Grip | None:
        terms = {"worker": row.id, "epoch": row.epoch, "dispatcher": dispatcher, "lease_s": lease_s}
        try:
            with self.transaction():
                taken = self.send("adopt", **terms, only_expired=only_expired).fetchone()
        except StoreBusy:
            self.read("end_frozen", after_s=self._transaction_max_s or PEOPLE_LOCK_TIMEOUT_S)
            raise
        return Grip(worker=row.id, epoch=row.epoch + 1) if taken else None

    def renew(self, grips: Sequence[Grip], lease_s: float) -> None:
        workers, epochs = [grip.worker for grip in grips], [grip.epoch for grip in grips]
        with self.transaction():
            asked_at = boottime()
            renewed = self.send("renew", workers=workers, epochs=epochs, lease_s=lease_s).fetchall()
            if gone := set(workers).difference(worker for worker, _ in renewed):
                raise Superseded(f"worker {min(gone)} is driven by another process now")
            self._set_clock(renewed[0][1], asked_at)

    def request_stop(self, ids: Sequence[str], how: str) -> None:
        for worker in ids:  # one at a time: who holds several locks may wait for one who waits for it
            with self.transaction():
                self._line.execute(
                    f'UPDATE "{self._address.schema}".workers SET stop = %s WHERE id = %s', [how, worker]
                )
                self._tell = True

    def stop_requests(self, ids: Sequence[str]) -> dict[str, str]:
        text = "SELECT id, stop FROM {schema}.workers WHERE stop IS NOT NULL AND id = ANY (%s)"
        return dict(self._select(text, [list(ids)]))

    def take_back_losses(self, worker: str, stopped: Mapping[tuple[int, int], float]) -> list[Job]:
        now, taken_back = self.now(), []
        with self.transaction():
            for (seq, lease), ended_at in sorted(stopped.items()):
                for job in self._jobs("WHERE seq = %s FOR UPDATE", [seq]):
                    if found := loss_taken_back(job, self.attempts(job), worker, lease, ended_at, now):
                        after, attempt = found
                        self._write([(job, after)], now)
                        self._send_rows("break_attempt", [attempt])
                        taken_back.append(after)
        return taken_back

    def running(self, worker: str) -> list[Job]:
        return self._jobs("WHERE worker = %s AND state = 'processing' ORDER BY seq", [worker])

    def wishes(self, worker: str) -> list[int]:
        return [seq for (seq,) in self.read("wishes", worker=worker)]

    def has_work(self, queues: Sequence[str]) -> bool:
        return bool(self.read("has_work", queues=list(queues) or None))

    def next_due(self) -> float | None:
        due: float | None = self.read("next_due")[0][0]
        return due
