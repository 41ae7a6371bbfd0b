"""Ends the commands of a supervisor that was killed, before their lease is over and another machine may run them.

A supervisor keeps its lease itself. If it is killed together with its dispatcher, and no other worker is on that
machine, nobody else can. So another process, the sentry, only waits for that. Through a pipe it hears by when commands
must be dead, and that the supervisor leaves. If the pipe ends without a goodbye, it watches until nothing runs any
more, since a dispatcher may end the commands, and at that time it ends what still runs.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from pathlib import Path

from queuectl import program
from queuectl.clock import boottime
from queuectl.engine.lease import LOOK_EVERY_S
from queuectl.engine.supervise import process
from queuectl.engine.supervise.roster import Sight
from queuectl.engine.supervise.trees import kill, living

GOODBYE = "goodbye"


class Sentry:
    """A supervisor's hold on its sentry, which is there from the first lease on."""

    def __init__(self, folder: Path, bits: int) -> None:
        """`folder` is the supervisor's, `bits` mark its commands."""
        self._folder = folder
        self._bits = bits
        self._pipe: int | None = None

    def post(self, kill_at: float) -> None:
        """Has everything dead by this time, of the clock that also runs in suspension, unless told another one. Where
        the machine has no room for a sentry just now, the next lease tries again."""
        if self._pipe is None or not self._say(f"{kill_at}"):
            self.dismiss()
            with suppress(OSError):
                self._pipe = _spawn(self._folder, self._bits)
                self._say(f"{kill_at}")

    def dismiss(self) -> None:
        """The supervisor leaves; what its commands left running is not touched."""
        if self._pipe is not None:
            self._say(GOODBYE)
            os.close(self._pipe)
            self._pipe = None

    def _say(self, word: str) -> bool:
        """Whether somebody hears it."""
        assert self._pipe is not None
        try:
            os.write(self._pipe, f"{word}\n".encode())
        except OSError:
            return False  # it was killed, or is frozen and the pipe full
        return True


def _spawn(folder: Path, bits: int) -> int:
    words = [sys.executable, "-I", "-S", "-c", program.part("engine.supervise.sentry"), str(folder), str(bits)]
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    os.set_blocking(reader, True)
    try:
        process.start_helper(words, [(os.POSIX_SPAWN_DUP2, reader, 0)])
    except BaseException:
        os.close(writer)
        raise
    finally:
        os.close(reader)
    return writer


def main() -> None:
    """The process: hears from its supervisor (descriptor 0) until that is gone, and then keeps its lease."""
    folder, bits = Path(sys.argv[1]), int(sys.argv[2])
    kill_at, sight = 0.0, Sight(folder)
    with open(0) as words:
        for word in words:
            if word.strip() == GOODBYE:
                return
            sight.hold()
            with suppress(ValueError):  # cut off in the middle
                kill_at = float(word)
    trees = sight.trees(bits)
    while living(trees) and boottime() < kill_at:
        time.sleep(min(LOOK_EVERY_S, max(0.0, kill_at - boottime())))
    kill(lambda: living(trees))
