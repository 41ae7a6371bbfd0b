"""Whether dead supervisors were stopped together with their machine, container or service, and by no job."""

from __future__ import annotations

from collections.abc import Collection

from queuectl.engine.dispatch.host import Host
from queuectl.store.port import WorkStore
from queuectl.store.values import WorkerRow


class Departures:
    """What was left of dead supervisors before any of it was ended. Settling one may fail after that, and whoever
    tries again sees less."""

    def __init__(self, store: WorkStore, host: Host) -> None:
        self._store = store
        self._host = host
        self._went: dict[str, bool] = {}

    def forget_all_but(self, workers: Collection[str]) -> None:
        """Keeps what is known of those alone."""
        self._went = {worker: self._went[worker] for worker in workers if worker in self._went}

    def is_with_machine(self, row: WorkerRow, here: bool) -> bool:
        """Such a stop leaves nothing of a worker. A job that kills its supervisor leaves something: the dispatcher,
        another supervisor, or itself. `here`: on this machine, and in the store where it was registered."""
        if row.id not in self._went:
            self._went[row.id] = self._look(row, here)
        return self._went[row.id]

    def _look(self, row: WorkerRow, here: bool) -> bool:
        if self._host.has_restarted(row, one_machine=not self._store.shared_by_machines):
            return True
        others = [other for other in self._store.workers() if other.machine == row.machine and other.id != row.id]
        if here:
            if self._host.has_rest(row):
                return False
            others = [other for other in others if self._had_the_dispatcher(row, other)]
        return not any(map(self._store.alive, others))

    def _had_the_dispatcher(self, row: WorkerRow, other: WorkerRow) -> bool:
        """Whether another supervisor was left by the same dispatcher, which has ended. A later process may have had
        the same pid."""
        if other.dispatcher != row.dispatcher or self._host.is_driven(other.id):
            return False
        drivers = {self._host.last_driver(each.id) for each in (row, other)} - {None}
        return len(drivers) < 2
