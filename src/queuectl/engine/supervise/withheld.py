"""Ends that may belong to a stop of the worker, while something of their execution lives on or no dispatcher is there.

A command that dies of the signal that stops its worker is given back, and its job runs again. Processes of its tree
that ignored the signal must not run at the same time: they are ended as by any stop. If the worker gets no such signal,
the command has ended by itself, and what it left is not touched. Until that is certain the execution counts as running.

The worker's signal is its dispatcher's, or the supervisor's own: what signals all processes of a service or a machine
also signals supervisors that have lost their dispatcher. An end of which nothing lives on waits for it in the
dispatcher (see engine/dispatch/pending.py), or here where there is none.
"""

from __future__ import annotations

from collections.abc import Collection
from math import inf

from queuectl.domain.cause import Cause
from queuectl.engine.signals import may_belong_to_stop, together_s
from queuectl.engine.supervise.execution import Run
from queuectl.engine.supervise.pursuit import Pursuit

HOLD_S = 2.0
"""How long the worker's own signal may come after the end of a command: longer than a dispatcher holds an end of which
nothing is left, since it has yet to tell of it."""
LOOK_EVERY_S = 0.1


class Withheld:
    """The ends of one supervisor that have to wait."""

    def __init__(self, pursuit: Pursuit) -> None:
        self._pursuit = pursuit
        self._until: dict[Run, float] = {}
        self._signalled_at = -inf
        self.due_at = inf

    def signalled(self, now: float) -> None:
        """The dispatcher, or this process, has got a signal to stop."""
        self._signalled_at = now
        for run in self._until:
            self._pursuit.begin(run, Cause.STOP, now)
        self._until.clear()

    def hold(self, run: Run, running: Collection[Run], now: float, driven: bool) -> bool:
        """Whether the end of this command has to wait: for what is known later, or for the end of its whole tree.
        `driven`: whether there is a dispatcher."""
        if run.exit is None or not may_belong_to_stop(*run.exit):
            return False
        if now - self._signalled_at < together_s(run.order.kill_grace):
            self._pursuit.begin(run, Cause.STOP, now)
        elif driven and not self._pursuit.lives_on(run, running):
            return False
        else:
            self._until[run] = now + HOLD_S
            self.due_at = now + LOOK_EVERY_S
        return True

    def step(self, running: Collection[Run], now: float, driven: bool) -> list[Run]:
        """The executions that have ended by themselves, as is certain now, or is left to the dispatcher to find out."""
        if now < self.due_at:
            return []
        over = [
            run
            for run, until in self._until.items()
            if now >= until or (driven and not self._pursuit.lives_on(run, running))
        ]
        for run in over:
            del self._until[run]
        self.due_at = now + LOOK_EVERY_S if self._until else inf
        return over
