"""Sockets in memory."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable

from queuectl.engine.channel import Channel
from queuectl.engine.protocol import Message, encoded, parse
from tests.model.timeline import Timeline


class SimChannel(Channel):
    """One end of a connection. Packets arrive in order, each after a while; what a closed peer is sent is lost."""

    def __init__(
        self, time: Timeline, delay: Callable[[], float], wake: Callable[[], None], strike: Callable[[], None] | None
    ) -> None:
        self._time = time
        self._delay = delay
        self._wake = wake
        self._strike = strike
        self._inbox: deque[str] = deque()
        self._arrives_at = 0.0
        self._hung_up = False
        self.gone = False
        self.closed = False
        self.peer: SimChannel

    def fileno(self) -> int:
        return -1

    @property
    def unsent(self) -> bool:
        return False

    def send(self, *messages: Message) -> None:
        if not messages or self.closed:
            return
        if self._strike is not None:
            self._strike()
        if self.peer.gone:
            self.closed = True
            return
        packet = f"[{','.join(map(encoded, messages))}]"
        self._to_peer(lambda: self.peer.arrive(packet))

    def _to_peer(self, action: Callable[[], None]) -> None:
        now = self._time.monotonic()
        self._arrives_at = max(self._arrives_at, now + self._delay())
        self._time.later(self._arrives_at - now, action)

    def arrive(self, packet: str | None) -> None:
        if packet is None:
            self._hung_up = True
        else:
            self._inbox.append(packet)
        if not self.gone:
            self._wake()

    def flush(self) -> None:
        pass

    def receive(self) -> list[Message]:
        if self.closed:
            return []
        messages: list[Message] = []
        while self._inbox:
            packet = map(parse, json.loads(self._inbox.popleft()))
            messages += [message for message in packet if message is not None]
        self.closed = self._hung_up
        return messages

    def close(self) -> None:
        self.closed = True
        if not self.gone:
            self.gone = True
            self._to_peer(lambda: self.peer.arrive(None))
