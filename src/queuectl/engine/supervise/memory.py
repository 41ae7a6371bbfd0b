"""Memory limits of commands: how much the processes of an execution use, looked at each second.

A sum of what is resident is cheap, but counts what processes share once for each. So it only tells which execution may
be over its limit; what decides is each process's share of memory that cannot be reclaimed, which is dear to read. Where
a control group keeps the limit, nothing is looked at.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from math import ceil, inf

from queuectl.engine.supervise import process
from queuectl.engine.supervise.execution import Run
from queuectl.engine.supervise.pursuit import Pursuit
from queuectl.engine.supervise.trees import Seen, View, look, members
from queuectl.wire.sizes import SIZES, format_size

LOOK_EVERY_S = 1.0
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
SHARE_OF_TIME = 0.02
"""At most this much of the time goes into reading shares of one execution."""


class Watch:
    """The executions of a supervisor whose memory is looked at."""

    def __init__(self, pursuit: Pursuit) -> None:
        self._pursuit = pursuit
        self._known: dict[Run, dict[int, Seen]] = {}
        self._weigh_at: dict[Run, float] = {}
        self._tags: dict[int, tuple[int, tuple[int, ...]]] = {}
        """By pid: when the process was started, and its tags, which it never changes."""
        self.due_at = inf

    def begin(self, run: Run) -> None:
        """An execution with a limit has begun."""
        self._known[run] = {}
        self.due_at = min(self.due_at, time.monotonic() + LOOK_EVERY_S)

    def step(self, running: Collection[Run], now: float) -> list[tuple[Run, int]]:
        """Those that use more than their limit, and how much. Forgets those that have ended."""
        for run in self._known.keys() - set(running):
            del self._known[run]
            self._weigh_at.pop(run, None)
        self.due_at = now + LOOK_EVERY_S if self._known else inf
        if not self._known:
            return []
        view = look(min(run.tree.since for run in self._known))
        strays = self._pursuit.strays(running, view)
        self._read_tags(view)
        over = []
        for run, known in self._known.items():
            before = [*known.values(), *strays.get(run, ())]
            self._known[run] = members(run.tree, view, before, lambda pid: self._tags[pid][1])
            if run.runs and (used := self._used(run, now)) > (run.memory_max or 0):
                over.append((run, used))
        return over

    def _read_tags(self, view: View) -> None:
        kept, self._tags = self._tags, {}
        for pid, seen in view.items():
            found = kept.get(pid)
            is_same = found is not None and found[0] == seen.started
            self._tags[pid] = found if found and is_same else (seen.started, tuple(process.tags(pid)))

    def _used(self, run: Run, now: float) -> int:
        """How much it uses; 0 where that is certainly not too much, or was looked at just now."""
        pids = self._known[run]
        if sum(map(resident, pids)) <= (run.memory_max or 0) or now < self._weigh_at.get(run, 0.0):
            return 0
        used, took_s = sum(map(share, pids)), time.monotonic() - now
        self._weigh_at[run] = now + took_s / SHARE_OF_TIME
        return used


def exceeded(limit: int, used: int) -> str:
    """The error of an execution over its limit: `memory limit 4g exceeded (4.1g)`."""
    unit, size = next((unit, size) for unit, size in reversed(SIZES.items()) if used >= size)
    return f"memory limit {format_size(limit)} exceeded ({ceil(used * 10 / size) / 10:g}{unit})"


def resident(pid: int) -> int:
    """The bytes of a process that are in memory, with all that it shares."""
    fields = process.stat_of(pid)
    return int(fields[21]) * PAGE_BYTES if fields else 0


def share(pid: int) -> int:
    """A process's part of the memory that cannot be reclaimed, in bytes: its own, and its share of what it shares.
    Mapped files can be. All that is resident where the kernel does not tell more."""
    rollup = process.content(f"/proc/{pid}/smaps_rollup").splitlines()
    told = {line.partition(b":")[0]: line.split()[1] for line in rollup[1:]}
    parts = [told.get(name) for name in (b"Pss_Anon", b"Pss_Shmem")]
    if None in parts:
        parts = [told.get(b"Pss")]
    return resident(pid) if None in parts else sum(int(part or 0) for part in parts) * 1024
