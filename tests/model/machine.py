"""A machine in memory: supervisors and their commands, folders and journals, and what of them outlives whom."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from random import Random
from typing import TYPE_CHECKING

from queuectl.engine.dispatch.host import Plan
from queuectl.engine.dispatch.link import Flight
from queuectl.engine.dispatch.report import Witness
from queuectl.engine.protocol import End, Order
from tests.model.channel import SimChannel
from tests.model.supervisor import SimSupervisor
from tests.model.timeline import Timeline, Violation
from tests.model.verdict import Execution, History

if TYPE_CHECKING:
    from tests.model.struck import Process

FIRST_PID = 1000
FROZEN_LATELY_S = 4.0
"""Somebody who ends a supervisor must have waited for its answer at least so long."""
KILLED = 9

ENDLESS, POISON, BITTER_POISON = "an endless job", "kills its supervisor", "kills its supervisor and its dispatcher"
"""Commands that are special. All others end some time."""


class Machine:
    """All that runs. `delay()` draws how long a message takes."""

    def __init__(self, time: Timeline, chance: Random, history: History, delay: Callable[[], float]) -> None:
        self.time = time
        self.chance = chance
        self.history = history
        self.delay = delay
        self.supervisors: dict[str, SimSupervisor] = {}
        self.folders: set[str] = set()
        self.journals: dict[str, list[str]] = {}
        """Files, as the folders are: they come and go under whoever writes them."""
        self.commands: dict[int, Execution] = {}
        self._boot = 1
        self._pids = FIRST_PID
        self.kill_parent: Callable[[str], None] = lambda worker: None
        """Has the process die that started a supervisor."""
        self.is_awake: Callable[[int], bool] = lambda pid: False
        """Whether a process lives and is not suspended."""
        self.drivers: dict[str, Process] = {}
        self.last_drivers: dict[str, Process] = {}
        """Who holds the lock that says who drives a supervisor."""

    @property
    def id(self) -> str:
        """The boot in which pids mean something."""
        return f"boot:{self._boot}"

    def new_pid(self) -> int:
        self._pids += 1
        return self._pids

    def start_supervisor(self, plan: Plan) -> SimSupervisor:
        supervisor = SimSupervisor(self, f"{plan.name}~{len(self.supervisors) + 1}", plan.slots)
        self.supervisors[supervisor.id] = supervisor
        supervisor.make_home()
        return supervisor

    def child(self, pid: int) -> SimSupervisor:
        """A supervisor of today, by its pid."""
        *_, latest = (each for each in self.supervisors.values() if (each.machine_id, each.pid) == (self.id, pid))
        return latest

    def connect(self, worker: str, wake: Callable[[], None], strike: Callable[[], None]) -> SimChannel | None:
        """A connection to a supervisor; a frozen one's kernel accepts it too. None where its folder has gone."""
        supervisor = self.supervisors.get(worker)
        if supervisor is None or not supervisor.alive or worker not in self.folders:
            return None
        near = SimChannel(self.time, self.delay, wake, strike)
        far = SimChannel(self.time, self.delay, supervisor.wake, None)
        near.peer, far.peer = far, near
        supervisor.channels.append(far)
        return near

    def is_alive(self, worker: str) -> bool:
        """Whether the supervisor's process is there."""
        return worker in self.supervisors and self.supervisors[worker].alive

    # --- commands ---------------------------------------------------------------------------

    def spawn(self, order: Order, supervisor: SimSupervisor) -> Execution:
        """Starts a command, which will end by itself some time."""
        chance = self.chance
        execution = Execution(
            seq=order.seq, lease=order.lease, number=order.number, supervisor=supervisor.id, pid=self.new_pid(),
            began=self.time.monotonic(), ignores_term=chance.random() < 0.2,
        )  # fmt: skip
        self.history.begins(execution)
        self.commands[execution.pid] = execution
        lasts = chance.choice((0.0, 0.001, 0.01, 0.05, 0.3, 1.0, 4.0))
        exit_code = chance.choice((0, 0, 0, 1, 2))
        match order.command:
            case "an endless job":
                pass
            case "kills its supervisor" | "kills its supervisor and its dispatcher":
                self.time.later(lasts / 100, lambda: self._poison(execution, order.command == BITTER_POISON))
            case _:
                self.time.later(lasts, lambda: self.end(execution, exit_code=exit_code))
        return execution

    def _poison(self, execution: Execution, is_bitter: bool) -> None:
        supervisor = self.supervisors[execution.supervisor]
        if execution.ended is None and supervisor.alive:
            supervisor.die(f"killed by {execution.key}")
            if is_bitter:
                self.kill_parent(supervisor.id)

    def end(self, execution: Execution, exit_code: int | None = None, signal: int | None = None) -> None:
        """A command's process ends; its parent hears of it."""
        if execution.ended is None:
            execution.ended = self.time.monotonic()
            execution.exit_code, execution.signal = exit_code, signal
            self.history.say("  %s ends: exit code %s, signal %s", execution.key, exit_code, signal)
            self.history.ends(execution)
            self.supervisors[execution.supervisor].wake(self.delay())

    def left_by(self, worker: str) -> list[Execution]:
        """The commands of a supervisor that still run."""
        return [each for each in self.commands.values() if each.supervisor == worker and each.ended is None]

    def kill_left_by(self, worker: str, strike: Callable[[], None]) -> None:
        """Ends all that a dead supervisor left."""
        if self.is_alive(worker):
            raise Violation(f"the commands of {worker} are killed while it lives")
        for execution in self.left_by(worker):
            strike()
            self.end(execution, signal=KILLED)

    def kill_frozen(self, worker: str, machine_id: str) -> None:
        """Somebody takes a supervisor for frozen."""
        supervisor = self.supervisors[worker]
        if machine_id != self.id:
            raise Violation(f"{worker} is of {machine_id}, and a stranger is killed in its place")
        lately = self.time.monotonic() - FROZEN_LATELY_S
        if not supervisor.frozen and supervisor.thawed_at < lately:
            raise Violation(f"{worker} is killed as frozen, but was not")
        supervisor.die("killed as frozen")

    def testify(self, flights: Iterable[Flight]) -> Witness:
        """As `report.witness_of`: reaps the children of a dead supervisor that have come to this process."""
        results, started = [], {}
        for flight in flights:
            if flight.started_at is not None:
                started[flight.key] = flight.started_at
            result = flight.result or self._end_seen(flight)
            if result is not None:
                results.append(result)
        return Witness(results=results, started=started)

    def _end_seen(self, flight: Flight) -> End | None:
        execution = None if flight.pid is None or flight.end_sent else self.commands.get(flight.pid)
        if execution is None or execution.ended is None or execution.reaped:
            return None
        execution.reaped = True
        began = flight.started_at or 0.0
        execution.seen = End(*flight.key, began, self.time.now(), execution.exit_code, execution.signal)
        return execution.seen

    def reap_strays(self, worker: str) -> None:
        """Takes the status of a dead supervisor's children; nobody can ask for it afterwards."""
        if not self.is_alive(worker):
            for execution in self.commands.values():
                if execution.supervisor == worker and execution.ended is not None:
                    execution.reaped = True

    def cut_power(self, worker: str) -> None:
        """A supervisor and all its commands are gone at once, and nobody hears of it."""
        self.history.stopped.add(worker)
        left = self.left_by(worker)
        self.supervisors[worker].die("is gone", at_once=True)
        for execution in left:
            self.end(execution, signal=KILLED)
            execution.reaped = True

    def reboot(self, *, is_container: bool) -> None:
        """The same for all of them. Folders stay, and pids begin again; a container's PID namespace may look the same
        as the one before."""
        for supervisor in self.supervisors.values():
            if supervisor.alive:
                self.cut_power(supervisor.id)
        for execution in [each for each in self.commands.values() if each.ended is None]:
            self.end(execution, signal=KILLED)
        self.commands.clear()
        self._boot += not is_container
        self._pids = FIRST_PID

    # --- folders ----------------------------------------------------------------------------

    def lose_folder(self, worker: str) -> None:
        """Somebody removes a supervisor's folder. One that lives makes it again."""
        self.history.say("the folder of %s is removed", worker)
        self.folders.discard(worker)
        self.journals.pop(worker, None)
        if not self.is_alive(worker):
            self.history.forget(worker)

    def read_journal(self, worker: str) -> list[End]:
        return [End.of(json.loads(line)) for line in self.journals.get(worker, [])]

    def remove(self, worker: str) -> None:
        if self.is_alive(worker):
            raise Violation(f"the folder of {worker} is removed while it lives")
        self.folders.discard(worker)
        self.journals.pop(worker, None)
