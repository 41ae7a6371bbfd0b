"""What a command tells of itself in files: its progress while it runs, and its result.

Each slot has a folder for them, whose files its commands find named in their environment. Most commands write neither,
and to see that costs one system call: before a command starts, the folder's time of change is set to `UNTOUCHED`, and
whatever makes a file there changes it. What lies there is the command's, so it is opened without following and without
waiting, and only so much of it is read.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from queuectl.engine.protocol import Kept, Key, Message, Progress, Tells, kept_inline
from queuectl.engine.supervise.between import OPENING, emptied
from queuectl.typed import NamedTuple

PROGRESS, RESULT = "progress", "result"
PROGRESS_BYTES_READ, PROGRESS_MAX = 4096, 200
RESULT_BYTES_MAX = 64 << 10
UNTOUCHED = 0
READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Tale(NamedTuple):
    """What a command has told: the latest line of its progress, its result, and why there is none though it wrote one.
    Named and ordered as in `End`."""

    progress: str | None = None
    result: Kept | None = None
    note: str | None = None


NOTHING = Tale()


class Telling:
    """The folder of a slot. It is made when its first command starts."""

    def __init__(self, home: Path, name: str, below: Path) -> None:
        self._home = home
        self._name = name
        self._below = below
        self._generation = 0
        self._handle = -1
        self._identity = (0, 0)
        self._variables: dict[bytes, bytes] = {}
        self._folder, self._path, self._place = home, b"", ""
        self.progress: str | None = None
        """The latest that is known."""

    def messages(self, key: Key) -> list[Message]:
        """What a dispatcher is to know: where the command may tell of itself, and how far it says it is."""
        found: list[Message] = [Tells(*key, self._place)] if self._handle >= 0 else []
        return [*found, Progress(*key, self.progress)] if self.progress else found

    def begin(self) -> dict[bytes, bytes]:
        """Variables for a command that is about to start; empty if the disk has no room for the folder."""
        if self._handle < 0:
            self._generation += 1
            self._make()
        return self._variables

    def _make(self) -> None:
        self._variables = {}
        self._folder = self._home / f"{self._name}-{self._generation}"
        self._place = str(self._folder.relative_to(self._below))
        try:
            os.mkdir(self._folder, 0o700)
            self._handle = os.open(self._folder, OPENING)
            os.utime(self._handle, ns=(UNTOUCHED, UNTOUCHED))
            made = os.fstat(self._handle)
        except OSError:
            return
        self._identity = made.st_dev, made.st_ino
        self._path = os.fsencode(self._folder)
        self._variables = {
            b"QUEUECTL_PROGRESS": os.fsencode(self._folder / PROGRESS),
            b"QUEUECTL_RESULT": os.fsencode(self._folder / RESULT),
        }

    def _is_touched(self) -> bool:
        """Whether the command has made something in the folder, or has removed or replaced it."""
        if self._handle < 0:
            return False
        try:
            found = os.lstat(self._path)  # as bytes: it is asked for at each end
        except OSError:
            return True
        return (found.st_dev, found.st_ino, found.st_mtime_ns) != (*self._identity, UNTOUCHED)

    def look(self) -> bool:
        """Whether the command that runs tells of progress that was not known."""
        if not self._is_touched():
            return False
        latest = progress_in(self._handle)
        if latest in (None, self.progress):
            return False
        self.progress = latest
        return True

    def collect(self, still_written: bool, room: int) -> Tale:
        """What the command, which has ended, has told. A result of more bytes than there is `room` is in a file that is
        handed over. `still_written`: what it left running may go on writing to this folder."""
        if not self._is_touched():
            if still_written:
                self._part()
            return NOTHING
        progress = progress_in(self._handle) or self.progress
        result, note = self._take_result(room)
        self.progress = None
        if still_written or not self._cleared():
            self._part()
        return Tale(progress, result, note)

    def _take_result(self, room: int) -> tuple[Kept | None, str | None]:
        text, note = result_in(self._handle)
        if text is None or len(text) <= room:
            return None if text is None else kept_inline(text), note
        path = self._home / f"{self._name}.result-{self._generation}"
        try:
            os.rename(RESULT, path, src_dir_fd=self._handle)
        except OSError as error:
            return None, f"result not kept: {error.strerror}"
        self._part()  # the next one must not take the place of this file
        return {"path": str(path.relative_to(self._below)), "size": len(text)}, None

    def _cleared(self) -> bool:
        """Empties the folder; whether it is there, and as it was before the command."""
        if self._handle < 0:
            return True
        if not emptied(self._handle, self._folder):
            return False
        try:
            os.utime(self._handle, ns=(UNTOUCHED, UNTOUCHED))
        except OSError:
            return False
        return True

    def _part(self) -> None:
        """Abandons the folder to processes that may still write to it. The next command gets a new one."""
        if self._handle >= 0:
            self._cleared()
            os.close(self._handle)
            self._handle = -1
            with suppress(OSError):
                os.rmdir(self._folder)

    def move(self) -> None:
        """Makes the folder again, which was removed with the supervisor's."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
            self._make()


def progress_in(folder: int) -> str | None:
    """The last line that a command has written of its progress, without control characters; None if there is none."""
    try:
        handle = os.open(PROGRESS, READING, dir_fd=folder)
    except OSError:
        return None
    try:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            return None
        text = os.pread(handle, PROGRESS_BYTES_READ, max(0, about.st_size - PROGRESS_BYTES_READ))
    except OSError:
        return None
    finally:
        os.close(handle)
    lines = (" ".join(line.split()) for line in reversed(text.decode("utf-8", "replace").splitlines()))
    latest = next((line for line in lines if line), "")
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in latest[:PROGRESS_MAX]) or None


def result_in(folder: int) -> tuple[bytes | None, str | None]:
    """The text of the result, or why it is not kept; both None if none was written."""
    try:
        handle = os.open(RESULT, READING, dir_fd=folder)
    except FileNotFoundError:
        return None, None
    except OSError:
        return None, "result not kept: it is not a file that can be read"
    try:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            return None, "result not kept: it is not a regular file"
        if about.st_size > RESULT_BYTES_MAX:
            return None, f"result not kept: {about.st_size:,} bytes; the limit is {RESULT_BYTES_MAX:,}"
        return os.pread(handle, RESULT_BYTES_MAX, 0), None
    except OSError as error:
        return None, f"result not kept: {error.strerror}"
    finally:
        os.close(handle)


def told_in(place: Path) -> Tale:
    """What a command told whose supervisor has died."""
    try:
        folder = os.open(place, OPENING)
    except OSError:
        return NOTHING
    try:
        text, note = result_in(folder)
        return Tale(progress_in(folder), None if text is None else kept_inline(text), note)
    finally:
        os.close(folder)
