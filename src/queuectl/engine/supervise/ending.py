"""How executions end: by themselves, on request, by their time limit or with the lease.

An end is in the journal before its process is reaped, so no exit status is ever only in memory.
"""

from __future__ import annotations

import heapq
import os
import time
from math import inf

from queuectl.domain.cause import Cause
from queuectl.engine.lease import Fence
from queuectl.engine.protocol import End, Kept, encode
from queuectl.engine.supervise import process
from queuectl.engine.supervise.cgroups import Group
from queuectl.engine.supervise.door import Door
from queuectl.engine.supervise.execution import Run, copy_user_file, cut
from queuectl.engine.supervise.memory import Watch, exceeded
from queuectl.engine.supervise.oom import KILLED, OomKiller
from queuectl.engine.supervise.pursuit import Pursuit
from queuectl.engine.supervise.runs import Runs
from queuectl.engine.supervise.sink import INLINE_BYTES_MAX, Drains
from queuectl.engine.supervise.starting import Patience
from queuectl.engine.supervise.trees import name_of, names_of
from queuectl.engine.supervise.unrecorded import INLINE_SHARE, Unrecorded
from queuectl.engine.supervise.withheld import Withheld
from queuectl.wire.sizes import format_size


class Ending:
    """Ends and reaps what runs, and keeps the results."""

    def __init__(
        self, runs: Runs, results: Unrecorded, door: Door, drains: Drains, pursuit: Pursuit, output_bytes_max: int
    ) -> None:
        self.results = results
        self.withheld = Withheld(pursuit)
        self._runs = runs
        self._door = door
        self._drains = drains
        self._pursuit = pursuit
        self._output_bytes_max = output_bytes_max
        self._patience = Patience[Run]()
        self._timers: list[tuple[float, int, Run]] = []
        self._memory = Watch(pursuit)
        self._killer = OomKiller()
        self._groups: list[Group] = []
        """Those in which commands that have ended left something behind."""

    def watch(self, run: Run) -> None:
        """An execution has begun. Its time limit runs, and so does the limit for paths that may hang."""
        self._drains.begin(run.sinks.values())
        if run.start is not None:
            self._patience.begin(run, run.start)
            if run.memory_max is not None and run.group is None:
                self._memory.begin(run)
        if run.order.timeout is not None:
            heapq.heappush(self._timers, (time.monotonic() + run.order.timeout, run.tree.low, run))

    def due_at(self) -> float:
        """When there is something to do."""
        timer = self._timers[0][0] if self._timers else inf
        return min(timer, self._patience.wake_at(), self._pursuit.due_at, self.withheld.due_at, self._memory.due_at)

    def go_on(self, now: float) -> None:
        """Does what is due."""
        while self._timers and self._timers[0][0] <= now:
            _, _, run = heapq.heappop(self._timers)
            if self._runs.has(run) and run.runs:
                self._pursuit.begin(run, Cause.TIMEOUT, now)
        if self._patience.waits:
            self._leave_hanging(now)
        if now >= self._memory.due_at:
            self._look_at_memory(now)
        if now >= self._pursuit.due_at or now >= self.withheld.due_at:
            self._pursue(now)

    def _look_at_memory(self, now: float) -> None:
        """Ends what is over its limit: at once, since a grace would be time to take the machine's memory."""
        for run, used in self._memory.step(self._runs.all, now):
            run.trouble = exceeded(run.memory_max or 0, used)
            self._pursuit.begin(run, Cause.MEMORY, now)
            self._pursuit.hurry(run, now)

    def look_out(self, now: float) -> None:
        """Looks, while commands run, whether the kernel ends processes for want of memory."""
        if self._runs.by_key:
            self._killer.look(now)

    def end(self, run: Run, cause: Cause) -> None:
        """Ends an execution, unless it has ended by itself."""
        if run.runs:
            self.reap()  # an exit before the signal stands
            if self._runs.has(run) and run.runs:
                self._pursuit.begin(run, cause, time.monotonic())

    def end_all(self, now: float, fence: Fence) -> None:
        """Ends what runs while nobody else may run it, whatever its grace. It is given back, not counted."""
        self.reap()  # an exit before the signal stands
        for run in self._runs.all:
            if run.runs:
                self._pursuit.begin(run, Cause.STOP, now)
            self._pursuit.hurry(run, now + fence.kill_in_s())

    def _pursue(self, now: float) -> None:
        """Goes on ending trees until nothing of them is left."""
        over, stuck = self._pursuit.step(self._runs.all, now)
        for run in (*over, *self.withheld.step(self._runs.all, now, self._door.driven)):
            self._finish(run)
        for run in stuck:
            self._runs.roster.stuck(run.slot.row)
            self._door.say(run.order.key, run.messages())

    def _leave_hanging(self, now: float) -> None:
        """Goes on without children that were killed and do not end: the kernel ends them when their mount answers."""
        for pid, run in self._patience.step(now):
            self._runs.by_pid.pop(pid, None)
            if self._runs.has(run):
                run.abandoned, run.stuck = True, f"could not be ended: {name_of(pid)}"
                self._pursuit.give_up(run)
                self._finish(run)

    def reap(self) -> None:
        """Reports and reaps every child that has ended."""
        while True:
            try:
                info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if info is None:
                return
            pid, status = info.si_pid, info.si_status
            if self._patience.waits:
                self._patience.ended(pid)
            run = self._runs.by_pid.pop(pid, None)
            if run is None:
                self._pursuit.reaped(pid)
                os.waitpid(pid, 0)
            elif run.copier is not None and pid == run.copier.pid:
                run.copied(os.waitpid(pid, 0)[1] == 0)
                self._pursuit.reaped(pid)
                self._finish(run)
            else:
                run.exit = (status, None) if info.si_code == os.CLD_EXITED else (None, status)
                stands = run.cause is None or self._pursuit.withdraw(run)
                if stands and (run.exit in KILLED or run.group is not None):
                    self._find_trouble(run)
                if stands and not self.withheld.hold(run, self._runs.all, time.monotonic(), self._door.driven):
                    self._finish(run)
                else:
                    run.account()
                    self._pursuit.look_at_once(time.monotonic())

    def _find_trouble(self, run: Run) -> None:
        """Finds out who killed a command, where its end may be the kernel's doing."""
        run.trouble = None
        if run.group is not None and run.exit != (0, None) and run.group.was_full():
            run.cause = Cause.MEMORY
            run.trouble = f"memory limit {format_size(run.memory_max or 0)} exceeded (ended by the kernel)"
        elif run.exit in KILLED:
            run.trouble = self._killer.verdict(run, time.monotonic())

    def _finish(self, run: Run) -> None:
        """Makes the result, keeps it, frees the slot, and only then reaps."""
        why = run.judge_start() if run.start is not None else None
        if why is None and run.user_file is not None and self._copy_user_file(run):
            return
        left = set() if run.cause or why else self._pursuit.left_by(run, self._runs.all)
        outputs: dict[str, Kept] = {}
        self._drains.end(run.sinks.values())
        room = self.results.journal.spare(len(self._runs.by_key)) // INLINE_SHARE
        for stream, sink in run.sinks.items():
            if kept := sink.collect(bool(left or run.abandoned), room):
                outputs[str(stream)] = kept
        tale = run.slot.telling.collect(bool(left or run.abandoned), min(INLINE_BYTES_MAX, room))
        exit_code, signum = (why.exit_code, None) if why else run.exit or (None, None)
        seq, lease = key = run.order.key
        troubles = [why.reason if why else None, run.trouble, run.stuck]
        error = cut("; ".join(filter(None, troubles))) if any(troubles) else None
        end = End(
            seq, lease, *run.times(), exit_code, signum, run.cause, error, outputs or None,
            names_of(left) if left else None, progress=tale.progress, result=tale.result, note=tale.note,
        )  # fmt: skip
        self._runs.by_pid.pop(run.tree.pid, None)
        del self._runs.by_key[key]
        self.keep(end, run)
        if run.group is not None:
            self._groups = [group for group in (*self._groups, run.group) if not group.remove()]
        self._runs.give_back(run.slot)

    def _copy_user_file(self, run: Run) -> bool:
        """Whether a child now copies what the command wrote to a user's file; `_finish` goes on at its end."""
        try:
            run.copier = copy_user_file(run, self._output_bytes_max)
        except process.Shortage:
            return False
        run.user_file = None
        process.helpers.add(run.copier.pid)
        run.account()
        self._runs.by_pid[run.copier.pid] = run
        self._patience.begin(run, run.copier)
        return True

    def keep(self, end: End, run: Run | None = None) -> None:
        """Puts an end into the journal, reaps its process, and tells the dispatcher."""
        body = encode(end.told())
        self.results.journal.append(body)
        if run is not None:
            run.account()
        used = run.used() if run is not None else "[null,null]"
        self._door.say((end.seq, end.lease), self.results.keep(end, body, used))
