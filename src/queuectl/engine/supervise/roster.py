"""Which executions a supervisor runs just now, kept where that survives it.

A dead supervisor's daemons are two kinds: those of executions that had not ended, which must be ended before their
jobs run again, and those that a command left behind when it ended by itself, which are nobody's business. Only the
supervisor knows which is which. So it keeps a row for each running execution in a mapped file beside its journal;
whoever settles it, its sentry and the doctor read it.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import NamedTuple

from queuectl.engine.protocol import JOURNAL_NAME, Key
from queuectl.engine.supervise.journal import allocated, read_journal
from queuectl.engine.supervise.process import tag, whole_range
from queuectl.engine.supervise.trees import Tree

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
        moved = allocated(folder / ROSTER_NAME, len(self._map))
        moved[:] = self._map[:]
        self._map = moved

    def enter(self, row: int, key: Key, execution: int, since: float) -> None:
        """An execution is about to be started."""
        at = len(MAGIC) + row * ROW_BYTES
        _ROW.pack_into(self._map, at, *key, execution & 0xFFFFFFFF, since, 0.0, 0)
        self._map[at + _STATE_AT] = _TAKEN  # last: now it counts

    def started(self, row: int, until: float, pid: int) -> None:
        """It was, before `until`."""
        _END.pack_into(self._map, len(MAGIC) + row * ROW_BYTES + _END_AT, until, pid)

    def stuck(self, row: int) -> None:
        """It was to be ended, and lives on."""
        self._map[len(MAGIC) + row * ROW_BYTES + _STATE_AT] = _STUCK

    def leave(self, row: int) -> None:
        """It has ended, and its result is in the journal, or it was not started."""
        self._map[len(MAGIC) + row * ROW_BYTES + _STATE_AT] = _FREE


def read_roster(folder: Path) -> list[Entry] | None:
    """What a supervisor runs, or ran when it died; None where it keeps no roster, as an older release's."""
    try:
        data = (folder / ROSTER_NAME).read_bytes()
    except FileNotFoundError:
        return None
    if not data.startswith(MAGIC):
        return None
    entries = []
    for at in range(len(MAGIC), len(data), ROW_BYTES):
        seq, lease, execution, since, until, pid = _ROW.unpack_from(data, at)
        if state := data[at + _STATE_AT]:
            entries.append(Entry((seq, lease), execution, since, until, pid, stuck=state == _STUCK))
    return entries


def unended(folder: Path) -> list[Entry] | None:
    """The executions of a dead supervisor that had not ended. One may be in the journal already, and still here."""
    entries = read_roster(folder)
    if entries is None:
        return None
    ended = {(result["seq"], result["lease"]) for result in read_journal(folder / JOURNAL_NAME)}
    return [entry for entry in entries if entry.key not in ended]


def left_trees(folder: Path, bits: int) -> list[Tree]:
    """All that has to be ended before a dead supervisor's jobs may run again. Where it kept no roster, whatever its
    commands have started."""
    entries = unended(folder)
    if entries is None:
        return [Tree(*whole_range(bits))]
    return [entry.tree(bits) for entry in entries]
