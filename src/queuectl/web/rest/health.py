"""Health checks and metrics. The library for metrics is loaded at the first scrape."""

from __future__ import annotations

import threading
import time

from starlette.requests import Request
from starlette.responses import Response

from queuectl.client.facade import Client
from queuectl.typed import TYPE_CHECKING
from queuectl.web.ask import Clients, ask
from queuectl.web.rest.operation import Given, answer

if TYPE_CHECKING:
    from queuectl.client import metrics

READY_FOR_S = 1.0
"""How long `/readyz` trusts the store's last answer, since it needs no token."""


class Health:
    """State that is kept between requests."""

    def __init__(self) -> None:
        self.ready_until = 0.0
        self._counter: metrics.EndCounter | None = None
        self._lock = threading.Lock()

    def metrics(self, client: Client, form: metrics.Format) -> bytes:
        """The metrics as text, for one scrape at a time."""
        from queuectl.client import metrics

        with self._lock:
            if self._counter is None:
                self._counter = metrics.EndCounter(client)
            reading = metrics.read(client, self._counter)
        return metrics.text(reading, form)


async def alive(request: Request, given: Given) -> Response:
    """The server answers."""
    return answer({"status": "ok"})


async def ready(request: Request, given: Given) -> Response:
    """The store answers and can be written."""
    health: Health = request.app.state.health
    if time.monotonic() > health.ready_until:
        clients: Clients = request.app.state.clients
        await clients.run("", Client.prove)
        health.ready_until = time.monotonic() + READY_FOR_S
    return answer({"status": "ok"})


async def exposition(request: Request, given: Given) -> Response:
    """Metrics for Prometheus."""
    from queuectl.client import metrics

    health: Health = request.app.state.health
    form = metrics.negotiated(request.headers.get("accept", ""))
    exposed = await ask(request, lambda client: health.metrics(client, form))
    return Response(exposed, headers={"Content-Type": form.content_type, "Vary": "Accept"})
