"""A store's write-ahead log: its size limit, and which processes prevent its reuse from the beginning."""

from __future__ import annotations

import os
import time

LIMIT_BYTES = 64 << 20
"""The file is cut to this size when the log restarts. A larger log is worth a warning."""
READ_MARKS = range(123, 128)
"""Bytes of the `-shm` that open transactions lock, one for each state of the log that is being read."""
LOCKS = "/proc/locks"
LOOKS, BETWEEN_S = 4, 0.05
"""How often to look for locks, and the pause between. Only a transaction that stays open has its lock every time."""


def size(path: str) -> int:
    """Bytes of the log of the store at `path`."""
    try:
        return os.stat(f"{path}-wal").st_size
    except FileNotFoundError:
        return 0


def readers(path: str) -> list[int]:
    """The processes that have had a transaction open at every look."""
    found = _lockers(path)
    for _ in range(LOOKS - 1):
        time.sleep(BETWEEN_S)
        found &= _lockers(path)
    return sorted(found)


def _lockers(path: str) -> set[int]:
    """The processes that lock a read mark now. A process of another PID namespace has no pid here."""
    inode = os.stat(f"{path}-shm").st_ino
    found = set()
    with open(LOCKS, encoding="ascii") as locks:
        for line in locks:
            _, kind, _, how, pid, place, start, end = line.split()[-8:]
            if (kind, how, place.rpartition(":")[2]) == ("POSIX", "READ", str(inode)) and int(pid) > 0:
                last = int(end) if end != "EOF" else READ_MARKS.stop
                if int(start) < READ_MARKS.stop and last >= READ_MARKS.start:
                    found.add(int(pid))
    return found - {os.getpid()}
