"""Runs calls on the queue in a few threads. Each has a `Client` of its own, since a store is for one thread.

`await ask(request, lambda client: client.status())` runs the call in one of them, as the request's token.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from starlette.requests import Request

from queuectl.client.facade import Client
from queuectl.domain.errors import StoreUnavailable
from queuectl.typed import Any
from queuectl.web.problems import Overloaded

T = TypeVar("T")

THREADS = 4
WAITING_MAX = 256
"""Calls that may wait for a thread; more are refused at once."""
CLOSE_WITHIN_S = 1.0


class Clients:
    """The threads and their clients. A store that was removed or replaced is opened again."""

    def __init__(self, open_client: Callable[[], Client]) -> None:
        self._open = open_client
        self._own = threading.local()
        self._pool = ThreadPoolExecutor(THREADS, "queuectl-web")
        self._waiting = 0

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
        client = self._client()
        client.who = who
        return call(client)

    def _client(self) -> Client:
        client: Client | None = getattr(self._own, "client", None)
        if client is not None and client.is_outdated():
            self._own.client = None
            client.close()
            client = None
        if client is None:
            client = self._own.client = self._open()
        return client

    def close(self) -> None:
        """Ends the threads. Each closes its own client; a busy one first finishes its call."""
        together = threading.Barrier(THREADS)

        def leave() -> None:
            client: Client | None = getattr(self._own, "client", None)
            if client is not None:
                with suppress(StoreUnavailable):
                    client.close()
            with suppress(threading.BrokenBarrierError):
                together.wait(CLOSE_WITHIN_S)  # so that no thread takes another one's turn

        for _ in range(THREADS):
            self._pool.submit(leave)
        self._pool.shutdown(wait=False)


async def ask(request: Request, call: Callable[[Client], T]) -> T:
    """Runs a call on a client, as the request's token."""
    clients: Clients = request.app.state.clients
    who: Any = request.state.visitor.who
    return await clients.run(who, call)
