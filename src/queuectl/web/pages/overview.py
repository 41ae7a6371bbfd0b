"""The first page: counts, workers, figures, failures and retries."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from queuectl.client.documents import busy, seen_counts, slots
from queuectl.client.facade import Client
from queuectl.client.figures import Figures
from queuectl.client.values import Status
from queuectl.domain.job import Job, JobState
from queuectl.domain.selector import Selector
from queuectl.typed import NamedTuple
from queuectl.web.ask import ask
from queuectl.web.pages import charts
from queuectl.web.pages.charts import Asked, Chart, Charts
from queuectl.web.rendering import page

SHOWN_MAX = 8
"""Rows of each list."""


class Glance(NamedTuple):
    """The page's content."""

    status: Status
    counts: Mapping[str, int]
    failures: list[Job]
    slots: int
    busy: int
    figures: Figures
    chart: Chart | None


def glance(client: Client, kept: Charts, asked: Asked) -> Glance:
    """Reads the page's content. A chart other than the usual one is read apart."""
    figures = kept.figures(client, charts.USUAL)
    status = client.status(SHOWN_MAX)
    unhappy = Selector(states=(JobState.DEAD, JobState.FAILED))
    return Glance(
        status=status, counts=seen_counts(status), failures=client.fallen(unhappy, SHOWN_MAX),
        slots=slots(status.workers), busy=busy(status.workers), figures=figures,
        chart=kept.drawn(figures, asked) if asked == charts.USUAL else None,
    )  # fmt: skip


async def overview(request: Request) -> Response:
    """The first page."""
    asked = charts.wanted(request)
    found = await ask(request, lambda client: glance(client, request.app.state.charts, asked))
    return page(request, "overview.html", part="_overview.html", glance=found, asked=asked)


routes = [Route("/", overview)]
