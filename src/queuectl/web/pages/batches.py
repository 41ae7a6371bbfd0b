"""Batches: how far they are, what failed in them, and what runs."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from queuectl.client.batches import FAILED, BatchView
from queuectl.client.facade import Client
from queuectl.domain.errors import NotFound
from queuectl.domain.job import Job, JobState
from queuectl.domain.selector import Selector
from queuectl.typed import NamedTuple
from queuectl.web.ask import ask
from queuectl.web.rendering import page
from queuectl.wire.kinds import check_queue
from queuectl.wire.words import natural

SHOWN = 20
"""The most failed and running jobs that the page of a batch shows."""
BAR_UNITS = 1000
ORDER = (
    JobState.COMPLETED, JobState.DEAD, JobState.CANCELLED, JobState.PROCESSING, JobState.FAILED, JobState.PENDING,
    JobState.BLOCKED,
)  # fmt: skip
"""The states along a bar: first what has finished."""


class Part(NamedTuple):
    """A part of a bar: the jobs in one state."""

    state: str
    jobs: int
    start: int
    width: int


class Progress(NamedTuple):
    """How far a batch is: a bar, and the same in per cent. `rate` is in finished jobs a second."""

    batch: BatchView
    bar: Sequence[Part]
    percent: int
    rate: float | None


class View(NamedTuple):
    """The content of a batch's page. `is_there`: it has a job."""

    now: float
    is_there: bool
    progress: Progress
    failures: Sequence[Job]
    running: Sequence[Job]


def bar(batch: BatchView) -> list[Part]:
    """The states of a batch's jobs as parts of a bar; each that there is can be seen."""
    found: list[Part] = []
    seen = 0
    for state in ORDER:
        if jobs := batch.counts[state]:
            start, seen = seen, seen + jobs
            edges = (round(BAR_UNITS * each / batch.total) for each in (start, seen))
            first, last = edges
            found.append(Part(state.value, jobs, min(first, BAR_UNITS - 4), max(4, last - first)))
    return found


def progress(batch: BatchView, now: float) -> Progress:
    """How far a batch is."""
    percent = batch.done * 100 // batch.total if batch.total else 0
    until = batch.finished_at if batch.finished_at is not None else now
    took = None if batch.started_at is None else until - batch.started_at
    return Progress(batch, bar(batch), percent, batch.done / took if batch.done and took else None)


def view(client: Client, name: str) -> View:
    """Reads the page's content. Raises `Invalid` for what cannot be a batch."""
    name = check_queue(name, "batch")
    try:
        batch, is_there = client.batch(name).status(), True
    except NotFound:
        batch, is_there = BatchView(name, dict.fromkeys(JobState, 0), 0, 0, 0, False), False
    own, now = Selector(batches=(name,)), client.now()
    running = client.page(own._replace(states=(JobState.PROCESSING,)), SHOWN)
    return View(
        now=now, is_there=is_there, progress=progress(batch, now),
        failures=client.page(own._replace(states=FAILED), SHOWN, newest_first=True),
        running=[job for job in running if job.started_at is not None],
    )  # fmt: skip


async def batches(request: Request) -> Response:
    """Every batch that jobs belong to: what is not done first, then the latest."""

    def look(client: Client) -> tuple[float, list[Progress]]:
        now = client.now()
        found = sorted(client.batches(), key=lambda batch: natural(batch.name))
        found.sort(key=lambda batch: (batch.is_done, -(batch.created_at or 0.0)))
        return now, [progress(batch, now) for batch in found]

    now, found = await ask(request, look)
    return page(request, "batches.html", part="_batches.html", batches=found, now=now)


async def batch(request: Request) -> Response:
    """A batch. One without a job has a page too: its jobs may be about to come."""
    found = await ask(request, lambda client: view(client, request.path_params["name"]))
    return page(
        request, "batch.html", part="_batch.html", is_there=found.is_there, view=found, progress=found.progress,
        batch=found.progress.batch, now=found.now, order=ORDER,
    )  # fmt: skip


routes = [Route("/batches", batches), Route("/batches/{name:path}", batch)]
