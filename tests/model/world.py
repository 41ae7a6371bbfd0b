"""One simulated run: workers, people and faults at a machine, from one seed.

Real are `Dispatcher`, `Crew`, `Reaper`, `Link`, `Pace` and `SqliteStore`; simulated are time (timeline.py), processes
and sockets (machine.py, supervisor.py, channel.py) and the moments at which they are struck (struck.py). A run is a
while of work under faults, then quiet: all faults stop, one healthy worker has to bring everything to an end, all
workers stop, and the history is judged (verdict.py).
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from queuectl import events
from queuectl.domain.errors import OperationFailed, StoreUnavailable
from queuectl.domain.job import CLAIMABLE
from queuectl.domain.selector import Selector
from queuectl.engine.crew import Options
from queuectl.engine.dispatcher import Dispatcher
from queuectl.engine.supervisor import HELLO_WITHIN_S
from queuectl.engine.wakeup import Wakeup
from queuectl.store.port import Superseded
from queuectl.store.sqlite import SqliteStore
from tests.model.machine import Machine
from tests.model.people import People
from tests.model.plan import Plan
from tests.model.struck import Killed, Process, SimHost, SimStore, Weather
from tests.model.timeline import Timeline, Violation
from tests.model.verdict import History

WORKERS_MAX = 3
LEASE_TTL_S = 2
PATIENCE_S = 20.0
QUIET_WITHIN_S = 60.0
STOPPED_WITHIN_S = 60.0
ASLEEP_AT_ONCE_MAX = 2
BUSY_S = 0.0005
"""What a step and a commit take at least."""


@dataclass(eq=False)
class SimWorker:
    """One `worker start`: a process with its dispatcher and its store connection."""

    process: Process
    options: Options
    store: SimStore
    dispatcher: Dispatcher
    exit_code: int | None = None
    busy: bool = False
    asleep: bool = False
    wake_at: float | None = None


class World:
    """One run. `run` raises `Violation`."""

    def __init__(self, seed: int, folder: Path, tell: Callable[[str], None] | None = None) -> None:
        self._chance = random.Random(seed)
        self._plan = Plan.draw(self._chance)
        self._tell = tell
        self._time = Timeline()
        self._history = History(self._say)
        self._machine = Machine(self._time, self._chance, self._history, self._delay)
        self._machine.kill_parent = self._kill_parent
        self._machine.is_awake = self._is_awake
        self._machine.is_dispatcher = lambda pid: any(each.process.pid == pid for each in self._living())
        self._weather = Weather()
        self._weather.fails_at_commit = lambda: self._happens(self._plan.fails_at_commit)
        self._weather.loses_answer = lambda: self._happens(self._plan.loses_answers)
        self._path = _fresh_store(folder)
        self._store = self._open(None)
        self._people = People(self._store, self._time, self._chance, self._history)
        self._workers: list[SimWorker] = []
        self._made = 0
        self._asleep = 0
        self._spoilt_at = 0.0
        self._calm_at = self._time.monotonic() + self._plan.lasts_s

    def _say(self, text: str, *values: object) -> None:
        if self._tell is not None:
            self._tell(f"{self._time.monotonic() - 1000:9.4f} {text % values}")

    # --- chance -----------------------------------------------------------------------------

    @property
    def _is_calm(self) -> bool:
        return self._time.monotonic() >= self._calm_at

    def _happens(self, probability: float) -> bool:
        return probability > 0 and not self._is_calm and self._chance.random() < probability

    def _delay(self) -> float:
        return 0.0001 if self._is_calm else self._chance.uniform(0.0001, self._plan.delay_max_s)

    def _strike(self, process: Process, where: str) -> None:
        """What befalls a process between two calls."""
        if self._happens(self._plan.killed_at_a_point):
            self._kill(process, where)
        elif self._asleep < ASLEEP_AT_ONCE_MAX and self._happens(self._plan.asleep_at_a_point):
            nap_s = self._plan.nap_s(self._chance)
            self._say("%s sleeps for %.3f s %s", process.name, nap_s, where)
            self._asleep += 1
            self._time.run_until(self._time.monotonic() + nap_s)
            self._asleep -= 1
            process.awake_since = self._time.monotonic()

    # --- a run ------------------------------------------------------------------------------

    def run(self) -> None:
        self._say("%s", self._plan)
        try:
            for _ in range(self._chance.randint(1, 2)):
                self._start_worker()
            self._again(self._people.act, self._plan.acts_a_second)
            self._again(self._fault, self._plan.faults_a_second)
            self._time.run_until(self._calm_at)
            self._say("all faults stop")
            self._become_calm()
            self._wait_until_quiet()
            self._stop_all()
            self._history.judge(self._store)
        finally:
            for worker in self._workers:
                worker.store.close()
            self._store.close()

    def _again(self, action: Callable[[], None], a_second: float) -> None:
        def happen() -> None:
            if not self._is_calm:
                action()
                self._time.later(self._chance.expovariate(a_second), happen)

        self._time.later(self._chance.expovariate(4 * a_second), happen)

    def _become_calm(self) -> None:
        self._weather.locked = self._weather.away = False
        self._spoilt_at = self._time.monotonic()
        for worker in self._living():
            self._thaw(worker)
            self._wake(worker)
            if self._chance.random() < 0.5:
                self._kill(worker.process, "in the end")
        for supervisor in self._machine.supervisors.values():
            if self._chance.random() < 0.5:
                supervisor.thaw()
        self._start_worker()

    def _wait_until_quiet(self) -> None:
        patience = self._time.monotonic() + PATIENCE_S
        deadline = patience + QUIET_WITHIN_S
        while waiting := self._unsettled():
            if not self._living():
                self._start_worker()
            if patience < self._time.monotonic():
                self._people.cancel_the_rest()
                patience = deadline
            if self._time.monotonic() > deadline:
                raise Violation(f"one healthy worker does not bring it to an end: {', '.join(waiting)}")
            self._time.run_until(self._time.monotonic() + 0.5)
        self._time.run_until(self._time.monotonic() + HELLO_WITHIN_S + 5)
        self._check_workers()

    def _unsettled(self) -> list[str]:
        jobs = self._store.find(Selector())
        return [
            f"{job.id} is {job.state} under {job.worker}" for job in jobs
            if not (job.finished or (job.held and job.state in CLAIMABLE))
        ]  # fmt: skip

    def _check_workers(self) -> None:
        """Who lives serves with all its slots; who is dead is forgotten."""
        rows = self._store.workers()
        for row in rows:
            if not self._machine.is_alive(row.id):
                raise Violation(f"{row.id} is dead and still listed")
        for worker in self._living():
            slots = sum(row.slots for row in rows if row.name == worker.options.name)
            if slots != worker.options.slots and not any(row.stop for row in rows):
                raise Violation(f"{worker.process.name} was started with {worker.options.slots} slots and has {slots}")

    def _stop_all(self) -> None:
        self._say("all workers are stopped")
        for supervisor in self._machine.supervisors.values():
            supervisor.thaw()
        self._people.request_stop("graceful")
        deadline = self._time.monotonic() + STOPPED_WITHIN_S
        while self._living():
            if self._time.monotonic() > deadline:
                raise Violation(f"{[worker.process.name for worker in self._living()]} do not stop")
            self._time.run_until(self._time.monotonic() + 0.5)
        self._time.run_until(self._time.monotonic() + 15)
        alive = [each.id for each in self._machine.supervisors.values() if each.alive]
        left = [*alive, *self._machine.folders, *(row.id for row in self._store.workers())]
        if left:
            raise Violation(f"left behind: {', '.join(sorted(set(left)))}")

    # --- workers ----------------------------------------------------------------------------

    def _living(self) -> list[SimWorker]:
        return [worker for worker in self._workers if worker.process.alive]

    def _open(self, process: Process | None) -> SimStore:
        return SimStore(
            self._path, self._time, self._machine, self._weather, process, self._committed, self._check_taken
        )

    def _start_worker(self) -> None:
        self._made += 1
        slots = self._chance.randint(1, 4)
        options = Options(
            name=f"w{self._made}", slots=slots, supervisors=min(slots, self._chance.randint(1, 2)), version="1",
            queues=self._chance.choice(((), (), ("default", "slow"))), poll=self._chance.choice((0.5, 5.0)),
            drain=not self._is_calm and self._chance.random() < 0.1,
            stop_timeout=self._chance.choice((None, 0.5)),
        )  # fmt: skip
        process = Process(self._machine.new_pid(), options.name, self._strike)
        self._say("%s starts with %d slots, %d supervisors", process.name, slots, options.supervisors)
        try:
            store = self._open(process)
        except (StoreUnavailable, Killed):
            process.die()
            return
        host = SimHost(self._machine, process, lambda: self._wake(worker), store.folder)

        def observe(*happened: events.Happening) -> None:
            for each in happened:
                self._say("%s tells %s", process.name, type(each).__name__)

        try:
            dispatcher = Dispatcher(store, options, self._time, host, Wakeup(None), observe)
        except (StoreUnavailable, Killed):
            process.die()
            store.close()
            return
        worker = SimWorker(process, options, store, dispatcher)
        self._workers.append(worker)
        self._attempt(worker, dispatcher.start)

    def _wake(self, worker: SimWorker, delay_s: float = 0.0) -> None:
        """Has a worker step after that long, or when it was to step anyway, if that is sooner."""
        at = self._time.monotonic() + max(delay_s, BUSY_S)
        if worker.wake_at is None or at < worker.wake_at:
            worker.wake_at = at
            self._time.later(at - self._time.monotonic(), lambda: self._step(worker, at))

    def _step(self, worker: SimWorker, at: float) -> None:
        if worker.wake_at != at:
            return
        worker.wake_at = None
        if worker.asleep or worker.busy or not worker.process.alive:
            return  # it is woken when it goes on
        self._attempt(worker, worker.dispatcher.step)

    def _attempt(self, worker: SimWorker, action: Callable[[], float | None]) -> None:
        """Runs what a dispatcher does, with all that can befall it."""
        pause_s = None
        worker.busy = True
        try:
            pause_s = action()
        except Killed:
            worker.store.close()
            return
        except (StoreUnavailable, OperationFailed):
            if action == worker.dispatcher.step:
                raise
            self._end(worker)
            return
        finally:
            worker.busy = False
            worker.wake_at = None
        if worker.dispatcher.exit_code is None:
            if worker.store.unsynced:
                raise Violation(f"{worker.process.name} sleeps on a commit that a power cut would undo")
            if worker.process.refused:
                raise Violation(f"{worker.process.name} was refused by the store, and goes on")
            self._wake(worker, pause_s or 0.0)
        else:
            self._end(worker)

    def _end(self, worker: SimWorker) -> None:
        """A worker leaves by itself."""
        worker.exit_code = worker.dispatcher.exit_code
        self._say("%s exits with %s", worker.process.name, worker.exit_code)
        if worker.exit_code == Superseded.exit_code:
            self._check_deposed(worker)
        try:
            worker.dispatcher.close()
        except Killed:
            pass
        worker.process.die()
        worker.store.close()

    def _check_taken(self, by: Process, supervisor_id: str) -> None:
        """A supervisor is only taken from a worker that is dead, or has been silent for long, be it to settle it."""
        supervisor = self._machine.supervisors[supervisor_id]
        lately = self._time.monotonic() - LEASE_TTL_S
        if by.awake_since > lately:
            return  # what it knew then was right
        if supervisor.alive and (supervisor.frozen or supervisor.thawed_at > lately):
            return
        if not supervisor.alive and not self._can_settle_since(lately):
            return
        for worker in self._living():
            is_well = not worker.busy and not worker.asleep and worker.process.awake_since < lately
            if is_well and worker.process is not by and supervisor.driver in worker.process.channels:
                raise Violation(f"{by.name} takes {supervisor_id} from {worker.process.name}, which is well")

    def _can_settle_since(self, moment: float) -> bool:
        """Whether nothing has kept a dispatcher from settling its dead supervisor since then."""
        has_failed = self._plan.fails_at_commit or self._plan.loses_answers
        return self._spoilt_at < moment and not (self._weather.locked or self._weather.away or has_failed)

    def _check_deposed(self, worker: SimWorker) -> None:
        """Only another one makes a worker give up."""
        mine = {*worker.process.children, *worker.process.driven}
        others = [other.process for other in self._workers if other is not worker]
        if mine.isdisjoint(taken for other in others for taken in other.adopted):
            raise Violation(f"{worker.process.name} gave up its supervisors, but nobody took them")

    def _kill(self, process: Process, where: str) -> None:
        self._say("%s is killed %s", process.name, where)
        process.die()
        for worker in self._workers:
            if worker.process is process:
                worker.store.abandon()
                if not worker.busy:
                    worker.store.close()

    def _kill_parent(self, worker: str) -> None:
        for each in self._living():
            if worker in each.process.children:
                self._kill(each.process, "by a command")

    def _is_awake(self, pid: int) -> bool:
        return any(worker.process.pid == pid and not worker.asleep for worker in self._living())

    def _committed(self, by: SimStore) -> None:
        """The system wakes whoever watches the store."""
        for worker in self._workers:
            if worker.process.alive and worker.store is not by and not self._plan.is_deaf:
                self._wake(worker, self._chance.uniform(0.0005, 0.003))

    # --- faults -----------------------------------------------------------------------------

    def _fault(self) -> None:
        fault = self._chance.choice(self._plan.faults)
        workers = self._living()
        supervisors = [each for each in self._machine.supervisors.values() if each.alive]
        match fault:
            case "kill a dispatcher" if workers:
                self._kill(self._chance.choice(workers).process, "from outside")
            case "freeze a dispatcher" if workers:
                self._freeze_worker(self._chance.choice(workers))
            case "kill a supervisor" if supervisors:
                self._chance.choice(supervisors).die("killed")
            case "freeze a supervisor" if supervisors:
                supervisor = self._chance.choice(supervisors)
                self._say("%s freezes", supervisor.id)
                supervisor.freeze()
                self._time.later(self._plan.nap_s(self._chance), supervisor.thaw)
            case "lock the store" | "take the store away":
                self._spoil("locked" if fault == "lock the store" else "away")
            case "set the clock":
                self._time.jump(self._chance.choice((-3600.0, -2.0, 0.5, 30.0, 3600.0)))
            case "start a worker" if len(workers) < WORKERS_MAX:
                self._start_worker()
            case "stop a worker" if workers:
                self._people.ask_to_stop(self._chance.choice(workers).options.name)

    def _freeze_worker(self, worker: SimWorker) -> None:
        self._say("%s is frozen", worker.process.name)
        worker.asleep = True
        self._time.later(self._plan.nap_s(self._chance), lambda: self._thaw(worker))

    def _thaw(self, worker: SimWorker) -> None:
        if worker.process.alive and worker.asleep:
            self._say("%s goes on", worker.process.name)
            worker.asleep = False
            worker.process.awake_since = self._time.monotonic()
            worker.wake_at = None
            self._wake(worker)

    def _spoil(self, how: str) -> None:
        self._say("the store is %s", how)
        setattr(self._weather, how, True)
        self._time.later(self._plan.nap_s(self._chance), lambda: self._clear_up(how))

    def _clear_up(self, how: str) -> None:
        setattr(self._weather, how, False)
        self._spoilt_at = self._time.monotonic()


@cache
def _template() -> bytes:
    """An empty store."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "queuectl.db"
        store = SqliteStore(path)
        store.set_config("lease-ttl", f"{LEASE_TTL_S}s")
        store.close()
        return path.read_bytes()


def _fresh_store(folder: Path) -> Path:
    path = folder / "queuectl.db"
    path.write_bytes(_template())
    path.chmod(0o600)
    return path
