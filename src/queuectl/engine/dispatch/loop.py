"""The loop of a dispatcher. Between two steps it sleeps until a socket, a commit, a signal or the time wakes it."""

from __future__ import annotations

import select
import selectors
import time
from math import inf

from queuectl.domain.errors import QueuectlError
from queuectl.engine.channel import Channel
from queuectl.engine.dispatch.dispatcher import Dispatcher
from queuectl.engine.dispatch.manager import Manager
from queuectl.engine.dispatch.wakeup import POLL_EVERY_S, Wakeup
from queuectl.engine.signals import Signals

COARSE_S = 0.02
"""From here on a millisecond more or less is nothing."""

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Loop:
    """Drives one dispatcher. `run` returns its exit code."""

    def __init__(self, dispatcher: Dispatcher, wakeup: Wakeup, signals: Signals, manager: Manager) -> None:
        self._dispatcher = dispatcher
        self._manager = manager
        self._wakeup = wakeup
        self._signals = signals
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._signals, READ)
        self._registered: dict[Channel, int] = {}
        self._heard: set[Channel] = set()
        """Over which something has come since the last step."""
        self._listening = -1

    def run(self) -> int:
        """Steps until the dispatcher has ended."""
        dispatcher = self._dispatcher
        while True:
            for name in self._signals.take():
                dispatcher.take_signal(name)
            pause_s = dispatcher.step(self._heard)
            self._heard.clear()
            if dispatcher.exit_code is not None:
                return dispatcher.exit_code
            self._sleep(min(pause_s, self._told()))

    def _told(self) -> float:
        """Tells the service manager how we are. Returns in how many seconds it is to be told again."""
        if self._dispatcher.stopping.has_begun:
            self._manager.stopping(time.monotonic())
        again_s = self._manager.alive(time.monotonic())
        return inf if again_s is None else again_s

    def _sleep(self, pause_s: float) -> None:
        """Sleeps for that long, or until somebody has said something, a signal has come or a commit can be seen."""
        self._listen()
        self._watch_channels()
        if self._listening < 0:
            pause_s = min(pause_s, POLL_EVERY_S)
        until = time.monotonic() + pause_s
        while True:
            again_s = self._wakeup.echo.next() if self._listening >= 0 else None
            if self._wait(pause_s if again_s is None else min(pause_s, again_s)):
                return
            pause_s = until - time.monotonic()
            if pause_s <= 0 or self._has_news():
                return

    def _wait(self, pause_s: float) -> bool:
        """Sleeps; whether something came but word of a commit, which may not be seen yet."""
        if 0 < pause_s < COARSE_S:  # epoll would sleep a whole millisecond
            select.select([self._selector.fileno()], [], [], pause_s)
            pause_s = 0.0
        woken = False
        for key, _ in self._selector.select(max(0.0, pause_s)):
            if key.fd == self._listening:
                self._wakeup.clear()
                continue
            woken = True
            if key.fileobj is self._signals:
                self._signals.clear()
            elif isinstance(key.fileobj, Channel):
                self._heard.add(key.fileobj)
        return woken

    def _has_news(self) -> bool:
        try:
            return self._wakeup.has_news()
        except QueuectlError:
            return True  # the next step has to do with that

    def _listen(self) -> None:
        """Has the selector wake us for commits, unless we are busy: several workers would keep each other awake.

        What tells of commits may come and go with a connection.
        """
        handle = -1 if self._dispatcher.pace.is_busy(time.monotonic()) else self._wakeup.fileno()
        if handle == self._listening:
            return
        if self._listening >= 0:
            self._selector.unregister(self._listening)
        if handle >= 0:
            self._selector.register(handle, READ)
        self._listening = handle

    def _watch_channels(self) -> None:
        """Has the selector wake us for what supervisors say, and when they can take more of what we say."""
        wanted = {channel: READ | (WRITE if channel.unsent else 0) for channel in self._dispatcher.channels()}
        if wanted == self._registered:
            return
        for channel in self._registered.keys() - wanted.keys():
            self._selector.unregister(channel)
        for channel, events in wanted.items():
            if channel not in self._registered:
                self._selector.register(channel, events)
            elif self._registered[channel] != events:
                self._selector.modify(channel, events)
        self._registered = wanted

    def close(self) -> None:
        """Closes what the loop sleeps on."""
        self._selector.close()
        self._wakeup.close()
