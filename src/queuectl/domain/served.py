"""Which queues a worker serves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from queuectl.domain.job import HOOKS
from queuectl.typed import NamedTuple


class Served(NamedTuple):
    """The queues that a worker serves: `only` these; if there are none, all `but` these, and not that of hooks."""

    only: Sequence[str] = ()
    but: Sequence[str] = ()

    def has(self, queue: str) -> bool:
        """Whether it serves a queue."""
        return queue in self.only if self.only else queue not in self.but and queue != HOOKS

    def of(self, queues: Iterable[str]) -> list[str]:
        """Those of these queues that it serves."""
        return [queue for queue in queues if self.has(queue)]

    def includes(self, other: Served) -> bool:
        """Whether it serves all that another one does."""
        if other.only:
            return all(map(self.has, other.only))
        return not self.only and set(self.but) <= set(other.but)

    def __str__(self) -> str:
        """`mail, video`, `all`, `all but mail`."""
        return ", ".join(self.only) or ("all but " + ", ".join(self.but) if self.but else "all")
