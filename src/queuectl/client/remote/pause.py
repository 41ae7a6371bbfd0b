"""Pauses between two requests to a server."""

from __future__ import annotations

import time

from queuectl.wire.keywords import Duration, seconds_of

LOOK_FIRST_S, LOOK_LAST_S = 0.05, 1.0


class Pause:
    """Pauses that grow, until the time is over."""

    def __init__(self, timeout: Duration | None) -> None:
        self._deadline = None if timeout is None else time.monotonic() + seconds_of(timeout)
        self._next_s = LOOK_FIRST_S

    def wait(self, what: str) -> None:
        """Sleeps a little. Raises `TimeoutError` with what was waited for."""
        left = self._next_s if self._deadline is None else min(self._next_s, self._deadline - time.monotonic())
        if left <= 0:
            raise TimeoutError(what)
        time.sleep(left)
        self._next_s = min(LOOK_LAST_S, 1.5 * self._next_s)
