"""Pipes that outlive their command, because it left processes behind that may still write.

Such a process is not touched: its pipe may neither fill up, which would stop it, nor close, which would end it. So a
process of its own reads those pipes and keeps nothing of what it reads. It outlives the supervisor, however that ends,
and leaves when the last pipe is closed and no supervisor can bring another.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time

from queuectl import program
from queuectl.engine.supervise import process

READ_BYTES = 1 << 16
PAUSE_S = 0.05
"""Between two looks, so that a process that writes without end is slowed down and costs little."""


class Leftovers:
    """A supervisor's hold on the process that reads them, which is there from the first such pipe on."""

    def __init__(self) -> None:
        self._line: socket.socket | None = None
        self._pending: list[int] = []

    def take(self, reader: int) -> None:
        """Takes over the reading end of a pipe. Closes it at once where nobody holds the other end."""
        self._pending.append(reader)
        self._pending = [each for each in self._pending if not _forsaken(each)]
        if self._pending and not self._pass_on():
            self.close()
            self._pass_on()  # where the machine has no room now, they are passed on with the next one

    def _pass_on(self) -> bool:
        try:
            if self._line is None:
                self._line = _spawn()
            while self._pending:
                socket.send_fds(self._line, [b"."], self._pending[:1])
                os.close(self._pending.pop(0))
        except OSError:
            return False
        return True

    def close(self) -> None:
        """No more pipes come; that process goes on with those it has."""
        if self._line is not None:
            self._line.close()
            self._line = None


def _forsaken(reader: int) -> bool:
    """Whether nobody holds the other end of the pipe; it is closed then."""
    poll = select.poll()
    poll.register(reader, 0)
    if not poll.poll(0):
        return False
    os.close(reader)
    return True


def _spawn() -> socket.socket:
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            actions = [(os.POSIX_SPAWN_DUP2, theirs.fileno(), 0), (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)]
            process.start_helper(
                [sys.executable, "-I", "-S", "-c", program.part("engine.supervise.leftovers")], actions
            )
        except BaseException:
            ours.close()
            raise
    ours.setblocking(False)
    return ours


def main() -> None:
    """The process: takes pipes from its supervisor (descriptor 0), and reads them as long as somebody writes."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    line = socket.socket(fileno=0)
    poll = select.poll()
    poll.register(line, select.POLLIN)
    left = 1
    while left:
        for handle, _ in poll.poll():
            if handle == line.fileno():
                word, readers, _, _ = socket.recv_fds(line, 1, 1)
                for reader in readers:
                    poll.register(reader, select.POLLIN)
                left += len(readers)
                if word:
                    continue
            elif os.read(handle, READ_BYTES):
                continue
            poll.unregister(handle)
            if handle:
                os.close(handle)
            left -= 1
        time.sleep(PAUSE_S)
