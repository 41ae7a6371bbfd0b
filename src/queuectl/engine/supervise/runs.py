"""The executions of a supervisor that have not ended, and the slots they take."""

from __future__ import annotations

from collections.abc import Collection

from queuectl.engine.protocol import Key
from queuectl.engine.supervise.execution import Run, Slot
from queuectl.engine.supervise.roster import Roster


class Runs:
    """Kept in memory for the supervisor, and in its roster for those who outlive it."""

    def __init__(self, slots: list[Slot], roster: Roster) -> None:
        self.roster = roster
        self.free = slots[::-1]
        """Free slots; the last one is taken next."""
        self._unused: list[Slot] = []
        self._used = len(slots)
        self.by_key: dict[Key, Run] = {}
        self.all: Collection[Run] = self.by_key.values()
        self.by_pid: dict[int, Run] = {}
        """Those whose process, or the child that copies their output, has not been reaped."""

    @property
    def has_room(self) -> bool:
        """Whether one more may start."""
        return bool(self.free) and len(self.by_key) < self._used

    def use(self, count: int) -> None:
        """Takes only the first `count` slots from now on, once others are free."""
        self._used = count
        free = sorted((*self.free, *self._unused), key=lambda slot: -slot.row)
        self.free[:] = [slot for slot in free if slot.row < count]
        self._unused = [slot for slot in free if slot.row >= count]

    def take(self, key: Key, execution: int, since: float) -> Slot:
        """A slot for an execution that is about to be started."""
        slot = self.free.pop()
        self.roster.enter(slot.row, key, execution, since)
        return slot

    def give_back(self, slot: Slot) -> None:
        """The execution has ended and its result is in the journal, or it was not started."""
        self.roster.leave(slot.row)
        (self.free if slot.row < self._used else self._unused).append(slot)

    def add(self, key: Key, run: Run) -> None:
        """The execution was started."""
        self.roster.started(run.slot.row, run.tree.until, run.tree.pid)
        self.by_key[key] = self.by_pid[run.tree.pid] = run

    def has(self, run: Run) -> bool:
        """Whether this execution has not ended yet."""
        return self.by_key.get(run.order.key) is run

    def slots(self) -> list[Slot]:
        """All slots, free or taken."""
        return [*self.free, *self._unused, *(run.slot for run in self.all)]
