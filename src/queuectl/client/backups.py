"""Backs a store up into one file while it is in use, and restores it from there, on any kind of store."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from shlex import quote

from queuectl import places
from queuectl.client import schedules
from queuectl.client.acting import note
from queuectl.client.placing import become_one_file, file_beside, named, new_place, replaced, sync
from queuectl.client.queues import known_queues, pause
from queuectl.client.values import BATCH, Progress
from queuectl.client.workers import stopping_first, workers_of
from queuectl.domain.errors import Conflict, DiskFull, Invalid, StoreLost, StoreUnavailable, SystemFailure
from queuectl.domain.job import JobState
from queuectl.domain.lifecycle import Held
from queuectl.domain.selector import Selector
from queuectl.store.port import Store
from queuectl.store.shared.archive import TABLES, copy_tables
from queuectl.store.sqlite import wal
from queuectl.store.sqlite.archive import SqliteArchive
from queuectl.store.sqlite.connection import mode_of_store
from queuectl.store.sqlite.store import SqliteStore
from queuectl.typed import NamedTuple
from queuectl.wire.limits import pause_words
from queuectl.wire.times import format_second

WAITING_HOOKS = Selector(states=(JobState.PENDING, JobState.FAILED), held=False, hooks=True)


class Saved(NamedTuple):
    """A backup: its file, its size in bytes, and how many rows each table has."""

    path: str
    size: int
    rows: dict[str, int]


def backup(store: Store, path: str, *, replace: bool, progress: Progress | None) -> Saved:
    """Writes a backup: all jobs with their history and output, and the settings, as of one moment.

    Jobs that run meanwhile are in it as lost with their machine, so they run again where it is restored. Raises
    `Conflict` if the file is there, unless `replace`, and if it is a store in use.
    """
    places.refuse_missing(store.address)
    if path == "-":
        raise Invalid("a backup is a file, and cannot be written to stdout", "name one, or use: queuectl export")
    path = new_place(path, replace, "queuectl-backup.db", over_backups=True)
    if os.path.realpath(path) == os.path.realpath(store.address):
        raise Conflict(f"{path} is the store itself", "name another file")
    store.bring_up_to_date()
    with file_beside(path) as made:
        places.prepare_target(made)
        with (
            closing(places.open_archive(store.address)) as source, closing(SqliteArchive(made)) as target,
            source.snapshot(), target.locked(),
        ):  # fmt: skip
            rows = copy_tables(source, target, progress)
        with closing(SqliteStore(made)) as copied:
            copied.take_back()
        become_one_file(made)
        size = os.path.getsize(made)
        os.replace(made, path)
    sync(os.path.dirname(path))
    return Saved(path, size, rows)


def restore(address: str, who: str, path: str, *, replace: bool, progress: Progress | None) -> dict[str, int]:
    """Replaces the store by a backup, with all queues and schedules paused. Returns how many rows each table has.

    It is another store than the one before: workers of that one can report nothing to it. Raises `Conflict` while a
    worker lives, if the store is not empty unless `replace`, and for a store in use; `StoreUnavailable` for what is no
    backup.
    """
    path = os.path.abspath(os.path.expanduser(path))
    if not os.path.lexists(path):
        raise StoreUnavailable(f"there is no backup {path}", "name a file that `backup` has written")
    if not os.path.isfile(path) or mode_of_store(path) is None:
        raise StoreUnavailable(f"{path} is not a backup of a queuectl store", "name a file that `backup` has written")
    if wal.size(path):
        raise Conflict(
            f"{path} is a store in use, and its latest changes are in {path}-wal",
            f"make one file of it first: queuectl --db {quote(path)} backup FILE",
        )
    with _copy_of(path) as copied:
        _check(copied, path)
        _refuse_in_use(address, replace)
        _pause_all(copied, who, path)
        with closing(places.open_archive(copied)) as source, source.locked(), replaced(address) as target:
            return copy_tables(source, target, progress)


@contextmanager
def _copy_of(path: str) -> Iterator[str]:
    """A copy of the backup, which stays as it is: an older one is brought up to date. Errors name the backup."""
    with tempfile.TemporaryDirectory() as folder:
        copied = os.path.join(folder, "backup.db")
        no_room = SystemFailure(f"cannot copy {path} into {folder}", "name a folder with room for it in TMPDIR")
        try:
            shutil.copyfile(path, copied)
            with named(copied, path):
                yield copied
        except DiskFull as error:
            raise no_room if path in error.message else error from None
        except OSError as error:
            raise SystemFailure(f"{no_room.message}: {error.strerror or error}", no_room.hint) from None


def _check(copied: str, path: str) -> None:
    """Raises `StoreUnavailable` if the copy of the file at `path` is damaged. Brings it up to date."""
    hint = "restore another backup"
    try:
        with closing(SqliteArchive(copied)) as archive:
            archive.come_back()
        with closing(SqliteStore(copied)) as store:
            if faults := store.integrity():
                raise StoreUnavailable(f"{path} is damaged: {faults[0]}", hint)
            store.bring_up_to_date()
    except StoreLost:
        raise StoreUnavailable(f"{path} is damaged", hint) from None


def _pause_all(copied: str, who: str, path: str) -> None:
    """Pauses everything in the copy of the backup at `path`, so that nothing ever starts in the store before.

    Hooks, whose queue cannot be paused, are held. What was paused until somebody resumes it keeps its reason; of a
    pause with an end the new reason tells both.
    """
    reason = f"restored from {path}"
    with closing(SqliteStore(copied)) as store, store.transaction():
        store.take_back()  # of a file that `backup` has not written
        pauses = {queue.name: queue.pause for queue in store.queues() if queue.pause and queue.pause.lasts(store.now())}
        for name in sorted(known_queues(store)):
            before = pauses.get(name)
            if before is None or before.until is not None:
                beside = "" if before is None else f"; it was {pause_words(before, format_second)}"
                pause(store, who, [name], reason=reason + beside)
        for schedule in store.schedules():
            if schedule.pause is None:
                schedules.pause(store, who, schedule.name, reason)
        hooks = store.find(WAITING_HOOKS)
        for start in range(0, len(hooks), BATCH):
            store.change([hook.seq for hook in hooks[start : start + BATCH]], Held(), who)
        note(store, who, "Restored", path)


def _refuse_in_use(address: str, replace: bool) -> None:
    with closing(places.open_store(address)) as store:
        if workers := workers_of(store):
            raise Conflict(f"worker {workers[0].name} is running on this store", stopping_first(workers))
    with closing(places.open_archive(address)) as target:
        if not replace and any(target.count(table) for table in TABLES):
            raise Conflict("the store is not empty", "restore into another one with --db, or write over it: --replace")
