"""The files of a store belong together: the database, its `-wal` and its `-shm`. Notices when one is replaced.

SQLite does not notice: it applies a `-wal` to any file of the right name. The database file changes only in a
checkpoint, and a checkpoint leaves a mark in the `-shm`. If the file changes without such a mark, or is another file
with the same log, something else has written it. What a worker saw last is kept in the store's folder, for the next
process that opens the store after a crash.

Closing any descriptor of these files drops all locks that this process has on them. So while a connection is open,
they are read through SQLite's own descriptors.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from queuectl.clock import SystemClock
from queuectl.domain.errors import StoreBusy
from queuectl.typed import NamedTuple

BESIDE = "-wal", "-shm"
GONE, BESIDE_GONE, OVERWRITTEN = "gone", "beside gone", "overwritten"

FIRST_BYTES = 8192
"""The part of the database that is compared: its header, and the table `meta` with the store's id and a time."""
SHM_BYTES = 136
HEADER, ITS_COPY = slice(0, 48), slice(48, 96)
COMMITS, FRAMES, SALT = slice(8, 12), slice(16, 20), slice(32, 36)
COPIED, ATTEMPTED = slice(96, 100), slice(128, 132)
"""In the `-shm`: the number of commits; that of frames in the log; a random number for a new log, which grows by one
when the log restarts; and the frames that checkpoints have copied, or begun to copy."""
LOG_HEADER_BYTES, FRAME_HEADER_BYTES, PAGE_BYTES, COMMITTED = 32, 24, slice(8, 12), slice(4, 8)
"""In the `-wal`: its header has the size of a page; a frame's header has a number if the frame ends a commit."""
PENDING, SHARED_FIRST, SHARED_SIZE = 0x40000000, 0x40000002, 510
"""SQLite's locks on the database: the first keeps newcomers out; everybody who has it open holds the range."""
RECORD, RECORD_WORDS = "files", 10
SET_ASIDE = "set-aside-wal"
WORD = 1 << 32
RETRY_EVERY_S = 0.02
LOOK_AT_MOST_EVERY_S = 0.1

Id = tuple[int, int]


class Mark(NamedTuple):
    """What checkpoints leave in the `-shm`."""

    salt: int
    copied: int
    whole: bool
    """Whether the whole log was copied: the next commit may restart it without another checkpoint."""
    commits: int
    """If so, the number of commits until then."""

    @staticmethod
    def of(shm: bytes) -> Mark:
        copied, frames, commits = (int.from_bytes(shm[where], sys.byteorder) for where in (COPIED, FRAMES, COMMITS))
        whole = copied == frames > 0
        return Mark(int.from_bytes(shm[SALT], "big"), copied, whole, commits if whole else 0)

    def is_at(self, earlier: Mark) -> bool:
        """Whether there was no checkpoint since the earlier mark, in the same log."""
        return self[:2] == earlier[:2]

    def may_follow(self, earlier: Mark) -> bool:
        """Whether the log began again since the earlier mark, and was not copied since then."""
        return earlier.whole and self.copied == 0 and self.salt == (earlier.salt + 1) % WORD


class Stamp(NamedTuple):
    """A value that differs after every write to the database, and for every other file in its place."""

    ino: int
    changed_ns: int
    size: int

    @staticmethod
    def of(found: os.stat_result) -> Stamp:
        return Stamp(found.st_ino, found.st_ctime_ns, found.st_size)


class Seen(NamedTuple):
    """The files at one moment."""

    wal: Id
    mark: Mark
    stamp: Stamp
    digest: int

    def is_foreign_to(self, earlier: Seen, wal: int, shm: int) -> bool:
        """Whether something other than a checkpoint wrote the database while the log stayed the same. The descriptors
        are those of its `-wal` and `-shm`.

        A checkpoint never replaces the file.
        """
        if self.wal != earlier.wal or self.digest == earlier.digest:
            return False
        if self.stamp.ino != earlier.stamp.ino or self.mark.is_at(earlier.mark):
            return True
        return self.mark.may_follow(earlier.mark) and _has_all_commits(earlier.mark, wal, shm)


def identity(path: str) -> Id | None:
    """Device and inode; None if there is no such file."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


class FileSet:
    """The files of an open store, as they were when it was opened."""

    def __init__(self, path: str, folder: str) -> None:
        self._path, self._folder = path, folder
        self._ids = [identity(path + suffix) for suffix in ("", *BESIDE)]
        self._beside = [(path + suffix, id) for suffix, id in zip(BESIDE, self._ids[1:], strict=True)]
        self._handles: list[int] = []
        self._seen: Seen | None = None
        self._traces: object = None
        self._seen_at, self._is_settled = 0.0, False
        self._look_at, self._overwritten = 0.0, False

    def guard(self) -> None:
        """From now on `changed` also reads the files and keeps what it saw."""
        self._handles = [_handle_of(each) for each in self._ids]

    def changed(self) -> str:
        """What happened to the files since they were opened; empty if nothing did."""
        if identity(self._path) != self._ids[0]:
            return GONE
        for path, id in self._beside:
            if identity(path) != id:
                return BESIDE_GONE
        if self._handles:
            self.look(0.0)
        return OVERWRITTEN if self._overwritten else ""

    def look(self, at_most_every_s: float = LOOK_AT_MOST_EVERY_S) -> None:
        """Reads the files of a guarded store. A foreign write between a checkpoint and the next look goes unnoticed."""
        now = time.monotonic()
        if now - self._look_at < at_most_every_s or self._overwritten:
            return
        self._look_at = now
        db, wal, shm = self._handles
        traces = _traces(db, wal, shm)
        if self._is_settled and traces == self._traces:
            return
        self._is_settled = False
        seen = _look(db, wal, shm)
        if seen is None:
            return
        if seen == self._seen:  # and was written so long ago that the next write has another time
            self._traces, self._is_settled = traces, now - self._seen_at > LOOK_AT_MOST_EVERY_S
            return
        self._seen_at = now
        if self._seen is not None and seen.is_foreign_to(self._seen, wal, shm):
            self._overwritten = True
        else:
            self._seen = seen
            with suppress(OSError):  # a full disk, or the folder is gone: the older record stays
                _keep(self._folder, seen)

    def has_successor(self) -> bool:
        """Whether another process made new files where ours were removed."""
        return any(identity(path) not in (None, was) for path, was in self._beside)

    def keep_newcomers_out(self) -> bool:
        """Locks newcomers out until the connection is closed. False if others have files of these names open."""
        db = _handle_of(self._ids[0])
        try:
            fcntl.lockf(db, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, PENDING)
        except OSError:
            return False
        return not self.has_successor()

    def is_shared(self) -> bool:
        """Whether another process has the database open."""
        db = _handle_of(self._ids[0])
        try:
            fcntl.lockf(db, fcntl.LOCK_EX | fcntl.LOCK_NB, SHARED_SIZE, SHARED_FIRST)
        except OSError:
            return True
        fcntl.lockf(db, fcntl.LOCK_SH | fcntl.LOCK_NB, SHARED_SIZE, SHARED_FIRST)
        return False

    def let_newcomers_in(self) -> None:
        """Ends `keep_newcomers_out` if another connection of this process still has the database open."""
        with suppress(FileNotFoundError):
            fcntl.lockf(_handle_of(self._ids[0]), fcntl.LOCK_UN, 1, PENDING)

    @contextmanager
    def held_open(self) -> Iterator[None]:
        """Makes a child process hold the database open, so that closing it here makes no checkpoint."""
        db = _handle_of(self._ids[0])
        ready, said = os.pipe()
        wait, release = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                fcntl.lockf(db, fcntl.LOCK_SH, SHARED_SIZE, SHARED_FIRST)
                os.close(release)
                os.write(said, b".")
                os.read(wait, 1)
            finally:
                os._exit(0)
        os.close(said)
        os.close(wait)
        os.read(ready, 1)
        os.close(ready)
        try:
            yield
        finally:
            os.close(release)
            os.waitpid(child, 0)


def _handle_of(wanted: Id | None) -> int:
    """SQLite's descriptor of a file. Raises `FileNotFoundError`."""
    for name in os.listdir("/proc/self/fd" if sys.platform == "linux" else "/dev/fd"):
        with suppress(OSError):
            found = os.fstat(int(name))
            if (found.st_dev, found.st_ino) == wanted:
                return int(name)
    raise FileNotFoundError("the store's file is not open")


def _is_open_here(wanted: Id) -> bool:
    try:
        return _handle_of(wanted) >= 0
    except FileNotFoundError:
        return False


def _traces(db: int, wal: int, shm: int) -> tuple[object, ...]:
    """What differs after every write to the database, and every commit."""
    found, log = os.fstat(db), os.fstat(wal)
    return os.pread(shm, SHM_BYTES, 0), found.st_ino, found.st_ctime_ns, found.st_size, log.st_dev, log.st_ino


def _look(db: int, wal: int, shm: int) -> Seen | None:
    """The files, read by their descriptors; None while a checkpoint is running."""
    before = os.pread(shm, SHM_BYTES, 0)
    found, log = os.fstat(db), os.fstat(wal)
    first = os.pread(db, FIRST_BYTES, 0)
    after = os.pread(shm, SHM_BYTES, 0)
    mark = Mark.of(before)
    if len(before) < SHM_BYTES or before[HEADER] != before[ITS_COPY] or Mark.of(after) != mark:
        return None
    if not before[COPIED] == before[ATTEMPTED] == after[ATTEMPTED]:  # the database may be written just now
        return None
    import zlib  # every command opens a store, but few look

    return Seen((log.st_dev, log.st_ino), mark, Stamp.of(found), zlib.crc32(first))


def _has_all_commits(since: Mark, wal: int, shm: int) -> bool:
    """Whether all commits since the earlier mark are in the log that has begun again. If not, it had grown, and
    was copied, before that."""
    now = os.pread(shm, SHM_BYTES, 0)
    if now[HEADER] != now[ITS_COPY] or not Mark.of(now).may_follow(since):
        return False
    commits, frames = (int.from_bytes(now[where], sys.byteorder) for where in (COMMITS, FRAMES))
    page_bytes = int.from_bytes(os.pread(wal, LOG_HEADER_BYTES, 0)[PAGE_BYTES], "big")
    places = (LOG_HEADER_BYTES + number * (FRAME_HEADER_BYTES + page_bytes) for number in range(frames))
    found = sum(any(os.pread(wal, FRAME_HEADER_BYTES, place)[COMMITTED]) for place in places)
    return (commits - since.commits) % WORD <= found


def _keep(folder: str, seen: Seen) -> None:
    """Keeps it as the text of a symbolic link, which is replaced in one step and read in one."""
    place = os.path.join(folder, RECORD)
    text = " ".join(str(int(number)) for number in (*seen.wal, *seen.mark, *seen.stamp, seen.digest))
    with suppress(FileExistsError):  # left by a process that was killed
        os.symlink(text, f"{place}.{os.getpid()}")
    os.replace(f"{place}.{os.getpid()}", place)


def _kept(folder: str) -> Seen | None:
    try:
        words = os.readlink(os.path.join(folder, RECORD)).split()
    except FileNotFoundError:
        return None
    if len(words) != RECORD_WORDS:
        return None  # written by another release
    dev, ino, salt, copied, whole, commits, inode, changed_ns, size, digest = map(int, words)
    return Seen((dev, ino), Mark(salt, copied, bool(whole), commits), Stamp(inode, changed_ns, size), digest)


def set_aside_foreign_log(path: str, folder: str, found: os.stat_result, patience_s: float) -> None:
    """Moves a `-wal` away if it belongs to another database file than the one at `path`, e.g. if that is a backup.

    Raises `StoreBusy` if other processes keep using the files.
    """
    log = identity(f"{path}-wal")
    kept = _kept(folder) if log else None
    if kept is None or kept.wal != log or kept.stamp == Stamp.of(found):
        return
    if _is_open_here((found.st_dev, found.st_ino)):
        return  # this process looked when it opened the file
    db = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        if not _is_foreign(db, path, kept):
            return
        _wait_until_unused(db, path, time.monotonic() + patience_s)
        if _is_foreign(db, path, kept):  # nobody else was faster
            os.replace(f"{path}-wal", os.path.join(folder, f"{SET_ASIDE}-{SystemClock().now():.0f}"))
            with suppress(FileNotFoundError):
                os.unlink(f"{path}-shm")
    finally:
        os.close(db)


def _is_foreign(db: int, path: str, kept: Seen) -> bool:
    try:
        wal = os.open(f"{path}-wal", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        shm = os.open(f"{path}-shm", os.O_RDONLY | os.O_CLOEXEC)
        try:
            seen = _look(db, wal, shm)
            return seen is not None and seen.is_foreign_to(kept, wal, shm)
        finally:
            os.close(shm)
    except FileNotFoundError:
        return False
    finally:
        os.close(wal)


def _wait_until_unused(db: int, path: str, deadline: float) -> None:
    """Waits until no other process has the database open, and keeps others out until `db` is closed."""
    while True:
        try:
            fcntl.lockf(db, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, PENDING)
            fcntl.lockf(db, fcntl.LOCK_EX | fcntl.LOCK_NB, SHARED_SIZE, SHARED_FIRST)
            return
        except OSError:
            if time.monotonic() >= deadline:
                from shlex import quote

                raise StoreBusy(
                    f"the store {path} was overwritten while other processes use it",
                    f"stop them, and put the backup there again; they are named by: fuser {quote(path)}",
                ) from None
        time.sleep(RETRY_EVERY_S)
