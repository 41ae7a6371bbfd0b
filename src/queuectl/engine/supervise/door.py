"""Who may drive a supervisor: its connections, the epoch, and what it has to say.

The dispatcher with the highest epoch drives; others are hung up on. Anybody may ask whether one does.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterator
from math import inf

from queuectl.engine.channel import Channel
from queuectl.engine.protocol import PROTOCOL, About, Ask, Hello, Key, Message, State, Welcome, encoded

FLUSH_AFTER_S = 0.016
FLUSH_MESSAGES = 64
NO_ROOM_S = 0.01

News = str | Callable[[], Message]
"""A message as JSON, or what makes it when it is sent."""


class Door:
    """The listening socket and everyone who came in by it, in the supervisor's `poll`."""

    def __init__(self, listener: socket.socket, poll: select.poll, news: Callable[[], list[str]]) -> None:
        """`news()` is what a new dispatcher has to be told: all that runs, and every unrecorded result."""
        self._listener = listener
        self._poll = poll
        self._news = news
        self._channels: dict[int, Channel] = {}
        self._driver: Channel | None = None
        self._epoch = 0
        self._word_at = time.monotonic()
        self._outbox: dict[Key, News] = {}
        self._outbox_since = 0.0
        self._passed: set[Key] = set()
        """Whose start a packet has left behind already."""
        poll.register(listener, select.POLLIN)

    def listen_at(self, listener: socket.socket) -> None:
        """New connections arrive at this socket from now on. Those that are open stay."""
        self._poll.unregister(self._listener)
        self._listener.close()
        self._listener = listener
        self._poll.register(listener, select.POLLIN)

    @property
    def driven(self) -> bool:
        """Whether a dispatcher is connected."""
        return self._driver is not None

    @property
    def ever_driven(self) -> bool:
        """Whether a dispatcher has ever driven this supervisor."""
        return self._epoch > 0

    def silent_s(self) -> float:
        """Seconds since a dispatcher's last word, or since it hung up."""
        return time.monotonic() - self._word_at

    def receive(self, handle: int) -> Iterator[Message]:
        """What the driver says, where this descriptor is ready. Others are answered or hung up on here."""
        if handle == self._listener.fileno():
            self._accept()
            return
        channel = self._channels.get(handle)
        if channel is None:
            return  # hung up on while somebody else was heard
        for message in channel.receive():
            if handle not in self._channels:
                return  # hung up on
            if isinstance(message, Ask | Hello):
                self._greet(channel, message)
            elif channel is self._driver:
                self._word_at = time.monotonic()
                yield message
            else:
                self._drop(channel)
        if handle in self._channels:
            self._attend(channel)

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            time.sleep(NO_ROOM_S)  # no descriptor is left: whoever knocks goes on waiting
            return
        channel = Channel(sock)
        self._channels[channel.fileno()] = channel
        self._poll.register(channel.fileno(), select.POLLIN)

    def _attend(self, channel: Channel) -> None:
        channel.flush()
        if channel.closed:
            self._drop(channel)
        else:
            self._poll.modify(channel.fileno(), select.POLLIN | (select.POLLOUT if channel.unsent else 0))

    def _drop(self, channel: Channel) -> None:
        self._poll.unregister(channel.fileno())
        del self._channels[channel.fileno()]
        channel.close()
        if channel is self._driver:
            self._driver = None
            self._word_at = time.monotonic()

    def _greet(self, channel: Channel, message: Ask | Hello) -> None:
        if isinstance(message, Ask):
            channel.send(State(self._about()))
            return
        protocol, epoch = message
        if protocol != PROTOCOL or epoch < self._epoch:
            self._drop(channel)
            return
        if self._driver is not None and self._driver is not channel:
            self._drop(self._driver)
        self._epoch, self._driver, self._word_at = epoch, channel, time.monotonic()
        self._outbox.clear()
        self._passed.clear()
        channel.send_encoded([*self._news(), encoded(Welcome({"protocol": PROTOCOL, "epoch": epoch}))])

    def _about(self) -> About:
        return {"protocol": PROTOCOL, "epoch": self._epoch, "driven": self.driven, "silent": self.silent_s()}

    def say(self, key: Key, message: News) -> None:
        """Puts the latest news of an execution into the next packet: of a short command only the end is ever sent.
        Without a driver nothing is said."""
        if self._driver is not None:
            if not self._outbox:
                self._outbox_since = time.monotonic()
            self._outbox[key] = message

    def flush(self, now: float, patient: bool) -> None:
        """Sends the packet: at once, or if `patient` only when it is full or has waited long enough. A start is then
        left for the next one, since most end before that."""
        if self._driver is None or not self._outbox:
            return
        if patient and len(self._outbox) < FLUSH_MESSAGES and now - self._outbox_since < FLUSH_AFTER_S:
            return
        left: dict[Key, News] = {}
        sent: list[str] = []
        for key, message in self._outbox.items():
            if isinstance(message, str):
                sent.append(message)
            elif patient and key not in self._passed:
                left[key] = message
            else:
                sent.append(encoded(message()))
        self._outbox, self._outbox_since, self._passed = left, now, set(left)
        self._driver.send_encoded(sent)
        if self._driver.closed or self._driver.unsent:
            self._attend(self._driver)

    def flush_at(self) -> float:
        """When a waiting packet has to be sent, of a monotonic clock; infinite if none waits."""
        return self._outbox_since + FLUSH_AFTER_S if self._outbox else inf
