"""A TCP proxy that loses what it is told to lose: stands between a client and its server, in a thread."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections import deque

PIECE = 1 << 16


class Proxy:
    """Forwards every connection to a local port, until it is told otherwise.

    `silent` keeps connections open and passes nothing on, as where packets vanish; `delay_s` passes all on later; `cut`
    closes all. Once a client says a word: `mute`, and its connection falls silent, it alone; `strand`, which still
    arrives, and all do; `swallow`, and its connection is closed when the server has answered, unheard.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._selector = selectors.DefaultSelector()
        self._own = selectors.DefaultSelector()
        """Without the connections: in silence what they say would be ready all the time."""
        self._peers: dict[socket.socket, socket.socket] = {}
        self._clients: set[socket.socket] = set()
        self._doomed: set[socket.socket] = set()
        self._muted: set[socket.socket] = set()
        self._late: deque[tuple[float, socket.socket, bytes]] = deque()
        self._wake, self._woken = socket.socketpair()
        self.port = int(self._listener.getsockname()[1])
        self.silent = False
        self.delay_s = 0.0
        self.mute: bytes | None = None
        self.strand: bytes | None = None
        self.given_up = 0
        self.swallow: bytes | None = None
        self.swallowed = 0
        self._closing = False
        self._is_cut = threading.Event()
        for known in (self._listener, self._woken):
            self._selector.register(known, selectors.EVENT_READ)
            self._own.register(known, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def cut(self) -> None:
        """Closes every connection there is, before it returns."""
        self._is_cut.clear()
        self._wake.send(b"c")
        self._is_cut.wait()

    def close(self) -> None:
        self._closing = True
        self._wake.send(b"q")
        self._thread.join()
        for known in (self._listener, self._wake, self._woken):
            known.close()

    def _run(self) -> None:
        while not self._closing:
            self._send_late()
            selector = self._own if self.silent else self._selector
            for key, _ in selector.select(0.01 if self._late else 0.05):
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj is self._woken:
                    self._woken.recv(16)
                    self._drop_all()
                    self._is_cut.set()
                elif key.fileobj in self._peers and not self.silent:
                    self._pass(key.fileobj)
        self._drop_all()
        self._selector.close()
        self._own.close()

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection(("127.0.0.1", self._to))
        except OSError:
            client.close()
            return
        self._peers.update({client: server, server: client})
        self._clients.add(client)
        for each in (client, server):
            self._selector.register(each, selectors.EVENT_READ)

    def _pass(self, source: socket.socket) -> None:
        try:
            data = source.recv(PIECE)
        except OSError:
            data = b""
        target = self._peers[source]
        if not data or target in self._doomed:
            self.swallowed += bool(data)
            self.given_up += source in self._muted & self._clients
            self._drop(source)
            return
        if source in self._clients and self.swallow is not None and self.swallow in data:
            self.swallow = None
            self._doomed.add(source)
        if source in self._clients and self.mute is not None and self.mute in data:
            self.mute = None
            self._muted.update((source, target))
        if source in self._muted:
            return
        if source in self._clients and self.strand is not None and self.strand in data:
            self.strand, self.silent = None, True
        if self.delay_s:
            self._late.append((time.monotonic() + self.delay_s, target, data))
        else:
            self._send(target, data)

    def _send(self, target: socket.socket, data: bytes) -> None:
        try:
            target.sendall(data)
        except OSError:  # it has hung up meanwhile
            self._drop(target)

    def _send_late(self) -> None:
        """Passes on what has been kept back for long enough, where its connection still is."""
        while self._late and self._late[0][0] <= time.monotonic():
            _, target, data = self._late.popleft()
            if target in self._peers:
                self._send(target, data)

    def _drop(self, one: socket.socket) -> None:
        for each in (one, self._peers.pop(one)):
            self._selector.unregister(each)
            self._peers.pop(each, None)
            self._clients.discard(each)
            self._doomed.discard(each)
            self._muted.discard(each)
            each.close()

    def _drop_all(self) -> None:
        while self._peers:
            self._drop(next(iter(self._peers)))
