"""Where commands write: one append-only file a slot, reused as long as that is safe.

A small output is read into the result and the file truncated, which is much cheaper than a file for each job. A
slot gets a new file after a large output (its file is handed over whole) and after a command that left a process
behind which may still write.
"""

from __future__ import annotations

import errno
import os
import resource
import stat
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from queuectl.domain.errors import OperationFailed
from queuectl.engine.process import SHORTAGES

INLINE_BYTES_MAX = 16 << 10
"""Larger outputs stay in their file until they are recorded."""

PIECE_BYTES_MAX = 1 << 20
"""What is read at a time of an output that is still being written."""

STDOUT, STDERR = 1, 2

FILES_BESIDE = 32
"""How many files a supervisor may have to open beside those of its slots."""


def open_files_max() -> int:
    """How many files this process, or a supervisor that it starts, may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def open_sparing(path: str | Path, how: int, mode: int) -> int:
    """Opens a file for a command to write to, or raises `OSError` as if the last descriptors were taken already."""
    handle = os.open(path, how | os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, mode)
    if handle >= open_files_max() - FILES_BESIDE:
        os.close(handle)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    return handle


class Sink:
    """The file that one stream of one slot is written to. `path` is relative to the store's folder."""

    def __init__(self, folder: Path, name: str, below: Path) -> None:
        self._folder = folder
        self._name = name
        self._below = below
        self._generation = 0
        self._handle = -1
        self.path = ""

    def open(self) -> int:
        """The descriptor that a command shall write to. Raises `OSError` where there is none to spare."""
        if self._handle < 0:
            file = self._folder / f"{self._name}-{self._generation + 1}"
            self._handle, self.path = open_sparing(file, 0, 0o600), str(file.relative_to(self._below))
            self._generation += 1
        return self._handle

    def size(self) -> int:
        """Bytes written so far."""
        return os.fstat(self._handle).st_size

    def collect(self, still_written: bool, room: int) -> dict[str, Any] | None:
        """What was written, for the result: `{text}` inline, or `{path, size}` of a file that is handed over.

        `still_written`: a process that was left behind may go on writing. `room`: bytes that may go inline.
        """
        size = self.size()
        if not size:
            if still_written:
                self._let_go(remove=True)
            return None
        if size > min(INLINE_BYTES_MAX, room):
            kept = {"path": self.path, "size": size}
            self._let_go(remove=False)
            return kept
        text = os.pread(self._handle, size, 0).decode("latin-1")
        if still_written:
            self._let_go(remove=True)
        else:
            os.ftruncate(self._handle, 0)
        return {"text": text, "size": size}

    def abandon(self) -> None:
        """The command did not start; the file serves the next one."""

    def rest(self) -> None:
        """No command writes to it now, and others need its descriptor."""
        if self._handle >= 0:
            self._let_go(remove=True)

    def _let_go(self, remove: bool) -> None:
        if remove:
            discard(self._below / self.path)
        os.close(self._handle)
        self._handle = -1

    def punch(self, kept_bytes: int) -> None:
        """Frees the middle of a huge running output; beginning and end stay for `read_capped`."""
        if self._handle >= 0 and (size := self.size()) > 2 * kept_bytes:
            punch_hole(self._handle, kept_bytes, size - 2 * kept_bytes)


def discard(path: Path) -> None:
    """Removes a file of ours. What a command has put into its place goes with the supervisor's folder."""
    with suppress(OSError):
        path.unlink()


class UserFile:
    """A file of the user's that takes the place of a slot's file for one command; emptied when it starts."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._handle = open_sparing(path, os.O_TRUNC | os.O_NOCTTY, 0o666)

    def open(self) -> int:
        """The descriptor that the command shall write to."""
        return self._handle

    def collect(self, still_written: bool, room: int) -> dict[str, Any] | None:
        """The file's name and size; it stays where it is."""
        del still_written, room
        size = os.fstat(self._handle).st_size
        os.close(self._handle)
        return {"path": self.path, "size": size} if size else None

    def punch(self, kept_bytes: int) -> None:
        """A user's file is never touched."""

    def abandon(self) -> None:
        """The command did not start."""
        os.close(self._handle)


def punch_hole(handle: int, offset: int, length: int) -> None:
    """Frees the disk blocks of a range, which then reads as zeros. A file system that cannot is left alone."""
    import ctypes

    KEEP_SIZE_AND_PUNCH = 0x01 | 0x02
    fallocate = ctypes.CDLL(None, use_errno=True).fallocate
    fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    fallocate(handle, KEEP_SIZE_AND_PUNCH, offset, length)


@dataclass(frozen=True, kw_only=True, slots=True)
class Capped:
    """The beginning and the end of an output, and how many bytes between them are left out."""

    head: bytes
    tail: bytes = b""
    cut_bytes: int = 0


def is_users(path: str) -> bool:
    """Whether it names a user's file: those of slots are relative to the store's folder."""
    return path.startswith("/")


def _opened(path: Path) -> BinaryIO:
    """The file, without waiting for it: a command may have put a named pipe into the place of its output."""
    return cast(BinaryIO, open(path, "rb", buffering=0, opener=lambda name, how: os.open(name, how | os.O_NONBLOCK)))


def read_capped(below: Path, path: str, size: int, bytes_max: int) -> Capped:
    """At most `bytes_max` of a file's first `size` bytes: half from either end. A file that is gone reads as empty, and
    so does a user's that cannot be read any more. Raises `OperationFailed` where the machine is short of something."""
    try:
        with _opened(below / path) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return Capped(head=b"")
            if size <= bytes_max:
                return Capped(head=file.read(size))
            half = bytes_max // 2
            head = file.read(half)
            file.seek(size - half)
            return Capped(head=head, tail=file.read(half), cut_bytes=size - 2 * half)
    except FileNotFoundError:
        return Capped(head=b"")
    except OSError as error:
        if error.errno in SHORTAGES:
            raise OperationFailed(f"an output cannot be read: {error.strerror}", f"try again: {path}") from error
        # What its command has made of it is no business of other jobs.
        return Capped(head=b"" if is_users(path) else f"[queuectl: cannot be read: {error.strerror}]\n".encode())


def read_on(path: Path, offset: int) -> tuple[bytes, int]:
    """The next bytes of a running output, bounded, and where to go on; a middle that was freed is skipped."""
    try:
        with _opened(path) as file:
            start = os.lseek(file.fileno(), offset, os.SEEK_DATA)
            data = file.read(PIECE_BYTES_MAX)
    except OSError:
        return b"", offset  # gone, or nothing is behind `offset` yet
    skipped = cut_note(start - offset) if start > offset else b""
    return skipped + data, start + len(data)


def cut_note(cut_bytes: int) -> bytes:
    """What stands in the place of bytes that are left out."""
    return f"\n[queuectl: {cut_bytes:,} bytes cut here, see the setting output-max]\n".encode()
