"""Queues: what runs and waits in them, their limits and pauses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from queuectl.client.documents import seen_counts
from queuectl.client.facade import Client
from queuectl.client.queues import CONCURRENCY_MAX, POLICY, QueueView, policy_text
from queuectl.client.values import WorkerView
from queuectl.client.workers import serves
from queuectl.domain.fields import INPUT
from queuectl.domain.job import FINISHED, Job, JobState
from queuectl.domain.selector import Selector
from queuectl.typed import NamedTuple
from queuectl.web.ask import ask
from queuectl.web.pages import charts, gates
from queuectl.web.pages.enqueue import usual
from queuectl.web.pages.gates import Why
from queuectl.web.rendering import page
from queuectl.wire.kinds import check_queue
from queuectl.wire.words import natural

SHOWN = 10
"""The most running and waiting jobs that the page of a queue shows."""
WAITING = tuple(state for state in JobState if state not in (*FINISHED, JobState.PROCESSING))
DEFAULTS = sorted((field for field in INPUT if field.name in POLICY), key=lambda field: POLICY.index(field.name))


class Row(NamedTuple):
    """A queue in the list. `counts` have jobs that are claimed but have not started apart."""

    queue: QueueView
    counts: Mapping[str, int]


class View(NamedTuple):
    """The content of a queue's page. `waiting` begins with the line, in the order of claiming; `why` is of its first
    job. `is_there`: a job or a setting names it."""

    now: float
    queue: QueueView
    is_there: bool
    counts: Mapping[str, int]
    running: Sequence[Job]
    waiting: Sequence[tuple[Job, str | None]]
    first: Job | None
    why: Sequence[Why]
    workers: Sequence[WorkerView]
    defaults: Mapping[str, str]
    usual: Mapping[str, str]


def view(client: Client, name: str) -> View:
    """Reads the page's content. Raises `Invalid` for what cannot be a queue."""
    name = check_queue(name, "queue")
    status, found = client.status(retries=0), {queue.name: queue for queue in client.queues()}
    queue = found.get(name) or QueueView(name, dict.fromkeys(JobState, 0), 0, 0)
    line = client.line(name, SHOWN)
    is_all = len(line) in (SHOWN, sum(queue.counts[state] for state in WAITING))
    waiting = line if is_all else _with_later(client, name, line)
    running = client.page(Selector(states=(JobState.PROCESSING,), queues=(name,)), SHOWN)
    return View(
        now=status.at, queue=queue, is_there=name in found, counts=seen_counts(status, name),
        running=[job for job in running if job.started_at is not None],
        waiting=list(zip(waiting, client.reasons(waiting), strict=True)),
        first=line[0] if line else None,
        why=[why for explained in client.explanations(line[:1]) for why in gates.why(explained)],
        workers=[worker for worker in status.workers if serves(worker, name)],
        defaults={key: policy_text(key, value) for key, value in queue.defaults.items()},
        usual=usual(client.settings()),
    )  # fmt: skip


def _with_later(client: Client, name: str, line: Sequence[Job]) -> list[Job]:
    """The line, and jobs that are not due yet, held or blocked. Looks through those of other queues too."""
    known = {job.id for job in line}
    others = client.page(Selector(states=WAITING, queues=(name,)), SHOWN + len(line))
    return [*line, *(job for job in others if job.id not in known)][:SHOWN]


async def queues(request: Request) -> Response:
    """Every queue with its counts, limits and pause."""
    status, views = await ask(request, lambda client: (client.status(), client.queues()))
    found = [Row(each, seen_counts(status, each.name)) for each in sorted(views, key=lambda each: natural(each.name))]
    return page(request, "queues.html", part="_queues.html", rows=found, now=status.at, most=CONCURRENCY_MAX)


async def queue(request: Request) -> Response:
    """A queue. One that does not exist has a page too: a limit that somebody sets makes it, and lifting it ends it."""
    found = await ask(request, lambda client: view(client, request.path_params["name"]))
    asked = charts.wanted(request, found.queue.name)
    return page(
        request, "queue.html", part="_queue.html", is_there=found.is_there,
        view=found, queue=found.queue, now=found.now, states=list(JobState), fields=DEFAULTS, most=CONCURRENCY_MAX,
        asked=asked,
    )  # fmt: skip


routes = [Route("/queues", queues), Route("/queues/{name:path}", queue)]
