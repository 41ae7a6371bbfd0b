"""Which executions a supervisor runs now, kept in a file that survives it.

A dead supervisor leaves two kinds of daemons: those of executions that had not ended, which must be ended before
their jobs run again, and those that a command left behind when it ended by itself, which are not touched. Only the
supervisor can tell them apart. So it keeps a row for each running execution in a mapped file next to its journal;
whoever settles it, its sentry and the doctor read it. Its dispatcher and its sentry hold the file open: they can read
it though somebody has removed it, when the supervisor was killed before it could make it again.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from pathlib import Path

from queuectl.engine.protocol import JOURNAL_NAME, Key
from queuectl.engine.supervise.journal import allocated, read_journal
from queuectl.engine.supervise.process import tag, whole_range
from queuectl.engine.supervise.trees import Tree
from queuectl.typed import NamedTuple

ROSTER_NAME = "running"
MAGIC = b"queuectl running 1\n".ljust(32, b"\0")

_ROW = struct.Struct("=QQIxxxxddI")
"""seq, lease, execution, since, until, pid."""
_END = struct.Struct("=dI")
_FREE, _TAKEN, _STUCK = 0, 1, 2
ROW_BYTES = 64
_STATE_AT = ROW_BYTES - 1
_END_AT = _ROW.size - _END.size


class Entry(NamedTuple):
    """A running execution. `pid` is 0 until it has been started; `stuck`: it was to be ended and could not be."""

    key: Key
    execution: int
    since: float
    until: float
    pid: int
    stuck: bool

    def tree(self, bits: int) -> Tree:
        """Its processes, of the supervisor whose commands are marked with `bits`."""
        mark = tag(bits, self.execution)
        return Tree(low=mark, high=mark, pid=self.pid, since=self.since, until=self.until)


class Roster:
    """The writing end: a row for each slot. One process writes."""

    def __init__(self, folder: Path, slots: int) -> None:
        self._map = allocated(folder / ROSTER_NAME, len(MAGIC) + slots * ROW_BYTES)
        self._map[: len(MAGIC)] = MAGIC

    def move(self, folder: Path) -> None:
        """Goes on in another folder, with all that it holds. Raises `OSError` where there is no room for it."""
        new = folder / f"{ROSTER_NAME}.new"
        moved = allocated(new, len(self._map))
        moved[:] = self._map[:]
        os.rename(new, folder / ROSTER_NAME)
        left, self._map = self._map, moved
        left[: len(MAGIC)] = bytes(len(MAGIC))  # whoever holds it open must not believe it any more

    def enter(self, row: int, key: Key, execution: int, since: float) -> None:
        """An execution is about to be started."""
        at = len(MAGIC) + row * ROW_BYTES
        _ROW.pack_into(self._map, at, *key, execution & 0xFFFFFFFF, since, 0.0, 0)
        self._map[at + _STATE_AT] = _TAKEN  # last: now it counts

    def started(self, row: int, until: float, pid: int) -> None:
        """The execution was started before `until`, as the process `pid`."""
        _END.pack_into(self._map, len(MAGIC) + row * ROW_BYTES + _END_AT, until, pid)

    def stuck(self, row: int) -> None:
        """The execution was to be ended, and lives on."""
        self._map[len(MAGIC) + row * ROW_BYTES + _STATE_AT] = _STUCK

    def leave(self, row: int) -> None:
        """It has ended, and its result is in the journal, or it was not started."""
        self._map[len(MAGIC) + row * ROW_BYTES + _STATE_AT] = _FREE


class Sight:
    """The reading end, of one supervisor."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: int | None = None

    def hold(self) -> bool:
        """Keeps the file open that the supervisor writes to now; whether it is there."""
        if self._held is not None and not _is_roster(os.pread(self._held, len(MAGIC), 0)):
            self.close()
        if self._held is None:
            with suppress(OSError):
                self._held = os.open(self._folder / ROSTER_NAME, os.O_RDONLY | os.O_CLOEXEC)
        return self._held is not None

    def close(self) -> None:
        """Lets go of the file, if it is held."""
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def _read(self) -> bytes:
        if self._held is not None:
            data = os.pread(self._held, os.fstat(self._held).st_size, 0)
            if _is_roster(data):
                return data
        try:
            return (self._folder / ROSTER_NAME).read_bytes()
        except FileNotFoundError:
            return b""

    def running(self) -> list[Entry] | None:
        """What the supervisor runs, or ran when it died; None where no roster of it is there, as an older release's."""
        data = self._read()
        if not _is_roster(data):
            return None
        entries = []
        for at in range(len(MAGIC), len(data), ROW_BYTES):
            seq, lease, execution, since, until, pid = _ROW.unpack_from(data, at)
            if state := data[at + _STATE_AT]:
                entries.append(Entry((seq, lease), execution, since, until, pid, stuck=state == _STUCK))
        return entries

    def unended(self) -> list[Entry] | None:
        """Of a dead supervisor, what had not ended. It may be in the journal already, and still here."""
        entries = self.running()
        if entries is None:
            return None
        ended = {end.key for end in read_journal(self._folder / JOURNAL_NAME)}
        return [entry for entry in entries if entry.key not in ended]

    def trees(self, bits: int) -> list[Tree]:
        """All that has to be ended before a dead supervisor's jobs may run again. Where no roster is there, whatever
        its commands have started."""
        entries = self.unended()
        if entries is None:
            return [Tree(*whole_range(bits))]
        return [entry.tree(bits) for entry in entries]


def _is_roster(data: bytes) -> bool:
    return data.startswith(MAGIC)
