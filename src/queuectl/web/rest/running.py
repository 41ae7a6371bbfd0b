"""Status, queues, workers and figures."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from queuectl.client import documents
from queuectl.client.facade import Client
from queuectl.client.figures import STRETCHES, STRETCHES_MAX
from queuectl.client.workers import SLOTS_MAX
from queuectl.domain.errors import NotFound
from queuectl.web.ask import ask
from queuectl.web.rest.operation import (
    Query,
    answer,
    flag_in,
    number_in,
    object_body,
    one,
    shown,
    text_in,
    texts_in,
    whole_number,
)
from queuectl.wire.times import parse_duration

WINDOW = "1h"
RETRIES_SHOWN, RETRIES_SHOWN_MAX = 5, 100


async def status(request: Request, query: Query) -> Response:
    """Workers, counts by state and queue, the oldest waiting job, the next retries."""
    given = whole_number(query, "retries", 0, RETRIES_SHOWN_MAX)
    retries = RETRIES_SHOWN if given is None else given
    document = documents.STATUS.json(await ask(request, lambda client: client.status(retries)))
    for job in document["next_retries"]:
        shown(request, job)
    return answer(document)


async def queues(request: Request, query: Query) -> Response:
    """Every queue that has jobs."""
    found = await ask(request, Client.status)
    return answer([documents.queue_to_json(found, queue) for queue in found.queues])


async def queue(request: Request, query: Query) -> Response:
    """One queue."""
    name = request.path_params["name"]
    found = await ask(request, Client.status)
    if name not in found.queues:
        raise NotFound(f"queue {name[:128]} has no jobs", "see: queuectl status")
    return answer(documents.queue_to_json(found, name))


async def workers(request: Request, query: Query) -> Response:
    """The workers alive now."""
    return answer([documents.WORKER.json(worker) for worker in await ask(request, Client.workers)])


async def start_worker(request: Request, query: Query) -> Response:
    """Starts a worker on the server's host; it outlives the server."""
    document = await object_body(request, "count", "queues", "name", "drain", "poll", "stop_timeout")
    count = number_in(document, "count", SLOTS_MAX) or 1
    queues, drain = texts_in(document, "queues"), flag_in(document, "drain")
    name = text_in(document, "name") if document.get("name") is not None else None
    poll, stop_timeout = (
        None if document.get(key) is None else parse_duration(document[key], key) for key in ("poll", "stop_timeout")
    )

    def start(client: Client) -> str:
        started = client.start_worker(
            count, queues=queues, name=name, drain=drain, poll=poll, stop_timeout=stop_timeout
        )
        client.note("WorkersStarted", f"{started}: {count} slots")
        return started

    return answer({"name": await ask(request, start), "slots": count}, 201)


async def stop_workers(request: Request, query: Query) -> Response:
    """Asks workers to stop: those of the server's host, of all hosts, or those named. They exit once they are done."""
    document = await object_body(request, "names", "now", "all_hosts")
    names, now, everywhere = texts_in(document, "names"), flag_in(document, "now"), flag_in(document, "all_hosts")
    asked = await ask(request, lambda client: client.ask_to_stop(names, now=now, all_hosts=everywhere))
    return answer([documents.WORKER.json(worker) for worker in asked], 202)


async def stats(request: Request, query: Query) -> Response:
    """Throughput, failures, and how long jobs wait and run, over a window that ends now."""
    window_s = parse_duration(one(query, "window") or WINDOW, "window")
    stretches = whole_number(query, "stretches", 1, STRETCHES_MAX) or STRETCHES
    found = await ask(request, lambda client: client.figures(window_s, stretches))
    return answer(documents.FIGURES.json(found))
