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
import heapq
import os
import select
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from queuectl import environment
from queuectl.clock import boottime
from queuectl.domain.lifecycle import Cause
from queuectl.engine.channel import listen
from queuectl.engine.lease import LOOK_EVERY_S as LEASE_LOOK_EVERY_S
from queuectl.engine.lease import Fence, Lease
from queuectl.engine.protocol import (
    SPECS_MAX,
    Drop,
    Dropped,
    End,
    Kept,
    Key,
    Leave,
    Message,
    Order,
    Prepare,
    Recorded,
    Short,
    Signalled,
    Terminate,
    encode,
    encoded,
)  # fmt: skip
from queuectl.engine.signals import pipe_of_child_ends
from queuectl.engine.supervise import descriptors, process
from queuectl.engine.supervise.door import Door
from queuectl.engine.supervise.execution import Began, Run, Slot, Surroundings, copy_user_file, cut, prepared, start
from queuectl.engine.supervise.hanging import CHANGED, Mounts
from queuectl.engine.supervise.home import Home
from queuectl.engine.supervise.leftovers import Leftovers
from queuectl.engine.supervise.pursuit import Pursuit
from queuectl.engine.supervise.roster import Roster
from queuectl.engine.supervise.sentry import Sentry
from queuectl.engine.supervise.sink import Drains
from queuectl.engine.supervise.starting import Patience
from queuectl.engine.supervise.trees import name_of, names_of
from queuectl.engine.supervise.unrecorded import INLINE_SHARE, Unrecorded
from queuectl.engine.supervise.withheld import Withheld
from queuectl.store.liveness import remove_folder

TRY_AGAIN_AFTER_S = 0.5
"""After the machine had no room for another command."""
LOOK_UP_AFTER_S = 0.01
"""Starts come in runs of so long: each other thing then costs once a run, and in a cache that starts have emptied."""
HELLO_WITHIN_S, LOOK_FOR_PARENT_S = 10.0, 0.5
COLLECT_EVERY = 50_000
"""Objects made between two searches for garbage in cycles, of which there is next to none."""


@dataclass(slots=True)
class Config:
    """What a supervisor is told when it is started."""

    below: Path
    """The store's folder."""
    folder: Path
    """Its own folder."""
    bits: int
    first_slot: int
    slots: int
    output_bytes_max: int


class Supervisor:
    """See the module. `serve` runs until there is nothing left to do."""

    def __init__(self, config: Config, home: Home) -> None:
        self._config = config
        self._home = home
        self._results = Unrecorded(config.below, config.folder, config.slots)
        kept = config.below, config.output_bytes_max, Leftovers()
        indices = range(config.first_slot, config.first_slot + config.slots)
        self._free = [Slot.made(index, config.folder, *kept) for index in reversed(indices)]
        self._specs: dict[int, Surroundings | process.NotStarted] = {}
        self._waiting: dict[Key, tuple[Order, Surroundings | process.NotStarted]] = {}
        self._runs: dict[int, Run] = {}
        """By the pid of those whose process has not been reaped."""
        self._by_key: dict[Key, Run] = {}
        self._timers: list[tuple[float, int, Run]] = []
        self._pursuit = Pursuit(config.bits)
        self._withheld = Withheld(self._pursuit)
        self._roster = Roster(config.folder, config.slots)
        self._executions = 0
        self._parent = os.getppid()
        self._short_until: float | None = None
        self._leaving = False
        self._fence = Fence()
        self._sentry = Sentry(config.folder, config.bits)
        self._poll = select.poll()
        self._drains = Drains(self._poll)
        self._patience = Patience[Run]()
        self._mounts = Mounts()
        if self._mounts.handle >= 0:
            self._poll.register(self._mounts.handle, CHANGED)
        self._door = Door(listen(config.folder), self._poll, self._news)
        self._wakeup = pipe_of_child_ends()
        self._poll.register(self._wakeup, select.POLLIN)
        self._base_env = environment.for_commands()

    @property
    def ever_driven(self) -> bool:
        """Whether a dispatcher has ever said hello."""
        return self._door.ever_driven

    # --- the loop ---------------------------------------------------------------------------

    def serve(self) -> None:
        """Serves until told to leave, or until nothing is left to do and nobody drives it."""
        while True:
            self._reap()
            now = time.monotonic()
            self._run_timers(now)
            self._obey_lease(now)
            self._drains.go_on(now)
            if self._patience.waits:
                self._leave_hanging(now)
            if self._pursuit.due_at or self._withheld.due_at:
                self._pursue(now)
            self._door.flush(now, patient=bool(self._waiting))
            if self._done():
                if self._results and self._home.is_gone():
                    self._make_home_again()  # where the next worker finds them
                self._sentry.dismiss()
                return
            while self._can_start() and time.monotonic() - now < LOOK_UP_AFTER_S:
                self._start_next()
            for handle, _ in self._poll.poll(self._pause_ms(time.monotonic())):
                if handle == self._wakeup:
                    os.read(handle, 4096)
                elif handle == self._mounts.handle:
                    self._mounts.refresh()
                elif not self._drains.drain(handle):
                    for message in self._door.receive(handle):
                        self._obey(message)

    def _done(self) -> bool:
        if not self._door.driven:
            self._waiting.clear()  # whoever takes over sees that they never ran
            return not self._by_key and (self._door.ever_driven or self._is_forsaken())
        return self._leaving and not self._by_key and not self._results

    def _is_forsaken(self) -> bool:
        """Whether the dispatcher that started us died, or gave up, before it said hello."""
        return os.getppid() != self._parent or self._door.silent_s() > HELLO_WITHIN_S

    def _pause_ms(self, now: float) -> float | None:
        if self._can_start():
            return 0
        wake = [self._timers[0][0]] if self._timers else []
        waits = self._door.flush_at(), self._drains.wake_at(), self._patience.wake_at(), self._short_until
        wake += [at for at in (*waits, self._pursuit.due_at, self._withheld.due_at) if at is not None]
        if self._runs:
            wake.append(self._home.look_at)
            if self._fence.watched:
                wake.append(now + LEASE_LOOK_EVERY_S)
        if not self._door.ever_driven:
            wake.append(now + LOOK_FOR_PARENT_S)
        return max(0.0, (min(wake) - now) * 1000 + 0.5) if wake else None

    # --- what the dispatcher says -----------------------------------------------------------

    def _news(self) -> list[str]:
        self._waiting.clear()  # orders of the one before: who takes over sees that they never ran
        running = [encoded(run.started()) for run in self._by_key.values()]
        stuck = [run.stuck_messages() for run in self._by_key.values() if run.stuck]
        return [*running, *stuck, *self._results.messages()]

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
                self._end_by_wish((seq, lease), Cause(cause))
            case Lease():
                self._fence.hold(message)
                self._sentry.post(message.kill_at)
            case Signalled():
                self._withheld.signalled(time.monotonic())
            case Leave():
                self._leaving = True

    def _drop(self, key: Key) -> bool:
        """Forgets an order that has not been carried out; whether there was nothing more to it."""
        if key in self._by_key or key in self._results:
            return False
        self._waiting.pop(key, None)
        self._door.say(key, Dropped(*key))
        return True

    # --- starting ---------------------------------------------------------------------------

    def _can_start(self) -> bool:
        return bool(
            self._waiting
            and self._free
            and self._short_until is None
            and self._door.driven
            and self._results.journal.spare(len(self._by_key)) > 0
            and not self._fence.is_near()
        )

    def _start_next(self) -> None:
        key, (order, spec) = next(iter(self._waiting.items()))
        slot = self._free.pop()
        self._executions += 1
        began, row = Began(time.time(), boottime()), slot.index - self._config.first_slot
        self._roster.enter(row, key, self._executions, began.since)
        try:
            run = start(order, spec, slot, process.tag(self._config.bits, self._executions), began, self._mounts)
        except process.Shortage:
            self._roster.leave(row)
            self._free.append(slot)
            self._wait_for_room(order)
            return
        except process.NotStarted as failure:
            self._roster.leave(row)
            self._free.append(slot)
            del self._waiting[key]
            end = End(*key, began.at, time.time(), exit_code=failure.exit_code, error=cut(str(failure)))
            self._keep(end)
            return
        pid = run.tree.pid
        self._roster.started(row, run.tree.until, pid)
        del self._waiting[key]
        self._runs[pid] = self._by_key[key] = run
        self._drains.begin(run.sinks.values())
        if run.start is not None:
            self._patience.begin(run, run.start)
        if order.timeout is not None:
            self._set_timer(time.monotonic() + order.timeout, run)
        self._door.say(key, run.started())

    def _wait_for_room(self, order: Order) -> None:
        """The machine has no room for another command: tries again soon, with what no other command uses given up."""
        self._short_until = time.monotonic() + TRY_AGAIN_AFTER_S
        for slot in self._free:
            slot.out.rest()
            slot.err.rest()
        self._door.say(order.key, Short(*order.key))

    # --- ending -----------------------------------------------------------------------------

    def _set_timer(self, at: float, run: Run) -> None:
        heapq.heappush(self._timers, (at, run.tree.low, run))

    def _run_timers(self, now: float) -> None:
        if self._short_until is not None and now >= self._short_until:
            self._short_until = None
        while self._timers and self._timers[0][0] <= now:
            _, _, run = heapq.heappop(self._timers)
            if self._by_key.get(run.order.key) is run and run.runs:
                self._pursuit.begin(run, Cause.TIMEOUT, now)
        if now >= self._home.look_at and self._home.is_lost(now):
            self._make_home_again()

    def _make_home_again(self) -> None:
        """Somebody removed our folder: what runs goes on, and others see and reach us again. If it cannot be made now,
        the next look tries again."""
        with suppress(OSError):
            self._door.listen_at(self._home.make_again(self._results.journal, self._roster))
            for slot in (*self._free, *(run.slot for run in self._runs.values())):
                slot.out.move()
                slot.err.move()

    def _end_by_wish(self, key: Key, cause: Cause) -> None:
        if self._drop(key):
            return
        run = self._by_key.get(key)
        if run is not None and run.runs:
            self._reap()  # an exit before the signal stands
            if self._by_key.get(key) is run and run.runs:
                self._pursuit.begin(run, cause, time.monotonic())

    def _obey_lease(self, now: float) -> None:
        """Ends what runs while nobody else may run it, whatever its grace. It is given back, not counted."""
        if not self._by_key or not self._fence.is_near():
            return
        self._reap()  # an exit before the signal stands
        for run in self._by_key.values():
            if run.runs:
                self._pursuit.begin(run, Cause.STOP, now)
            self._pursuit.hurry(run, now + self._fence.kill_in_s())

    def _pursue(self, now: float) -> None:
        """Goes on ending trees until nothing of them is left."""
        over, stuck = self._pursuit.step(self._by_key.values(), now)
        for run in (*over, *self._withheld.step(self._by_key.values(), now)):
            self._finish(run)
        for run in stuck:
            self._roster.stuck(run.slot.index - self._config.first_slot)
            self._door.say(run.order.key, run.stuck_messages())

    def _reap(self) -> None:
        """Reports and reaps every child that has ended."""
        while True:
            try:
                info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if info is None:
                return
            pid, status = info.si_pid, info.si_status
            run = self._runs.pop(pid, None)
            if self._patience.waits:
                self._patience.ended(pid)
            if run is None:
                self._pursuit.reaped(pid)
                os.waitpid(pid, 0)
                continue
            if run.copier is not None and pid == run.copier.pid:
                run.copied(os.waitpid(pid, 0)[1] == 0)
                self._pursuit.reaped(pid)
                self._finish(run)
                continue
            run.exit = (status, None) if info.si_code == os.CLD_EXITED else (None, status)
            stands = run.cause is None or self._pursuit.withdraw(run)
            if stands and not self._withheld.hold(run, self._by_key.values(), time.monotonic()):
                self._finish(run)
            else:
                run.account()
                self._pursuit.look_at_once(time.monotonic())

    def _finish(self, run: Run) -> None:
        """Makes the result, keeps it, frees the slot, and only then reaps."""
        failure = run.judge_start() if run.start is not None else None
        if failure is None and run.user_file is not None and self._copy_user_file(run):
            return
        left = set() if run.cause or failure else self._pursuit.left_by(run, self._by_key.values())
        outputs: dict[str, Kept] = {}
        self._drains.end(run.sinks.values())
        for stream, sink in run.sinks.items():
            room = self._results.journal.spare(len(self._by_key)) // INLINE_SHARE
            if kept := sink.collect(still_written=bool(left or run.abandoned), room=room):
                outputs[str(stream)] = kept
        exit_code, signum = (failure.exit_code, None) if failure else run.exit or (None, None)
        started_at, finished_at = run.times()
        end = End(
            run.order.seq, run.order.lease, started_at, finished_at, exit_code, signum, run.cause,
            error=cut("; ".join(map(str, filter(None, (failure, run.stuck))))) if failure or run.stuck else None,
            outputs=outputs or None, leftover=names_of(left) if left else None,
        )  # fmt: skip
        self._runs.pop(run.tree.pid, None)
        del self._by_key[run.order.key]
        self._free.append(run.slot)
        self._keep(end, run)
        self._roster.leave(run.slot.index - self._config.first_slot)

    def _copy_user_file(self, run: Run) -> bool:
        """Whether a child now copies what the command wrote to a user's file; `_finish` goes on at its end."""
        try:
            run.copier = copy_user_file(run, self._config.output_bytes_max)
        except process.Shortage:
            return False
        run.user_file = None
        process.helpers.add(run.copier.pid)
        if run.cause is None and run.exit is not None:
            run.account()
        self._runs[run.copier.pid] = run
        self._patience.begin(run, run.copier)
        return True

    def _leave_hanging(self, now: float) -> None:
        """Goes on without children that were killed and do not end: the kernel ends them when their mount answers."""
        for pid, run in self._patience.step(now):
            self._runs.pop(pid, None)
            if self._by_key.get(run.order.key) is run:
                run.abandoned, run.stuck = True, f"could not be ended: {name_of(pid)}"
                self._pursuit.give_up(run)
                self._finish(run)

    def _keep(self, end: End, run: Run | None = None) -> None:
        body = encode(end.told())
        self._results.journal.append(body)
        if run is not None and run.cause is None and run.exit is not None and run.cpu_time is None:
            run.account()
        self._door.say(end.key, self._results.keep(end, body, run.used() if run is not None else "[null,null]"))


def main() -> None:
    """The process: takes its lock, opens its door, tells the dispatcher (descriptor 3), and serves."""
    below, folder, bits, first_slot, slots, output_bytes_max = sys.argv[1:]
    config = Config(
        below=Path(below), folder=Path(folder), bits=int(bits), first_slot=int(first_slot), slots=int(slots),
        output_bytes_max=int(output_bytes_max),
    )  # fmt: skip
    gc.set_threshold(COLLECT_EVERY)
    descriptors.allow(descriptors.needed(config.slots))
    process.close_from(4)  # what a shell left open in the worker is no business of commands
    os.umask(0o077)
    home = Home(config.below, config.folder)
    process.become_subreaper()
    supervisor = Supervisor(config, home)
    os.write(3, b"\n")
    os.close(3)
    os.chdir("/")
    supervisor.serve()
    if not supervisor.ever_driven:
        remove_folder(config.folder)  # nobody else knows of it
