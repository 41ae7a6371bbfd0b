"""Results that nobody has recorded yet, kept where they survive their supervisor.

A file of fixed size, allocated beforehand so that a full disk cannot refuse a result, and mapped into memory so
that a SIGKILL cannot lose one. Records follow one another: length, CRC, JSON. A length of 0 ends them. Power loss
is no concern: it ends every command as well, and their jobs run again.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import zlib
from pathlib import Path

from queuectl.engine.protocol import End

JOURNAL_BYTES = 1 << 20
RESERVE_BYTES = 8192
"""No result is larger, but for output in it: a user's path of 4,096, an error of `execution.SIGNS_MAX`, a few names.
The journal has so much more for each slot, or not all of them could be busy."""
MAGIC = b"queuectl journal 1\n".ljust(32, b"\0")

_RECORD = struct.Struct("<II")


class Journal:
    """The writing end. One process writes."""

    def __init__(self, path: Path, slots: int = 1) -> None:
        self._size = JOURNAL_BYTES + slots * RESERVE_BYTES
        self._map = allocated(path, self._size)
        self._map[: len(MAGIC)] = MAGIC
        self._end = len(MAGIC)
        self.clear()

    def move(self, path: Path) -> None:
        """Goes on in another file, with all that it holds. Raises `OSError` where there is no room for it."""
        moved = allocated(path, self._size)
        moved[:] = self._map[:]
        self._map = moved

    def spare(self, running: int) -> int:
        """Bytes left after reserving room for the results of `running` commands and one more. Negative if these may not
        fit.
        """
        return self._size - self._end - (running + 1) * RESERVE_BYTES

    def append(self, result: str) -> None:
        """Keeps a result's JSON. The caller has made sure that it fits."""
        body = result.encode("utf-8", "surrogatepass")
        start = self._end + _RECORD.size
        end = start + len(body)
        self._map[end : end + _RECORD.size] = bytes(_RECORD.size)
        self._map[start:end] = body
        _RECORD.pack_into(self._map, self._end, len(body), zlib.crc32(body))  # last: now it counts
        self._end = end

    def clear(self) -> None:
        """Forgets all: every result has been recorded."""
        self._end = len(MAGIC)
        self._map[self._end : self._end + _RECORD.size] = bytes(_RECORD.size)


def allocated(path: Path, size: int) -> mmap.mmap:
    """A file of this size in memory, all of it on disk already. Raises `OSError` where there is no room for it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(handle, 0, size)
        return mmap.mmap(handle, size)
    finally:
        os.close(handle)


def read_journal(path: Path) -> list[End]:
    """The results in a dead supervisor's journal; empty if it never wrote one."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    results = []
    at = len(MAGIC)
    while data.startswith(MAGIC) and at + _RECORD.size <= len(data):
        length, crc = _RECORD.unpack_from(data, at)
        body = data[at + _RECORD.size : at + _RECORD.size + length]
        if not length or zlib.crc32(body) != crc:
            break
        results.append(End.of(json.loads(body.decode("utf-8", "surrogatepass"))))
        at += _RECORD.size + length
    return results
