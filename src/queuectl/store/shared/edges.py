"""What jobs depend on, as people and workers see it, and what is left to settle."""

from __future__ import annotations

from collections.abc import Sequence

from queuectl.domain.job import Job
from queuectl.store.shared.session import Session


class Edges(Session):
    """This part of a `Store` (see store/port.py)."""

    def settle(self) -> None:
        """Settles what is on the work list, a slice a transaction, until nothing is left that nobody else works on."""
        from queuectl.store.shared.settling import settle_some

        has_done = not self._behind
        while has_done and self._select("SELECT 1 FROM {schema}.settlements LIMIT 1"):
            with self.transaction():
                has_done = settle_some(self)

    def _settle_ends(self) -> None:
        if self._turned:
            from queuectl.store.shared.settling import settle_ends

            settle_ends(self)

    def _arrive(self, jobs: Sequence[Job]) -> dict[str, Job]:
        """Adds what new jobs bring along besides their rows, which are written."""
        if not jobs:
            return {}
        from queuectl.store.shared.arriving import arrive

        return arrive(self, jobs)

    def _leave(self, seqs: Sequence[int]) -> None:
        """These jobs are about to be removed: what depends on them is to be settled by what they are now."""
        any_of, array = self._dialect.any_of, self._dialect.array(seqs)
        awaited = (
            "INSERT INTO {schema}.settlements (job, meant) SELECT seq, state FROM {schema}.jobs "
            f"WHERE seq {any_of} "
            "AND EXISTS (SELECT 1 FROM {schema}.edges WHERE parent = jobs.seq AND verdict IS NULL)"
        )
        self._execute(awaited, [array])
        self._execute(f"DELETE FROM {{schema}}.edges WHERE child {any_of}", [array])
