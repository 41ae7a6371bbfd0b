"""Opening a SQLite store: the library, the file, its permissions and settings, and SQLite's errors in our words.

Paths are text in all code that every command runs: `pathlib` would take a tenth of the time of an enqueue.
"""

from __future__ import annotations

import os
import stat
from _thread import allocate_lock
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EDQUOT, ENOSPC

from queuectl.domain.errors import Conflict, DiskFull, Invalid, QueuectlError, StoreBusy, StoreLost, StoreUnavailable
from queuectl.store.mounts import refuse_unsafe
from queuectl.store.sqlite import wal
from queuectl.store.sqlite.fileset import set_aside_foreign_log
from queuectl.store.values import MOVED, Moved
from queuectl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
else:
    try:  # a SQLite without the WAL-reset race; the stdlib's is as old as the distribution
        from pysqlite3 import dbapi2 as sqlite3
    except ImportError:
        import sqlite3

__all__ = [
    "connect",
    "connect_in_memory",
    "folder_of",
    "library_is_safe",
    "library_version",
    "sqlite3",
    "sync_file",
    "translated",
]

# Most values of a job are NULL. To bind None, the module searches it for an adapter each time, which takes twenty times
# as long as to bind a number; with one of its own, None is bound by one look into a dict.
sqlite3.register_adapter(type(None), dict[None, None]().get)

AT_REST = 1
APPLICATION_ID = 0x71756575  # "queu": tells our files from other SQLite databases
FULL = (ENOSPC, EDQUOT)


_opening = allocate_lock()
"""No thread opens a store while another one looks into its files: closing them would drop the locks."""


def library_version() -> str:
    """Which SQLite runs, e.g. `3.53.4 (pysqlite3)`."""
    return f"{sqlite3.sqlite_version} ({sqlite3.__name__.partition('.')[0]})"


def library_is_safe() -> bool:
    """Whether this SQLite is free of the WAL-reset race (fixed in 3.51.3, 3.50.7 and 3.44.6)."""
    version = tuple(int(part) for part in sqlite3.sqlite_version.split("."))
    return version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45)


def folder_of(path: str) -> str:
    """The folder of a store's locks, sockets, journals and running output."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.d")


def connect(path: str, busy_timeout_s: float) -> sqlite3.Connection:
    """An open connection with every commit synced. A missing file is made, for its owner only."""
    with translated(path):
        if (found := _stat(path)) is None:
            _create(path)
        else:
            _refuse_no_store(path, found)
            refuse_unsafe(path, folder_of(path))
        with _opening:
            if found is not None:
                set_aside_foreign_log(path, folder_of(path), found, busy_timeout_s)
            connection = sqlite3.connect(
                _existing(path),
                uri=True,
                timeout=busy_timeout_s,
                isolation_level=None,
                cached_statements=256,
                check_same_thread=False,  # a store is for one thread at a time, but another one may close it
            )
        try:
            _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
        return connection


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _refuse_no_store(path: str, found: os.stat_result) -> None:
    """Raises `StoreUnavailable` if the file cannot be a store."""
    if stat.S_ISDIR(found.st_mode):
        raise StoreUnavailable(f"{path} is a folder, not a queuectl store", "name a file with --db")
    if not stat.S_ISREG(found.st_mode):
        raise StoreUnavailable(f"{path} is a device or a pipe, not a queuectl store", "name a file with --db")
    if found.st_nlink > 1:
        from shlex import quote

        new = f"{path}.new"
        raise StoreUnavailable(
            f"{path} is one file under several names (hard links): each would have its own -wal, and damage it",
            f"find the others with: find / -xdev -samefile {quote(path)}; or make it a file of its own: "
            f"cp {quote(path)} {quote(new)} && mv {quote(new)} {quote(path)}",
        )


def shrink(path: str, busy_timeout_s: float) -> int:
    """Returns free pages to the file system. Returns how many bytes were freed.

    Other writers wait meanwhile. It needs as much free disk space as the store has content.
    """
    before = os.stat(path).st_size
    connection = connect(path, busy_timeout_s)
    try:
        with translated(path):
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        connection.close()
    return before - os.stat(path).st_size


def connect_in_memory() -> sqlite3.Connection:
    """A connection to an empty database in memory."""
    return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)


def _existing(path: str) -> str:
    """A URI that never creates the file: one removed at this moment must not come back with other permissions."""
    return "file://" + path.replace("%", "%25").replace("?", "%3f").replace("#", "%23") + "?mode=rw"


def _prepare(connection: sqlite3.Connection, path: str) -> None:
    # In this order: a store that another process is just making gets its id before its first table.
    empty = connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    if application_id == 0 and empty:
        with _making(path):
            begin_log(connection)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    elif application_id != APPLICATION_ID:
        raise StoreUnavailable(f"{path} is an SQLite database, but not a queuectl store", "name another file with --db")
    try:
        _make_folder(path)  # only now: with this folder next to it, `reset` would remove a database that is not ours
    except OSError:
        if has_log(connection):  # a backup can be read where nobody may write
            raise
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA journal_size_limit = {wal.LIMIT_BYTES}")
    connection.execute("PRAGMA fullfsync = ON")  # macOS: fsync alone does not reach the platter


def has_log(connection: sqlite3.Connection) -> bool:
    """Whether commits go to a log beside the file. A backup has none until something is written to it."""
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    return bool(mode != "delete")


def begin_log(connection: sqlite3.Connection) -> None:
    """From now on commits go to a log beside the file."""
    connection.execute("PRAGMA journal_mode = WAL")


def _create(path: str) -> None:
    """Makes the empty file. A `-wal` and `-shm` left by a removed store would corrupt the new one, so they go first."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    refuse_unsafe(path, folder_of(path))
    with _making(path):
        if os.path.exists(path):
            return
        for suffix in ("-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.unlink(path + suffix)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    with suppress(OSError):  # a store works in a repository that cannot be written; `init` tells
        exclude_from_git(path)


def exclude_from_git(path: str) -> str | None:
    """Makes git ignore the store's files; see store/sqlite/git.py."""
    from queuectl.store.sqlite.git import exclude

    return exclude(path, folder_of(path))


def is_ours(path: str) -> bool:
    """Whether a file is or was a store: by the id in it, or by the store's folder next to it."""
    return os.path.isdir(folder_of(path)) or mode_of_store(path) is not None


def mode_of_store(path: str) -> int | None:
    """`AT_REST` if the file is a backup that nobody has written to, another number if it is a store; else None. The id
    of a new store may only be in its log, so there the folder next to it counts."""
    with translated(path), open(path, "rb") as file:
        head = file.read(72)
    if len(head) < 72 or not head.startswith(b"SQLite format 3\0"):
        return None
    has_id = int.from_bytes(head[68:72], "big") == APPLICATION_ID
    return head[18] if has_id or os.path.isdir(folder_of(path)) else None


@contextmanager
def _making(path: str) -> Iterator[None]:
    """Only one process at a time makes the store."""
    import fcntl

    folder = folder_of(path)
    _make_folder(path)
    refuse_foreign(folder, path)
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _make_folder(path: str) -> None:
    """Makes the store's folder. It may be missing next to a file that was moved or restored."""
    folder = folder_of(path)
    with suppress(FileExistsError):
        os.mkdir(folder, mode=0o700)
        from queuectl.store.sqlite.git import IGNORE, IGNORE_ALL

        _write_new(os.path.join(folder, IGNORE), IGNORE_ALL)  # `git clean` leaves ignored files alone


def _write_new(path: str, text: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(handle, text)
    finally:
        os.close(handle)


def refuse_foreign(folder: str, path: str) -> None:
    """Raises `StoreUnavailable` if others can write the folder: they could impersonate our supervisors."""
    trusted = {0, os.geteuid(), os.stat(path).st_uid if os.path.exists(path) else 0}
    found = os.stat(folder)
    if found.st_uid not in trusted or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        from shlex import quote

        what, fix = f"{folder}, the folder of the store {path}, can be written by others", f"chmod 700 {quote(folder)}"
        if found.st_uid not in trusted:
            what, fix = (
                f"{folder}, the folder of the store {path}, belongs to somebody else",
                "have its owner remove it",
            )
        raise StoreUnavailable(what, fix)


def sync_file(path: str) -> None:
    """Syncs the file to disk. Only for a `-wal`: closing a database or its `-shm` would drop SQLite's locks on it."""
    handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fdatasync(handle)
    finally:
        os.close(handle)


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Converts errors of SQLite and the system to ours. Nothing of the transaction has happened then."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        if (text := str(error)).startswith(MOVED):
            raise Moved(path, text.removeprefix(MOVED)) from None
        raise Conflict(f"the store refused the change: {error}") from error
    except sqlite3.Error as error:
        raise _translate(str(error), path) from error
    except (UnicodeEncodeError, OverflowError) as error:
        raise Invalid(
            f"the store cannot hold a value: {error}", "text must be UTF-8, numbers fit into 64 bits"
        ) from error
    except OSError as error:
        if error.errno in FULL:
            raise _translate("disk is full", path) from error
        reason = error.strerror or str(error)
        hint = "check the folder and its rights, or name another store with --db"
        raise StoreUnavailable(f"cannot open the store {path}: {reason}", hint) from error


def _translate(text: str, path: str) -> QueuectlError:
    if "disk I/O error" in text or "unable to open" in text:
        text = _of_file_system(path) or text
    known: tuple[tuple[str, type[QueuectlError], str, str], ...] = (
        ("locked", StoreBusy, "is locked by another process", "try again; see who holds it with: fuser {path}"),
        ("disk is full", DiskFull, "cannot grow: the disk is full", "free some space and try again"),
        ("disk I/O error", StoreUnavailable, "cannot be read or written: disk I/O error", "check the disk and dmesg"),
        ("readonly", StoreUnavailable, "is read-only", "check the rights of file and folder, and the mount"),
        ("not a database", StoreLost, "is not a database", "name another file with --db, or remove this one"),
        ("malformed", StoreLost, "is damaged", "to remove it, and then restore a backup: queuectl reset"),
        ("unable to open", StoreUnavailable, "cannot be opened", "check the folder and its rights"),
    )
    for word, kind, message, hint in known:
        if word in text:
            from shlex import quote

            return kind(f"the store {path} {message}", hint.format(path=quote(path)))
    return StoreUnavailable(f"the store {path} failed: {text}", "run: queuectl doctor")


def _of_file_system(path: str) -> str | None:
    """The fault that the file system reports, where SQLite only says that something failed; None if there is none."""
    with suppress(OSError):
        found = os.statvfs(os.path.dirname(path))
        if found.f_flag & os.ST_RDONLY:
            return "readonly"
        if not found.f_bavail:
            return "disk is full"
    return None
