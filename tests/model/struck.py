"""Processes that faults can strike at every call they make: to the store, to the machine, to a supervisor.

A `Process` is what a dispatcher runs in. Each of its calls comes by `Process.point`, where the simulation may let
it sleep for a while (all others go on meanwhile) or end it for good by raising `Killed`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from queuectl.domain.errors import OperationFailed, StoreBusy, StoreUnavailable
from queuectl.domain.job import Job
from queuectl.engine.channel import Channel
from queuectl.engine.dispatch.host import Host, Launched, Plan
from queuectl.engine.dispatch.link import Flight
from queuectl.engine.dispatch.report import Witness
from queuectl.engine.protocol import End, Key
from queuectl.engine.supervise.capabilities import Lack
from queuectl.store.sqlite.store import SqliteStore
from queuectl.store.values import LEASE_S, Change, Grip, Superseded, WorkerRow
from tests.builders import HOST
from tests.model.channel import SimChannel
from tests.model.machine import Machine
from tests.model.timeline import Timeline
from tests.model.verdict import History


class Killed(BaseException):
    """SIGKILL: this process makes no further call."""


class Process:
    """One dispatcher's process. `strike` decides at each point what happens to it."""

    def __init__(self, pid: int, name: str, strike: Callable[[Process, str], None]) -> None:
        self.pid = pid
        self.name = name
        self.alive = True
        self.channels: list[SimChannel] = []
        self.children: list[str] = []
        self.driven: list[str] = []
        self.adopted: list[str] = []
        self.awake_since = 0.0
        self.refused = False
        """Whether the store has told it that somebody else drives a living supervisor of its."""
        self._strike = strike

    def point(self, where: str) -> None:
        """A moment between two calls. Raises `Killed`."""
        if self.alive:
            self._strike(self, where)
        if not self.alive:
            raise Killed

    def die(self) -> None:
        """What the kernel does for a dead process."""
        self.alive = False
        for channel in self.channels:
            channel.close()


class Weather:
    """How the store is just now for everybody: fine, locked by a stranger, or out of reach."""

    def __init__(self) -> None:
        self.locked = False
        self.away = False
        self.fails_at_commit: Callable[[], bool] = lambda: False
        self.loses_answer: Callable[[], bool] = lambda: False
        """Whether a worker is told of a commit that it failed, as where the connection to a server breaks."""

    def check(self, *, writes: bool) -> None:
        if self.away:
            raise StoreUnavailable("the store cannot be read or written: disk I/O error")
        if writes and self.locked:
            raise StoreBusy("the store is locked by another process")


class SimStore(SqliteStore):
    """The real store on the simulated machine. Without a process it is a person's, whom nothing strikes."""

    def __init__(
        self, path: Path, time: Timeline, machine: Machine, weather: Weather, process: Process | None,
        committed: Callable[[SimStore], None], taken: Callable[[Process, str], None],
    ) -> None:  # fmt: skip
        """`committed` hears of every commit, `taken` of every supervisor that is taken over, be it
        to settle its jobs."""
        self._machine = machine
        self._weather = weather
        self._process = process
        self._committed = committed
        self._took = taken
        self._news: list[Change | Job | Grip] = []
        weather.check(writes=False)
        super().__init__(path, time, busy_timeout_s=0.0)
        self._may_sync = self._synced = False
        self._db.execute("PRAGMA synchronous = OFF")
        self.unsynced = False
        """Whether a power cut could undo a commit."""

    def _point(self, where: str) -> None:
        if self._process is not None:
            self._process.point(where)

    @contextmanager
    def transaction(self, *, synced: bool = True) -> Iterator[None]:
        if self._depth:
            with super().transaction():
                yield
            return
        self._point("before a transaction")
        self._weather.check(writes=True)
        self._news.clear()
        with super().transaction(synced=synced):
            yield
            self._point("before a commit")
            if self._weather.fails_at_commit():
                raise StoreUnavailable("the store cannot grow: the disk is full")
        self.unsynced = bool(self._news) and not synced
        self._tell(self._machine.history)
        self._committed(self)
        self._point("after a commit")
        if self._process is not None and self._weather.loses_answer():
            self.unsynced = False  # only a server's answers get lost, and it syncs every commit
            raise StoreUnavailable("the connection to the store is lost")

    def sync(self) -> None:
        self._point("before a sync")
        self.unsynced = False

    def _tell(self, history: History) -> None:
        for news in self._news:
            if isinstance(news, Change):
                history.recorded(news)
            elif isinstance(news, Job):
                history.claimed(news)
            elif self._process is not None:
                history.adopted(news)
                self._process.adopted.append(news.worker)
                if self._machine.is_alive(news.worker):
                    self._process.driven.append(news.worker)
                self._took(self._process, news.worker)
        self._news.clear()

    def _select(self, text: str, values: Any = ()) -> list[Any]:
        if not self._depth:
            self._point("before a look")
            self._weather.check(writes=False)
        return super()._select(text, values)

    def _check(self, grip: Grip) -> None:
        try:
            super()._check(grip)
        except Superseded:
            process = self._process
            if process is not None and grip.worker in (*process.children, *process.driven):
                is_known = self._db.execute("SELECT 1 FROM workers WHERE id = ?", (grip.worker,)).fetchone()
                process.refused = is_known is not None and self._machine.is_alive(grip.worker)
            raise

    def abandon(self) -> None:
        """Its process was killed: the lock is free at once."""
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def alive(self, row: WorkerRow) -> bool:
        """As the real one: a lock or a process tells, but for a row of another store."""
        return self.is_at_home(row) and self._machine.is_alive(row.id)

    def adopt(
        self, row: WorkerRow, dispatcher: int, lease_s: float = LEASE_S, only_expired: bool = False
    ) -> Grip | None:
        with self.transaction():
            grip = super().adopt(row, dispatcher, lease_s, only_expired)
            if grip is not None:
                self._news.append(grip)
        return grip

    def claim(
        self, grip: Grip, host: str, limit: int, queues: Sequence[str], suspects: int | None = None, losses: int = 1,
        ahead: bool = False, not_queues: Sequence[str] = (),
    ) -> list[Job]:  # fmt: skip
        with self.transaction():
            claimed = super().claim(grip, host, limit, queues, suspects, losses, ahead, not_queues)
            self._news += claimed
        return claimed

    def record(self, grip: Grip, changes: Sequence[Change]) -> list[Job | None]:
        with self.transaction():
            results = super().record(grip, changes)
            self._news += [change for change, after in zip(changes, results, strict=True) if after is not None]
        return results


class SimHost(Host):
    """The machine, for one process."""

    def __init__(self, machine: Machine, process: Process, wake: Callable[[], None], below: Path) -> None:
        self.below = below
        self.name = HOST
        self.machine = machine.id
        self.pid = process.pid
        self._simulated = machine
        self._process = process
        self._wake = wake

    def _connect(self, worker: str) -> SimChannel | None:
        channel = self._simulated.connect(worker, self._wake, lambda: self._process.point("before a message"))
        if channel is not None:
            self._process.channels.append(channel)
        return channel

    def lacks(self) -> list[Lack]:
        return []

    def prepare(self) -> None:
        pass

    def launch(self, plan: Plan) -> Launched:
        self._process.point("before a launch")
        supervisor = self._simulated.start_supervisor(plan)
        self._process.children.append(supervisor.id)
        self._process.point("before the first contact")
        channel = self._connect(supervisor.id)
        if channel is None:
            if not supervisor.alive:
                self._simulated.remove(supervisor.id)
            raise OperationFailed("the supervisor did not start: connection refused")
        return Launched(worker=supervisor.id, pid=supervisor.pid, tag_bits=supervisor.pid, channel=channel)

    def dial(self, worker: str) -> Channel | None:
        self._process.point("before a call")
        return self._connect(worker)

    def has_died(self, pid: int) -> bool:
        return not self._simulated.child(pid).alive

    def kill_child(self, pid: int) -> None:
        self._process.point("before it kills its child")
        supervisor = self._simulated.child(pid)
        if supervisor.alive:
            supervisor.die("killed by its own dispatcher")
        while supervisor.alive:  # until then its parent waits for it
            self._simulated.time.run_until(self._simulated.time.monotonic() + 0.05)
            self._process.point("while it waits for its child")

    def kill(self, row: WorkerRow) -> None:
        self._simulated.kill_frozen(row.id, row.machine)

    def is_awake(self, pid: int) -> bool:
        return self._simulated.is_awake(pid)

    def drive(self, worker: str) -> None:
        self._simulated.drivers[worker] = self._simulated.last_drivers[worker] = self._process

    def let_go(self, worker: str) -> None:
        if self._simulated.drivers.get(worker) is self._process:
            del self._simulated.drivers[worker]

    def is_driven(self, worker: str) -> bool:
        """By a lock, which is free once whoever holds it has ended."""
        return worker in self._simulated.drivers and self._simulated.drivers[worker].alive

    def last_driver(self, worker: str) -> str | None:
        driver = self._simulated.last_drivers.get(worker)
        return None if driver is None else f"{id(driver)}"

    def end_commands(self, row: WorkerRow) -> dict[Key, str]:
        self._process.point("before it ends commands")
        self._simulated.kill_left_by(row.id, lambda: self._process.point("while it ends commands"))
        return {}

    def has_rest(self, row: WorkerRow) -> bool:
        return self.is_driven(row.id) or bool(self._simulated.left_by(row.id))

    def has_restarted(self, row: WorkerRow, one_machine: bool) -> bool:
        return row.machine != self.machine

    def reap_strays(self, but: set[int]) -> None:
        for worker in self._process.children:
            self._simulated.reap_strays(worker)

    def journal(self, worker: str) -> list[End]:
        self._process.point("before it reads a journal")
        return self._simulated.read_journal(worker)

    def testify(self, flights: Iterable[Flight]) -> Witness:
        return self._simulated.testify(flights)

    def left_folders(self) -> list[str]:
        return [worker for worker in sorted(self._simulated.folders) if not self._simulated.is_alive(worker)]

    def has_others(self) -> bool:
        return any(self._simulated.drivers.get(worker) is not self._process for worker in self._simulated.folders)

    def has(self, worker: str) -> bool:
        return True

    def remove(self, worker: str) -> None:
        self._process.point("before it removes a folder")
        self._simulated.remove(worker)
