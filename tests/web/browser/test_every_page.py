"""Every page: silent, no wider than a phone, and accessible in both themes."""

from __future__ import annotations

from pathlib import Path

import axe_playwright_python  # type: ignore[import-untyped]
import pytest
from playwright.sync_api import Page, expect

from tests.web.browser.conftest import OpenPage
from tests.web.service import Service
from tests.workshop import Worker, until

PAGES = {
    "jobs": ("/", "/jobs", "/jobs/first", "/jobs/first/edit", "/jobs/dies", "/jobs/fails", "/enqueue"),
    "failures and schedules": ("/failures", "/dlq", "/schedules", "/schedules/nightly", "/console", "/nowhere"),
    "queues": ("/queues", "/queues/a/b%40c%2B1", "/batches", "/batches/b", "/locks", "/locks/gpu", "/workers"),
    "the rest": ("/settings", "/access", "/api"),
}
"""In groups that take about as long as each other."""

PHONE, DESK, HEIGHT = 390, 1440, 900
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
VIOLATIONS = """(only) => axe.run(document, { resultTypes: ["violations"], ...(only && { runOnly: only }) }).then(
  (found) => found.violations.map(({ id, nodes }) => [id, ...nodes.map((each) => each.html)])
)"""


@pytest.fixture(scope="module")
def furnished(server: Service, worker: Worker) -> Service:
    """The server, with something on each page, and with words that do not break."""
    command = "printf '%s' " + "a-word-that-nobody-can-break-" * 20
    server.queue.set_lock("gpu", units=["a", "b"], env="CUDA_VISIBLE_DEVICES")
    server.queue.pause_queues("a/b@c+1", reason="a-reason-that-nobody-can-break-" * 20, duration="1h")
    fields = {"tags": ["web"], "env": {"SECRET_KEY": "hunter2"}, "queue": "a/b@c+1", "locks": ["gpu=2"], "batch": "b"}
    server.enqueue(command, id="first", **fields)
    server.enqueue("printf '\\033[31mred\\n'; exit 7", id="dies", max_retries=0, on_dead=command)
    server.enqueue("echo again; exit 7", id="fails", backoff_initial="1h")
    schedule = {
        "name": "nightly",
        "cron": "0 3 * * *",
        "job": {"command": "exit 3", "max_retries": 0},
        "alert": command,
    }
    assert server.full.post("/api/v1/schedules", json=schedule).is_success
    server.queue.run_schedule("nightly")
    until(lambda: server.queue.schedule("nightly").streak, "its run has failed")
    until(lambda: server.queue.job("dies").finished, "it dies")
    return server


def fits(page: Page) -> None:
    """Nothing of the page lies beside the window."""
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"{page.url} is {wide} px too wide"
    sideways = page.evaluate(
        "[...document.querySelectorAll('main .stacked')].some((each) => "
        "each.parentElement.scrollWidth > each.parentElement.clientWidth)"
    )
    assert not sideways, f"a table of {page.url} scrolls sideways"
    torn = page.evaluate("[...document.querySelectorAll('.notice:has(> time)')].map((each) => each.textContent)")
    assert not torn, f"a sentence of {page.url} is torn apart, since its pieces are laid out by themselves: {torn}"


def is_accessible(page: Page) -> None:
    """Has axe-core look at the page as it is, and at its colours in both themes."""
    for colours, only in (("light", None), ("dark", ["color-contrast", "link-in-text-block"])):
        page.emulate_media(color_scheme=colours)  # type: ignore[arg-type]
        assert page.evaluate(VIOLATIONS, only) == [], f"{page.url}, {page.viewport_size}, {colours}"


def look_at(page: Page) -> None:
    """Both widths of a page that was loaded on a phone: to load it again, and axe with it, costs as much as a look."""
    page.evaluate(f"{AXE}\n0")
    for width in (PHONE, DESK):
        page.set_viewport_size({"width": width, "height": HEIGHT})
        if width == DESK and page.locator("#log-wrap").count():
            page.locator("#log-wrap").uncheck()  # as it is on a page loaded there
        fits(page)
        is_accessible(page)
    page.set_viewport_size({"width": PHONE, "height": HEIGHT})


@pytest.mark.parametrize("paths", PAGES.values(), ids=PAGES)
def test_each_page_is_silent_fits_a_phone_and_is_accessible(
    open_page: OpenPage, furnished: Service, paths: tuple[str, ...]
) -> None:
    page = open_page(paths[0], width=PHONE, height=HEIGHT, allowed=("404 (Not Found)",))
    for path in paths:
        if page.url != f"{furnished.url}{path}":
            page.goto(f"{furnished.url}{path}")
        expect(page.locator("h1")).to_be_visible()
        expect(page.locator("#live")).to_have_text("live")
        look_at(page)
        assert "hunter2" not in page.content()


def test_the_list_of_keys_and_the_login_are_accessible(open_page: OpenPage, server: Service) -> None:
    page = open_page("/enqueue", width=PHONE, height=HEIGHT)
    expect(page.locator("#live")).to_have_text("live")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    look_at(page)
    page.context.clear_cookies()
    page.goto(f"{server.url}/login")
    look_at(page)


def test_the_longest_names_fit_a_phone(open_page: OpenPage, server: Service) -> None:
    long = {key: key[0] * 128 for key in ("queue", "batch", "id")}
    server.enqueue(**long, tags=["t" * 128], locks=["l" * 128], held=True)
    server.enqueue(id="after", depends_on=[long["id"]])
    server.queue.add_schedule("s" * 64, {"command": "true", "queue": long["queue"], "held": True}, every="5m")
    server.queue.run_schedule("s" * 64)
    page = open_page("/jobs", width=PHONE, height=HEIGHT, allowed=("404 (Not Found)",))
    for path in (
        f"/jobs/{long['id']}", f"/jobs/{'n' * 128}", "/jobs/after", f"/jobs?queue={long['queue']}&schedule={'s' * 64}",
        f"/queues/{long['queue']}", f"/batches/{long['batch']}", f"/locks/{'l' * 128}", f"/schedules/{'s' * 64}",
        f"/enqueue?clone={long['id']}", "/queues", "/schedules", "/locks", "/batches",
    ):  # fmt: skip
        page.goto(f"{server.url}{path}")
        expect(page.locator("h1")).to_be_visible()
        fits(page)
