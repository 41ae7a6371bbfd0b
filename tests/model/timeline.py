"""Simulated time: a queue of things that will happen, and the clocks that everybody reads."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from tests.builders import NOON

EVENTS_MAX = 100_000
"""No run needs more; one that does spins."""


class Violation(AssertionError):
    """A promise was broken."""


class Timeline:
    """A `Clock` for a whole simulated machine. Nothing takes time but waiting.

    `run_until` may be called from within an action: whoever called it sleeps meanwhile, and all others go on.
    """

    def __init__(self) -> None:
        self._at = 1000.0
        self._wall = NOON - self._at
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def now(self) -> float:
        return self._at + self._wall

    def monotonic(self) -> float:
        return self._at

    def jump(self, seconds: float) -> None:
        """Somebody sets the machine's clock; the monotonic one does not care."""
        self._wall += seconds

    def later(self, delay_s: float, action: Callable[[], None]) -> None:
        """Has something happen after that long. What is due at the same moment happens in the order of asking."""
        self._count += 1
        if self._count > EVENTS_MAX:
            raise Violation("something spins: it is woken again and again without an end")
        heapq.heappush(self._queue, (self._at + delay_s, self._count, action))

    def run_until(self, end: float) -> None:
        """Lets all happen that is due until then."""
        while self._queue and self._queue[0][0] <= end:
            at, _, action = heapq.heappop(self._queue)
            self._at = max(self._at, at)
            action()
        self._at = max(self._at, end)
