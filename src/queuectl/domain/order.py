"""Due jobs are claimed by priority, then due time, then age. A job that somebody moves gets a due time of its own,
between those of its new neighbours."""

from __future__ import annotations

from math import inf, nextafter

AHEAD_S = 0.001
"""How long before the first job one is put that has to be before it."""


def between(earlier: float | None, later: float) -> float | None:
    """A time after the earlier one, or after none, and before the later one. None if there is no room."""
    if earlier is None:
        return later - AHEAD_S
    middle = earlier + (later - earlier) / 2
    return middle if earlier < middle < later else None


def room_before(earlier: float | None, later: float) -> tuple[float, float]:
    """Two such times, the first for those that have to make room. Without any room they are as near as can be."""
    second = between(earlier, later) or nextafter(later, -inf)
    return between(earlier, second) or nextafter(second, -inf), second
