"""A copy of a simulated store, made at any moment: whatever is done there, the original's processes are not touched,
and its jobs are given back."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from queuectl.domain.job import CLAIMABLE, Job, JobState
from queuectl.domain.selector import Selector
from queuectl.engine.dispatch.host import Host
from queuectl.engine.dispatch.link import Flight
from queuectl.engine.dispatch.reaper import Reaper
from queuectl.engine.dispatch.report import Witness
from queuectl.engine.protocol import End, Key
from queuectl.settings import Settings
from queuectl.store.sqlite.connection import sqlite3
from queuectl.store.sqlite.store import SqliteStore
from queuectl.store.values import WorkerRow
from tests.model.machine import Machine
from tests.model.timeline import Timeline, Violation


class CopyHost(Host):
    """The machine, for a process that works on the copy. It has the folders as they were."""

    def __init__(self, machine: Machine, below: Path) -> None:
        self.below = below
        self.machine = machine.id
        self.pid = machine.new_pid()
        self._folders = set(machine.folders)
        self._journals = {worker: machine.read_journal(worker) for worker in machine.folders}

    def dial(self, worker: str) -> None:
        return None

    def kill(self, row: WorkerRow) -> None:
        raise Violation(f"{row.id} is killed by way of a copy")

    def end_commands(self, row: WorkerRow) -> dict[Key, str]:
        raise Violation(f"the commands of {row.id} are killed by way of a copy")

    def has_rest(self, row: WorkerRow) -> bool:
        return True

    def has_restarted(self, row: WorkerRow, one_machine: bool) -> bool:
        return False

    def is_awake(self, pid: int) -> bool:
        return True

    def journal(self, worker: str) -> list[End]:
        return self._journals.get(worker, [])

    def testify(self, flights: Iterable[Flight]) -> Witness:
        raise Violation("a copy's worker testifies of what ran in the original")

    def left_folders(self) -> list[str]:
        return sorted(self._folders)

    def has(self, worker: str) -> bool:
        return worker in self._folders

    def remove(self, worker: str) -> None:
        self._folders.discard(worker)


def look_at_copy(original: Path, machine: Machine, time: Timeline) -> None:
    """Copies the store, and does there what `doctor --clean` and each worker do. Raises `Violation`."""
    machine.history.say("the store is copied")
    with tempfile.TemporaryDirectory(dir=original.parent) as folder:
        path = Path(folder) / original.name
        _copy(original, path)
        store = SqliteStore(path, time, busy_timeout_s=0.0)
        try:
            running = [job for job in store.find(Selector()) if job.state is JobState.PROCESSING]
            host = CopyHost(machine, path.parent)
            known = {end.key for each in host.left_folders() for end in host.journal(each)}
            Reaper(store, host, lambda: Settings(store.config())).look(frozenset(), time.monotonic())
            if store.workers() or host.left_folders():
                raise Violation(f"the copy still knows {[row.id for row in store.workers()]}, {host.left_folders()}")
            for job in running:
                _judge(job, store.get(job.id), (job.seq, job.lease) in known)
        finally:
            store.close()


def _copy(original: Path, path: Path) -> None:
    source, copy = sqlite3.connect(original), sqlite3.connect(path)
    try:
        source.backup(copy)
    finally:
        copy.close()
        source.close()
    path.chmod(0o600)


def _judge(before: Job, after: Job, was_known: bool) -> None:
    """What was journalled is on record; all else waits as it did before, and nobody is charged for it."""
    if after.lost != before.lost or after.state is JobState.PROCESSING:
        raise Violation(f"{before.id} ran when it was copied, and is {after.state}, {after.lost} times lost")
    if not was_known and after.attempts != before.attempts:
        raise Violation(f"{before.id} counts an attempt in the copy that nobody saw end")
    if not was_known and after.state not in {*CLAIMABLE, JobState.CANCELLED}:
        raise Violation(f"{before.id} is {after.state} in the copy, and nobody saw it end")
