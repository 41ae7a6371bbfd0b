"""Backs a store up into one file while it is in use, and restores it from there, on any kind of store."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager

from queuectl import places
from queuectl.client import schedules
from queuectl.client.acting import note
from queuectl.client.queues import PAUSE_ROW
from queuectl.client.values import Progress
from queuectl.client.workers import workers_of
from queuectl.domain.errors import Conflict, Invalid, StoreLost, StoreUnavailable, SystemFailure
from queuectl.store.port import Store
from queuectl.store.shared.archive import TABLES, copy_tables
from queuectl.store.sqlite.archive import SqliteArchive
from queuectl.store.sqlite.connection import is_ours
from queuectl.store.sqlite.store import SqliteStore
from queuectl.typed import NamedTuple


class Saved(NamedTuple):
    """A backup: its file, its size in bytes, and how many rows each table has."""

    path: str
    size: int
    rows: dict[str, int]


def backup(store: Store, path: str, *, replace: bool, progress: Progress | None) -> Saved:
    """Writes a backup: all jobs with their history and output, and the settings, as of one moment.

    Jobs that run meanwhile are in it as lost with their machine, so they run again where it is restored. Raises
    `Conflict` if the file is there, unless `replace`.
    """
    places.refuse_missing(store.address)
    if path == "-":
        raise Invalid("a backup is a file, and cannot be written to stdout", "name one, or use: queuectl export")
    is_folder = path.endswith(os.sep)
    path = os.path.abspath(os.path.expanduser(path))
    if is_folder or os.path.isdir(path):
        raise Invalid(f"{path} names a folder, not a file", f"such as {os.path.join(path, 'queuectl-backup.db')}")
    if os.path.lexists(path) and not replace:
        raise Conflict(f"{path} is there already", "name another file, or write over it with --replace")
    if os.path.realpath(path) == os.path.realpath(store.address):
        raise Conflict(f"{path} is the store itself", "name another file")
    store.bring_up_to_date()
    with _folder_beside(path) as folder:
        made = os.path.join(folder, "backup.db")
        places.prepare_target(made)
        with (
            closing(places.open_archive(store.address)) as source, closing(SqliteArchive(made)) as target,
            source.snapshot(), target.locked(),
        ):  # fmt: skip
            rows = copy_tables(source, target, progress)
        with closing(SqliteStore(made)) as copied:
            copied.take_back()
        with closing(SqliteArchive(made)) as target:
            target.become_one_file()
        _sync(made)
        size = os.path.getsize(made)
        os.replace(made, path)
    _sync(os.path.dirname(path))
    return Saved(path, size, rows)


def restore(address: str, who: str, path: str, *, replace: bool, progress: Progress | None) -> dict[str, int]:
    """Replaces the store by a backup, with all queues and schedules paused. Returns how many rows each table has.

    It is another store than the one before: workers of that one can report nothing to it. Raises `Conflict` while a
    worker lives, and if the store is not empty unless `replace`; `StoreUnavailable` if the file is no backup.
    """
    path = os.path.abspath(os.path.expanduser(path))
    if not os.path.lexists(path):
        raise StoreUnavailable(f"there is no backup {path}", "name a file that `backup` has written")
    if not os.path.isfile(path) or not is_ours(path):
        raise StoreUnavailable(f"{path} is not a backup of a queuectl store", "name a file that `backup` has written")
    with tempfile.TemporaryDirectory() as folder:
        copied = os.path.join(folder, "backup.db")
        shutil.copyfile(path, copied)  # an older one is brought up to date, and the backup itself stays as it is
        _check(copied, path)
        _refuse_in_use(address, replace)
        if places.is_server(address):
            places.reset_store(address)
            return _filled(address, copied, who, path, progress)
        place = os.path.realpath(os.path.expanduser(address))
        with _folder_beside(place) as beside:  # whatever goes wrong meanwhile, the store is as it was
            made = os.path.join(beside, "restored.db")
            rows = _filled(made, copied, who, path, progress)
            with closing(SqliteArchive(made)) as target:
                target.become_one_file()
            _sync(made)
            places.reset_store(place)
            os.replace(made, place)
        _sync(os.path.dirname(place))
    return rows


def _check(copied: str, path: str) -> None:
    """Raises `StoreUnavailable` if the copy of the file at `path` is damaged. Brings it up to date."""
    hint = "restore another backup"
    try:
        with closing(SqliteStore(copied)) as store:
            if faults := store.integrity():
                raise StoreUnavailable(f"{path} is damaged: {faults[0]}", hint)
            store.bring_up_to_date()
    except StoreLost:
        raise StoreUnavailable(f"{path} is damaged", hint) from None


def _filled(address: str, copied: str, who: str, path: str, progress: Progress | None) -> dict[str, int]:
    """Makes the store of a copy of the backup at `path`, and pauses everything in it."""
    places.prepare_target(address)
    with (
        closing(places.open_archive(copied)) as source, closing(places.open_archive(address)) as target,
        source.locked(), target.locked(),
    ):  # fmt: skip
        rows = copy_tables(source, target, progress)
    with closing(places.open_store(address)) as store:
        assert PAUSE_ROW.function is not None
        with store.transaction():
            store.take_back()  # of a file that `backup` has not written
            PAUSE_ROW.function(
                store, who, names=[], all=True, duration=None, until=None, reason=f"restored from {path}"
            )
            for schedule in store.schedules():
                schedules.pause(store, who, schedule.name, f"restored from {path}")
            note(store, who, "Restored", path)
    return rows


def _refuse_in_use(address: str, replace: bool) -> None:
    with closing(places.open_store(address)) as store:
        if workers := workers_of(store):
            raise Conflict(f"worker {workers[0].name} is running on this store", "first: queuectl worker stop")
    with closing(places.open_archive(address)) as target:
        if not replace and any(target.count(table) for table in TABLES):
            raise Conflict("the store is not empty", "restore into another one with --db, or write over it: --replace")


@contextmanager
def _folder_beside(path: str) -> Iterator[str]:
    """A folder on the same file system, from which a file can be moved into its place."""
    try:
        folder = tempfile.mkdtemp(prefix=".backup-", dir=os.path.dirname(path))
    except OSError as error:
        raise SystemFailure(f"cannot write to {os.path.dirname(path)}: {error.strerror}") from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sync(path: str) -> None:
    """Syncs a file, or the names in a folder, to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
