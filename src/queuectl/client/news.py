"""News of a store, read once for everybody who watches: what has happened to jobs, and what people did."""

from __future__ import annotations

from collections import Counter

from queuectl.engine.dispatch.wakeup import wakeup_for
from queuectl.store.past import News, Place
from queuectl.store.port import Store

NEWS_MAX = 100
"""At more than so many of a kind in a moment, some are passed over."""
LOOK_BACK_S = 2.0
"""Ends are committed a little after they happened; so far back they are looked for."""


class Watching:
    """Reads what is new, and sleeps until something is committed."""

    def __init__(self, store: Store, place: Place | None = None) -> None:
        """`place` is where it begins; now, unless given."""
        self._store = store
        self._wakeup = wakeup_for(store)
        self._begin(place or store.place())

    def close(self) -> None:
        self._wakeup.close()

    def wait(self, at_most_s: float) -> None:
        """Sleeps until somebody commits, or for that long."""
        self._wakeup.wait(at_most_s)

    def is_lost(self) -> bool:
        """Whether the store is no longer the one it was."""
        return bool(self._store.replaced())

    def may_be_stale(self) -> bool:
        """Whether anything may have changed since the last call. Workers on other machines tell nobody."""
        return self._store.changed() or self._store.shared_by_machines

    def read(self) -> list[News] | None:
        """What is new; None where it was too much, and some was passed over."""
        place = self._store.place()
        found = self._store.news(self._looking_back(), NEWS_MAX)
        kinds = Counter(each.key[0] for each in found)
        if max(kinds.values(), default=0) >= NEWS_MAX:
            self._begin(place)
            return None
        self._place = place
        return self._new(found)

    def _begin(self, place: Place) -> None:
        self._place = place
        self._told: dict[tuple[str, int, int], float] = {}
        found = self._store.news(self._looking_back(), NEWS_MAX)
        self._new([each for each in found if each.key[0] in ("start", "end") and each.at < place.at])

    def _looking_back(self) -> Place:
        return self._place._replace(at=self._place.at - LOOK_BACK_S)

    def _new(self, found: list[News]) -> list[News]:
        """Those not told yet. What runs is told again and again; ends, as long as they are looked for."""
        new = [each for each in found if each.key not in self._told]
        forget_before = self._place.at - 2 * LOOK_BACK_S
        still = {each.key: self._place.at for each in found}
        self._told = {key: at for key, at in self._told.items() if at > forget_before} | still
        return new
