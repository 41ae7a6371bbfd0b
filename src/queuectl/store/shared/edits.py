"""Changes of what waiting jobs are to do."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from queuectl.domain.errors import QueuectlError
from queuectl.domain.job import Job, Spec
from queuectl.domain.lifecycle import Edited, apply
from queuectl.store.shared.births import Births
from queuectl.store.shared.jobs import Jobs
from queuectl.store.shared.rows import EDITED

GATED = ("queue", "locks", "start_by")
"""What claims decide by. One that has looked before must not take the job after such a change."""


class Edits(Jobs):
    """This part of a `Store` (see store/port.py)."""

    @abstractmethod
    def _keep_specs(self, specs: Iterable[Spec]) -> dict[Spec, int]:
        """The number of each spec; new ones are added. Nobody removes them during this transaction."""

    @abstractmethod
    def _exchange_specs(self, come: Counter[int], gone: Counter[int]) -> None:
        """Some jobs have other specs now: how many use each of these more, and how many less."""

    def edit(
        self, ids: Sequence[str], edited: Callable[[Job], tuple[Mapping[str, Any], str]], who: str | None
    ) -> list[Job | QueuectlError]:
        now = self.now()
        changed: list[tuple[Job, Job]] = []
        told: list[tuple[object, ...]] = []

        def one(job: Job) -> Job:
            values, detail = edited(job)
            after = apply(job, Edited(values), now)
            if not detail:
                return job
            changed.append((job, after))
            told.append((now, job.seq, Edited.__name__, who, detail))
            return after

        with self.transaction():
            results = self._each(ids, one)
            if changed:
                self._rewrite(changed, now)
                self._send_rows("note_detail", told)
                self._announce()
        return results

    def _rewrite(self, changed: Sequence[tuple[Job, Job]], now: float) -> None:
        """Replaces locked jobs, each (before, after), in all that `set` may change."""
        afters = Births([after for _, after in changed], now)
        numbers = self._keep_specs(afters.specs)
        if afters.is_guarded:
            self._shut_out_older()
        if any(getattr(before, name) != getattr(after, name) for before, after in changed for name in GATED):
            self._shut_gates()
        text = f"SELECT seq, spec FROM {{schema}}.jobs WHERE seq {self._dialect.any_of}"
        were = dict(self._select(text, [self._dialect.array([before.seq for before, _ in changed])]))
        self._write(changed, now)
        self._send_rows("edit_job", afters.rows(numbers, (*EDITED, "seq")))
        others = [after for after in afters.jobs if numbers[after.spec] != were[after.seq]]
        if others:
            come, gone = Counter(numbers[job.spec] for job in others), Counter(were[job.seq] for job in others)
            self._exchange_specs(come, gone)
        self._count(changed)
        self._left_lines(before for before, _ in changed)
