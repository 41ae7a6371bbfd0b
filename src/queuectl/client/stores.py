"""A store for each thread of a program."""

from __future__ import annotations

import os
import threading
import time

from queuectl.domain.errors import OperationFailed
from queuectl.places import open_existing, open_store, refuse_moved
from queuectl.store.port import Store

MOVE_NOTICED_WITHIN_S = 0.1
"""How often a server is asked whether the store has moved; a file is asked each time."""


class Stores:
    """Opens a store when a thread first needs one, and again if its file was removed or replaced.

    Stores of ended threads are closed when the next one is opened. A forked process opens its own, and leaves inherited
    ones alone.
    """

    def __init__(self, given: str | None, make: bool = True) -> None:
        """Opens the first one. `given` as in `locate_store`; `make` it if it is missing. Raises `StoreUnavailable`."""
        self._open_at = open_store if make else open_existing
        first = self._open_at(given)
        self.address = first.address
        self._opened: dict[threading.Thread, Store] = {threading.current_thread(): first}
        self._inherited: list[object] = []
        self._changing = threading.Lock()
        self._process = os.getpid()
        self._closed = False
        self._looked_at = time.monotonic()

    def of_this_thread(self) -> Store:
        """This thread's store. Raises `StoreUnavailable`, also if it has moved: it would show what was there; and
        `OperationFailed` after `close`."""
        if self._process != os.getpid():
            self._begin_after_fork()
        store = self._opened.get(threading.current_thread())
        if store is not None and (store.shared_by_machines or not store.replaced()):
            self._refuse_moved(store)
            return store
        return self._open(store)

    def _refuse_moved(self, store: Store) -> None:
        now = time.monotonic()
        if not store.shared_by_machines or now - self._looked_at >= MOVE_NOTICED_WITHIN_S:
            refuse_moved(store)
            self._looked_at = now

    def another(self) -> Store:
        """Opens one more, for the caller to close."""
        if self._closed:
            raise OperationFailed("this client is closed", "make a new one")
        return self._open_at(self.address)

    def _open(self, stale: Store | None) -> Store:
        if stale is not None:
            stale.close()
        store = self.another()
        with self._changing:
            for thread in [each for each in self._opened if not each.is_alive()]:
                self._opened.pop(thread).close()
            self._opened[threading.current_thread()] = store
        return store

    def _begin_after_fork(self) -> None:
        # Closing an inherited connection would end it for the parent process.
        self._inherited.append(self._opened)
        self._opened, self._changing, self._process = {}, threading.Lock(), os.getpid()

    def close(self) -> None:
        """Closes all stores. No thread may still be using one."""
        self._closed = True
        with self._changing:
            while self._opened and self._process == os.getpid():
                self._opened.popitem()[1].close()
