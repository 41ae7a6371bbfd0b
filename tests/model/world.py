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
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from math import inf
from pathlib import Path

from queuectl.domain.errors import OperationFailed, StoreUnavailable
from queuectl.domain.job import CLAIMABLE, Job
from queuectl.domain.selector import Selector
from queuectl.engine import happenings
from queuectl.engine.dispatch.dispatcher import Dispatcher, MustReopen
from queuectl.engine.dispatch.wakeup import Wakeup
from queuectl.engine.supervise.supervisor import HELLO_WITHIN_S
from queuectl.store.sqlite.store import SqliteStore
from queuectl.store.values import Superseded
from queuectl.wire.workers import WorkerOptions
from tests.model.faults import Faults
from tests.model.limited import Limited
from tests.model.machine import Machine
from tests.model.people import People
from tests.model.plan import Plan
from tests.model.struck import Killed, Process, SimHost, SimStore, Weather
from tests.model.timeline import Timeline, Violation
from tests.model.verdict import History

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
    options: WorkerOptions
    store: SimStore
    dispatcher: Dispatcher
    exit_code: int | None = None
    busy: bool = False
    asleep: bool = False
    wake_at: float | None = None
    signals: list[str] = field(default_factory=list)

    def serves(self, queue: str) -> bool:
        wanted = self.options.queues
        return queue in wanted if wanted else queue not in self.options.not_queues

    @property
    def is_well(self) -> bool:
        """Whether it claims what it can."""
        return not (self.asleep or self.options.drain or self.dispatcher._stopping.has_begun)

    def turn(self) -> float:
        """As in `Loop`: signals, and a step."""
        while self.signals:
            self.dispatcher.take_signal(self.signals.pop(0))
        return self.dispatcher.step()


LINES_BREAK_FROM = 1 << 32
"""Connections get lost in runs of these seeds; the runs of lesser ones stay as they were."""


class World:
    """One run. `run` raises `Violation`."""

    def __init__(self, seed: int, folder: Path, tell: Callable[[str], None] | None = None) -> None:
        self.chance = random.Random(seed)
        self.boots = random.Random(f"boots {seed}")
        self.plan = Plan.draw(self.chance)
        lines = random.Random(f"lines {seed}")
        self._line_breaks_a_second = lines.choice((0.0, 0.3, 2.0)) if seed >= LINES_BREAK_FROM else 0.0
        self._tell = tell
        self.time = Timeline()
        self._limits = Limited(seed, self.time, keeps_time="set the clock" not in self.plan.faults)
        self._history = History(self._say, self._limits)
        self.machine = Machine(self.time, self.chance, self._history, self._delay)
        self.machine.kill_parent = self._kill_parent
        self.machine.is_awake = self._is_awake
        self._weather = Weather()
        self._weather.fails_at_commit = lambda: self._happens(self.plan.fails_at_commit)
        self._weather.loses_answer = lambda: self._happens(self.plan.loses_answers)
        self.path = _fresh_store(folder)
        self._store = self._open(None)
        self.people = People(self._store, self.time, self.chance, self._history)
        self._workers: list[SimWorker] = []
        self._made = 0
        self._asleep = 0
        self._spoilt_at = 0.0
        self._calm_at = self.time.monotonic() + self.plan.lasts_s

    def _say(self, text: str, *values: object) -> None:
        if self._tell is not None:
            self._tell(f"{self.time.monotonic() - 1000:9.4f} {text % values}")

    # --- chance -----------------------------------------------------------------------------

    @property
    def _is_calm(self) -> bool:
        return self.time.monotonic() >= self._calm_at

    def _happens(self, probability: float) -> bool:
        return probability > 0 and not self._is_calm and self.chance.random() < probability

    def _delay(self) -> float:
        return 0.0001 if self._is_calm else self.chance.uniform(0.0001, self.plan.delay_max_s)

    def _strike(self, process: Process, where: str) -> None:
        """What befalls a process between two calls."""
        if self._happens(self.plan.killed_at_a_point):
            self.kill(process, where)
        elif self._asleep < ASLEEP_AT_ONCE_MAX and self._happens(self.plan.asleep_at_a_point):
            nap_s = self.plan.nap_s(self.chance)
            self._say("%s sleeps for %.3f s %s", process.name, nap_s, where)
            self._asleep += 1
            process.awake_since = inf
            self.time.run_until(self.time.monotonic() + nap_s)
            self._asleep -= 1
            process.awake_since = self.time.monotonic()

    # --- a run ------------------------------------------------------------------------------

    def run(self) -> None:
        self._say("%s", self.plan)
        try:
            with closing(SqliteStore(self.path, self.time)) as store:  # nothing befalls it yet
                self._limits.prepare(store)
            for _ in range(self.chance.randint(1, 2)):
                self.start_worker()
            self._again(self.people.act, self.plan.acts_a_second)
            faults = Faults(self)
            self._again(faults.happen, self.plan.faults_a_second)
            if self._line_breaks_a_second:
                self._again(faults.break_a_line, self._line_breaks_a_second)
            self.time.run_until(self._calm_at)
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
                self.time.later(self.chance.expovariate(a_second), happen)

        self.time.later(self.chance.expovariate(4 * a_second), happen)

    def _become_calm(self) -> None:
        self._weather.locked = self._weather.away = False
        self._spoilt_at = self.time.monotonic()
        self._limits.pause(self._store, wanted=False)
        for worker in self.living():
            self._thaw(worker)
            self._wake(worker)
            if self.chance.random() < 0.5:
                self.kill(worker.process, "in the end")
        for supervisor in self.machine.supervisors.values():
            if self.chance.random() < 0.5:
                supervisor.thaw()
        self.start_worker()

    def _wait_until_quiet(self) -> None:
        patience = self.time.monotonic() + PATIENCE_S
        deadline = patience + QUIET_WITHIN_S
        while waiting := self._unsettled():
            if not self.living():
                self.start_worker()
            if patience < self.time.monotonic():
                self.people.cancel_the_rest()
                patience = deadline
            self._limits.look(self._store, self._may_start)
            if self.time.monotonic() > deadline:
                raise Violation(f"one healthy worker does not bring it to an end: {', '.join(waiting)}")
            self.time.run_until(self.time.monotonic() + 0.5)
        self.time.run_until(self.time.monotonic() + HELLO_WITHIN_S + 5)
        self._check_workers()

    def _may_start(self, job: Job) -> bool:
        """Whether a worker that goes on has a slot for it, even if all that runs were its own."""
        running = len(self._history.running)
        serving = [each for each in self.living() if each.serves(job.queue)]
        return any(running < each.options.slots and each.is_well for each in serving)

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
            if not self.machine.is_alive(row.id):
                raise Violation(f"{row.id} is dead and still listed")
        for worker in self.living():
            slots = sum(row.slots for row in rows if row.name == worker.options.name)
            if slots != worker.options.slots and not any(row.stop for row in rows):
                raise Violation(f"{worker.process.name} was started with {worker.options.slots} slots and has {slots}")

    def _stop_all(self) -> None:
        self._say("all workers are stopped")
        for supervisor in self.machine.supervisors.values():
            supervisor.thaw()
        self.people.request_stop("graceful")
        deadline = self.time.monotonic() + STOPPED_WITHIN_S
        while self.living():
            if self.time.monotonic() > deadline:
                raise Violation(f"{[worker.process.name for worker in self.living()]} do not stop")
            self.time.run_until(self.time.monotonic() + 0.5)
        self.time.run_until(self.time.monotonic() + 15)
        alive = [each.id for each in self.machine.supervisors.values() if each.alive]
        left = [*alive, *self.machine.folders, *(row.id for row in self._store.workers())]
        if left:
            raise Violation(f"left behind: {', '.join(sorted(set(left)))}")

    # --- workers ----------------------------------------------------------------------------

    def living(self) -> list[SimWorker]:
        """The workers whose dispatcher lives."""
        return [worker for worker in self._workers if worker.process.alive]

    def _open(self, process: Process | None) -> SimStore:
        return SimStore(self.path, self.time, self.machine, self._weather, process, self._committed, self._check_taken)

    def start_worker(self) -> None:
        """As `queuectl worker start`, with options of chance."""
        self._made += 1
        slots = self.chance.randint(1, 4)
        options = WorkerOptions(
            name=f"w{self._made}", slots=slots, supervisors=min(slots, self.chance.randint(1, 2)),
            queues=(queues := self.chance.choice(((), (), ("default", "slow", "rated")))),
            poll=self.chance.choice((0.5, 5.0)),
            not_queues=() if queues else self.chance.choice(((), ("slow",))),
            drain=not self._is_calm and self.chance.random() < 0.1,
            stop_timeout=self.chance.choice((None, 0.5)),
        )  # fmt: skip
        process = Process(self.machine.new_pid(), options.name, self._strike)
        self._say("%s starts with %d slots, %d supervisors", process.name, slots, options.supervisors)
        try:
            store = self._open(process)
        except (StoreUnavailable, Killed):
            process.die()
            return
        host = SimHost(self.machine, process, lambda: self._wake(worker), store.folder)

        def observe(*happened: happenings.Happening) -> None:
            for each in happened:
                self._say("%s tells %s", process.name, type(each).__name__)

        try:
            dispatcher = Dispatcher(store, options, self.time, host, Wakeup(None), observe)
        except (StoreUnavailable, Killed):
            process.die()
            store.close()
            return
        worker = SimWorker(process, options, store, dispatcher)
        self._workers.append(worker)
        self._attempt(worker, dispatcher.start)

    def _wake(self, worker: SimWorker, delay_s: float = 0.0) -> None:
        """Has a worker step after that long, or when it was to step anyway, if that is sooner."""
        at = self.time.monotonic() + max(delay_s, BUSY_S)
        if worker.wake_at is None or at < worker.wake_at:
            worker.wake_at = at
            self.time.later(at - self.time.monotonic(), lambda: self._step(worker, at))

    def _step(self, worker: SimWorker, at: float) -> None:
        if worker.wake_at != at:
            return
        worker.wake_at = None
        if worker.asleep or worker.busy or not worker.process.alive:
            return  # it is woken when it goes on
        self._attempt(worker, worker.turn)

    def _attempt(self, worker: SimWorker, action: Callable[[], float | None]) -> None:
        """Runs what a dispatcher does, with all that can befall it."""
        pause_s = None
        worker.busy = True
        try:
            pause_s = action()
        except Killed:
            worker.store.close()
            return
        except MustReopen:
            self._end(worker)
            return
        except (StoreUnavailable, OperationFailed):
            if action == worker.turn:
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
        supervisor = self.machine.supervisors[supervisor_id]
        lately = self.time.monotonic() - LEASE_TTL_S
        if by.awake_since > lately:
            return  # what it knew then was right
        if supervisor.alive and (supervisor.frozen or supervisor.thawed_at > lately):
            return
        if not supervisor.alive and not self._can_settle_since(lately):
            return
        for worker in self.living():
            is_well = not worker.busy and not worker.asleep and worker.process.awake_since < lately
            if is_well and worker.process is not by and supervisor.driver in worker.process.channels:
                raise Violation(f"{by.name} takes {supervisor_id} from {worker.process.name}, which is well")

    def _can_settle_since(self, moment: float) -> bool:
        """Whether nothing has kept a dispatcher from settling its dead supervisor since then."""
        has_failed = self.plan.fails_at_commit or self.plan.loses_answers
        return self._spoilt_at < moment and not (self._weather.locked or self._weather.away or has_failed)

    def _check_deposed(self, worker: SimWorker) -> None:
        """Only another one makes a worker give up."""
        mine = {*worker.process.children, *worker.process.driven}
        others = [other.process for other in self._workers if other is not worker]
        if mine.isdisjoint(taken for other in others for taken in other.adopted):
            raise Violation(f"{worker.process.name} gave up its supervisors, but nobody took them")

    def kill(self, process: Process, where: str) -> None:
        """SIGKILL to a dispatcher."""
        self._say("%s is killed %s", process.name, where)
        process.die()
        for worker in self._workers:
            if worker.process is process:
                worker.store.abandon()
                if not worker.busy:
                    worker.store.close()

    def _kill_parent(self, worker: str) -> None:
        for each in self.living():
            if worker in each.process.children:
                self.kill(each.process, "by a command")

    def _is_awake(self, pid: int) -> bool:
        return any(worker.process.pid == pid and not worker.asleep for worker in self.living())

    def _committed(self, by: SimStore) -> None:
        """The system wakes whoever watches the store."""
        for worker in self._workers:
            if worker.process.alive and worker.store is not by and not self.plan.is_deaf:
                self._wake(worker, self.chance.uniform(0.0005, 0.003))

    # --- faults -----------------------------------------------------------------------------

    def freeze(self, worker: SimWorker, for_s: float) -> None:
        """SIGSTOP to a dispatcher."""
        self._say("%s is frozen", worker.process.name)
        worker.asleep = True
        worker.process.awake_since = inf
        self.time.later(for_s, lambda: self._thaw(worker))

    def signal(self, worker: SimWorker, name: str) -> None:
        """Asks a dispatcher to stop; a frozen one hears of it when it goes on."""
        worker.signals.append(name)
        self._wake(worker)

    def _thaw(self, worker: SimWorker) -> None:
        if worker.process.alive and worker.asleep:
            self._say("%s goes on", worker.process.name)
            worker.asleep = False
            worker.process.awake_since = self.time.monotonic()
            worker.wake_at = None
            self._wake(worker)

    def spoil(self, how: str, for_s: float) -> None:
        """Nobody can use the store, or write to it."""
        self._say("the store is %s", how)
        setattr(self._weather, how, True)
        self.time.later(for_s, lambda: self._clear_up(how))

    def _clear_up(self, how: str) -> None:
        setattr(self._weather, how, False)
        self._spoilt_at = self.time.monotonic()


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
