"""News of a store, read once for all listeners: events of jobs, and what people did."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, islice

from queuectl.client.gaps import Gaps
from queuectl.client.hands import Hands
from queuectl.client.waiting import REST, Patience, Say
from queuectl.domain.errors import StoreLost, StoreUnavailable
from queuectl.engine.dispatch.wakeup import wakeup_for
from queuectl.places import refuse_moved
from queuectl.store.past import News, Place
from queuectl.store.port import Store

NEWS_MAX = 100
"""Most news of a kind in one reading; more are skipped."""
PAGE = 1000
"""Most news of a kind at once where all are read."""
LOOK_EVERY_S = 1.0
LEAST_S = 0.01
LOOK_BACK_S = 2.0
"""How far back ends are searched: they are committed a little after they happened."""


def latest(store: Store, window_s: float, most: int) -> tuple[list[News], bool]:
    """What happened in the last `window_s` seconds, oldest first: at most the latest `most`, and whether there is more.

    A store gives the first news after a place, so the window is halved until all of a kind are found.
    """
    now, is_cut = store.now(), False
    while True:
        place = store.place_at(now - window_s)
        found = [each for each in store.news(place, most + 1) if each.at >= place.at]
        if window_s < LEAST_S or max(Counter(each.key[0] for each in found).values(), default=0) <= most:
            return found[-most:], is_cut or len(found) > most
        window_s, is_cut = window_s / 2, True


class Watching:
    """Reads what is new, and sleeps until something is committed."""

    def __init__(self, store: Store, place: Place | None = None, say: Say | None = None) -> None:
        """Begins at `place` (default: now). `place` is then how far it has read. `say`: see `Patience`."""
        self._store = store
        self._patience = Patience(store, say)
        self._wakeup = wakeup_for(store)
        self._told: dict[tuple[str, int, int], float] = {}
        self._gaps = Gaps(store)
        self._hands = Hands(store)
        self.place = place or store.place()
        self._begin(self.place)

    def close(self) -> None:
        self._wakeup.close()

    def wait(self, at_most_s: float) -> None:
        """Sleeps until a commit, or for `at_most_s` seconds."""
        self._wakeup.wait(at_most_s)

    def is_lost(self) -> bool:
        """Whether the store was removed or replaced, or has moved."""
        return bool(self._store.replaced() or self._store.moved_to())

    def may_be_stale(self) -> bool:
        """Whether anything may have changed since the last call; always true if other machines may commit unheard."""
        return self._store.changed() is not None or self._store.shared_by_machines

    def happening(self, window_s: float, most: int) -> Iterator[Sequence[News]]:
        """What happened in the last `window_s` seconds (at most the latest `most`), then all that happens, as it does.

        An empty page comes at least every few seconds. Raises `StoreLost` if the store was removed or has moved.
        """
        found, _ = latest(self._store, window_s, most)
        yield found
        shown = {each.key for each in found}
        while True:
            began = time.monotonic()
            try:
                refuse_moved(self._store)
                if self.is_lost():
                    raise StoreLost(f"the store {self._store.url} was removed", "start again")
                for page in self.pages():
                    yield [each for each in page if each.key not in shown]
                self._patience.is_back()
            except StoreUnavailable as error:
                self._patience.is_away(error)
                time.sleep(LOOK_EVERY_S)
            yield ()
            time.sleep(min(LOOK_EVERY_S, REST * (time.monotonic() - began)))
            self.wait(LOOK_EVERY_S)

    def read(self) -> list[News] | None:
        """The news; None if there were too many, and some were skipped."""
        place = self._store.place()
        later = list(islice(chain.from_iterable(self._gaps.filled(NEWS_MAX)), NEWS_MAX))
        found = self._store.news(self._looking_back(), NEWS_MAX)
        known = {each.key for each in found}
        found += [each for each in self._hands.ended() if each.key not in known]
        kinds = Counter(each.key[0] for each in (*later, *found))
        if max(kinds.values(), default=0) >= NEWS_MAX:
            self._begin(place)
            return None
        self._gaps.note(self.place, place, found)
        self.place = place
        return sorted([*later, *self._new(found)], key=lambda each: each.at)

    def pages(self) -> Iterator[list[News]]:
        """All news, however many, in pages."""
        upto, after, most = self._store.place(), self._looking_back(), PAGE
        yield from self._gaps.filled(PAGE)
        while True:
            found = self._store.news(after, most)
            new = [each for each in found if each.key not in self._told]
            self._told |= {each.key: upto.at for each in found if each.key[0] in ("start", "end")}
            before, after = after, _last(found, after)
            self._gaps.note(before, after, found)
            self.place = self.place._replace(seq=after.seq, deed=after.deed)
            if new:
                yield new
            if max(Counter(each.key[0] for each in found).values(), default=0) < most:
                break
            most *= 1 if after != before else 2
        if late := [each for each in self._hands.ended() if each.key not in self._told]:
            self._told |= {each.key: upto.at for each in late}
            yield late
        self.place = self.place._replace(at=upto.at)
        self._told = {key: at for key, at in self._told.items() if at > upto.at - 2 * LOOK_BACK_S}

    def _begin(self, place: Place) -> None:
        self.place = place
        self._told.clear()
        self._gaps.clear()
        found = self._store.news(self._looking_back(), NEWS_MAX)
        self._new([each for each in found if each.key[0] in ("start", "end") and each.at < place.at])

    def _looking_back(self) -> Place:
        return self.place._replace(at=self.place.at - LOOK_BACK_S)

    def _new(self, found: list[News]) -> list[News]:
        """Those that were not returned yet: running jobs and recent ends are found in each reading."""
        new = [each for each in found if each.key not in self._told]
        forget_before = self.place.at - 2 * LOOK_BACK_S
        still = {each.key: self.place.at for each in found}
        self._told = {key: at for key, at in self._told.items() if at > forget_before} | still
        return new


def _last(found: Sequence[News], after: Place) -> Place:
    """The place behind these news, which were found after a place. What ended at the same time may follow."""
    return Place(
        max((each.key[1] for each in found if each.key[0] == "job"), default=after.seq),
        max((each.key[1] for each in found if each.key[0] == "deed"), default=after.deed),
        max((each.at for each in found if each.key[0] == "end"), default=after.at),
    )
