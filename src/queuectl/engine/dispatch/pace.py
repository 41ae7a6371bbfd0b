"""How fast a dispatcher goes: when to commit next, and how many claims to hold ready."""

from __future__ import annotations

from queuectl.clock import Clock

COMMIT_GAP_S, BUSY_GAP_S = 0.003, 0.025
"""Commits are at least so far apart; those that hold many results further, and twice as far as one takes."""
BUSY_FROM = 6
BUSY_CYCLE_S = 0.02
GAP_MAX_S = 0.2
"""However long one took: a process that was stopped while it committed has not learned that the store is slow."""
AHEAD_S = 0.1
"""Claims are held ready for about as long, by how long commands take; more would starve other workers."""
AHEAD_MAX = 64
NEW_WEIGHT = 0.1
"""Of a new value in an average that moves."""
SHORTEST_S, LONGEST_S = 0.0001, 10.0
"""What one command can add to how long they take: its times are of a clock that may have been set."""
RETRY_FIRST_S, RETRY_LAST_S = 0.05, 1.0
"""Pauses before a failed transaction is tried again, doubling."""


class Beat:
    """Work that is repeated at intervals."""

    def __init__(self) -> None:
        self._next: dict[str, float] = {}

    def is_due(self, what: str, every_s: float, now: float) -> bool:
        """Whether the interval `every_s` is over. If so, the next one begins."""
        if now < self._next.get(what, 0.0):
            return False
        self._next[what] = now + every_s
        return True

    def restart(self, what: str, every_s: float, now: float) -> None:
        """This work has been done in another way: the interval begins."""
        self._next[what] = now + every_s

    def next(self, what: str, now: float) -> float:
        """When this work is next due."""
        return self._next.get(what, now)


class Pace:
    """Times are of a monotonic clock, in seconds."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.commit_not_before = self.hurry_not_before = 0.0
        self._cycle_s = 1.0
        self._last_end = 0.0
        self._took_s: float | None = None
        self._stalled = False
        self._retry_s = RETRY_FIRST_S

    def ended(self, now: float, took_s: float) -> None:
        """An execution ended: keeps the average time between two ends, and that which one takes."""
        self._cycle_s += NEW_WEIGHT * (min(1.0, now - self._last_end) - self._cycle_s)
        self._last_end = now
        self._stalled = False
        took_s = min(max(took_s, SHORTEST_S), LONGEST_S)
        self._took_s = took_s if self._took_s is None else self._took_s + NEW_WEIGHT * (took_s - self._took_s)

    def stalled(self) -> None:
        """A claim held ready came back unstarted: what runs now takes longer than what ran before."""
        self._stalled = True

    def is_busy(self, now: float) -> bool:
        """Whether ends come so fast that what others commit is soon seen with our own next commit."""
        return self._cycle_s < BUSY_CYCLE_S and now - self._last_end < GAP_MAX_S

    def ahead(self, slots: int) -> int:
        """The number of claims to hold beyond what these slots run. 0 if commands take long, after a pause, and if no
        command has ended since a claim was given back.
        """
        if self._stalled or self._took_s is None or self.clock.monotonic() - self._last_end > GAP_MAX_S:
            return 0
        return min(AHEAD_MAX, round(slots * AHEAD_S / self._took_s))

    def committed(self, began: float, done: float, results: int) -> None:
        """A commit lasted from `began` to `done` and had this number of results."""
        gap = max(BUSY_GAP_S, 2 * (done - began)) if results >= BUSY_FROM else COMMIT_GAP_S
        self.commit_not_before = done + min(gap, GAP_MAX_S)
        self.hurry_not_before = done + COMMIT_GAP_S
        self._retry_s = RETRY_FIRST_S

    def failed(self, now: float) -> None:
        """A transaction failed: the next try comes later each time."""
        self.commit_not_before = self.hurry_not_before = now + self._retry_s
        self._retry_s = min(2 * self._retry_s, RETRY_LAST_S)
