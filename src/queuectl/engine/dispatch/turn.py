"""When a worker looks for jobs of which all workers have heard: a few at once, the others later, and by then most find
that nothing is left."""

from __future__ import annotations

from math import inf, log2

from queuectl import ids
from queuectl.clock import Clock

AT_ONCE = 4
"""How many workers look at once, besides one for each job: some of them are full, frozen, or serve other queues."""
DOUBLING_S = 0.01
"""After each such time twice as many have looked. Most claims take less."""


class Turn:
    """A place among all workers, drawn each time. Whatever others do or fail to do, each looks: the last of a thousand
    after 80 ms."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.at = inf
        """When to look, by the clock that never jumps."""

    def comes_at_once(self, jobs: int, workers: float) -> bool:
        """Whether to look at once, where about so many jobs can be claimed that could not before; else `at` is set."""
        first = AT_ONCE + jobs
        if workers <= first or (place := workers * ids.draw()) < first:
            return True
        self.at = min(self.at, self._clock.monotonic() + DOUBLING_S * log2(place / first))
        return False

    def is_over(self) -> None:
        """Has looked, or need not."""
        self.at = inf
