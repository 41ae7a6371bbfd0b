"""What befalls a simulated machine from outside."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tests.model.copied import look_at_copy
from tests.model.verdict import SIGTERM

if TYPE_CHECKING:
    from tests.model.struck import Process
    from tests.model.supervisor import SimSupervisor
    from tests.model.world import SimWorker, World

WORKERS_MAX = 3
TERM_WITHIN_S = 0.4
"""Who signals everything at once gets round to the last of them so much later."""


class Faults:
    """Of one world, drawn from its plan."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._chance = world.chance
        self._machine = world.machine
        self._time = world.time
        self._clock_set_at = 0.0

    def happen(self) -> None:
        """One of those that the plan knows, if there is what it befalls."""
        fault = self._chance.choice(self._world.plan.faults)
        workers = self._world.living()
        supervisors = [each for each in self._machine.supervisors.values() if each.alive]
        match fault:
            case "kill a dispatcher" if workers:
                self._world.kill(self._chance.choice(workers).process, "from outside")
            case "freeze a dispatcher" if workers:
                self._world.freeze(self._chance.choice(workers), self._nap_s())
            case "kill a supervisor" if supervisors:
                self._chance.choice(supervisors).die("killed")
            case "freeze a supervisor" | "hang a supervisor" if supervisors:
                self._freeze(self._chance.choice(supervisors), hangs=fault == "hang a supervisor")
            case "lock the store" | "take the store away":
                self._world.spoil("locked" if fault == "lock the store" else "away", self._nap_s())
            case "set the clock":
                self._clock_set_at = self._time.monotonic()
                self._time.jump(self._chance.choice((-3600.0, -2.0, 0.5, 30.0, 3600.0)))
            case "start a worker" if len(workers) < WORKERS_MAX:
                self._world.start_worker()
            case "stop a worker" if workers:
                self._world.people.ask_to_stop(self._chance.choice(workers).options.name)
            case "signal everything" if workers:
                self._terminate(self._chance.sample(workers, self._chance.randint(1, len(workers))))
            case "cut a worker's power" if workers:
                self._cut_power(self._chance.choice(workers))
            case "reboot":
                self._reboot()
            case "remove a folder" if self._machine.folders:
                self._machine.lose_folder(self._chance.choice(sorted(self._machine.folders)))
            case "remove all folders":
                for worker in sorted(self._machine.folders):
                    self._machine.lose_folder(worker)
            case "copy the store":
                look_at_copy(self._world.path, self._machine, self._time)

    def break_a_line(self) -> None:
        """A supervisor and its dispatcher lose their connection, and both live on."""
        if driven := [each for each in self._machine.supervisors.values() if each.alive and each.driver is not None]:
            supervisor = self._chance.choice(driven)
            self._machine.history.say("%s and its dispatcher lose their connection", supervisor.id)
            supervisor.hang_up()

    def _nap_s(self) -> float:
        return self._world.plan.nap_s(self._chance)

    def _freeze(self, supervisor: SimSupervisor, *, hangs: bool) -> None:
        self._machine.history.say("%s %s", supervisor.id, "hangs in a system call" if hangs else "freezes")
        if hangs:
            supervisor.hang()
        else:
            supervisor.freeze()
        self._time.later(self._nap_s(), supervisor.thaw)

    def _terminate(self, workers: list[SimWorker]) -> None:
        """SIGTERM to workers and to all that they run, in any order, as a service manager, a logout or a reboot does.
        Supervisors ignore it."""
        self._machine.history.say("SIGTERM to all of %s", ", ".join(worker.process.name for worker in workers))
        for worker in workers:
            self._time.later(self._soon_s(), partial(self._world.signal, worker, "SIGTERM"))
            for supervisor in self._driven_by(worker):
                for execution in self._machine.left_by(supervisor.id):
                    are_well = partial(self._are_well, worker.process, supervisor, self._time.monotonic())
                    self._machine.history.terminated(execution, are_well)
                    if not execution.ignores_term:
                        self._time.later(self._soon_s(), partial(self._machine.end, execution, signal=SIGTERM))

    def _are_well(self, process: Process, supervisor: SimSupervisor, since: float) -> bool:
        quiet_since = max(process.awake_since, supervisor.thawed_at, self._clock_set_at)
        return process.alive and supervisor.alive and not supervisor.frozen and quiet_since < since

    def _soon_s(self) -> float:
        return self._chance.uniform(0.0, TERM_WITHIN_S)

    def _driven_by(self, worker: SimWorker) -> list[SimSupervisor]:
        """Also those whose line has just broken."""
        drivers = self._machine.drivers
        return [
            each for each in self._machine.supervisors.values() if each.alive and drivers.get(each.id) is worker.process
        ]

    def _cut_power(self, worker: SimWorker) -> None:
        """SIGKILL to all that belongs to a worker at once, as where its container ends."""
        supervisors = self._driven_by(worker)
        self._world.kill(worker.process, "with all that it has")
        for supervisor in supervisors:
            self._machine.cut_power(supervisor.id)

    def _reboot(self) -> None:
        self._machine.history.say("the machine reboots")
        for worker in self._world.living():
            self._world.kill(worker.process, "by a reboot")
        self._machine.reboot(is_container=self._world.boots.random() < 0.5)
        self._world.start_worker()
