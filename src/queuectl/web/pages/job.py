"""The page of one job: its facts, attempts, events and output."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from queuectl.client.actions import CANCEL, RETRY
from queuectl.client.documents import events, how_it_ended
from queuectl.client.facade import Client
from queuectl.client.facts import Fact, facts, percent, signal_name
from queuectl.client.values import History
from queuectl.domain.job import Attempt, Job, JobState
from queuectl.typed import NamedTuple
from queuectl.web import spelling
from queuectl.web.ask import ask
from queuectl.web.pages import gates
from queuectl.web.pages.enqueue import EDITABLE
from queuectl.web.pages.gates import Why
from queuectl.web.pages.graph import SHOWN, SHOWN_MAX, Graph, graphs
from queuectl.web.rendering import page
from queuectl.wire.kinds import whole_number

ATTEMPTS_SHOWN = 100
BAR_UNITS = 1000
"""The width of the timeline in SVG units."""
BAR_LEAST = 6
SHOWN_ELSEWHERE = frozenset({"command", "error", "variables"})


class Bar(NamedTuple):
    """An attempt on the timeline."""

    attempt: Attempt
    start: int
    width: int
    ended: str


class View(NamedTuple):
    """The page's content. `verbs` are the actions that the job's state allows. `is_in_line`: it is due and waits."""

    now: float
    history: History
    why: Sequence[Why]
    facts: Sequence[Fact]
    bars: Sequence[Bar]
    verbs: Sequence[str]
    may_change: bool
    is_in_line: bool
    graphs: Sequence[Graph]
    command_line: str


def view(client: Client, ref: str, around: int = SHOWN) -> View:
    """Reads the page's content. Raises `NotFound`."""
    history = client.history(ref)
    now = client.now()
    job = history.job
    return View(
        now=now, history=history, why=gates.why(client.explanations([job])[0]),
        facts=[fact for fact in facts(job, now) if fact.name not in SHOWN_ELSEWHERE],
        bars=bars(history.attempts[-ATTEMPTS_SHOWN:], now), verbs=verbs(job, now),
        may_change=job.state in EDITABLE,
        graphs=graphs(job, client.neighbours(job, around), around),
        is_in_line=job.state in EDITABLE and not job.finished and job.due_at <= now,
        command_line=spelling.command_line(job, client.settings()),
    )  # fmt: skip


def bars(attempts: Sequence[Attempt], now: float) -> list[Bar]:
    """The attempts, latest first, each with its place on the timeline."""
    if not attempts:
        return []
    first = attempts[0].started_at
    last = max(now if attempt.finished_at is None else attempt.finished_at for attempt in attempts)
    scale = BAR_UNITS / max(last - first, 0.001)
    found = []
    for attempt in reversed(attempts):
        end = now if attempt.finished_at is None else attempt.finished_at
        width = min(BAR_UNITS, max(BAR_LEAST, round((end - attempt.started_at) * scale)))
        start = min(BAR_UNITS - width, round((attempt.started_at - first) * scale))
        found.append(Bar(attempt=attempt, start=max(0, start), width=width, ended=how_it_ended(attempt)))
    return found


def verbs(job: Job, now: float) -> list[str]:
    """The actions that the job's state allows."""
    found = []
    if job.state in (JobState.PENDING, JobState.FAILED) and job.due_at > now:
        found.append("run now")
    elif job.state in RETRY.states and job.state is not JobState.PENDING:
        found.append("retry")
    if job.state in CANCEL.states and not job.cancel_requested:
        found.append("cancel")
    if not job.finished:
        found.append("release" if job.held else "hold")
    if job.state is not JobState.PROCESSING:
        found.append("delete")
    return found


async def job(request: Request) -> Response:
    """The page of a job."""
    ref = request.path_params["id"]
    around = whole_number(1, SHOWN_MAX)(request.query_params.get("around", SHOWN), "around")
    found = await ask(request, lambda client: view(client, ref, around))
    return page(
        request, "job.html", part="_job.html", view=found, job=found.history.job, now=found.now,
        around=around if around != SHOWN else None, events=events(found.history), signal_name=signal_name,
        percent=percent(found.history.job.progress),
    )  # fmt: skip


routes = [Route("/jobs/{id}", job)]
