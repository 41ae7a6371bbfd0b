"""Fills a store that takes the place of another one. What was there stays until the new one is whole."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from queuectl import places
from queuectl.domain.errors import Conflict, Invalid, QueuectlError, SystemFailure
from queuectl.store.shared.archive import Archive
from queuectl.store.sqlite.archive import SqliteArchive
from queuectl.store.sqlite.connection import AT_REST, folder_of, mode_of_store
from queuectl.store.sqlite.fileset import BESIDE
from queuectl.store.sqlite.git import IGNORE, IGNORE_ALL
from queuectl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from queuectl.store.postgres.archive import PostgresArchive


PREFIX = ".queuectl-new-"
HELD_WITHIN_S = 60.0
DEVICES = ("/dev", "/dev/fd", "/proc/self/fd")
"""Where names such as /dev/stdout are, which may lead to a plain file."""


@contextmanager
def replaced(address: str) -> Iterator[Archive]:
    """An empty store to fill, in one transaction. Afterwards it stands at this address, and is another store than the
    one before. After an error the store there is as it was."""
    if places.is_server(address):
        places.prepare_target(address)
        with closing(places.open_archive(address)) as target:
            if TYPE_CHECKING:
                assert isinstance(target, PostgresArchive)
            with target.emptied():
                yield target
        return
    place = places.file_of(address)
    with file_beside(place) as made:
        places.prepare_target(made)
        with closing(SqliteArchive(made)) as new, new.locked():
            yield new
        become_one_file(made)
        _take_place(made, place)
    shutil.rmtree(os.path.join(folder_of(place), "logs"), ignore_errors=True)


def _take_place(made: str, place: str) -> None:
    """Moves a store's file into the place of the one there. At each moment the whole of one of them is there: the old
    file gets all that its `-wal` has before that is removed, and nobody writes to it meanwhile."""
    with closing(SqliteArchive(place)) as old, closing(SqliteArchive(place)) as beside, old.locked():
        beside.copy_log()
        for suffix in BESIDE:
            with suppress(FileNotFoundError):
                os.unlink(place + suffix)
        sync(os.path.dirname(place))
        os.replace(made, place)
        sync(os.path.dirname(place))


@contextmanager
def file_beside(path: str) -> Iterator[str]:
    """A file that is not there yet, in a folder of its own on the same file system, from which it can be moved into its
    place. Errors name that place. What processes have left that were killed is removed."""
    around = os.path.dirname(path)
    try:
        folder = tempfile.mkdtemp(prefix=PREFIX, dir=around)
    except OSError as error:
        raise SystemFailure(f"cannot write to {around}: {error.strerror}") from None
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        _sweep(around, os.stat(handle).st_mtime)
        Path(folder, IGNORE).write_bytes(IGNORE_ALL)
        with named(made := os.path.join(folder, "store.db"), path):
            yield made
    except OSError as error:
        raise SystemFailure(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


@contextmanager
def named(made: str, path: str) -> Iterator[None]:
    """Errors about the store `made` name `path` instead."""
    try:
        yield
    except QueuectlError as error:
        if made not in error.message:
            raise
        told = error.message.replace(f"the store {made}", path).replace(made, path)
        error.say(told, error.hint.replace(made, path))
        raise


def _sweep(around: str, now: float) -> None:
    """Removes our folders that nobody holds, unless they are so new that their process may be about to."""
    for left in Path(around).glob(f"{PREFIX}*"):
        with suppress(OSError):
            handle = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                found = os.stat(handle)
                if found.st_uid == os.geteuid() and now - found.st_mtime > HELD_WITHIN_S:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(handle)


def new_place(path: str, replace: bool, example: str, *, over_backups: bool = False) -> str:
    """The path of a file that is to be written, whole. Raises `Invalid` if it cannot be one.

    Raises `Conflict` for one that is there unless `replace`, and for a store: `over_backups`, if it is in use.
    """
    is_folder = path.endswith(os.sep)
    path = os.path.abspath(os.path.expanduser(path))
    if is_folder or os.path.isdir(path):
        raise Invalid(f"{path} names a folder, not a file", f"such as {os.path.join(path, example)}")
    if not os.path.lexists(path):
        return path
    if os.path.dirname(path) in DEVICES or (os.path.exists(path) and not os.path.isfile(path)):
        raise Invalid(f"{path} is a device or a pipe, not a file", f"name a file, such as {example}")
    mode = mode_of_store(path) if os.path.exists(path) and (replace or os.access(path, os.R_OK)) else None
    if mode is not None and not (over_backups and mode == AT_REST):
        raise Conflict(f"{path} is a queuectl store, with its jobs", "name another file")
    if not replace:
        raise Conflict(f"{path} is there already", "name another file, or write over it with replace=true")
    return path


def become_one_file(path: str) -> None:
    """Puts all of a store that nobody else has open into its file alone, on disk."""
    with closing(SqliteArchive(path)) as made:
        made.become_one_file()
    sync(path)


def sync(path: str) -> None:
    """Syncs a file, or the names in a folder, to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
