"""Output in files: reading what a command has written so far or in all, capped, and freeing a file's middle."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from queuectl.domain.errors import OperationFailed
from queuectl.engine.supervise.process import SHORTAGES
from queuectl.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from io import FileIO
    from pathlib import Path

PIECE_BYTES_MAX = 1 << 20
"""Bytes read at a time from an output that is still being written."""

BLOCK_BYTES = 4096
"""Of a file system. A range of whole blocks is freed without zeros at its edges."""


def discard(path: Path) -> None:
    """Removes a file of this supervisor. Anything that a command put in its place is removed with the supervisor's
    folder.
    """
    with suppress(OSError):
        path.unlink()


def punch_hole(handle: int, offset: int, length: int) -> None:
    """Frees the disk blocks within a range, which then reads as zeros. A file system that cannot is left alone."""
    import ctypes

    KEEP_SIZE_AND_PUNCH = 0x01 | 0x02
    start, end = -(-offset // BLOCK_BYTES) * BLOCK_BYTES, (offset + length) // BLOCK_BYTES * BLOCK_BYTES
    if end > start:
        fallocate = ctypes.CDLL(None, use_errno=True).fallocate
        fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
        fallocate(handle, KEEP_SIZE_AND_PUNCH, start, end - start)


class Capped(NamedTuple):
    """The beginning and the end of an output, and how many bytes between them are left out."""

    head: bytes
    tail: bytes = b""
    cut_bytes: int = 0


def is_users(path: str) -> bool:
    """Whether it names a user's file: those of slots are relative to the store's folder."""
    return path.startswith("/")


def may_hang(path: str) -> str:
    """Marks a user's file that is on a file system which may hang: only its readers may touch it, no worker."""
    return f"/{path}"


def is_untouchable(path: str) -> bool:
    """Whether it is marked so. (To the kernel it names the same file.)"""
    return path.startswith("//")


def _opened(path: Path) -> FileIO:
    """The file, without waiting for it: a command may have put a named pipe into the place of its output."""
    return open(path, "rb", buffering=0, opener=lambda name, how: os.open(name, how | os.O_NONBLOCK))


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
        if error.errno in SHORTAGES and not isinstance(error, BlockingIOError):
            raise OperationFailed(f"an output cannot be read: {error.strerror}", f"try again: {path}") from error
        # What its command has made of it is no business of other jobs.
        is_gone = is_users(path) and not isinstance(error, BlockingIOError)  # else another process holds a lease on it
        return Capped(head=b"" if is_gone else f"[queuectl: cannot be read: {error.strerror}]\n".encode())


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
