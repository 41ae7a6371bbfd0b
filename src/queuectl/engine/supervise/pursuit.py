"""Ends executions: SIGTERM to the whole tree, SIGKILL after its grace, until a look finds nothing of it.

One look at the machine serves all executions that are being ended. What may not be signalled (another user's) or
does not die (stuck in the kernel) is named, and its execution still counts as running: its job must not run a second
time meanwhile.
"""

from __future__ import annotations

import signal
from collections.abc import Collection, Iterable
from math import inf
from operator import attrgetter

from queuectl.domain.cause import Cause
from queuectl.engine.supervise import process
from queuectl.engine.supervise.execution import Run
from queuectl.engine.supervise.trees import Seen, View, is_younger, look, members, names_of, see, send

LOOK_EVERY_S = 0.05
STUCK_LOOK_EVERY_S = 1.0
STUCK_AFTER_S = 5.0
"""After SIGKILL."""

_PID = attrgetter("tree.pid")


class Chase:
    """One execution that is being ended."""

    def __init__(self, run: Run, kill_at: float) -> None:
        self.run = run
        self.kill_at = kill_at
        self.known: dict[int, Seen] = {}
        self.asked = False
        self.stuck: str | None = None

    def step(self, view: View, strays: Iterable[Seen], now: float) -> bool:
        """Signals what is left. Returns whether nothing is left."""
        self.known = members(self.run.tree, view, [*self.known.values(), *strays])
        refused: set[int] = set()
        if now >= self.kill_at:
            refused = send(self.known.values(), signal.SIGKILL)
        elif not self.asked:
            send(self.known.values(), signal.SIGTERM)
        self.asked = True
        if not self.known:
            return True
        if refused == self.known.keys() or now > self.kill_at + STUCK_AFTER_S:
            self.stuck = f"could not be ended: {names_of(self.known)}"
        return False

    def next_at(self, now: float) -> float:
        """When the next round is due, in seconds of the same clock as `now`."""
        if self.stuck:
            return now + STUCK_LOOK_EVERY_S
        return min(max(self.kill_at, now + 0.01), now + LOOK_EVERY_S)


class Pursuit:
    """The executions that are being ended, and the children that belong to no running command."""

    def __init__(self, bits: int) -> None:
        """`bits` mark what this supervisor starts."""
        self._low, self._high = process.whole_range(bits)
        self._children = process.Children()
        self._chases: dict[Run, Chase] = {}
        self._strays: dict[int, Run | None] = {}
        """Children that no run started: what commands left behind, with the run that it came from."""
        self.due_at = inf

    def begin(self, run: Run, cause: Cause, now: float) -> None:
        """Ends an execution from now on."""
        run.cause = cause
        self._chases[run] = Chase(run, now + run.order.kill_grace)
        self.due_at = now

    def withdraw(self, run: Run) -> bool:
        """Whether an execution has ended that was not signalled yet: its end stands."""
        if self._chases[run].asked:
            return False
        del self._chases[run]
        run.cause = None
        return True

    def give_up(self, run: Run) -> None:
        """What hangs never became the command, and never will: it needs no pursuit."""
        self._chases.pop(run, None)

    def hurry(self, run: Run, kill_at: float) -> None:
        """Kills it at this time, if not before."""
        chase = self._chases.get(run)  # none where the command has ended and its output is being copied
        if chase is not None and not chase.stuck:
            chase.kill_at = min(chase.kill_at, kill_at)
            self.due_at = min(chase.kill_at, self.due_at)

    def look_at_once(self, now: float) -> None:
        """Something of a chased execution has ended."""
        self.due_at = now

    def step(self, running: Collection[Run], now: float) -> tuple[list[Run], list[Run]]:
        """Does a round when it is due. Returns the executions that are over, and those that turn out to be stuck."""
        over: list[Run] = []
        stuck: list[Run] = []
        if now < self.due_at:
            return over, stuck
        view = look(min(chase.run.tree.since for chase in self._chases.values())) if self._chases else {}
        self._sort_strays(running)
        for run, chase in list(self._chases.items()):
            before = chase.stuck
            if chase.step(view, self._strays_of(run, view), now) and run.exit is not None:
                del self._chases[run]
                over.append(run)
            elif chase.stuck != before:
                run.stuck = chase.stuck
                stuck.append(run)
        self.due_at = min((chase.next_at(now) for chase in self._chases.values()), default=inf)
        return over, stuck

    def lives_on(self, run: Run, running: Collection[Run]) -> bool:
        """Whether anything is left of an execution whose command has ended."""
        self._sort_strays(running)
        view = look(run.tree.since)
        return bool(members(run.tree, view, self._strays_of(run, view)))

    def left_by(self, run: Run, running: Collection[Run]) -> set[int]:
        """The processes that an execution which has ended by itself left behind."""
        self._sort_strays(running)
        if not self._strays:
            return set()
        left = {pid for pid, origin in self._strays.items() if origin is run}
        for pid in left:
            self._strays[pid] = None
        return {pid for pid in left if see(pid)}

    def strays(self, running: Collection[Run], view: View) -> dict[Run, list[Seen]]:
        """The children in a view that no run started, by the execution that they came from."""
        self._sort_strays(running)
        return {run: self._strays_of(run, view) for run in running}

    def _strays_of(self, run: Run, view: View) -> list[Seen]:
        return [view[pid] for pid, origin in self._strays.items() if origin is run and pid in view]

    def reaped(self, pid: int) -> None:
        """A child that no run started is gone."""
        self._strays.pop(pid, None)
        process.helpers.discard(pid)

    def _sort_strays(self, running: Collection[Run]) -> None:
        """Finds out where children come from that came to us since, as their parents died."""
        for pid in self._children.pids().difference(self._strays, process.helpers, map(_PID, running)):
            self._strays[pid] = self._origin(pid, running)

    def _origin(self, pid: int, runs: Collection[Run]) -> Run | None:
        """The execution that a child of ours is a rest of: its tag, session or environment tells. Where none does, it
        is the one that was running when the child was started, if it can be no other."""
        seen = see(pid)
        if seen is None:
            return None
        candidates = [run for run in runs if is_younger(seen, run.tree)]
        for run in candidates:
            if pid in members(run.tree, {pid: seen}):
                return run
        others = (stray for stray, origin in self._strays.items() if origin is None and not self._is_tagged(stray))
        if len(candidates) != 1 or self._is_tagged(pid) or any(map(see, others)):
            return None
        return candidates[0]

    def _is_tagged(self, pid: int) -> bool:
        """Whether it shows which execution it is of, be that one that has ended."""
        return any(self._low <= mark <= self._high for mark in process.tags(pid))
