"""The process side of a worker: starts, watches and ends commands, and outlives the dispatcher that drives it.

It knows no store and imports nothing but the standard library's small parts. It is single-threaded, in a session
of its own, with nothing of the terminal it came from. Its rules:

- It reports an end (journal and message) before it reaps the process, so no exit status is ever only in memory; but
  an end that waits for the rest of its tree is none yet.
- A result is kept until its dispatcher says `recorded`.
- Once it has signalled an execution, the outcome is that cause; an exit before the signal stands.
- Without a dispatcher it starts nothing new, runs its commands to their end and leaves.
"""

from __future__ import annotations

import gc
import os
import select
import sys
import time
from contextlib import suppress
from math import inf
from pathlib import Path

from queuectl import environment
from queuectl.clock import boottime
from queuectl.domain.cause import Cause
from queuectl.engine.channel import listen
from queuectl.engine.lease import LOOK_EVERY_S as LEASE_LOOK_EVERY_S
from queuectl.engine.lease import Fence, Lease
from queuectl.engine.protocol import (
    SPECS_MAX,
    Drop,
    Dropped,
    End,
    Key,
    Leave,
    Message,
    Order,
    Prepare,
    Recorded,
    Short,
    Signalled,
    Slots,
    Terminate,
    encoded,
)  # fmt: skip
from queuectl.engine.signals import STOPPING, pipe_of_signals
from queuectl.engine.supervise import descriptors, process
from queuectl.engine.supervise.config import Config
from queuectl.engine.supervise.door import Door
from queuectl.engine.supervise.ending import Ending
from queuectl.engine.supervise.execution import Began, Slot, cut, start
from queuectl.engine.supervise.hanging import CHANGED, Mounts
from queuectl.engine.supervise.home import Home
from queuectl.engine.supervise.pursuit import Pursuit
from queuectl.engine.supervise.roster import Roster
from queuectl.engine.supervise.runs import Runs
from queuectl.engine.supervise.sentry import Sentry
from queuectl.engine.supervise.sink import Drains
from queuectl.engine.supervise.surroundings import Surroundings, prepared
from queuectl.engine.supervise.unrecorded import Unrecorded
from queuectl.store.liveness import remove_folder

TRY_AGAIN_AFTER_S = 0.5
"""Seconds to wait when the machine had no room for another command."""
LOOK_UP_AFTER_S = 0.01
"""The longest time spent on starting commands before other work gets its turn."""
HELLO_WITHIN_S, LOOK_FOR_PARENT_S = 10.0, 0.5
COLLECT_EVERY = 50_000
"""Objects created between two collections of garbage in cycles, of which there is next to none."""


class Supervisor:
    """See the module. `serve` runs until there is nothing left to do."""

    def __init__(self, config: Config, home: Home, signals: int) -> None:
        """`signals`: see `pipe_of_signals`."""
        self._bits = config.bits
        self._groups = config.groups
        self._home = home
        self._results = Unrecorded(Path(config.below), config.home, config.slots)
        self._runs = Runs(Slot.all_of(config), Roster(config.home, config.slots))
        self._specs: dict[int, Surroundings | process.Unrunnable] = {}
        self._waiting: dict[Key, tuple[Order, Surroundings | process.Unrunnable]] = {}
        self._executions = 0
        self._parent = os.getppid()
        self._short_until = inf
        """When to try again, where the machine had no room for a command."""
        self._leaving = False
        self._fence = Fence()
        self._sentry = Sentry(config.home, config.bits)
        self._poll = select.poll()
        self._drains = Drains(self._poll)
        self._mounts = Mounts()
        if self._mounts.handle >= 0:
            self._poll.register(self._mounts.handle, CHANGED)
        self._door = Door(listen(config.home), self._poll, self._news)
        self._signals = signals
        self._poll.register(signals, select.POLLIN)
        pursuit = Pursuit(config.bits)
        self._ending = Ending(self._runs, self._results, self._door, self._drains, pursuit, config.output_bytes_max)
        self._base_env = environment.for_commands()

    @property
    def ever_driven(self) -> bool:
        """Whether a dispatcher has ever said hello."""
        return self._door.ever_driven

    # --- the loop ---------------------------------------------------------------------------

    def serve(self) -> None:
        """Serves until told to leave, or until nothing is left to do and nobody drives it."""
        has_ended = True
        while True:
            if has_ended:
                self._ending.reap()
            patient = bool(self._waiting)
            self._start_waiting()
            now = time.monotonic()
            self._look_around(now)
            self._ending.go_on(now)
            self._drains.go_on(now)
            self._door.flush(now, patient)
            if self._done():
                if self._results and self._home.is_gone():
                    self._make_home_again()  # where the next worker finds them
                self._sentry.dismiss()
                return
            has_ended = False
            for handle, _ in self._poll.poll(self._pause_ms(time.monotonic())):
                if handle == self._signals:
                    has_ended = True
                    if not set(STOPPING).isdisjoint(os.read(handle, 4096)):
                        self._ending.withheld.signalled(time.monotonic())
                elif handle == self._mounts.handle:
                    self._mounts.refresh()
                elif not self._drains.drain(handle):
                    for message in self._door.receive(handle):
                        self._obey(message)

    def _look_around(self, now: float) -> None:
        """Whether there is room again, whether the lease runs out, whether its folder is still there."""
        if now >= self._short_until:
            self._short_until = inf
        if self._runs.by_key and self._fence.is_near():
            self._ending.end_all(now, self._fence)
        if now >= self._home.look_at:
            self._ending.look_out(now)
            self._pass_on_progress()
            if self._home.is_lost(now):
                self._make_home_again()

    def _done(self) -> bool:
        if not self._door.driven:
            self._waiting.clear()  # whoever takes over sees that they never ran
            return not self._runs.by_key and (self._door.ever_driven or self._is_forsaken())
        return self._leaving and not self._runs.by_key and not self._results

    def _is_forsaken(self) -> bool:
        """Whether the dispatcher that started us died, or gave up, before it said hello."""
        return os.getppid() != self._parent or self._door.silent_s() > HELLO_WITHIN_S

    def _pause_ms(self, now: float) -> float | None:
        """Milliseconds until something is due; None if nothing will be."""
        if self._can_start():
            return 0
        due = min(self._ending.due_at(), self._door.flush_at(), self._drains.wake_at(), self._short_until)
        if self._runs.by_pid:
            due = min(due, self._home.look_at, now + LEASE_LOOK_EVERY_S if self._fence.watched else inf)
        if not self._door.ever_driven:
            due = min(due, now + LOOK_FOR_PARENT_S)
        return max(0.0, (due - now) * 1000 + 0.5) if due < inf else None

    def _make_home_again(self) -> None:
        """Somebody removed our folder: what runs goes on, and others see and reach us again. If it cannot be made now,
        the next look tries again."""
        with suppress(OSError):
            self._door.listen_at(self._home.make_again(self._results.journal, self._runs.roster))
            for slot in self._runs.slots():
                slot.out.move()
                slot.err.move()
                slot.telling.move()

    # --- what the dispatcher says -----------------------------------------------------------

    def _news(self) -> list[str]:
        self._waiting.clear()  # orders of the one before: who takes over sees that they never ran
        return [*(run.messages() for run in self._runs.all), *self._results.messages()]

    def _obey(self, message: Message) -> None:
        match message:
            case Order():
                self._waiting[message.key] = message, self._specs[message.spec]  # which may be forgotten while it waits
            case Recorded():
                self._results.drop(message.keys)
            case Prepare(number, spec):
                self._specs[number] = prepared(spec, self._base_env)
                self._specs.pop(number - SPECS_MAX, None)
            case Drop(seq, lease):
                self._drop((seq, lease))
            case Terminate(seq, lease, cause):
                if not self._drop((seq, lease)) and (run := self._runs.by_key.get((seq, lease))):
                    self._ending.end(run, Cause(cause))
            case Lease():
                self._fence.hold(message)
                self._sentry.post(message.kill_at)
            case Slots(used):
                self._runs.use(used)
            case Signalled():
                self._ending.withheld.signalled(time.monotonic())
            case Leave():
                self._leaving = True

    def _drop(self, key: Key) -> bool:
        """Forgets an order that has not been carried out; whether there was nothing more to it."""
        if key in self._runs.by_key or key in self._results:
            return False
        self._waiting.pop(key, None)
        self._door.say(key, encoded(Dropped(*key)))
        return True

    def _pass_on_progress(self) -> None:
        """Tells of commands that have written how far they are, once a second at most."""
        for run in self._runs.all:
            if run.slot.telling.look():
                self._door.say(run.order.key, run.messages())

    # --- starting ---------------------------------------------------------------------------

    def _can_start(self) -> bool:
        return bool(
            self._waiting
            and self._runs.has_room
            and self._short_until == inf
            and self._door.driven
            and self._results.journal.spare(len(self._runs.by_key)) > 0
            and not self._fence.is_near()
        )

    def _start_waiting(self) -> None:
        """Starts what there is room for, but not for long. Nothing that can wait comes before it."""
        began = time.monotonic()
        while self._can_start() and time.monotonic() - began < LOOK_UP_AFTER_S:
            self._start_next()

    def _start_next(self) -> None:
        key, (order, spec) = next(iter(self._waiting.items()))
        self._executions += 1
        began = Began(time.time(), boottime())
        slot = self._runs.take(key, self._executions, began.since)
        try:
            tag = process.tag(self._bits, self._executions)
            run = start(order, spec, slot, tag, began, self._mounts, self._groups)
        except process.Shortage:
            self._runs.give_back(slot)
            self._wait_for_room(key)
            return
        except process.NotStarted as error:
            self._runs.give_back(slot)
            del self._waiting[key]
            reason, exit_code = error.why
            self._ending.keep(End(*key, began.at, time.time(), exit_code=exit_code, error=cut(reason)))
            return
        self._runs.add(key, run)
        del self._waiting[key]
        self._ending.watch(run)
        self._door.say(key, run.started)

    def _wait_for_room(self, key: Key) -> None:
        """The machine has no room for another command: tries again soon, with what no other command uses given up."""
        self._short_until = time.monotonic() + TRY_AGAIN_AFTER_S
        for slot in self._runs.free:
            slot.out.rest()
            slot.err.rest()
        self._door.say(key, encoded(Short(*key)))


def main() -> None:
    """The process: takes its lock, opens its door, tells the dispatcher (descriptor 3), and serves."""
    config = Config.of_words(sys.argv[1:])
    gc.set_threshold(COLLECT_EVERY)
    descriptors.allow(descriptors.needed(config.slots))
    process.close_from(4)  # what a shell left open in the worker is no business of commands
    os.umask(0o077)
    home = Home(Path(config.below), config.home)
    process.become_subreaper()
    supervisor = Supervisor(config, home, pipe_of_signals())
    os.write(3, b"\n")
    os.close(3)
    os.chdir("/")
    supervisor.serve()
    if not supervisor.ever_driven:
        remove_folder(config.home)  # nobody else knows of it
