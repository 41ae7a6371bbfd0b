"""Batches as people see and limit them. What their ends lead to is in settling.py."""

from __future__ import annotations

from collections.abc import Collection

from queuectl.store.shared.edits import Edits
from queuectl.store.shared.rows import UNFINISHED
from queuectl.typed import TYPE_CHECKING

if TYPE_CHECKING:  # few commands need these
    from queuectl.domain.batch import Batch
    from queuectl.store.batches import BatchTimes


class Batches(Edits):
    """This part of a `Store` (see store/batches.py)."""

    def batches(self, name: str | None = None) -> list[Batch]:
        from queuectl.store.shared.batch_ends import counted

        return [] if self._behind else counted(self, None if name is None else [name])

    def batch_spans(self, name: str | None = None) -> dict[str, BatchTimes]:
        if self._behind:
            return {}
        from queuectl.store.batches import BatchTimes

        text = (
            "SELECT batch, min(created_at), min(started_at), max(finished_at), "
            f"min(CASE WHEN state {UNFINISHED} THEN run_at END) FROM {{schema}}.jobs WHERE batch "
        )
        text += "IS NOT NULL GROUP BY batch" if name is None else "= ? GROUP BY batch"
        found = {batch: BatchTimes(*times) for batch, *times in self._select(text, [] if name is None else [name])}
        return {batch: self._counted_since(batch, times) for batch, times in found.items()}

    def _counted_since(self, batch: str, times: BatchTimes) -> BatchTimes:
        if times.resumed_at is None or times.started_at is None or times.resumed_at <= times.started_at:
            return times._replace(resumed_at=None)
        text = f"SELECT count(*) FROM {{schema}}.jobs WHERE batch = ? AND NOT state {UNFINISHED} AND finished_at >= ?"
        ((done,),) = self._select(text, [batch, times.resumed_at])
        return times._replace(done_since=done)

    def open_batches(self) -> dict[str, int]:
        unfinished = f"batch IS NOT NULL AND state {UNFINISHED}"
        text = f"SELECT batch, count(*) FROM {{schema}}.jobs WHERE {unfinished} GROUP BY batch"
        return {} if self._behind else dict(self._select(text))

    def at_most(self, name: str) -> int | None:
        if self._behind:
            return None
        found = self._select("SELECT at_most FROM {schema}.batches WHERE name = ?", [name])
        return found[0][0] if found else None

    def strict_batches(self, names: Collection[str]) -> set[str]:
        text = f"SELECT name FROM {{schema}}.batches WHERE max_fails IS NOT NULL AND name {self._dialect.any_of}"
        return {name for (name,) in self._select(text, [self._dialect.array(sorted(names))])} if names else set()

    def set_batch(self, name: str, at_most: int | None, max_fails: str | None) -> None:
        from queuectl.domain.batch import lock_of
        from queuectl.domain.limits import numbered
        from queuectl.store.shared.batch_ends import have_need
        from queuectl.store.shared.settling import LIMITED

        with self.transaction():
            self._shut_out_older()
            text = f"SELECT at_most, max_fails FROM {{schema}}.batches WHERE name = ? {self._dialect.kept}"
            for kept in self._select(text, [name]):
                if at_most in (None, kept[0]) and max_fails in (None, kept[1]):
                    return  # as for each fire of a schedule
            self._shut_gates()  # first: who removes jobs with locks has them, and then writes to their batch
            was = self.at_most(name)
            text = (
                "INSERT INTO {schema}.batches (name, at_most, max_fails) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE "
                "SET at_most = coalesce(excluded.at_most, batches.at_most), "
                "max_fails = coalesce(excluded.max_fails, batches.max_fails)"
            )
            self._execute(text, [name, at_most, max_fails])
            if at_most not in (None, was):
                self.change_lock(lock_of(name), lambda lock: lock._replace(units=numbered(at_most), named=False))
                have_need(self, name)  # those that are there; others are being added, or in somebody's hands
                self._execute("INSERT INTO {schema}.settlements (batch, meant) VALUES (?, ?)", [name, LIMITED])
            if max_fails is not None:
                self._execute("INSERT INTO {schema}.settlements (batch) VALUES (?)", [name])
                self._announce()
