"""Where commands write: a pipe for each slot, drained by the supervisor.

A pipe cannot be truncated: opening /dev/stderr again appends. Rules:

- What a command writes in its first moment stays in the pipe. If it ends by then, its output costs no file.
- What it writes later is in the slot's file within a moment, where followers read it.
- The file keeps the beginning and the end. Its middle is freed while it grows, and again before it is handed over.
- A full disk costs output, which a note in its place says. It never stops a command.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import time
from array import array
from collections.abc import Iterable
from contextlib import suppress
from math import inf
from pathlib import Path
from termios import FIONREAD

from queuectl.engine.protocol import Kept, kept_inline
from queuectl.engine.supervise.descriptors import FILES_BESIDE, open_files_max
from queuectl.engine.supervise.leftovers import Leftovers
from queuectl.engine.supervise.output import cut_note, discard, punch_hole

INLINE_BYTES_MAX = 16 << 10
"""Larger outputs stay in their file until they are recorded."""

READ_BYTES = 1 << 16
"""Read from a pipe at a time: what it holds."""

MUCH_BYTES = READ_BYTES // 2
"""A pipe that held this much is watched again at once."""

F_SETPIPE_SZ = getattr(fcntl, "F_SETPIPE_SZ", 1031)
GROWN_BYTES = 1 << 18
"""What a pipe may hold once it was found full."""

VISIT_BYTES_MAX = 1 << 20
"""Drained from one pipe before the supervisor turns to others."""

PUNCH_BYTES_MIN = 1 << 20
"""A middle is freed in pieces of at least this size."""

MOMENT_S = 0.005
"""How long a pipe is not watched after a start, and after each time it was drained."""

KEPT_BYTES_MIN = 1 << 15
"""Kept of an output even on a full disk, where it took so much before."""

STDOUT, STDERR = 1, 2

WRITABLE_BY_ALL = 0o622
"""A pipe's mode. Only processes that hold it can open it by name, and some become another user (`su`)."""


_held = array("i", [0])
"""How many bytes a pipe holds: the kernel writes it here."""


def _spared(*handles: int) -> None:
    """Closes the handles and raises `OSError` where they are among the last that may be open."""
    if max(handles) >= open_files_max() - FILES_BESIDE:
        for handle in handles:
            os.close(handle)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


class Sink:
    """What one stream of one slot is written to. `path`, relative to the store's folder, is its file."""

    def __init__(self, folder: Path, name: str, below: Path, kept_bytes: int, leftovers: Leftovers) -> None:
        """`kept_bytes`: how much of an output is kept in the end, half from either side."""
        self._folder = folder
        self._name = name
        self._below = below
        self._kept_bytes = kept_bytes
        self._leftovers = leftovers
        self._generation = 0
        self._writer = self._file = -1
        self._grown = False
        self.reader = -1
        """The end of the pipe that is drained; -1 where there is none."""
        self._name_file()
        self._begin()

    def _name_file(self) -> None:
        self._generation += 1
        self.path = str((self._folder / f"{self._name}-{self._generation}").relative_to(self._below))

    def _begin(self) -> None:
        self._head = b""
        self._size = 0  # bytes read from the pipe
        self._stored = 0  # length of the file
        self._keep = self._kept_bytes  # less on a full disk
        self._freed = self._keep  # up to where the file's middle is freed
        self._unwritten = 0  # bytes that the disk refused since it last took some

    def open(self) -> int:
        """The descriptor that a command writes to. Raises `OSError` where there is none to spare."""
        if self.reader < 0:
            ends = os.pipe2(os.O_CLOEXEC)
            _spared(*ends)
            self.reader, self._writer = ends
            os.set_blocking(self.reader, False)
            os.fchmod(self._writer, WRITABLE_BY_ALL)
            self._grown = False
        return self._writer

    def drain(self) -> bool:
        """Moves what the pipe holds to the file. True where that was much, so that it is soon full again."""
        taken = 0
        while taken < VISIT_BYTES_MAX and (data := self._read()):
            self._store(data)
            taken += len(data)
            if len(data) < READ_BYTES:
                break
        if taken >= READ_BYTES and not self._grown:
            self._grow()
        return taken >= MUCH_BYTES

    def _grow(self) -> None:
        """A fast writer and its reader then wait for each other less often."""
        self._grown = True
        with suppress(OSError):  # a user may own only so much room in pipes
            fcntl.fcntl(self.reader, F_SETPIPE_SZ, GROWN_BYTES)

    def _read(self) -> bytes:
        """What the pipe holds. A command most often wrote nothing, and to ask for that costs less than to try."""
        fcntl.ioctl(self.reader, FIONREAD, _held)
        return os.read(self.reader, min(_held[0], READ_BYTES)) if _held[0] else b""

    def collect(self, still_written: bool, room: int) -> Kept | None:
        """What was written, for the result: `{text}` inline, or `{path, size}` of a file that is handed over.

        `still_written`: a process that was left behind may go on writing. `room`: bytes that may go inline. Of a cut
        file only `kept` bytes are there, half at either end.
        """
        last = self._read()
        rest = VISIT_BYTES_MAX
        while len(last) == READ_BYTES and rest > 0:  # more than that is written by what was left behind
            self._store(last)
            rest -= len(last)
            last = self._read()
        if still_written:
            self._part()
        size = self._size + len(last)
        if not size:
            return None
        inline = min(INLINE_BYTES_MAX, room)
        if size <= inline:
            kept: Kept = {"text": (self._head + last).decode("latin-1"), "size": size}
            if self._stored:
                os.ftruncate(self._file, 0)
        else:
            self._store(last)
            kept = self._hand_over(inline)
        self._begin()
        return kept

    def _hand_over(self, inline: int) -> Kept:
        """The file, with its middle freed; the beginning of the output where the disk took nothing of it."""
        if self._stored:
            is_cut = self._stored > self._keep
            if is_cut:
                self._punch(self._keep // 2, self._stored - self._keep // 2)
            if self._unwritten:
                self._store(b"")  # the note of it may have room now
            kept: Kept = {"path": self.path, "size": self._stored}
            if is_cut:
                kept["kept"] = self._keep
            os.close(self._file)
            self._file = -1
            self._name_file()
            return kept
        head = self._head[: max(0, inline)]
        text = head + cut_note(self._size - len(head))
        return kept_inline(text)

    def _store(self, data: bytes) -> None:
        if len(self._head) < INLINE_BYTES_MAX:
            self._head += data[: INLINE_BYTES_MAX - len(self._head)]
        self._size += len(data)
        note = cut_note(self._unwritten) if self._unwritten else b""
        written = self._write(note + data) - len(note)
        if written >= 0:
            self._unwritten = len(data) - written
        else:
            self._unwritten += len(data)
            self._stored -= len(note) + written  # a part of a note says nothing, and is written over
        self._free_middle()

    def _write(self, data: bytes) -> int:
        """Appends to the file as much as the disk takes; returns how many bytes."""
        written = 0
        while written < len(data):
            try:
                written += os.pwrite(self._opened(), data[written:] if written else data, self._stored + written)
            except OSError:
                if not self._make_room(self._stored + written):
                    break  # the disk is full, or the folder is gone: `_unwritten` tells
        self._stored += written
        return written

    def _opened(self) -> int:
        if self._file < 0:
            how = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            self._file = os.open(self._below / self.path, how, 0o600)
        return self._file

    def _make_room(self, size: int) -> bool:
        """On a full disk, keeps half as much of this output. False where that would be next to nothing."""
        keep = min(self._keep, size) // 2
        if keep < KEPT_BYTES_MIN:
            return False
        self._keep = keep
        self._freed = size - self._keep // 2
        self._punch(self._keep // 2, self._freed)
        return True

    def _free_middle(self) -> None:
        """Frees what is neither within the first nor the last bytes that `read_capped` and followers may want."""
        end = self._stored - self._keep
        if end - self._freed >= max(self._keep // 8, PUNCH_BYTES_MIN):
            self._punch(self._freed, end)
            self._freed = end

    def _punch(self, start: int, end: int) -> None:
        punch_hole(self._file, start, end - start)

    def _part(self) -> None:
        """Leaves the pipe to those who still hold it."""
        os.close(self._writer)
        self._leftovers.take(self.reader)
        self.reader = self._writer = -1

    def move(self) -> None:
        """Goes on in a new file with what the old one holds, which was removed. Where there is no room for both,
        the old one is written on, unseen."""
        old, self._file = self._file, -1
        if old < 0:
            return
        try:
            self._copy(old, 0, min(self._keep, self._stored))
            self._copy(old, self._freed, self._stored)
        except OSError:
            old, self._file = self._file, old
        if old >= 0:
            os.close(old)

    def _copy(self, old: int, start: int, end: int) -> None:
        while start < end and (copied := os.copy_file_range(old, self._opened(), end - start, start, start)):
            start += copied

    def abandon(self) -> None:
        """The command did not start; the pipe serves the next one."""

    def rest(self) -> None:
        """Closes its pipe and file: no command writes to them now, and others need the descriptors."""
        if self.reader >= 0:
            os.close(self.reader)
            os.close(self._writer)
            self.reader = self._writer = -1
        if self._file >= 0:
            discard(self._below / self.path)
            os.close(self._file)
            self._file = -1


class UserFile:
    """A file of the user's that takes the place of a slot's pipe for one command; emptied when it starts."""

    def __init__(self, path: str, wait: bool = False) -> None:
        """Raises `BlockingIOError` where another process holds a lease on the file, unless it may `wait` for that."""
        self.path = path
        how = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_TRUNC | os.O_NOCTTY
        self._handle = os.open(path, how | (0 if wait else os.O_NONBLOCK), 0o666)
        os.set_blocking(self._handle, True)
        _spared(self._handle)

    def open(self) -> int:
        """The descriptor that the command writes to."""
        return self._handle

    def collect(self, still_written: bool, room: int) -> Kept | None:
        """The file's name and size; it stays where it is."""
        del still_written, room
        size = os.fstat(self._handle).st_size
        os.close(self._handle)
        return {"path": self.path, "size": size} if size else None

    def abandon(self) -> None:
        """The command did not start."""
        os.close(self._handle)


class Drains:
    """When each pipe in use is drained.

    After a start, and after each time that it was drained, a pipe is left alone for a moment; then the supervisor's
    `poll` watches it. So short commands wake nobody, and a line at a time costs at most two hundred looks a second.
    A pipe that held much is watched again at once.
    """

    def __init__(self, poll: select.poll) -> None:
        self._poll = poll
        self._paused: dict[Sink, float] = {}
        """Until when each is left alone, the first one first."""
        self._watched: dict[int, Sink] = {}

    def begin(self, sinks: Iterable[Sink | UserFile]) -> None:
        """A command has started to write."""
        until = time.monotonic() + MOMENT_S
        for sink in sinks:
            if isinstance(sink, Sink):
                self._paused[sink] = until

    def end(self, sinks: Iterable[Sink | UserFile]) -> None:
        """The command has ended, and its output is about to be collected."""
        for sink in sinks:
            if isinstance(sink, Sink) and self._paused.pop(sink, None) is None:
                del self._watched[sink.reader]
                self._poll.unregister(sink.reader)

    def wake_at(self) -> float:
        """When the next pipe has to be watched again."""
        return next(iter(self._paused.values()), inf)

    def go_on(self, now: float) -> None:
        """Watches the pipes whose moment is over."""
        while self._paused and (sink := next(iter(self._paused))) and self._paused[sink] <= now:
            del self._paused[sink]
            self._watched[sink.reader] = sink
            self._poll.register(sink.reader, select.POLLIN)

    def drain(self, handle: int) -> bool:
        """Drains a readable pipe. False if the descriptor is not one of these pipes."""
        sink = self._watched.get(handle)
        if sink is None:
            return False
        if not sink.drain():
            del self._watched[handle]
            self._poll.unregister(handle)
            self._paused[sink] = time.monotonic() + MOMENT_S
        return True
