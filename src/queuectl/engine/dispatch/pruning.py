"""Removes old jobs while a worker runs, by the store's retention settings."""

from __future__ import annotations

from queuectl.engine.dispatch.pace import Beat
from queuectl.settings import Settings
from queuectl.store.port import WorkStore

EVERY_S, BATCH_JOBS = 60.0, 500


class Pruning:
    """Removes what is older than the settings keep, in batches so small that nobody waits."""

    def __init__(self, store: WorkStore) -> None:
        self._store = store
        self._more = False
        self._beat = Beat()

    def go_on(self, settings: Settings, now: float) -> None:
        """The next batch, if it is time or the last one was full."""
        if self._more or self._beat.is_due("prune", EVERY_S, now):
            old = settings.retention(self._store.now())
            self._more = BATCH_JOBS in [self._store.prune(selector, BATCH_JOBS) for selector in old]
