"""What a job depends on and what depends on it, drawn on its page; and batches."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import FloatRect, Page, expect

from queuectl.wire.requests import parse_request
from tests.web.browser.conftest import OpenPage
from tests.web.service import Service
from tests.workshop import Worker

COLOUR = {"light": "rgb(100, 107, 120)", "dark": "rgb(143, 152, 166)"}
"""Of a cancelled job."""
LOOK_AT = os.environ.get("QUEUECTL_TEST_SHOTS")
"""A folder for screenshots, if somebody wants to look."""


def shot(page: Page, name: str) -> None:
    if LOOK_AT:
        page.screenshot(path=str(Path(LOOK_AT) / f"{name}.png"), full_page=True)


@pytest.fixture(scope="module")
def graph(server: Service) -> str:
    """A job between two others and a hundred that wait for it."""
    server.queue.pause_queues("graph")
    for id in ("fetch-images-from-the-archive", "decode"):
        server.enqueue(id=id, queue="graph")
    server.enqueue(id="own", queue="graph", depends_on=["fetch-images-from-the-archive", "decode:any"])
    parts = [{"command": "true", "id": f"part-{at}", "queue": "graph", "depends_on": ["own"]} for at in range(100)]
    server.queue.enqueue([parse_request(part, 0) for part in parts])
    server.queue.cancel("decode")
    return "own"


def boxes(page: Page) -> list[FloatRect]:
    """Where the boxes that are shown stand."""
    found = [each.bounding_box() for each in page.locator(".graph:visible .box").all()]
    return [each for each in found if each]


@pytest.mark.parametrize(("width", "colours"), [(1440, "light"), (390, "dark")])
def test_a_jobs_neighbours_are_drawn_beside_it(open_page: OpenPage, graph: str, width: int, colours: str) -> None:
    page = open_page(f"/jobs/{graph}", width=width, colours=colours)
    drawing = page.get_by_role("group", name="own depends on 2 others; 100 others depend on it")
    expect(drawing).to_be_visible()
    shot(page, f"graph-{width}-{colours}")
    own, *others = boxes(page)
    left, right = others[:2], others[2:]
    assert len(right) == 9  # eight, and how many more
    assert all(each["x"] + each["width"] < own["x"] for each in left)
    assert all(each["x"] > own["x"] + own["width"] for each in right)
    assert all(each["x"] >= 0 and each["x"] + each["width"] <= width for each in (own, *others))
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    drawing.get_by_role("link", name="and 92 more").click()
    expect(drawing.get_by_role("link", name="job part-99, blocked")).to_be_visible()
    decode = drawing.get_by_role("link", name="job decode, cancelled, wants any")
    assert decode.locator(".box").evaluate("box => getComputedStyle(box).color") == COLOUR[colours]
    decode.click()
    expect(page.locator("h1")).to_have_text("decode")
    expect(page.get_by_role("log")).to_have_text("It has not run.")
    expect(page.get_by_role("group", name="decode depends on 0 others; 1 other depends on it")).to_be_visible()


def test_a_drawing_changes_while_its_page_is_open(open_page: OpenPage, graph: str, server: Service) -> None:
    page = open_page("/jobs/part-3")
    own = page.locator(".graph.wide .own")
    expect(own).to_contain_text("blocked")
    server.queue.cancel("part-3")
    expect(own).to_contain_text("cancelled")


def test_a_job_alone_has_no_drawing(open_page: OpenPage, server: Service) -> None:
    server.enqueue(id="alone", held=True)
    page = open_page("/jobs/alone")
    expect(page.locator("h1")).to_have_text("alone")
    assert page.locator(".graph").count() == 0


# --- batches --------------------------------------------------------------------------------


def test_a_batch_is_watched_and_what_failed_is_retried(open_page: OpenPage, server: Service, worker: Worker) -> None:
    gate, fixed = (Path(server.db).with_name(name) for name in ("batch-gate", "batch-fixed"))
    page = open_page("/batches")
    server.enqueue("true", id="fine", batch="import/7")
    server.enqueue(f"test -e {fixed} || {{ echo no input; exit 3; }}", id="wrong", batch="import/7", max_retries=0)
    server.enqueue(f"until [ -e {gate} ]; do sleep 0.05; done", id="long", batch="import/7")
    server.enqueue("true", id="held", batch="import/7", held=True)
    row = page.locator("tr[data-part='import/7']")
    expect(row).to_contain_text("2 of 4")
    row.get_by_role("link", name="import/7").click()
    bar = page.get_by_role("progressbar", name="import/7: 2 of 4 done, 1 failed")
    expect(bar).to_be_visible()
    assert bar.locator(".dead rect").get_attribute("width") == "250"
    expect(page.get_by_role("region", name="Failures")).to_contain_text("exit code 3")
    expect(page.get_by_role("region", name="Running")).to_contain_text("long")
    expect(page.get_by_role("region", name="Progress")).to_contain_text("left")
    shot(page, "batch-1280")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    shot(page, "batch-390")
    fixed.touch()
    page.get_by_role("button", name="Retry the failed").click()
    page.get_by_role("dialog").get_by_role("button", name="Retry").click()
    expect(page.get_by_role("progressbar", name="import/7: 2 of 4 done, 0 failed")).to_be_visible()
    gate.touch()
    server.queue.release("held")
    expect(page.get_by_role("progressbar", name="import/7: 4 of 4 done, 0 failed")).to_be_visible()
    expect(page.locator("[data-part=head]")).to_contain_text("done")
    expect(page.get_by_role("button", name="Cancel the rest")).to_have_count(0)
    page.get_by_role("link", name="All its jobs").click()
    expect(page.locator("tr[data-part=wrong]")).to_be_visible()


def test_a_batch_that_a_job_waits_for_is_drawn_beside_it(open_page: OpenPage, server: Service) -> None:
    server.enqueue(id="member", batch="b", held=True)
    server.enqueue(id="after-batch", depends_on=["batch:b:any"])
    page = open_page("/jobs/after-batch")
    page.get_by_role("link", name="batch b, batch, wants any").click()
    expect(page.locator("h1")).to_have_text("b")
    page.goto(f"{server.url}/jobs/member")
    page.locator("[data-part=facts]").get_by_role("link", name="b", exact=True).click()
    expect(page.locator("h1")).to_have_text("b")
