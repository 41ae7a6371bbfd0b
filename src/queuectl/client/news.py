"""News of a store, read once for all listeners: events of jobs, and what people did."""

from __future__ import annotations

from collections import Counter

from queuectl.client.waiting import Patience, Say
from queuectl.domain.errors import StoreUnavailable
from queuectl.engine.dispatch.wakeup import wakeup_for
from queuectl.store.past import News, Place
from queuectl.store.port import Store

NEWS_MAX = 100
"""Most news of a kind in one reading; more are skipped."""
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
        self._begin(place or store.place())

    def close(self) -> None:
        self._wakeup.close()

    def wait(self, at_most_s: float) -> None:
        """Sleeps until a commit, or for `at_most_s` seconds."""
        self._wakeup.wait(at_most_s)

    def is_lost(self) -> bool:
        """Whether the store was removed or replaced."""
        return bool(self._store.replaced())

    def may_be_stale(self) -> bool:
        """Whether anything may have changed since the last call; always true if other machines may commit unheard."""
        return self._store.changed() or self._store.shared_by_machines

    def look(self) -> list[News] | None:
        """The same as `read`; no news while the store is unavailable."""
        try:
            news = self.read()
        except StoreUnavailable as error:
            self._patience.is_away(error)
            return []
        self._patience.is_back()
        return news

    def read(self) -> list[News] | None:
        """The news; None if there were too many, and some were skipped."""
        place = self._store.place()
        found = self._store.news(self._looking_back(), NEWS_MAX)
        kinds = Counter(each.key[0] for each in found)
        if max(kinds.values(), default=0) >= NEWS_MAX:
            self._begin(place)
            return None
        self.place = place
        return self._new(found)

    def _begin(self, place: Place) -> None:
        self.place = place
        self._told: dict[tuple[str, int, int], float] = {}
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
