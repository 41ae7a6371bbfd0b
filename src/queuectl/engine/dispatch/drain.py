"""The end of a draining worker."""

from __future__ import annotations

from queuectl.domain.job import HOOKS
from queuectl.engine import happenings
from queuectl.engine.dispatch.crew import Crew
from queuectl.store.port import WorkStore

TELLS_FROM_S = 5.0
"""Shorter waits, such as for most retries, are not worth a line."""


class Drain:
    """Knows when a worker's queues have no jobs left."""

    def __init__(self, store: WorkStore, crew: Crew, observe: happenings.Observer) -> None:
        self._store = store
        self._crew = crew
        self._observe = observe
        self._told: float | None = None
        self._stuck_since: float | None = None
        self._stuck_told = False

    def is_over(self, next_due: float | None) -> bool:
        """Whether no job runs or waits, now or later. If not, says once that there is nothing to do before `next_due`,
        when the store's next job becomes due; or that there are only jobs that wait for something else."""
        if self._crew.has_flights:
            self._stuck_since = None
            return False
        options = self._crew.options
        with_hooks = (HOOKS,) if options.hooks else ()
        queues = (*options.queues, *with_hooks) if options.queues else ()
        if not self._store.has_work(queues, options.not_queues if options.hooks else (*options.not_queues, HOOKS)):
            return True
        now = self._store.now()
        self._tell_if_stuck(now, waits=next_due is not None)
        if next_due is not None and next_due != self._told:
            after = next_due - now
            if after > TELLS_FROM_S:
                self._told = next_due
                self._observe(happenings.DrainWaits(until=next_due, after=after))
        return False

    def _tell_if_stuck(self, now: float, *, waits: bool) -> None:
        """`waits`: a time is known at which more may be done."""
        if waits or self._stuck_told:
            self._stuck_since = None
        elif self._stuck_since is None:
            self._stuck_since = now
        elif now - self._stuck_since > TELLS_FROM_S:
            self._stuck_told = True
            self._observe(happenings.DrainStuck())
