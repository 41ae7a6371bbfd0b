"""What a reader of a server's news has passed by: transactions get their numbers while they are open, and are committed
in another order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from queuectl.store.past import News, Place
from queuectl.store.port import Store
from queuectl.typed import NamedTuple

GAPS_MAX = 100
"""More gaps are forgotten, the oldest first."""


class Gap(NamedTuple):
    """Numbers from `first` to `last` that nobody had committed when others after them were read. `horizon`: once all
    transactions before it have ended, nobody will; None: not known yet."""

    kind: str
    first: int
    last: int
    horizon: int | None = None

    def without(self, numbers: Iterable[int]) -> list[Gap]:
        """What is left of it."""
        ends = pairwise([self.first - 1, *sorted(numbers), self.last + 1])
        return [self._replace(first=one + 1, last=other - 1) for one, other in ends if other - one > 1]


class Gaps:
    """The gaps in what a reader has read. Where one transaction comes after the other there are none."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._gaps: list[Gap] = []

    def clear(self) -> None:
        self._gaps.clear()

    def note(self, before: Place, after: Place, found: Sequence[News]) -> None:
        """The reader has got from one place to another, and found these."""
        if not self._store.shared_by_machines:
            return
        for kind, first, last in (("job", before.seq, after.seq), ("deed", before.deed, after.deed)):
            numbers = [each.key[1] for each in found if each.key[0] == kind]
            self._gaps += Gap(kind, first + 1, last).without(number for number in numbers if first < number <= last)
        del self._gaps[:-GAPS_MAX]

    def filled(self, most: int) -> Iterator[list[News]]:
        """What has been committed in them meanwhile, in pages of at most `most`."""
        if not self._gaps:
            return
        ended, begun = self._store.horizon()  # before it is read: what has ended is seen
        left = len(self._gaps)
        while left:
            gap = self._gaps[0]
            found = self._store.news_between(gap.kind, gap.first, gap.last, most)
            del self._gaps[0]
            numbers = [each.key[1] for each in found]
            upto = numbers[-1] if len(found) == most else gap.last
            self._keep(gap._replace(last=upto).without(numbers), ended, begun)
            left -= 1
            if upto < gap.last:
                self._gaps.insert(0, gap._replace(first=upto + 1))
                left += 1
            if found:
                yield found

    def _keep(self, gaps: Sequence[Gap], ended: int, begun: int) -> None:
        """A transaction may draw a number just before it begins to write, so the horizon is that of the next look."""
        for gap in gaps:
            if gap.horizon is None:
                self._gaps.append(gap._replace(horizon=begun))
            elif ended < gap.horizon:
                self._gaps.append(gap)
