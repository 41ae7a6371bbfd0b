"""The charts of all jobs and of a queue's: how executions ended, how long they ran and had waited, in stretches that
begin at full minutes or hours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from queuectl.client.facade import Client
from queuectl.client.figures import CHARTED_SPANS_MAX, Counted, Figures, Percentiles, Times
from queuectl.domain.job import Outcome
from queuectl.typed import NamedTuple
from queuectl.web.ask import ask
from queuectl.web.rendering import page, segment
from queuectl.wire.kinds import check_queue
from queuectl.wire.times import format_duration, format_time
from queuectl.wire.words import short

RANGES: Mapping[str, tuple[float, int]] = {
    "1h": (3600.0, 60), "6h": (21600.0, 72), "24h": (86400.0, 96), "7d": (604800.0, 84), "30d": (2592000.0, 60),
}  # fmt: skip
"""How long each is, and its number of stretches."""
KEPT_BY, KEPT_LEAST_S, KEPT_MAX = 20.0, 2.0, 100
"""Figures are kept for this many times as long as it took to count them, those of so many charts."""
HEIGHT = 100
LEAST = 2
"""The height of the chart, and the least of a part that is not empty."""
FAILURES = (Outcome.FAILED, Outcome.TIMEOUT, Outcome.LOST)
FRACTIONS = ("p50", "p95", "p99")


class Asked(NamedTuple):
    """Which chart: its range, what it shows, and of which queue; None: of all."""

    range: str = "1h"
    show: str = "ended"
    queue: str | None = None

    @property
    def page(self) -> str:
        """The address of the page that it stands on."""
        return "/" if self.queue is None else f"/queues/{segment(self.queue)}"

    def address(self, **changed: str) -> str:
        """The query of a chart that differs in `changed`."""
        return urlencode({"range": self.range, "show": self.show, **changed})


USUAL = Asked()


class Piece(NamedTuple):
    """A part of a bar: its kind, where it begins from above, and the query of the page with its jobs."""

    kind: str
    y: int
    height: int
    query: str


class Bar(NamedTuple):
    """One stretch, in words and as pieces, and the query of the page with its jobs."""

    since: float
    until: float
    said: str
    pieces: Sequence[Piece]
    query: str


class Chart(NamedTuple):
    """The chart: `top` and `middle` say how much so high a bar is, `stretch` how long one is, `legend` what all of it
    comes to."""

    asked: Asked
    bars: Sequence[Bar]
    top: str
    middle: str
    stretch: str
    legend: Sequence[tuple[str, str]]

    @property
    def is_empty(self) -> bool:
        return not any(bar.pieces for bar in self.bars)

    @property
    def title(self) -> str:
        return SHOWN[self.asked.show].title

    @property
    def choices(self) -> Mapping[str, Sequence[tuple[str, str]]]:
        """What else can be shown: by the name in the address, each value and its text."""
        return {
            "show": [(name, show.title) for name, show in SHOWN.items()],
            "range": [(each, each) for each in RANGES],
        }


class Content(NamedTuple):
    """What a chart shows: the parts of each bar from below, each up to where, and what is said of the bar and of all.

    `text` gives a number of the scale in words, `round` the next number at which a scale may end.
    """

    levels: Sequence[Sequence[tuple[str, float]]]
    said: Sequence[str]
    legend: Sequence[tuple[str, str]]
    text: Callable[[float], str]
    round: Callable[[float], float]


def ends(figures: Figures) -> Content:
    """What completed on top of what failed."""
    counted = [(ended[Outcome.COMPLETED], sum(ended[outcome] for outcome in FAILURES)) for _, ended in figures.series]
    totals = [sum(each) for each in zip(*counted, strict=True)]
    return Content(
        [(("failed", failed), ("completed", failed + completed)) for completed, failed in counted],
        [f"{completed:,} completed, {failed:,} failed" for completed, failed in counted],
        [(kind, f"{number:,} {kind}") for kind, number in zip(("completed", "failed"), totals, strict=True)],
        lambda number: f"{number:,.0f}", _round,
    )  # fmt: skip


def times(found: Sequence[Percentiles], overall: Percentiles) -> Content:
    """The percentiles of each stretch, one on top of the other."""
    return Content(
        [[(name, getattr(each, name) or 0.0) for name in FRACTIONS] for each in found],
        [f"{_told(each, ', ')} of {each.measured:,}" if each.measured else "none" for each in found],
        [(name, _told_one(overall, name)) for name in FRACTIONS] if overall.measured else [],
        lambda number: short(number) if number else "0",
        _round_duration,
    )


def _told(found: Percentiles, between: str) -> str:
    return between.join(_told_one(found, name) for name in FRACTIONS)


def _told_one(found: Percentiles, name: str) -> str:
    return f"{name} {short(getattr(found, name))}"


class Show(NamedTuple):
    """One thing that a chart can show."""

    title: str
    content: Callable[[Figures], Content]


SHOWN: Mapping[str, Show] = {
    "ended": Show("Ended", ends),
    "run": Show("Run time", lambda found: times(_column(found.times, 0), found.run)),
    "wait": Show("Wait to start", lambda found: times(_column(found.times, 1), found.wait)),
}


def _column(found: Sequence[Times], at: int) -> list[Percentiles]:
    return [each[at] for each in found]


def chart_of(figures: Figures, asked: Asked) -> Chart:
    """The chart of figures in aligned stretches."""
    content = SHOWN[asked.show].content(figures)
    most = content.round(max((level for levels in content.levels for _, level in levels), default=0.0))
    bars = [
        _bar(asked, at, figures.stretch, *each, most)
        for (at, _), each in zip(figures.series, zip(content.levels, content.said, strict=True), strict=True)
    ]
    return Chart(
        asked, bars, content.text(most), content.text(most / 2), format_duration(figures.stretch), content.legend
    )


def _bar(
    asked: Asked, at: float, stretch: float, levels: Sequence[tuple[str, float]], said: str, most: float
) -> Bar:  # fmt: skip
    bounds = [("ended_after", format_time(at)), ("ended_before", format_time(at + stretch))]
    if asked.queue is not None:
        bounds.append(("queue", asked.queue))
    failures = [*bounds, *(("outcome", outcome.value) for outcome in FAILURES)]
    pieces, below, height_below = [], 0.0, 0
    for kind, level in levels:
        if level > below:
            height = max(LEAST, round(HEIGHT * level / most) - height_below)
            height_below += height
            query = urlencode(failures if kind == "failed" else bounds)
            pieces.append(Piece(kind, HEIGHT - height_below, height, query))
            below = level
    return Bar(at, at + stretch, said, pieces, urlencode(bounds))


def _round(number: float) -> float:
    """The next number of the kind 2, 4, 10, 20, 40, 100: one that can be halved; below 1 of the kind 0.2, 0.4, 1."""
    step = 0.001 if number < 1 else 1.0
    while number > 10 * step:
        step *= 10
    return next(round(step * by, 3) for by in (2, 4, 6, 8, 10) if number <= round(step * by, 3))


def _round_duration(seconds: float) -> float:
    """The next duration that is round in seconds, minutes, hours or days, as its half is."""
    for unit, units in ((60.0, (2, 4, 6, 8, 10, 20, 40, 60)), (3600.0, (2, 4, 6, 8, 12, 24))):
        if unit < seconds <= unit * units[-1]:
            return next(unit * by for by in units if seconds <= unit * by)
    return _round(seconds) if seconds <= 60 else 86400.0 * _round(seconds / 86400.0)


class Kept(NamedTuple):
    """The figures of a chart, until when they are shown, and what they were counted with; and the charts drawn of them,
    by what they show."""

    until: float
    figures: Figures
    counted: Counted
    drawn: dict[str, Chart]


class Charts:
    """The figures of each chart, kept for all who look, the longer the more time it took to count them."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, bool, str | None], Kept] = {}
        self.turn = asyncio.Lock()
        """Of those charts that are asked for alone: they may be slow, and must leave threads for other requests."""

    def known(self, asked: Asked) -> Figures | None:
        """The figures of a chart, if they were counted just now."""
        kept = self._kept.get(_key(asked))
        return kept.figures if kept is not None and time.monotonic() < kept.until else None

    def figures(self, client: Client, asked: Asked) -> Figures:
        """The figures of a chart, as of just now."""
        found = self.known(asked)
        if found is None:
            began = time.monotonic()
            window, stretches = RANGES[asked.range]
            kept = self._kept.pop(_key(asked), None)
            counted = Counted() if kept is None else kept.counted
            found = client.charted(window, stretches, counted, CHARTED_SPANS_MAX, asked.queue, _with_times(asked))
            now = time.monotonic()
            until = now + max(KEPT_LEAST_S, KEPT_BY * (now - began))
            self._kept[_key(asked)] = Kept(until, found, counted, {})
            while len(self._kept) > KEPT_MAX:
                self._kept.pop(next(iter(self._kept)), None)
        return found

    def drawn(self, figures: Figures, asked: Asked) -> Chart:
        """The chart of its figures, drawn once for all who look."""
        kept = self._kept.get(_key(asked))
        if kept is None or kept.figures is not figures:
            return chart_of(figures, asked)
        if asked.show not in kept.drawn:
            kept.drawn[asked.show] = chart_of(figures, asked)
        return kept.drawn[asked.show]


def _with_times(asked: Asked) -> bool:
    return asked.show != USUAL.show


def _key(asked: Asked) -> tuple[str, bool, str | None]:
    """What charts of the same figures have in common."""
    return asked.range, _with_times(asked), asked.queue


def wanted(request: Request, queue: str | None = None) -> Asked:
    """The chart in the address, or the usual one."""
    range_, show = (request.query_params.get(name, "") for name in ("range", "show"))
    return Asked(range_ if range_ in RANGES else USUAL.range, show if show in SHOWN else USUAL.show, queue)


async def chart(request: Request) -> Response:
    """The chart alone."""
    queue = request.query_params.get("queue")
    asked, charts = wanted(request, queue and check_queue(queue, "queue")), request.app.state.charts
    figures = charts.known(asked)
    if figures is None:
        async with charts.turn:
            figures = await ask(request, lambda client: charts.figures(client, asked))
    return page(request, "_chart.html", chart=charts.drawn(figures, asked))


routes = [Route("/chart", chart)]
