"""Waits for jobs to change, at little cost, even while the store is unavailable.

Between two reads it only asks the store for commits; if the store cannot tell, the pauses grow. Reading takes at most a
twentieth of a processor, however busy the store is.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from queuectl.clock import boottime
from queuectl.domain.errors import StoreLost, StoreUnavailable
from queuectl.domain.job import Job
from queuectl.domain.selector import Selector
from queuectl.engine.dispatch.wakeup import wakeup_for
from queuectl.places import refuse_moved
from queuectl.store.port import Store
from queuectl.typed import TypeVar

RECHECK_EVERY_S = 1.0
REST = 19
"""The least pause after a read, as a multiple of its duration."""
UNHEARD_FIRST_S, UNHEARD_LAST_S, UNHEARD_SHARE = 0.02, 0.5, 0.05
"""If commits are not announced, a pause is this share of the time waited so far."""
AT_ONCE = 100
"""Jobs read together. To wait for all, one that has not finished is enough to know."""
AWAY_TOLD_AFTER_S = 1.0
NAMES_TOLD_MAX = 5

Say = Callable[[str], None]
T = TypeVar("T")


class Watch:
    """Pauses between two reads of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._wakeup = wakeup_for(store)
        self._began = self._looked = time.monotonic()
        # On PostgreSQL only people's actions are announced, over a separate connection.
        self._hears = not store.shared_by_machines

    def look(self) -> None:
        """Called when a read begins."""
        self._looked = time.monotonic()
        if self._hears:
            self._heard()

    def pause(self, at_most_s: float) -> None:
        """Sleeps until a read may show something new, or for `at_most_s` seconds."""
        now = time.monotonic()
        if not self._hears:
            waited = UNHEARD_SHARE * (now - self._began)
            at_most_s = min(at_most_s, max(UNHEARD_FIRST_S, min(waited, UNHEARD_LAST_S)))
        until = now + at_most_s
        time.sleep(min(at_most_s, REST * (now - self._looked)))
        while (left := until - time.monotonic()) > 0 and not (self._hears and self._heard()):
            self._wakeup.wait(left) if self._hears else time.sleep(left)

    def _heard(self) -> bool:
        """Whether others have committed something; also true if the store is unavailable."""
        try:
            return self._store.changed() is not None
        except StoreUnavailable:
            return True

    def close(self) -> None:
        self._wakeup.close()


class Patience:
    """Waits while the store is unavailable, as workers do, unless it is lost."""

    def __init__(self, store: Store, say: Say | None) -> None:
        self._store = store
        self._say = say
        self._away_since: float | None = None
        self._told = False

    def is_away(self, error: StoreUnavailable) -> None:
        """Called when the store has failed. Raises the error again if it will not be back."""
        refuse_replaced(self._store)
        if isinstance(error, StoreLost):
            raise error
        now = boottime()
        if self._away_since is None:
            self._away_since = now
        if self._say and not self._told and now - self._away_since >= AWAY_TOLD_AFTER_S:
            self._told = True
            self._say(f"{error.message}; waiting until it is back")

    def is_back(self) -> None:
        """Called when the store has answered."""
        if self._say and self._told:
            self._say("the store is back")
        self._away_since, self._told = None, False

    def ask(self, look: Callable[[], T], meanwhile: T) -> T:
        """What a look at the store finds; `meanwhile` as long as the store is away."""
        try:
            found = look()
        except StoreUnavailable as error:
            self.is_away(error)
            return meanwhile
        self.is_back()
        return found


def refuse_replaced(store: Store) -> None:
    """Raises `StoreLost` if the file was removed: no job in it will end."""
    if not store.shared_by_machines and store.replaced():
        raise StoreLost(f"the store {store.url} was removed, and its jobs with it", "start again")


def wait(
    store: Store, refs: Sequence[str], any_: bool, timeout: float | None, tick: Callable[[], None] | None = None,
    say: Say | None = None,
) -> list[Job]:  # fmt: skip
    """Waits until all (or any) of the jobs have finished. Returns the finished ones. Raises `TimeoutError`, `NotFound`.

    `tick` is called at least every second while the store answers; an exception of it ends the wait. `say` is called
    with a message when the store is unavailable, and when it is back.
    """
    waiting = _Waiting(store, any_)
    waiting.begin(refs)
    return until(store, waiting.look, lambda: not_yet("finished", waiting.open), timeout, tick, say)


def until(
    store: Store, look: Callable[[], T | None], late: Callable[[], str], timeout: float | None,
    tick: Callable[[], None] | None, say: Say | None,
) -> T:  # fmt: skip
    """Waits until a look at the store finds something, and returns it. Raises `TimeoutError` with the message `late`;
    see `wait`."""
    deadline = None if timeout is None else time.monotonic() + timeout
    patience, watch, check_at = Patience(store, say), Watch(store), 0.0
    try:
        while True:
            watch.look()
            try:
                found = look()
                patience.is_back()
                if found is None and time.monotonic() >= check_at:
                    refuse_moved(store)
                    check_at = time.monotonic() + RECHECK_EVERY_S
            except StoreUnavailable as error:
                patience.is_away(error)
                found = None
            if found is not None:
                return found
            left = RECHECK_EVERY_S if deadline is None else min(RECHECK_EVERY_S, deadline - time.monotonic())
            refuse_replaced(store)
            if left <= 0:
                raise TimeoutError(late())
            if tick is not None:
                tick()
            watch.pause(left)
    finally:
        watch.close()


class _Waiting:
    """The jobs to wait for: ids of the open ones, read a few at a time, and the `finished` ones."""

    def __init__(self, store: Store, any_: bool) -> None:
        self._store = store
        self._any = any_
        self._open: deque[list[str]] = deque()
        self.finished: dict[str, Job] = {}

    @property
    def open(self) -> list[str]:
        return [ref for some in self._open for ref in some]

    def begin(self, refs: Sequence[str]) -> None:
        """Finds the jobs to wait for, by ids or unique prefixes. Raises `NotFound`."""
        wanted = list(dict.fromkeys(refs))
        for start in range(0, len(wanted), AT_ONCE):
            some = wanted[start : start + AT_ONCE]
            known = self._known(some)
            self._open.append([ref if ref in known else self._store.get(ref).id for ref in some])

    def look(self) -> list[Job] | None:
        """Reads the jobs. Returns the finished ones once the wait is over. Raises `NotFound` if a job was deleted."""
        for some in tuple(self._open):
            known = self._known(some)
            for ref in some:
                job = known.get(ref) or self._store.get(ref)
                if job.finished:
                    self.finished[ref] = job
            some[:] = [ref for ref in some if ref not in self.finished]
            if some and not self._any:
                break
        while self._open and not self._open[0]:
            self._open.popleft()
        return list(self.finished.values()) if not self._open or (self._any and self.finished) else None

    def _known(self, some: Sequence[str]) -> dict[str, Job]:
        return {job.id: job for job in self._store.find(Selector(ids=tuple(some)))}


def not_yet(done: str, names: Sequence[str]) -> str:
    """The message when the time is over: `not finished yet: a, b`."""
    more = f" and {len(names) - NAMES_TOLD_MAX:,} more" if len(names) > NAMES_TOLD_MAX else ""
    return f"not {done} yet: {', '.join(names[:NAMES_TOLD_MAX])}{more}"
