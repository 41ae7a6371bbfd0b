"""A supervisor in memory, by the rules of engine/supervise/supervisor.py and engine/supervise/door.py.

Its steps are atomic, but it may be killed or frozen between any two, its commands end without it, and every message
takes its time.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from queuectl.domain.cause import Cause
from queuectl.engine.protocol import (
    PROTOCOL,
    About,
    Ask,
    Drop,
    Dropped,
    End,
    Ended,
    Hello,
    Key,
    Leave,
    Message,
    Order,
    Prepare,
    Recorded,
    Started,
    State,
    Terminate,
    Welcome,
    encode,
)  # fmt: skip
from queuectl.engine.supervise.home import LOOK_EVERY_S as HOME_LOOK_EVERY_S
from queuectl.engine.supervise.supervisor import HELLO_WITHIN_S
from tests.model.channel import SimChannel
from tests.model.timeline import Violation
from tests.model.verdict import Execution

if TYPE_CHECKING:
    from tests.model.machine import Machine

PATIENCE_S = 0.003
"""How long a supervisor with orders waiting keeps its news for a fuller packet."""
SPAWN_S = 0.0002


class Run:
    """An execution in its supervisor's eyes."""

    def __init__(self, order: Order, slot: int, started_at: float, process: Execution) -> None:
        self.order = order
        self.slot = slot
        self.started_at = started_at
        self.process = process
        self.cause: Cause | None = None


class SimSupervisor:
    """A supervisor. `wake` has it step soon; `die` is SIGKILL or its own leaving: the journal and commands stay."""

    def __init__(self, machine: Machine, id: str, slots: int) -> None:
        self.id = id
        self.pid = machine.new_pid()
        self.machine_id = machine.id
        self.alive = True
        self.frozen = False
        self._doomed: str | None = None
        """Why it dies as soon as the system call in which it hangs returns; empty: it does not."""
        self.thawed_at = 0.0
        self.channels: list[SimChannel] = []
        self._machine = machine
        self._time = machine.time
        self._slots = slots
        self._free = list(range(slots))
        self._driver: SimChannel | None = None
        self._epoch = 0
        self._word_at = self._time.monotonic()
        self._outbox: dict[Key, Message] = {}
        self._outbox_since = 0.0
        self._specs: set[int] = set()
        self._waiting: dict[Key, Order] = {}
        self._runs: dict[Key, Run] = {}
        self._results: dict[Key, End] = {}
        self._journal: list[str] = []
        self._leaving = False
        self._is_woken = False
        self._look_at_home()
        self.wake(HELLO_WITHIN_S + 0.1)
        self._is_woken = False

    @property
    def driver(self) -> SimChannel | None:
        """The other end of the line to who drives it."""
        return None if self._driver is None else self._driver.peer

    def wake(self, delay_s: float = 0.0001) -> None:
        if not self._is_woken and self.alive:
            self._is_woken = True
            self._time.later(delay_s, self._step)

    def freeze(self) -> None:
        self.frozen = True

    def hang(self) -> None:
        """Freezes in a system call that nothing interrupts: a signal that kills takes effect when it returns."""
        if not self.frozen:
            self.frozen, self._doomed = True, ""

    def thaw(self) -> None:
        if self.frozen:
            self.frozen, self.thawed_at = False, self._time.monotonic()
            self._is_woken = False
            doomed, self._doomed = self._doomed, None
            if doomed and self.alive:
                self.die(doomed)
            self.wake()

    def die(self, why: str, *, at_once: bool = False) -> None:
        if self._doomed is not None and not at_once:
            self._doomed = why
            return
        self._machine.history.say("%s: %s", self.id, why)
        self.alive = False
        if self.id not in self._machine.folders:
            self._machine.history.forget(self.id)
        for channel in self.channels:
            channel.close()

    def make_home(self) -> None:
        """Its folder with its journal, where others find them."""
        self._machine.folders.add(self.id)
        self._machine.journals[self.id] = self._journal

    def _look_at_home(self) -> None:
        """Once a second: whoever removes its folder ends nothing."""
        if self.alive:
            if not self.frozen and self.id not in self._machine.folders:
                self.make_home()
            self._time.later(HOME_LOOK_EVERY_S, self._look_at_home)

    # --- one turn ---------------------------------------------------------------------------

    def _step(self) -> None:
        self._is_woken = False
        if not self.alive or self.frozen:
            return
        self._reap()
        self._start_next()
        self._flush()
        if self._done():
            self._leave()
            return
        heard = [self._hear(channel) for channel in list(self.channels)]
        if any(heard) or self._outbox or (self._waiting and self._free):
            self.wake(SPAWN_S)

    def _done(self) -> bool:
        if self._driver is None:
            self._waiting.clear()
            silent = self._time.monotonic() - self._word_at
            return not self._runs and (self._epoch > 0 or silent > HELLO_WITHIN_S)
        return self._leaving and not self._runs and not self._results

    def _leave(self) -> None:
        if self._results and self.id not in self._machine.folders:
            self.make_home()
        if not self._epoch:
            self._machine.folders.discard(self.id)
        self.die("leaves")

    def _reap(self) -> None:
        for run in list(self._runs.values()):
            if run.process.ended is not None:
                self._finish(run)

    def _start_next(self) -> None:
        if self._driver is None or not self._waiting or not self._free:
            return
        order = self._waiting.pop(next(iter(self._waiting)))
        if order.spec not in self._specs:
            raise Violation(f"{self.id} is to start {order.key} with surroundings it was never told")
        began = self._time.now()
        process = self._machine.spawn(order, self)
        if self._machine.chance.random() < 0.03:
            process.began = process.ended = self._time.monotonic()
            self._machine.history.ends(process)
            self._keep(process, End(*order.key, began, began, 127, error="command not found: nope"))
            return
        run = self._runs[order.key] = Run(order, self._free.pop(), began, process)
        if len(self._runs) > self._slots:
            raise Violation(f"{self.id} runs {len(self._runs)} commands in {self._slots} slots")
        if order.timeout is not None:
            self._time.later(order.timeout, lambda: self._end_later(run))
        self._say(order.key, self._started(run))

    def _started(self, run: Run) -> Message:
        files = {"1": f"workers/{self.id}/slot-{run.slot}"}
        return Started(*run.order.key, run.started_at, run.process.pid, files)

    def _end_later(self, run: Run) -> None:
        """A time limit is over; a frozen supervisor sees it when it wakes."""
        if self.frozen:
            self._time.later(0.5, lambda: self._end_later(run))
        elif self.alive:
            self._end(run, Cause.TIMEOUT)

    def _end(self, run: Run, cause: Cause) -> None:
        self._reap()  # an exit before the signal stands
        if self._runs.get(run.order.key) is not run or run.cause is not None:
            return
        run.cause = cause
        process, machine = run.process, self._machine
        if process.ignores_term:
            self._time.later(run.order.kill_grace, lambda: self._kill(run))
        else:
            self._time.later(machine.chance.random() * 0.02, lambda: machine.end(process, signal=signal.SIGTERM))

    def _kill(self, run: Run) -> None:
        if self.frozen:
            self._time.later(0.5, lambda: self._kill(run))
        elif self.alive:
            self._machine.end(run.process, signal=signal.SIGKILL)

    def _finish(self, run: Run) -> None:
        process = run.process
        text = f"{process.key} wrote this"
        end = End(
            *run.order.key, run.started_at, self._time.now(), exit_code=process.exit_code,
            signal=process.signal, cause=run.cause, outputs={"1": {"text": text, "size": len(text)}},
        )  # fmt: skip
        del self._runs[run.order.key]
        self._free.append(run.slot)
        self._keep(process, end)

    def _keep(self, process: Execution, end: End) -> None:
        """Into the journal, and only then told."""
        self._journal.append(encode(end.told()))
        self._machine.history.say("  %s is journalled", process.key)
        process.known = end
        process.reaped = True
        self._results[process.key] = end
        self._say(process.key, Ended(end.told()))

    # --- the door ---------------------------------------------------------------------------

    def _say(self, key: Key, message: Message) -> None:
        if self._driver is not None:
            if not self._outbox:
                self._outbox_since = self._time.monotonic()
            self._outbox[key] = message

    def _flush(self) -> None:
        if self._driver is None or not self._outbox:
            return
        if self._waiting and self._time.monotonic() - self._outbox_since < PATIENCE_S:
            return
        self._driver.send(*self._outbox.values())
        self._outbox.clear()
        if self._driver.closed:
            self._drop(self._driver)

    def _drop(self, channel: SimChannel) -> None:
        self.channels.remove(channel)
        channel.close()
        if channel is self._driver:
            self._driver = None
            self._word_at = self._time.monotonic()

    def hang_up(self) -> None:
        """Loses the connection to its dispatcher."""
        if self._driver is not None:
            self._drop(self._driver)

    def _hear(self, channel: SimChannel) -> bool:
        """Whether anything was heard."""
        messages = channel.receive()
        for message in messages:
            if channel not in self.channels:
                return True
            if isinstance(message, Ask):
                silent = self._time.monotonic() - self._word_at
                driven = self._driver is not None
                about: About = {"protocol": PROTOCOL, "epoch": self._epoch, "driven": driven, "silent": silent}
                channel.send(State(about))
            elif isinstance(message, Hello):
                self._greet(channel, message.epoch)
            elif channel is self._driver:
                self._word_at = self._time.monotonic()
                self._obey(message)
            else:
                self._drop(channel)
        if channel in self.channels and channel.closed:
            self._drop(channel)
            return True
        return bool(messages)

    def _greet(self, channel: SimChannel, epoch: int) -> None:
        if epoch < self._epoch:
            self._drop(channel)
            return
        if self._driver is not None and self._driver is not channel:
            self._drop(self._driver)
        self._epoch, self._driver, self._word_at = epoch, channel, self._time.monotonic()
        self._outbox.clear()
        self._waiting.clear()
        running = [self._started(run) for run in self._runs.values()]
        ended = [Ended(end.told()) for end in self._results.values()]
        channel.send(*running, *ended, Welcome({"protocol": PROTOCOL, "epoch": epoch}))

    def _obey(self, message: Message) -> None:
        match message:
            case Order():
                self._waiting[message.key] = message
            case Recorded(keys):
                for seq, lease in keys:
                    self._results.pop((seq, lease), None)
                if not self._results:
                    self._journal.clear()
            case Prepare(number):
                self._specs.add(number)
            case Drop(seq, lease):
                self._give_up((seq, lease))
            case Terminate(seq, lease, word):
                key, cause = (seq, lease), Cause(word)
                if cause is Cause.TIMEOUT:
                    raise Violation(f"{self.id} is told to end {key} because of {cause}")
                if not self._give_up(key) and (run := self._runs.get(key)):
                    self._end(run, cause)
            case Leave():
                self._leaving = True

    def _give_up(self, key: Key) -> bool:
        if key in self._runs or key in self._results:
            return False
        self._waiting.pop(key, None)
        self._say(key, Dropped(*key))
        return True
