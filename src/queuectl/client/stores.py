"""A store for each thread of a program: a store is for one thread, and a program may have many."""

from __future__ import annotations

import os
import threading

from queuectl.bootstrap import open_store
from queuectl.domain.errors import OperationFailed
from queuectl.store.port import Store


class Stores:
    """Opens a store when a thread first asks for its own, and anew where its file was removed or replaced.

    Those of threads that have ended are closed when the next one is opened. A process that was forked opens its own,
    and leaves alone those it has inherited.
    """

    def __init__(self, given: str | None) -> None:
        """Opens the first one. `given` as in `locate_store`. Raises `StoreUnavailable`."""
        first = open_store(given)
        self.address = first.address
        self._opened: dict[threading.Thread, Store] = {threading.current_thread(): first}
        self._inherited: list[object] = []
        self._changing = threading.Lock()
        self._process = os.getpid()
        self._closed = False

    def of_this_thread(self) -> Store:
        """This thread's store. Raises `StoreUnavailable`, and `OperationFailed` after `close`."""
        if self._process != os.getpid():
            self._begin_anew()
        store = self._opened.get(threading.current_thread())
        if store is not None and (store.shared_by_machines or not store.replaced()):
            return store
        return self._open(store)

    def another(self) -> Store:
        """One more, for whoever closes it."""
        if self._closed:
            raise OperationFailed("this client is closed", "make a new one")
        return open_store(self.address)

    def _open(self, stale: Store | None) -> Store:
        if stale is not None:
            stale.close()
        store = self.another()
        with self._changing:
            for thread in [each for each in self._opened if not each.is_alive()]:
                self._opened.pop(thread).close()
            self._opened[threading.current_thread()] = store
        return store

    def _begin_anew(self) -> None:
        # To close a connection would end it for the process that it belongs to.
        self._inherited.append(self._opened)
        self._opened, self._changing, self._process = {}, threading.Lock(), os.getpid()

    def close(self) -> None:
        """Closes all of them. No thread may be using its own any more."""
        self._closed = True
        with self._changing:
            while self._opened and self._process == os.getpid():
                self._opened.popitem()[1].close()
