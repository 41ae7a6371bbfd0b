"""People at a simulated machine. Only what was acknowledged to them counts."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from queuectl.clock import Clock
from queuectl.domain.errors import QueuectlError, StoreUnavailable
from queuectl.domain.job import Spec
from queuectl.domain.lifecycle import CancelRequested, Event, Held, Released, Retried
from queuectl.store.port import Store
from tests.builders import a_job
from tests.model.machine import BITTER_POISON, ENDLESS, POISON
from tests.model.verdict import History

SPECS = (
    Spec(max_retries=0),
    Spec(max_retries=1, backoff_initial=0.3, timeout=0.5, kill_grace=0.4),
    Spec(max_retries=2, backoff_initial=0.1, fatal_on=(2,)),
)
COMMANDS = (*["a job"] * 40, ENDLESS, POISON, BITTER_POISON)
ACTS: tuple[Event, ...] = (CancelRequested(), Retried(), Retried(), Held(), Released(), Released())


class People:
    """They act through a store connection of their own."""

    def __init__(self, store: Store, clock: Clock, chance: Random, history: History) -> None:
        self._store = store
        self._clock = clock
        self._chance = chance
        self._history = history

    def act(self) -> None:
        """Somebody does something."""
        is_new = not self._history.acknowledged or self._chance.random() < 0.4
        self._try(self._enqueue if is_new else self._change)
        self._try(lambda: self._history.limits.act(self._store))

    def ask_to_stop(self, name: str) -> None:
        """Somebody wants a worker stopped."""
        how = self._chance.choice(("graceful", "now"))
        self._history.say("%s is asked to stop: %s", name, how)
        self._try(lambda: self.request_stop(how, name))

    def request_stop(self, how: str, name: str | None = None) -> None:
        """Asks all workers to stop, or the one of this name."""
        rows = self._store.workers()
        self._store.request_stop([row.id for row in rows if name in (None, row.name)], how)

    def cancel_the_rest(self) -> None:
        """Somebody loses patience with all that still waits or runs."""
        waiting = [job for job in self._history.acknowledged.values() if not self._store.get(job.id).finished]
        for job in waiting:
            self._act_on(job.id, CancelRequested())

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except StoreUnavailable:
            self._history.say("the store refuses somebody")

    def _enqueue(self) -> None:
        chance, made = self._chance, len(self._history.acknowledged)
        now = self._clock.now()
        jobs = [
            a_job(
                f"job{made + number + 1}", at=now, run_at=now + chance.choice((0, 0, 0, 1.5)),
                spec=chance.choice(SPECS), queue=chance.choice(("default", "default", "slow")),
                priority=chance.randint(0, 1), held=chance.random() < 0.05, command=chance.choice(COMMANDS),
            )
            for number in range(chance.randint(1, 4))
        ]  # fmt: skip
        jobs = list(map(self._history.limits.of_job, jobs))
        self._store.insert(jobs)
        for job in jobs:
            self._history.enqueued(self._store.get(job.id))
        self._history.say("enqueued: %s", ", ".join(job.id for job in jobs))

    def _change(self) -> None:
        event = self._chance.choice(ACTS)
        self._act_on(self._chance.choice(list(self._history.acknowledged.values())).id, event)

    def _act_on(self, job_id: str, event: Event) -> None:
        with self._store.transaction():
            before = self._store.get(job_id)
            (after,) = self._store.change([job_id], event, "somebody")
        if not isinstance(after, QueuectlError):
            self._history.say("%s: %s", job_id, type(event).__name__)
            self._history.acted(before, event)
