"""Batches as people see and limit them. What their ends lead to is in settling.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from queuectl.store.batches import Span
from queuectl.store.shared.edits import Edits

if TYPE_CHECKING:  # few commands need it
    from queuectl.domain.batch import Batch

AT_ONCE = 1000


class Batches(Edits):
    """This part of a `Store` (see store/batches.py)."""

    def batches(self, name: str | None = None) -> list[Batch]:
        from queuectl.store.shared.batch_ends import counted

        return [] if self._behind else counted(self, None if name is None else [name])

    def batch_spans(self, name: str | None = None) -> dict[str, Span]:
        if self._behind:
            return {}
        text = "SELECT batch, min(created_at), min(started_at), max(finished_at) FROM {schema}.jobs WHERE batch "
        text += "IS NOT NULL GROUP BY batch" if name is None else "= ? GROUP BY batch"
        return {batch: Span(*times) for batch, *times in self._select(text, [] if name is None else [name])}

    def open_batches(self) -> dict[str, int]:
        unfinished = "batch IS NOT NULL AND state IN ('blocked', 'pending', 'processing', 'failed')"
        text = f"SELECT batch, count(*) FROM {{schema}}.jobs WHERE {unfinished} GROUP BY batch"
        return {} if self._behind else dict(self._select(text))

    def at_most(self, name: str) -> int | None:
        if self._behind:
            return None
        found = self._select("SELECT at_most FROM {schema}.batches WHERE name = ?", [name])
        return found[0][0] if found else None

    def set_batch(self, name: str, at_most: int | None, max_fails: str | None) -> None:
        from queuectl.domain.batch import lock_of
        from queuectl.domain.limits import numbered

        with self.transaction():
            self._shut_out_older()
            text = (
                "INSERT INTO {schema}.batches (name, at_most, max_fails) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE "
                "SET at_most = coalesce(excluded.at_most, batches.at_most), "
                "max_fails = coalesce(excluded.max_fails, batches.max_fails)"
            )
            self._execute(text, [name, at_most, max_fails])
            if at_most is not None:
                self.change_lock(lock_of(name), lambda lock: lock._replace(units=numbered(at_most), named=False))
                self._have_need(name, lock_of(name))
            if max_fails is not None:
                self._execute("INSERT INTO {schema}.settlements (batch) VALUES (?)", [name])
                self._announce()

    def _have_need(self, batch: str, lock: str) -> None:
        """Has the batch's jobs that wait need this lock."""
        from queuectl.domain.batch import needs, with_lock
        from queuectl.domain.lifecycle import Edited, apply

        now, seq = self.now(), 0
        text = (
            "WHERE batch = ? AND state IN ('blocked', 'pending', 'failed') AND seq > ? "
            f"ORDER BY seq LIMIT {AT_ONCE} {self._dialect.locked}"
        )
        while found := self._jobs(text, [batch, seq]):
            seq = found[-1].seq
            lacking = [job for job in found if not needs(job.locks, lock)]
            if changed := [(job, apply(job, Edited({"locks": with_lock(job.locks, lock)}), now)) for job in lacking]:
                self._rewrite(changed, now)
