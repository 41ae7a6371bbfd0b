"""Sleeping until something is committed: inotify on the store's log file, the store's own notice, or else polling.

The system tells of a write when it begins; the commit it belongs to counts only after its sync. So a wake-up is
followed by a few looks at growing distances (`Echo`).
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable, Sequence

from queuectl.store.port import WorkStore

IN_MODIFY = 0x02
POLL_EVERY_S = 0.05
"""How often the store has to be asked where the system cannot tell."""


FIRST_ECHO_S = 0.0002
OWN_ECHO_S = 0.01
LAST_ECHO_S = 0.1
ECHO_GROWTH = 1.3
"""The commit is seen at most a third later than it could be."""

SELECT_MAX = 1024
"""`select` takes no descriptor from here on. A program that uses our client may have so many open."""


def wait_readable(handles: Sequence[int], timeout_s: float) -> bool:
    """Sleeps until one of these descriptors can be read, or for that long; whether one can."""
    if all(handle < SELECT_MAX for handle in handles):
        return bool(select.select(handles, [], [], timeout_s)[0])
    poll = select.poll()  # which sleeps whole milliseconds
    for handle in handles:
        poll.register(handle, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))


class Echo:
    """When to look again after a wake-up, until the commit that caused it is visible."""

    def __init__(self) -> None:
        self._gap = 0.0

    def begin(self, first_s: float = FIRST_ECHO_S) -> None:
        """A write was seen."""
        self._gap = first_s

    def end(self) -> None:
        """The commit was seen."""
        self._gap = 0.0

    def next(self) -> float | None:
        """Seconds until the next look, each time some more; None when there is nothing to wait for."""
        if not FIRST_ECHO_S <= self._gap <= LAST_ECHO_S:
            return None
        gap, self._gap = self._gap, ECHO_GROWTH * self._gap
        return gap


class Wakeup:
    """Readable (`fileno`) after a commit to the watched file by anybody. Without inotify, that is -1."""

    def __init__(self, path: str | None, has_news: Callable[[], bool] = lambda: True) -> None:
        """`has_news` tells whether a commit that was signalled can be seen."""
        self.handle = -1
        self.echo = Echo()
        self.has_news = has_news
        if path is not None and sys.platform == "linux":
            self._watch(path)

    def _watch(self, path: str) -> None:
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        handle = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if handle < 0:
            return
        if libc.inotify_add_watch(handle, os.fsencode(path), IN_MODIFY) < 0:
            os.close(handle)
            return
        self.handle = handle

    def fileno(self) -> int:
        return self.handle

    def clear(self) -> None:
        """Reads what has been signalled, and expects the commit soon."""
        self.echo.begin()
        self._drain()

    def own_commit(self) -> None:
        """What has been signalled is our own doing, most likely: a few late looks are enough."""
        if self.handle >= 0:
            self.echo.begin(OWN_ECHO_S)
            self._drain()

    def _drain(self) -> None:
        try:
            while os.read(self.handle, 1 << 16):
                pass
        except BlockingIOError:
            pass

    def wait(self, timeout_s: float) -> None:
        """Sleeps until a commit, or for that long; may wake without cause."""
        handle = self.fileno()
        if handle < 0:
            timeout_s = min(timeout_s, POLL_EVERY_S)
        elif (again := self.echo.next()) is not None:
            timeout_s = min(timeout_s, again)
        if wait_readable([handle] if handle >= 0 else [], timeout_s):
            self.clear()

    def close(self) -> None:
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1


class Notice(Wakeup):
    """The same where the store itself has a descriptor that tells of commits, which may come and go."""

    def __init__(self, store: WorkStore) -> None:
        super().__init__(None)
        self._store = store

    def fileno(self) -> int:
        return self._store.wake_handle

    def clear(self) -> None:
        """The store takes note, when it is asked what has changed."""

    def own_commit(self) -> None:
        """Our own doing is not told to us."""


def wakeup_for(store: WorkStore) -> Wakeup:
    """What to sleep on until this store changes."""
    if store.watch is not None or not store.shared_by_machines:
        return Wakeup(store.watch, store.has_changed)
    return Notice(store)
