"""SIGINT, SIGTERM and SIGHUP as something a selector can wait for. An ignored signal (nohup) stays ignored."""

from __future__ import annotations

import os
import signal
from typing import Self

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ENDS_BY_STOP = frozenset(-signum for signum in STOPPING) | frozenset(128 + signum for signum in STOPPING)
"""Killed by such a signal, or with the code by which shells and runtimes say so."""
TOGETHER_S = 5.0
"""How long after the worker's own signal a command may take to die of its own, at least: see `together_s`."""


def may_belong_to_stop(exit_code: int | None, signum: int | None) -> bool:
    """Whether a command ended as commands do that are told to stop. `signum`: the signal that ended it, or None."""
    return (-signum if signum else exit_code) in ENDS_BY_STOP


def together_s(kill_grace_s: float) -> float:
    """How long after the worker's own signal a command may take to die of its own: it may clean up first."""
    return max(TOGETHER_S, kill_grace_s)


class Signals:
    """The signals that ask a worker to stop, caught within `with`. Readable (`fileno`) when one has come."""

    def __enter__(self) -> Self:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wakeup_before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        heeded = [signum for signum in STOPPING if signal.getsignal(signum) is not signal.SIG_IGN]
        self._before = {signum: signal.signal(signum, self._note) for signum in heeded}
        self._came: list[str] = []
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        return self

    def fileno(self) -> int:
        return self._reader

    def _note(self, signum: int, _frame: object) -> None:
        self._came.append(signal.Signals(signum).name)

    def take(self) -> list[str]:
        """The names of the signals that came since the last call."""
        came, self._came = self._came, []
        return came

    def clear(self) -> None:
        """To be called when readable: then it is so again when the next one has come."""
        os.read(self._reader, 4096)

    def hand_on(self) -> None:
        """Leaves what has come, and what comes from now on, to the next `Signals`, of whatever program is in this
        process then."""
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        for name in self.take():
            os.kill(os.getpid(), signal.Signals[name])

    def __exit__(self, *_: object) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._reader)
        os.close(self._writer)


def pipe_of_signals() -> int:
    """A descriptor from which the numbers of signals can be read: of SIGCHLD when a child ends, and of requests to
    stop, which have no other effect from now on."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for signum in (signal.SIGCHLD, *STOPPING):
        signal.signal(signum, lambda *_: None)
    return reader
