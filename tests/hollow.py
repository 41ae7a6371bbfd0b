"""Dispatchers that run nothing: real ones, each with a store, a machine and connections of its own, whose supervisors
are hollow: an order has ended at once. Hundreds fit into a process."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from queuectl import ids
from queuectl.clock import SystemClock
from queuectl.engine.channel import Channel
from queuectl.engine.dispatch.dispatcher import Dispatcher
from queuectl.engine.dispatch.host import Host, Launched, Plan
from queuectl.engine.dispatch.wakeup import wakeup_for
from queuectl.engine.protocol import PROTOCOL, Ended, Hello, Leave, Order, Welcome
from queuectl.store.postgres.store import PostgresStore
from queuectl.wire.workers import WorkerOptions


class Hollow(Host):
    """A machine of its own that starts no process: the one supervisor on it is a socket whose other end we hold."""

    def __init__(self, below: Path) -> None:
        super().__init__(below)
        self.name = self.machine = f"hollow-{ids.random_id(8)}"

    def prepare(self) -> None:
        pass

    def launch(self, plan: Plan) -> Launched:
        ours, theirs = socket.socketpair()
        self.supervisor = Channel(theirs)
        return Launched(f"{plan.name}~{ids.random_id(6)}", self.pid, ids.tag_bits(), Channel(ours))

    def drive(self, worker: str) -> None:
        pass

    def kill_child(self, pid: int) -> None:
        """Ends the supervisor alone. Its process is ours, which one lease that runs out would end with all others."""
        self.supervisor.close()

    def reap_strays(self, but: set[int]) -> None:
        pass


class Member:
    """One dispatcher."""

    def __init__(
        self, url: str, number: int, below: Path, ordered: Callable[[float], None], poll: float = 5.0
    ) -> None:  # fmt: skip
        """`ordered` is told of each order when it came, by the performance counter."""
        self._ordered = ordered
        self._store = PostgresStore(url, below)
        self._store.wait_at_most(2.0)
        self._host = Hollow(below / "hollow")
        self._wakeup = wakeup_for(self._store)
        options = WorkerOptions(name=f"w{number}", slots=4, supervisors=1, poll=poll)
        self.dispatcher = Dispatcher(
            self._store, options, SystemClock(), self._host, self._wakeup, lambda *_: None
        )  # fmt: skip
        self.dispatcher.start()
        self._watched: set[int] = set()
        self.due = 0.0

    def step(self, selector: selectors.BaseSelector) -> None:
        """Does what is due on both sides. What is ordered counts at once, not when all others have had their turn."""
        self._answer()
        self.due = time.monotonic() + self.dispatcher.step()
        self._answer()
        assert self.dispatcher.exit_code is None
        channels = [self._host.supervisor, *self.dispatcher.channels()]
        wanted = {handle for handle in [*(each.fileno() for each in channels), self._wakeup.fileno()] if handle >= 0}
        for gone in self._watched - wanted:
            selector.unregister(gone)
        for new in wanted - self._watched:
            selector.register(new, selectors.EVENT_READ, self)
        self._watched = wanted

    def _answer(self) -> None:
        supervisor = self._host.supervisor
        for message in supervisor.receive():
            if isinstance(message, Hello):
                about = {"protocol": PROTOCOL, "epoch": message.epoch, "driven": True, "silent": 0.0}
                supervisor.send(Welcome(about))  # type: ignore[arg-type]
            elif isinstance(message, Order):
                self._ordered(time.perf_counter())
                end = {"seq": message.seq, "lease": message.lease, "exit_code": 0}
                supervisor.send(Ended({**end, "started_at": time.time(), "finished_at": time.time()}))
            elif isinstance(message, Leave):
                supervisor.close()

    def close(self) -> None:
        """Lets go of everything, as if it had died."""
        for channel in [self._host.supervisor, *self.dispatcher.channels()]:
            channel.close()
        self.dispatcher.close()
        self._wakeup.close()
        self._store.close()


def go_on(members: Sequence[Member], selector: selectors.BaseSelector, pause_s: float) -> None:
    """Steps those who were woken or whose time has come."""
    woken = {key.data for key, _ in selector.select(max(0.0, pause_s))}
    now = time.monotonic()
    for member in members:
        if member in woken or member.due <= now:
            member.step(selector)
