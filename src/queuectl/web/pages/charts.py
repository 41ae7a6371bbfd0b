"""The chart of the first page: what completed and what failed, in stretches that begin at full minutes or hours."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from queuectl.client.facade import Client
from queuectl.client.figures import Figures
from queuectl.domain.job import Outcome
from queuectl.web.ask import ask
from queuectl.web.rendering import page
from queuectl.wire.times import format_duration, format_time

USUAL = "1h"
RANGES: Mapping[str, tuple[float, int]] = {
    USUAL: (3600.0, 60), "6h": (21600.0, 72), "24h": (86400.0, 96), "7d": (604800.0, 84), "30d": (2592000.0, 60),
}  # fmt: skip
"""How long each is, and its number of stretches."""
KEPT_BY, KEPT_LEAST_S = 20.0, 1.0
"""Figures are kept for this many times as long as it took to count them."""
HEIGHT = 100
LEAST = 2
"""The height of the chart, and the least of a part that is not empty."""
FAILURES = (Outcome.FAILED, Outcome.TIMEOUT, Outcome.LOST)


class Bar(NamedTuple):
    """One stretch: how many ended how, the heights of both parts, and the queries of the pages with these jobs."""

    since: float
    until: float
    completed: int
    failed: int
    completed_height: int
    failed_height: int
    query: str
    failures: str


class Chart(NamedTuple):
    """The chart: `most` is the number at its top, `stretch` how long a bar is."""

    range: str
    bars: tuple[Bar, ...]
    most: int
    completed: int
    failed: int
    stretch: str


def chart_of(figures: Figures, range_: str) -> Chart:
    """The chart of figures in aligned stretches."""
    counted = [
        (at, ended[Outcome.COMPLETED], sum(ended[outcome] for outcome in FAILURES)) for at, ended in figures.series
    ]
    most = _round(max((completed + failed for _, completed, failed in counted), default=0))
    bars = tuple(_bar(*each, figures.stretch, most) for each in counted)
    return Chart(
        range_, bars, most, sum(bar.completed for bar in bars), sum(bar.failed for bar in bars),
        format_duration(figures.stretch),
    )  # fmt: skip


def _bar(at: float, completed: int, failed: int, stretch: float, most: int) -> Bar:
    bounds = [("ended_after", format_time(at)), ("ended_before", format_time(at + stretch))]
    failures = [("outcome", outcome.value) for outcome in FAILURES]
    return Bar(
        at, at + stretch, completed, failed, _height(completed, most), _height(failed, most),
        urlencode(bounds), urlencode([*bounds, *failures]),
    )  # fmt: skip


def _height(number: int, most: int) -> int:
    return max(LEAST, round(HEIGHT * number / most)) if number else 0


def _round(number: int) -> int:
    """The next number of the kind 2, 4, 10, 20, 40, 100: one that can be halved."""
    step = 1
    while number > 10 * step:
        step *= 10
    return next(step * by for by in (2, 4, 6, 8, 10) if number <= step * by)


class Charts:
    """The figures of each range, kept for all who look, the longer the more time it took to count them."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[float, Figures]] = {}

    def figures(self, client: Client, range_: str) -> Figures:
        """The figures of a range, as of just now."""
        until, found = self._kept.get(range_, (0.0, None))
        began = time.monotonic()
        if found is None or began >= until:
            window, stretches = RANGES[range_]
            found = client.figures(window, stretches, aligned=True)
            now = time.monotonic()
            self._kept[range_] = (now + max(KEPT_LEAST_S, KEPT_BY * (now - began)), found)
        return found


def wanted(request: Request) -> str:
    """The range in the address, or the usual one."""
    range_ = request.query_params.get("range", USUAL)
    return range_ if range_ in RANGES else USUAL


async def chart(request: Request) -> Response:
    """The chart alone."""
    range_, charts = wanted(request), request.app.state.charts
    figures = await ask(request, lambda client: charts.figures(client, range_))
    return page(request, "_chart.html", chart=chart_of(figures, range_), ranges=RANGES)


routes = [Route("/chart", chart)]
