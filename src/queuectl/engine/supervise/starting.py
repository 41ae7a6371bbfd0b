"""Starting a command apart: a child of the supervisor's enters the folder, opens the files, and becomes the command.

This is for paths that may hang: the child alone waits for them. It is forked, so it takes longer than `posix_spawn`,
which lets the supervisor itself wait until the program has been read. Before each step the child writes through a pipe
what that step is; the pipe closes when it becomes the command. So its supervisor can tell, whenever it looks, whether
the command runs, and if not what it waits for.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from math import inf
from typing import Generic, NoReturn, TypeVar

from queuectl.engine.supervise import descriptors, process

R = TypeVar("R")
"""What a child belongs to."""

START_WITHIN_S = 10.0
"""How long a folder, a file or a program may take to answer."""
ABANDONED_AFTER_S = 5.0
"""How long to wait for a child that SIGKILL does not end."""

LOCAL = "local"
"""The step that says: no path is on a file system that may hang."""
STEP_MAX = 5000
"""Characters of a step. A path may have 4,096 bytes."""
STEPS_BYTES_MAX = 1 << 16

Step = Callable[[str], None]


class Start:
    """A supervisor's hold on a command that is started apart."""

    def __init__(self, pid: int, steps: int, confirm: Callable[[], None]) -> None:
        """`steps` is the reading end of the child's pipe. `confirm` is called where the paths were all local."""
        self.pid = pid
        self._steps = steps
        self._confirm = confirm
        self._said = b""
        self._open = True
        self.failure: process.Unrunnable | None = None
        """Why the command does not run, as far as is known."""

    def is_over(self) -> bool:
        """Whether the child has become the command, or has ended."""
        while self._open:
            try:
                piece = os.read(self._steps, STEPS_BYTES_MAX)
            except BlockingIOError:
                return False
            self._said += piece
            if not piece:
                self.close()
        return True

    def close(self) -> None:
        """The child has told all, or what it tells is of no interest."""
        self._open = False
        os.close(self._steps)

    def judge(self) -> None:
        """Notes what the child, which has ended, told of its paths, and why it was not started if it was not."""
        self.is_over()
        *_, last, _ = [b"", *self._said.split(b"\n")]
        if last.startswith(b"!") and self.failure is None:
            code, _, reason = os.fsdecode(last[1:]).partition(" ")
            self.failure = process.Unrunnable(reason, int(code) if code != "-" else None)
        if f"\n{LOCAL}\n".encode() in self._said:
            self._confirm()

    def give_up(self) -> None:
        """Notes that the child has waited too long, and for what."""
        *_, step, _ = [b"", *self._said.split(b"\n")]
        host = os.uname().nodename
        reason = f"no answer within {START_WITHIN_S:g} s on host {host}"
        self.failure = process.Unrunnable(f"{os.fsdecode(step) or 'cannot be started'}: {reason}")


def start_apart(become: Callable[[Step], None], tag: int, kept: Sequence[int], confirm: Callable[[], None]) -> Start:
    """Forks a child with this tag, in a session of its own, that calls `become(step)`.

    `become` tells `step` what it does next, opens the command's descriptors 0, 1 and 2, and executes it. Of the
    supervisor's descriptors the child keeps only those in `kept`. Raises `process.Shortage`.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        pid = process.fork_tagged(tag)
        if pid == 0:
            _child(become, writer, kept)
    except process.Shortage:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    return Start(pid, reader, confirm)


def _child(become: Callable[[Step], None], steps: int, kept: Sequence[int]) -> NoReturn:
    def step(text: str) -> None:
        os.write(steps, os.fsencode(text[:STEP_MAX].replace("\n", " ")) + b"\n")

    try:
        signal.set_wakeup_fd(-1)
        process.close_from(3, but={steps, *kept})  # or a child that hangs would keep a lock for as long
        for signum in process.DEFAULTED_SIGNALS:
            signal.signal(signum, signal.SIG_DFL)
        os.setsid()
        descriptors.lower()
        step("")
        become(step)
    except process.NotStarted as error:
        reason, exit_code = error.why
        step(f"!{'-' if exit_code is None else exit_code} {reason}")
    except (OSError, ValueError) as error:
        step(f"!- cannot be started: {error}")
    finally:
        os._exit(process.EXIT_NOT_EXECUTABLE)


class Patience(Generic[R]):
    """Children that may hang, and until when each is waited for."""

    def __init__(self) -> None:
        self.waits: dict[int, Wait[R]] = {}
        """By the child's pid. Nearly always empty, so a look in every round is cheap."""

    def begin(self, run: R, start: Start) -> None:
        """A child has been forked for this run."""
        self.waits[start.pid] = Wait(run=run, start=start, until=time.monotonic() + START_WITHIN_S)

    def ended(self, pid: int) -> None:
        """A child has ended. It need not be one of these."""
        self.waits.pop(pid, None)

    def wake_at(self) -> float:
        """When the next one will have been waited for too long."""
        return min(wait.until for wait in self.waits.values()) if self.waits else inf

    def step(self, now: float) -> list[tuple[int, R]]:
        """Kills those that took too long; returns those that did not end even so, with their runs."""
        abandoned = []
        for pid, wait in [each for each in self.waits.items() if each[1].until <= now]:
            if wait.killed:
                wait.start.close()
                abandoned.append((pid, wait.run))
                del self.waits[pid]
            elif wait.start.is_over():
                del self.waits[pid]
            else:
                wait.start.give_up()
                os.kill(pid, signal.SIGKILL)  # it has not been reaped, so the pid is still its own
                wait.killed, wait.until = True, now + ABANDONED_AFTER_S
        return abandoned


class Wait(Generic[R]):
    """A child that may hang."""

    def __init__(self, run: R, start: Start, until: float) -> None:
        self.run, self.start, self.until = run, start, until
        self.killed = False
