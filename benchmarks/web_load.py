"""The load of `benchmarks.web`, as a process of its own: listeners that read, and requests at a steady rate.

python -m benchmarks.web_load ADDRESS PORT TOKEN LISTENERS RATE SECONDS

It is bare asyncio, since it runs on the same cores as what it measures. Prints one JSON document.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Sequence

CONNECTIONS = 20
PATHS = (
    "/api/v1/jobs?limit=50", "/api/v1/status", "/api/v1/jobs?limit=50&state=completed", "/api/v1/jobs?limit=20",
    "/api/v1/workers", "/api/v1/queues", "/api/v1/jobs?limit=50&queue=default", "/api/v1/config", "/metrics",
    "/api/v1/dlq/groups",
)  # fmt: skip
"""What is asked for, in turn."""


class Listening(asyncio.Protocol):
    """A stream of events, counted."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.bytes = 0
        self.events = 0
        self.lost = False
        self.status = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self.bytes:
            self.status = data[9:12]
        self.bytes += len(data)
        self.events += data.count(b"event: ")

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


class Asking:
    """One connection, kept alive, over which requests go one after the other."""

    def __init__(self, address: str, port: int, head: str) -> None:
        self._address = address
        self._port = port
        self._head = head
        self.took: list[float] = []
        self.errors: list[str] = []

    async def run(self, gap_s: float, until: float, offset: int) -> None:
        """Asks every `gap_s` seconds; a late answer puts off none of the later ones."""
        reader, writer = await asyncio.open_connection(self._address, self._port)
        number, due = offset, time.monotonic() + gap_s * offset / CONNECTIONS
        while due < until:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            path = PATHS[number % len(PATHS)]
            began = time.monotonic()
            writer.write(f"GET {path} HTTP/1.1\r\n{self._head}\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line[16:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length: "))
            body = await reader.readexactly(int(length))
            self.took.append(time.monotonic() - began)
            if head[9:12] != b"200":
                self.errors.append(f"{path}: {head[9:12]!r} {body[:200]!r}")
            number, due = number + 1, due + gap_s
        writer.close()


async def load(address: str, port: int, token: str, listeners: int, rate: int, seconds: float) -> dict[str, object]:
    """Loads the server for so long; what was met."""
    head = f"Host: {address}\r\nAuthorization: Bearer {token}\r\n"
    request = f"GET /api/v1/events?topics=snapshot&topics=events HTTP/1.1\r\n{head}\r\n".encode()
    loop = asyncio.get_running_loop()
    streams = [await loop.create_connection(lambda: Listening(request), address, port) for _ in range(listeners)]
    watched = [protocol for _, protocol in streams]
    asking = [Asking(address, port, head) for _ in range(CONNECTIONS)]
    until = time.monotonic() + seconds
    await asyncio.gather(*(each.run(CONNECTIONS / rate, until, at) for at, each in enumerate(asking)))
    took = sorted(took for each in asking for took in each.took)
    kept = sum(not each.lost and each.status == b"200" for each in watched)
    print("loaded", flush=True)  # the streams stay open until the server ends them
    while not all(each.lost for each in watched):
        await asyncio.sleep(0.005)
    return {
        "requests": len(took), "errors": [error for each in asking for error in each.errors],
        "listeners": kept, "events": sum(each.events for each in watched), "bytes": sum(each.bytes for each in watched),
        "p50_ms": round(statistics.median(took) * 1000, 1), "p99_ms": round(took[int(len(took) * 0.99)] * 1000, 1),
        "max_ms": round(took[-1] * 1000, 1),
    }  # fmt: skip


def main(words: Sequence[str]) -> None:
    """Runs as asked on the command line."""
    address, port, token, listeners, rate, seconds = words
    print(json.dumps(asyncio.run(load(address, int(port), token, int(listeners), int(rate), float(seconds)))))


main(sys.argv[1:])
