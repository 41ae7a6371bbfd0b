"""The scales of charts, and their turns."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from queuectl.client.facade import Client
from queuectl.client.figures import Figures, Percentiles
from queuectl.web.ask import THREADS
from queuectl.web.pages.charts import Asked, Charts, times
from queuectl.web.pages.failures import sparkline
from tests.web.service import Service
from tests.workshop import PATIENCE_S, until


@pytest.mark.parametrize(
    ("longest_s", "top", "middle"),
    [
        (0.05, "60ms", "30ms"), (0.9, "1s", "500ms"), (12, "20s", "10s"), (45, "1m", "30s"),
        (61, "2m", "1m"), (303, "6m", "3m"), (1900, "40m", "20m"), (3000, "1h", "30m"), (4000, "2h", "1h"),
        (30_000, "12h", "6h"), (86_400, "1d", "12h"), (100_000, "2d", "1d"), (999_999, "20d", "10d"),
    ],
)  # fmt: skip
def test_a_scale_of_durations_ends_at_one_that_is_told_in_one_unit(longest_s: float, top: str, middle: str) -> None:
    content = times([], Percentiles())
    most = content.round(longest_s)
    assert most >= longest_s
    assert (content.text(most), content.text(most / 2)) == (top, middle)


class Slow(Charts):
    """Counts nothing before it may, and which charts it is counting."""

    def __init__(self) -> None:
        super().__init__()
        self.may = threading.Event()
        self.begun: list[Asked] = []

    def figures(self, client: Client, asked: Asked) -> Figures:
        self.begun.append(asked)
        assert self.may.wait(PATIENCE_S)
        return super().figures(client, asked)


def test_slow_charts_are_counted_one_after_the_other_beside_other_requests(service: Service) -> None:
    charts = service.app.state.charts = Slow()
    paths = [f"/chart?range={range_}&show={show}" for range_ in ("7d", "30d") for show in ("ended", "run", "wait")]
    assert len(paths) > THREADS
    with ThreadPoolExecutor(len(paths)) as looking:
        answers = [looking.submit(service.full.get, path) for path in paths]
        try:
            until(lambda: charts.begun, "a chart is counted")
            assert service.full.get("/api/v1/jobs").status_code == 200
            assert len(charts.begun) == 1
        finally:
            charts.may.set()
        assert {answer.result().status_code for answer in answers} == {200}


def test_a_sparkline_is_one_path_with_the_largest_number_at_full_height() -> None:
    assert sparkline([0, 0, 0]) == ""
    assert sparkline([1, 0, 32]) == "M0 16v-1h3v1zM8 16v-16h3v16z"


def test_a_job_that_waits_in_a_queue_or_for_a_lock_says_when_it_starts_as_elsewhere(service: Service) -> None:
    service.enqueue(queue="later", locks=["gpu"], delay="2h")
    for path in ("/queues/later", "/locks/gpu"):
        page = service.full.get(path).text
        assert "starts in 1h59m" in page or "starts in 2h" in page
        assert "scheduled for" not in page


def test_a_page_of_dead_letters_whose_rows_are_all_gone_begins_anew(service: Service) -> None:
    assert "The dead letter queue is empty" in service.full.get("/dlq?rows=5&seen=1.0&more").text


def test_a_chart_is_drawn_once_for_all_who_look(service: Service) -> None:
    charts = Charts()
    for asked in (Asked(), Asked(show="run"), Asked(show="wait")):
        figures = charts.figures(service.queue, asked)
        drawn = charts.drawn(figures, asked)
        assert charts.drawn(charts.figures(service.queue, asked), asked) is drawn
        assert drawn.asked == asked
        assert charts.drawn(figures._replace(since=0.0), asked) is not drawn
