"""The SQLite store: one file, all workers on one machine.

Leases never expire here. All workers share one kernel, so a supervisor is alive exactly while it holds the lock on
its lock file. A locked, full or missing store ends no command.

Every command opens a store, so what only workers need is imported inside methods.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property

from queuectl.domain.job import HOOKS, Job, JobState
from queuectl.domain.served import Served
from queuectl.store.liveness import is_held, is_this_boot, lives, supervisor_folder
from queuectl.store.passfile import Access
from queuectl.store.shared.alerts import Alerts
from queuectl.store.shared.batches import Batches
from queuectl.store.shared.gated import Gated
from queuectl.store.shared.history import History
from queuectl.store.shared.limits import QUEUE, queue_of
from queuectl.store.shared.rows import ABOVE_ALL
from queuectl.store.shared.tokens import Tokens
from queuectl.store.sqlite.connection import folder_of
from queuectl.store.sqlite.insert import Inserting
from queuectl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from queuectl.clock import Clock
    from queuectl.domain.limits import Queue
    from queuectl.store.port import OutputRelay
    from queuectl.store.values import Change, Grip, WorkerRow

CACHE_KIB = 512
"""Pages kept by a connection that saves memory."""
PEOPLE_BUSY_TIMEOUT_S = 10.0
"""How long a command waits for the write lock. A dispatcher waits far less and tries again in its loop."""


class SqliteStore(Inserting, Batches, History, Tokens, Gated, Alerts):
    """A `Store` (see store/port.py) in one SQLite file. One object, one connection, one thread."""

    def __init__(
        self, path: str | Path, clock: Clock | None = None, busy_timeout_s: float = PEOPLE_BUSY_TIMEOUT_S,
        make: bool = True,
    ) -> None:  # fmt: skip
        """Makes the file if it is missing. Without `make`, uses an empty store in memory instead."""
        super().__init__(path, clock, busy_timeout_s, make)
        self.access = Access(self.address)
        self.watch: str | None = f"{self.path}-wal"
        self.wake_handle, self.shared_by_machines = -1, False
        self.relay: OutputRelay | None = None  # all readers are on this machine and can read the files
        self.defaults: Mapping[str, str] = {}

    @cached_property
    def folder(self) -> Path:
        from pathlib import Path

        return Path(folder_of(self.path))

    def wait_at_most(self, seconds: float, answer_s: float = 0.0) -> None:
        self._db.execute(f"PRAGMA busy_timeout = {round(seconds * 1000)}")

    def save_memory(self) -> None:
        """Each commit of another process empties the cache of pages anyway, and reading them again costs little."""
        self._db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")

    def guard(self) -> None:
        from queuectl.store.sqlite import reserve

        self._guard.begin()
        reserve.keep(str(self.folder))

    def replaced(self) -> str:
        return self._guard.replaced()

    def store_id(self) -> str:
        """The store's random identity, which distinguishes it from another one at the same path."""
        return str(self._select("SELECT value FROM meta WHERE name = 'store_id'")[0][0])

    def integrity(self) -> list[str]:
        """The faults that SQLite's own check finds; empty if there are none. Reads the whole file."""
        return [text for (text,) in self._select("PRAGMA quick_check") if text != "ok"]

    # --- jobs, for people -------------------------------------------------------------------

    def _remove(self, seqs: Sequence[int]) -> None:
        self._leave(seqs)
        among, values = self._dialect.any_of, [self._dialect.array(seqs)]
        for table in ("outputs", "attempts", "events"):
            self._db.execute(f"DELETE FROM {table} WHERE job {among}", values)
        gone = self._db.execute(f"DELETE FROM jobs WHERE seq {among} RETURNING spec", values).fetchall()
        self._forget_specs({spec for (spec,) in gone})

    def _exchange_specs(self, come: Counter[int], gone: Counter[int]) -> None:
        self._forget_specs(set(gone))

    def counts(self) -> dict[tuple[str, JobState], int]:
        found = self._select("SELECT queue, state, jobs FROM counts WHERE jobs > 0 ORDER BY queue")
        return {(queue, JobState(state)): jobs for queue, state, jobs in found if queue != HOOKS}

    def _oldest_ready(self) -> list[tuple[str, float]]:
        """Probes the index once for each priority of each queue. PostgreSQL has one query for it: a lateral join."""
        queues = [queue for (queue,) in self.read("ready_queues") if queue != HOOKS]
        return [(queue, due_at) for queue in queues for due_at in self._lanes(queue)]

    def _lanes(self, queue: str) -> Iterator[float]:
        """Since when the oldest claimable job of each priority of a queue has waited."""
        below = ABOVE_ALL
        while found := self.read("first_of_lane", queue=queue, below=below):
            ((below, due_at),) = found
            yield due_at

    # --- workers ----------------------------------------------------------------------------

    def alive(self, row: WorkerRow) -> bool:
        folder = supervisor_folder(self.folder, row.id)
        if not self.is_at_home(row):
            return bool(is_held(folder))
        sign = lives(folder, row)
        return is_this_boot(row.machine) if sign is None else sign

    def living(self, rows: Sequence[WorkerRow]) -> list[WorkerRow]:
        return [row for row in rows if self.alive(row)]

    def suspects(self, machine: str, left: Sequence[str]) -> list[WorkerRow]:
        return self.workers()

    def seen(self, ids: Sequence[str]) -> dict[str, float]:
        return dict.fromkeys(ids, self.now())  # their locks show that they live

    def renew(self, grips: Sequence[Grip], lease_s: float) -> None:
        return None  # leases never expire on one machine

    def claim(
        self, grip: Grip, host: str, limit: int, queues: Sequence[str], suspects: int | None = None, losses: int = 1,
        ahead: bool = False, not_queues: Sequence[str] = (),
    ) -> list[Job]:  # fmt: skip
        from queuectl.domain.limits import Wanted
        from queuectl.store.sqlite.claim import claim

        wanted = Wanted(limit, limit if suspects is None else suspects, losses, ahead)
        return claim(self, grip, host, wanted, Served(queues, not_queues))

    def record(self, grip: Grip, changes: Sequence[Change]) -> list[Job | None]:
        from queuectl.store.sqlite.record import record

        return record(self, grip, changes)

    def places(self) -> list[tuple[Queue, int]]:
        state = JobState.PROCESSING.value
        running = "(SELECT jobs FROM counts WHERE counts.queue = queues.name AND state = ?)"
        found = self._select(f"SELECT {QUEUE}, {running} FROM queues ORDER BY name", [state])
        queues = [(queue_of(row), jobs or 0) for *row, jobs in found]
        return [(queue, jobs + self._counted[queue.name, state]) for queue, jobs in queues]

    def horizon(self) -> tuple[int, int]:
        return 0, 0  # one transaction after the other

    def _hold_gates(self) -> None:
        pass  # whoever writes has the whole file to himself

    _shut_gates = _shut_gates_late = _hold_gates

    def _turn_batches(self, names: Collection[str], *, joined: bool = False) -> None:
        pass

    def _ask_if_calm(self, batch: str, *, joined: bool = False) -> Callable[[], bool]:
        return lambda: True
