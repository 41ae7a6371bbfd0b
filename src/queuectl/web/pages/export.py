"""All jobs that a filter matches, as a file: read and sent a page at a time, however many they are."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Callable, Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from queuectl.client.facade import Client
from queuectl.domain.job import Job
from queuectl.domain.selector import Selector
from queuectl.web import filters
from queuectl.web.ask import ask
from queuectl.web.rest.operation import shown_jobs
from queuectl.wire.jobs import command_line
from queuectl.wire.times import format_time

PAGE = 500
Written = Callable[[Request, Client, Sequence[Job], bool], bytes]
"""Some jobs as a part of the file; whether it is the first."""
COLUMNS: dict[str, Callable[[Job], object]] = {
    "id": lambda job: job.id, "state": lambda job: job.state.value, "queue": lambda job: job.queue,
    "priority": lambda job: job.priority, "command": lambda job: command_line(job.command),
    "tags": lambda job: " ".join(job.tags), "batch": lambda job: job.batch, "owner": lambda job: job.owner,
    "attempts": lambda job: job.attempts, "created_at": lambda job: format_time(job.created_at),
    "started_at": lambda job: format_time(job.started_at), "finished_at": lambda job: format_time(job.finished_at),
    "duration": lambda job: job.duration, "exit_code": lambda job: job.exit_code, "error": lambda job: job.error,
    "last_line": lambda job: job.last_line, "cpu_time": lambda job: job.cpu_time, "max_rss": lambda job: job.max_rss,
}  # fmt: skip
FORMULA = frozenset("=+-@\t\r")
"""A spreadsheet would take a text that begins so as a formula."""


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value[:1] in FORMULA else value


def as_csv(request: Request, client: Client, jobs: Sequence[Job], is_first: bool) -> bytes:
    """Some jobs as lines of a table, after its titles."""
    text = io.StringIO()
    table = csv.writer(text)
    if is_first:
        table.writerow(COLUMNS)
    table.writerows([_cell(read(job)) for read in COLUMNS.values()] for job in jobs)
    return text.getvalue().encode("utf-8", "replace")


def as_json(request: Request, client: Client, jobs: Sequence[Job], is_first: bool) -> bytes:
    """Some jobs as the next elements of an array; none as its end."""
    said = b",\n".join(map(msgspec.json.encode, shown_jobs(request, client, jobs)))
    return (b"[\n" if is_first else b",\n" if jobs else b"\n]\n") + said


FORMATS = {"csv": ("text/csv; charset=utf-8", as_csv), "json": ("application/json", as_json)}


async def export(request: Request) -> Response:
    """The file."""
    kind = request.url.path.rpartition(".")[2]
    media_type, written = FORMATS[kind]
    wanted = filters.of_query(request.url.query)
    selector, latest = await ask(request, lambda client: (wanted.selector(client.now()), client.latest()))
    headers = {"Content-Disposition": f'attachment; filename="jobs.{kind}"'}
    return StreamingResponse(_written(request, selector, latest, written), 200, headers, media_type)


async def _written(request: Request, selector: Selector, latest: int, written: Written) -> AsyncIterator[bytes]:
    after, is_first = 0, True

    def page(client: Client) -> tuple[Sequence[Job], bytes]:
        jobs = client.page(selector, PAGE, after=after, up_to=latest)
        return jobs, written(request, client, jobs, is_first)

    while True:
        jobs, text = await ask(request, page)
        yield text
        if not jobs and not is_first:
            return
        after, is_first = jobs[-1].seq if jobs else latest, False


routes = [Route(f"/export/jobs.{kind}", export) for kind in FORMATS]
