"""Drives supervisors whose dispatcher is gone, on behalf of a command: what a person asks for is done although no
worker is left. Takes over as a worker does, records what ends, claims nothing, and lets go of what goes on. Cleans up
after workers of which nothing is left."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager

from queuectl.clock import SystemClock, boottime
from queuectl.domain.condition import Condition
from queuectl.engine import happenings
from queuectl.engine.dispatch.condition import condition_of
from queuectl.engine.dispatch.dispatcher import Dispatcher, MustReopen
from queuectl.engine.dispatch.host import Host
from queuectl.engine.dispatch.reaper import Reaper, Settled
from queuectl.engine.dispatch.wakeup import Wakeup, wait_readable
from queuectl.engine.supervise import process
from queuectl.settings import Settings
from queuectl.store.liveness import is_supervisor, machine_id
from queuectl.store.port import WorkStore
from queuectl.store.values import WorkerRow
from queuectl.wire.workers import WorkerOptions


class Guardian:
    """A dispatcher without supervisors of its own, for a moment at a time."""

    def __init__(self, store: WorkStore, wards: Collection[WorkerRow], stop: str | None) -> None:
        """`stop`: how the wards are to stop (see `Dispatcher.stop`) once they are taken over; None: they go on."""
        self._store = store
        self._wards = frozenset(row.id for row in wards)
        self._stop = stop
        self._is_over = False
        self._dispatcher = Dispatcher(
            store, WorkerOptions(slots=0), SystemClock(), Host(store.folder), Wakeup(None), _unheard, self._wards
        )
        for row in wards:
            if row.machine == machine_id() and is_supervisor(row.pid, row.id):
                process.resume(row.pid)

    @property
    def is_over(self) -> bool:
        """Whether it drives nothing any more: a worker has taken over, or the store was replaced."""
        return self._is_over or self._dispatcher.exit_code is not None

    def turn(self, for_s: float) -> None:
        """Does what is due within `for_s` seconds."""
        end = time.monotonic() + for_s
        while (left := end - time.monotonic()) > 0 and (pause_s := self._step()) is not None:
            if self._stop and not orphans(self._store, self._wards):
                self._dispatcher.stop(self._stop, "worker stop")
            wait_readable([channel.fileno() for channel in self._dispatcher.channels()], min(pause_s, left))

    def close(self) -> None:
        """Lets go: what still runs goes on."""
        self._step()  # removes what the last one left
        self._dispatcher.close()

    def _step(self) -> float | None:
        """A step of the dispatcher; None where it has ended."""
        if self.is_over:
            return None
        try:
            return self._dispatcher.step()
        except MustReopen:
            self._is_over = True
            return None


def settle_dead(store: WorkStore) -> list[Settled]:
    """Does what the next worker would do after dead ones: ends their commands' processes, records results from their
    journals, gives their jobs back, removes their folders."""
    return Reaper(store, Host(store.folder), lambda: Settings(store.config())).clean_up(boottime())


def orphans(store: WorkStore, workers: Iterable[str]) -> list[WorkerRow]:
    """Which of these supervisors live on this machine without a dispatcher."""
    wanted = frozenset(workers)
    rows = store.living([row for row in store.workers() if row.id in wanted]) if wanted else []
    here = [row for row in rows if row.machine == machine_id()]
    return [row for row in here if condition_of(row, store.folder) is Condition.ORPHANED]


@contextmanager
def guarding(store: WorkStore, wards: Collection[WorkerRow], stop: str | None = None) -> Iterator[Guardian]:
    """A guardian that lets go at the end."""
    guardian = Guardian(store, wards, stop)
    try:
        yield guardian
    finally:
        guardian.close()


def _unheard(*_: happenings.Happening) -> None:
    """What a guardian does is told by the command that it works for."""
