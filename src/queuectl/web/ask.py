"""Runs calls on the queue in a few threads. Each call has a `Client` for itself, since a store is for one at a time.

`await ask(request, lambda client: client.status())` runs the call in one of them, as the request's token.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from starlette.requests import Request

from queuectl.client.facade import Client
from queuectl.domain.errors import StoreUnavailable
from queuectl.typed import Any
from queuectl.web.problems import Overloaded, Unauthenticated

T = TypeVar("T")

THREADS = 4
WAITING_MAX = 256
"""Calls that may wait for a thread; more are refused at once."""
IDLE_S = 60.0
"""A client that was not needed for so long is closed: each has a connection with caches of its own."""


class Clients:
    """The threads, and clients that no call has now. A store that was removed or replaced is opened again."""

    def __init__(self, open_client: Callable[[], Client], idle_s: float = IDLE_S) -> None:
        self._open = open_client
        self._idle_s = idle_s
        self._idle: list[tuple[float, Client]] = []  # since when; the one used last is at the end, and is used next
        self._lock = threading.Lock()
        self._closed = False
        self.replacements = 0
        """How many clients found that their store was removed or replaced: an old one's token may still be known."""
        self._pool = ThreadPoolExecutor(THREADS, "queuectl-web")
        self._waiting = 0

    def prepare(self) -> None:
        """Opens a client in one of the threads, before somebody has to wait for it. A store that cannot be opened now
        is when somebody asks; what is wrong with it is said then."""
        self._pool.submit(self._call, "", Client.status)

    async def run(self, who: str, call: Callable[[Client], T]) -> T:
        """Runs `call` in one of the threads. Raises what it raises, `Overloaded` or `StoreUnavailable`."""
        if self._waiting >= WAITING_MAX:
            raise Overloaded("the server is overloaded", "try again in a moment")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._call, who, call)
        finally:
            self._waiting -= 1

    def _call(self, who: str, call: Callable[[Client], T]) -> T:
        client = self._take()
        try:
            client.who = who
            return call(client)
        finally:
            self._put_back(client)

    def _take(self) -> Client:
        while True:
            with self._lock:
                client = self._idle.pop()[1] if self._idle else None
            if client is None:
                return self._open()
            try:
                if not client.is_outdated():
                    return client
            except StoreUnavailable:
                return client  # the call itself says what is wrong
            self.replacements += 1
            client.close()

    def _put_back(self, client: Client) -> None:
        with self._lock:
            self._idle.append((time.monotonic(), client))
        self._close_idle()

    def _close_idle(self) -> None:
        """Closes those that nobody needs; in the end all, else at least one stays."""
        since = time.monotonic() - self._idle_s
        with self._lock:
            gone = self._idle if self._closed else [each for each in self._idle[:-1] if each[0] < since]
            self._idle = self._idle[len(gone) :]
        for _, client in gone:
            with suppress(StoreUnavailable):
                client.close()

    def close(self) -> None:
        """Ends the threads and closes all clients, each after the call that it may be in."""
        self._closed = True
        self._pool.submit(self._close_idle)
        self._pool.shutdown(wait=False)


async def ask(request: Request, call: Callable[[Client], T]) -> T:
    """Runs a call on a client, as the request's token."""
    clients: Clients = request.app.state.clients
    visitor: Any = request.state.visitor
    door: Any = request.app.state.door
    before = clients.replacements

    def admitted(client: Client) -> T:
        if clients.replacements != before and door.belongs_to(clients) and client.admit_id(visitor.token.id) is None:
            raise Unauthenticated("unknown token", "see: queuectl token list")
        return call(client)

    return await clients.run(visitor.who, admitted)
