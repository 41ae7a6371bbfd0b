"""Threads that take calls. The standard library's pool takes a seventh of the server's start to import."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable


class Threads:
    """One more thread is started where none is idle, up to `most`; what comes then waits. An idle one is kept, and with
    it its connection to the store."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._threads: list[threading.Thread] = []
        self._given = deque[Callable[[], None]]()
        self._idle, self._ends = 0, False
        self._changed = threading.Condition()

    def give(self, call: Callable[[], None]) -> None:
        """Has a thread make a call, which raises nothing."""
        with self._changed:
            self._given.append(call)
            if self._idle < len(self._given) and len(self._threads) < self._most:
                self._threads.append(threading.Thread(target=self._work))
                self._threads[-1].start()
            self._changed.notify()

    def end(self) -> None:
        """Returns once all calls were made."""
        with self._changed:
            self._ends = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while call := self._next():
            call()

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            self._idle += 1
            while not self._given and not self._ends:
                self._changed.wait()
            self._idle -= 1
            return self._given.popleft() if self._given else None
