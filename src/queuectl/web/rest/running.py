"""Status and workers."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from queuectl.client import documents
from queuectl.client.facade import Client
from queuectl.web.ask import ask
from queuectl.web.rest.operation import Given, answer, shown


async def status(request: Request, given: Given) -> Response:
    """Workers, counts by state and queue, the oldest waiting job, the next retries."""
    document = documents.STATUS.json(await ask(request, lambda client: client.status(given["retries"])))
    for job in document["next_retries"]:
        shown(request, job)
    return answer(document)


async def workers(request: Request, given: Given) -> Response:
    """The workers alive now."""
    return answer([documents.WORKER.json(worker) for worker in await ask(request, Client.workers)])


async def start_worker(request: Request, given: Given) -> Response:
    """Starts a worker on the server's host; it outlives the server."""
    count = given["count"] or 1

    def start(client: Client) -> str:
        started = client.start_worker(**{**given, "count": count})
        client.note("WorkersStarted", f"{started}: {count} slots")
        return started

    return answer({"name": await ask(request, start), "slots": count}, 201)


async def stop_workers(request: Request, given: Given) -> Response:
    """Asks workers to stop: those of the server's host, of all hosts, or those named. They exit once they are done."""
    asked = await ask(request, lambda client: client.ask_to_stop(**given))
    return answer([documents.WORKER.json(worker) for worker in asked], 202)
