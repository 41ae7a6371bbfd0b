"""Executions that a reader of news has seen in workers' hands. Their ends are looked for by name once they are in
nobody's: after an outage, or a worker's death, an end is recorded long after it happened."""

from __future__ import annotations

from queuectl.store.past import News
from queuectl.store.port import Store

IN_HAND_MAX = 10_000
"""More are not watched."""


class Hands:
    """What workers have in hand, as it was at the last look."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known = store.in_hand(IN_HAND_MAX)

    def ended(self) -> list[News]:
        """The ends of those that have left workers' hands since the last look."""
        now = self._store.in_hand(IN_HAND_MAX)
        left = self._known - now
        found = self._store.ends_of(left) if left else []
        self._known = now  # only now: if the store was away just then, the next look asks again
        return found
