"""The PostgreSQL store: one schema of a database, workers on any number of machines.

A supervisor of this machine lives while it holds the lock on its lock file, as everywhere; for others a lease in its
row counts, by the server's clock. Rows are locked by whoever is about to replace them: first workers, then schedules,
unique keys, jobs in the order of `seq`, the gates, and then batches, so that two transactions wait for each other only
by accident (docs/decisions/0204).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from queuectl.clock import Clock, boottime
from queuectl.domain.errors import QueuectlError, StoreBusy
from queuectl.domain.job import HOOKS, JobState
from queuectl.settings import Settings
from queuectl.store.identity import is_same
from queuectl.store.liveness import lives, supervisor_folder
from queuectl.store.port import OutputRelay
from queuectl.store.postgres.address import access, parse_address
from queuectl.store.postgres.errors import translated
from queuectl.store.postgres.health import Health, health
from queuectl.store.postgres.insert import Inserting
from queuectl.store.postgres.listener import Listener
from queuectl.store.postgres.record import Recording
from queuectl.store.postgres.relay import PostgresRelay
from queuectl.store.postgres.schema import Identity, empty, find_identity
from queuectl.store.shared.alerts import Alerts
from queuectl.store.shared.batches import Batches
from queuectl.store.shared.history import History
from queuectl.store.shared.tokens import Tokens
from queuectl.store.values import ANSWER_WITHIN_S, LEASE_S, REPLACED, Grip, Heard, Renewed, Superseded, WorkerRow

FOLD_FROM = 2000
"""A reader of more rows of counts folds them."""
PEOPLE_LOCK_TIMEOUT_S = 10.0
TRANSACTION_MAX = 2
"""The time limit of a worker's transaction, as a multiple of that of an answer."""


class PostgresStore(Recording, Inserting, Batches, History, Tokens, Alerts):
    """A `Store` (see store/port.py) in a schema of a PostgreSQL database. One object, one thread."""

    def __init__(
        self, url: str, below: Path, clock: Clock | None = None, lock_timeout_s: float = PEOPLE_LOCK_TIMEOUT_S,
        make: bool = True,
    ) -> None:  # fmt: skip
        """`below` is where this machine keeps the folders of stores. In tests, `clock` replaces the server's clock.

        Without `make`, missing tables raise `StoreUnavailable`.
        """
        self._below = below
        self._known_on = 0
        """Over which connection `replaced` has last looked."""
        super().__init__(parse_address(url), clock, lock_timeout_s, make)
        self.address, self.url = self._address.given, self._address.shown
        self.access = access(self._address)
        self.watch: str | None = None
        self.shared_by_machines = True
        self.defaults: Mapping[str, str] = {"env-capture": ""}  # another machine's PATH does not help
        self._listener = Listener(self._address, self._channel, self._me)
        self.relay: OutputRelay | None = PostgresRelay(self)

    def _meet(self, identity: Identity) -> None:
        """A copy of a store, which has the same id, has a folder of its own."""
        super()._meet(identity)
        copied = [identity.home.replace("/", "-")] if identity.is_copy else []
        self.folder = self._below / "-".join([identity.store_id, *copied, os.uname().nodename])

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
        self._transaction_max_s = TRANSACTION_MAX * (seconds + answer_s)  # a frozen process must not keep locks forever
        self._greet()

    def save_memory(self) -> None:
        pass  # the server keeps what was read

    def guard(self) -> None:
        pass  # nobody but the server can write its files

    def replaced(self) -> str:
        try:
            here = find_identity(self._line, self._address)
            self._known_on = self._line.opened
            is_other = here.store_id != self._identity.store_id or not is_same(here.home, self._identity.home)
        except QueuectlError:
            return ""  # the server may be away; the next use tells why
        return REPLACED if is_other else ""

    def health(self) -> Health:
        """What the server says about itself."""
        return health(self._line, self._address)

    def reset(self) -> None:
        """Removes everything. The emptied store is a new one: workers of the old one see that it was replaced."""
        empty(self._line, self._address)

    def changed(self) -> Heard | None:
        heard = self._listener.heard()
        if heard and heard.more:
            self._limited = None
        return heard

    def has_changed(self) -> bool:
        return True

    def _remove(self, seqs: Sequence[int]) -> None:
        """Others may be adding jobs with the same specs, so uses are counted and only idle specs are removed."""
        self._leave(seqs)
        for table in ("followers", "pieces", "outputs", "attempts", "events"):
            self._execute(f"DELETE FROM {{schema}}.{table} WHERE job = ANY (?)", [list(seqs)])
        gone = self._select("DELETE FROM {schema}.jobs WHERE seq = ANY (?) RETURNING spec", [list(seqs)])
        if left := Counter(spec for (spec,) in gone):
            self._exchange_specs(Counter(), left)

    def _exchange_specs(self, come: Counter[int], gone: Counter[int]) -> None:
        uses = [*come.items(), *((spec, -jobs) for spec, jobs in gone.items())]
        self._send_rows("use_specs", uses)
        idle = [spec for (spec,) in self.send("idle_specs", specs=list(gone)).fetchall()]
        self.send("fold_uses", specs=idle)
        self.send("forget_specs", specs=idle)

    def counts(self) -> dict[tuple[str, JobState], int]:
        """Sums up: each transaction adds its own rows, since with shared rows they would wait for each other."""
        found = self._select(
            "SELECT queue, state, sum(jobs)::bigint, count(*) FROM {schema}.counts GROUP BY queue, state ORDER BY queue"
        )
        if not self._depth and not self._behind and sum(rows_ for *_, rows_ in found) > FOLD_FROM:
            self.fold_counts()
        return {(queue, JobState(state)): jobs for queue, state, jobs, _ in found if jobs > 0 and queue != HOOKS}

    def horizon(self) -> tuple[int, int]:
        text = "SELECT pg_snapshot_xmin(now)::text::bigint, pg_snapshot_xmax(now)::text::bigint "
        ((first, last),) = self._select(f"{text} FROM pg_current_snapshot() AS now")
        return first, last

    def _oldest_ready(self) -> list[tuple[str, float]]:
        return [(queue, at) for queue, at in self.read("oldest_ready") if queue != HOOKS]

    # --- workers ----------------------------------------------------------------------------

    def alive(self, row: WorkerRow) -> bool:
        return bool(self.living([row]))

    def living(self, rows: Sequence[WorkerRow]) -> list[WorkerRow]:
        signs = {row.id: self._sign_of(row) for row in rows}
        asked = [worker for worker, sign in signs.items() if sign is None]
        leased = {worker for (worker,) in self.read("unexpired", workers=asked)} if asked else ()
        return [row for row in rows if signs[row.id] or row.id in leased]

    def _sign_of(self, row: WorkerRow) -> bool | None:
        """Whether a supervisor lives; None where only its lease can tell."""
        if not self.is_at_home(row):
            return False
        folder = supervisor_folder(self.folder, row.id)
        return lives(folder, row) if folder.exists() else None

    def suspects(self, machine: str, left: Sequence[str]) -> list[WorkerRow]:
        home, other = self._home(), "home IS DISTINCT FROM ?"
        is_elsewhere, values = (other, [home]) if home else ("false", [])
        condition = f"machine = ? OR id = ANY (?) OR expires_at <= clock_timestamp() OR {is_elsewhere}"
        return self._workers_where(condition, [machine, list(left), *values])

    def seen(self, ids: Sequence[str]) -> dict[str, float]:
        ttl_s = Settings(self.config(), self.defaults)["lease-ttl"]
        return {worker: expires_at - ttl_s for worker, expires_at in self.read("expiries", workers=list(ids))}

    def adopt(
        self, row: WorkerRow, dispatcher: int, lease_s: float = LEASE_S, only_expired: bool = False
    ) -> Grip | None:
        try:
            return super().adopt(row, dispatcher, lease_s, only_expired)
        except StoreBusy:
            self.read("end_frozen", after_s=self._transaction_max_s or PEOPLE_LOCK_TIMEOUT_S)
            raise

    def renew(self, grips: Sequence[Grip], lease_s: float) -> Renewed:
        """Also where a store asks for less durable commits: with a lease that a crash takes back, two machines could
        run one job."""
        self.bring_up_to_date()
        workers, epochs = [grip.worker for grip in grips], [grip.epoch for grip in grips]
        terms = {"workers": workers, "epochs": epochs, "lease_s": lease_s, "now": self.now()}
        asked_at = boottime()
        with translated(self._address):
            query, patience = self._sql["renew"], self._settings["lock_timeout"]
            (found,) = self._line.commit_one(query, {**terms, "lock_timeout": patience})
        count, table, now, config, asked, claimable, scheduled, next_expiry_s, others = found
        if count < len(grips):
            raise Superseded(f"worker {' or '.join(workers)} is driven by another process now")
        self._set_clock(now, asked_at)
        is_same = self._line.opened == self._known_on and self._identity.home.endswith(f"/{table}")
        return Renewed(config or {}, asked, claimable, scheduled, next_expiry_s, 1 + others / count, is_same)
