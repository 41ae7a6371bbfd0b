"""A store whose claims mind gates. What decides about them is loaded by the first claim: few commands need it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cached_property

from queuectl.domain.job import HOOKS, Job
from queuectl.store.shared.limits import Limits
from queuectl.store.values import LEASE_S, Grip, WorkerRow
from queuectl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from queuectl.store.shared.gates import Gates


class Gated(Limits):
    """This part of a `Store` (see store/port.py)."""

    hooks_added = False
    """Whether a hook was added since somebody has asked."""
    runs_ended = False
    """Whether the end of a run of a schedule was noted since somebody has asked."""

    @cached_property
    def expired(self) -> list[Job]:
        """The jobs that claims have cancelled since somebody has asked."""
        return []

    def take_expired(self) -> list[Job]:
        taken = self.expired.copy()
        self.expired.clear()
        return taken

    def hooks_about(self, kind: str, name: str, most: int) -> list[Job]:
        if self._behind:
            return []
        from queuectl.domain.hooks import about

        first = about(kind, name)
        last = first[:-1] + chr(ord(first[-1]) + 1)
        found = self._jobs("WHERE tells >= ? AND tells < ? ORDER BY seq DESC LIMIT ?", [first, last, most])
        return found[::-1]

    def hooks_given_up(self) -> int:
        text = "SELECT coalesce(sum(jobs), 0) FROM {schema}.counts WHERE queue = ? AND state = 'dead'"
        return int(self._select(text, [HOOKS])[0][0])

    def has_hooks(self) -> bool:
        return bool(self.read("has_hooks", hooks=HOOKS, now=self.now())[0][0])

    @cached_property
    def gates(self) -> Gates:
        from queuectl.store.shared.gates import Gates

        return Gates(self)

    @property
    def held_up(self) -> bool:
        return self.gates.held_up

    @property
    def awaits(self) -> bool:
        return self.gates.awaits

    @property
    def took_all(self) -> bool:
        return self.gates.took_all

    def holds_back(self, job: Job) -> bool:
        return bool(job.locks) or job.queue in self.gates.places

    def sweep(self) -> list[Job]:
        from queuectl.store.shared.batch_ends import settle_listed
        from queuectl.store.shared.gates import HAS_EXPIRED, expire

        now, found = self.now(), list[Job]()
        text = f"SELECT EXISTS (SELECT 1 FROM {{schema}}.jobs WHERE {HAS_EXPIRED}), "
        text += "EXISTS (SELECT 1 FROM {schema}.settlements)"
        if any(self._select(text, [now])[0]):
            with self.transaction():
                found = expire(self, now)
                settle_listed(self)
        return found

    def vacating(self, jobs: Sequence[Job]) -> AbstractContextManager[None]:
        return self.gates.vacated.during(jobs)

    def adopt(
        self, row: WorkerRow, dispatcher: int, lease_s: float = LEASE_S, only_expired: bool = False
    ) -> Grip | None:
        self.gates.forget_rates()
        return super().adopt(row, dispatcher, lease_s, only_expired)

    def has_claimable(self) -> bool:
        return bool(self.read("has_claimable", now=self.now())[0][0])

    def outlook(self) -> tuple[bool, float | None]:
        return self.has_claimable(), self.read("next_due")[0][0]

    def next_due(self) -> float | None:
        due = [at for at in (self.read("next_due")[0][0], self.gates.reopens_at) if at is not None]
        return min(due, default=None)
