"""The dashboard in a real browser, as a person uses it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, Route, expect

from queuectl.client.operations import OPERATIONS
from queuectl.domain.job import JobState
from queuectl.domain.selector import Selector
from queuectl.wire.times import format_time
from tests.web.browser.conftest import OpenPage
from tests.web.service import Service
from tests.workshop import Worker, until

expect.set_options(timeout=20_000)


def ended(server: Service, job_id: str) -> None:
    until(lambda: server.queue.job(job_id).finished, f"{job_id} ends")


# --- the way in -----------------------------------------------------------------------------


def test_the_token_opens_the_door_and_a_wrong_one_does_not(open_page: OpenPage, server: Service) -> None:
    page = open_page("/", allowed=("401 (Unauthorized)",))
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("unknown token")
    page.get_by_label("Token").fill(server.tokens["full"])
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


def test_who_may_only_read_sees_no_button_that_would_be_refused(open_page: OpenPage, server: Service) -> None:
    server.enqueue(id="not-yours", held=True)
    page = open_page("/jobs/not-yours", role="read-only")
    expect(page.locator("h1")).to_have_text("not-yours")
    assert page.locator("main [data-call], main input[name=id]").count() == 0
    page.goto(f"{server.url}/jobs")
    expect(page.locator("tr[data-part=not-yours]")).to_be_visible()
    assert page.locator("#bulk, main input[type=checkbox]").count() == 0
    server.queue.pause_queues("closed", reason="maintenance")
    server.queue.set_lock("shut", capacity=2)
    for path in ("/settings", "/queues", "/queues/closed", "/locks", "/locks/shut"):
        page.goto(f"{server.url}{path}")
        expect(page.locator("h1")).to_be_visible()
        assert page.locator("main :is(form, button, [data-call])").count() == 0, path
    page.goto(f"{server.url}/queues")
    expect(page.locator("tr[data-part=closed]")).to_contain_text("maintenance")


# --- what each page has ---------------------------------------------------------------------


def test_the_colours_can_be_chosen_and_are_kept(open_page: OpenPage) -> None:
    page = open_page("/")

    def ground() -> str:
        found: str = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return found

    light = ground()
    page.get_by_role("button", name="Colours: as the system").click()
    page.get_by_role("button", name="Colours: light").click()
    expect(page.get_by_role("button", name="Colours: dark")).to_be_visible()
    dark = ground()
    assert dark != light
    page.reload()
    assert ground() == dark


def test_times_are_in_the_browsers_zone_or_utc(open_page: OpenPage, server: Service) -> None:
    server.enqueue(id="timed", run_at="2030-01-15T20:00:00z")
    page = open_page("/jobs/timed", timezone_id="Asia/Kolkata")
    facts = page.locator("[data-part=facts]")
    expect(page.locator("#zone")).to_have_text(re.compile("Asia/(Kolkata|Calcutta)"))
    expect(facts).to_contain_text("2030-01-16 01:30:00+05:30")
    assert "2030-01-15T20:00:00Z" not in facts.inner_text()
    page.locator("#zone").click()
    expect(page.locator("#zone")).to_have_text("UTC")
    expect(facts).to_contain_text("2030-01-15 20:00:00+00:00")
    server.full.post("/api/v1/jobs/timed/hold")  # what is exchanged is in the chosen zone as well
    expect(page.locator(".tag", has_text="held")).to_be_visible()
    expect(facts).to_contain_text("2030-01-15 20:00:00+00:00")
    page.goto(f"{server.url}/access")
    expect(page.locator("#zone")).to_have_text("UTC")


def test_what_is_not_there_is_told_on_a_page(open_page: OpenPage) -> None:
    page = open_page("/jobs/no-such-job", allowed=("404 (Not Found)",))
    expect(page.get_by_role("alert")).to_contain_text("no job no-such-job")
    expect(page.get_by_role("navigation", name="Pages")).to_be_visible()


# --- live -----------------------------------------------------------------------------------


def test_the_overview_counts_a_new_job_without_a_reload(open_page: OpenPage, server: Service) -> None:
    page = open_page("/")
    expect(page.locator("#live")).to_have_text("live")
    pending = page.locator(".tiles [data-count=pending]")
    before = int(pending.inner_text().replace(",", ""))
    server.enqueue(delay="1h")
    expect(pending).to_have_text(f"{before + 1:,}")


def test_long_times_lie_on_no_other(open_page: OpenPage) -> None:
    page = open_page("/")
    over = """(lists) => {
        const wide = (dd) => [dd, dd.parentElement].some((each) => each.scrollWidth > each.clientWidth);
        return lists.flatMap((each) => [...each.querySelectorAll("dd")])
            .map((dd) => { dd.textContent = "19h56m"; return dd; }).filter(wide).length;
    }"""
    expect(page.locator(".percentiles dd")).to_have_count(6)
    for width in (375, 1000, 1280):
        page.set_viewport_size({"width": width, "height": 700})
        assert page.locator(".percentiles").evaluate_all(over) == 0
        gaps = page.locator(".tiles").evaluate(
            "(tiles) => tiles.lastElementChild.getBoundingClientRect().right - tiles.getBoundingClientRect().right"
        )
        assert abs(gaps) <= 2, f"the last state reaches the edge at {width} px"


LINK_COLOUR = "document.body.append(Object.assign(document.createElement('a'), {href: '/', id: 'a-link'})), \
    getComputedStyle(document.getElementById('a-link')).color"


def test_names_in_tables_look_like_links(open_page: OpenPage, server: Service) -> None:
    server.enqueue("true", id="held", queue="q", held=True, locks=["gpu"], batch="b")
    server.queue.add_schedule("nightly", {"command": "true"}, cron="0 3 * * *")
    for path in ("/queues", "/locks", "/batches", "/schedules"):
        page = open_page(path)
        name = page.locator("tbody th a").first
        assert name.evaluate("link => getComputedStyle(link).color") == page.evaluate(LINK_COLOUR)


def test_a_row_follows_its_job_and_stays_selected(open_page: OpenPage, server: Service, worker: Worker) -> None:
    gate = Path(server.db).with_name("row-gate")
    server.enqueue(f"until [ -e {gate} ]; do sleep 0.05; done", id="followed")
    page = open_page("/jobs")
    row = page.locator("tr[data-part=followed]")
    expect(row.locator(".state")).to_have_text("processing")
    row.get_by_role("checkbox").check()
    gate.touch()
    expect(row.locator(".state")).to_have_text("completed")
    expect(row.get_by_role("checkbox")).to_be_checked()
    server.enqueue(id="new-above", delay="1h")
    page.get_by_role("link", name="1 new").click()  # a table holds still while somebody is at it
    expect(page.locator("tr[data-part=new-above]")).to_be_visible()
    expect(row.get_by_role("checkbox")).to_be_checked()


def test_a_table_holds_still_and_keeps_what_is_chosen(open_page: OpenPage, server: Service) -> None:
    jobs = [
        {"id": f"still-{number}", "queue": "still", "command": "true", "held": True, "delay": "1h"}
        for number in range(60)
    ]
    assert server.full.post("/api/v1/jobs", json=jobs).status_code == 201
    page = open_page("/jobs?queue=still&sort=id&size=25")
    rows = page.locator("tr[data-row]")
    expect(rows).to_have_count(25)
    expect(rows.first).to_have_attribute("data-part", "still-0")
    page.get_by_label("Select still-3").check()
    page.get_by_label("Select still-6", exact=True).click(modifiers=["Shift"])
    expect(page.locator("#bulk-count")).to_have_text("4 selected")
    page.get_by_role("link", name="Further").click()
    expect(rows.first).to_have_attribute("data-part", "still-25")
    page.get_by_label("Select still-30").check()
    expect(page.locator("#bulk-count")).to_have_text("5 selected, 4 on other pages")
    server.full.delete("/api/v1/jobs/still-31")
    expect(page.locator("tr[data-part=still-31] .tag")).to_have_text("deleted")
    expect(rows).to_have_count(25)
    page.goto(f"{server.url}/jobs?queue=still")
    expect(rows.first).to_have_attribute("data-part", "still-59")
    expect(page.locator("#bulk-count")).to_have_text("5 selected, 4 on other pages")
    page.get_by_role("button", name="Clear", exact=True).click()
    page.get_by_label("Select still-58").check()
    page.locator("#bulk").get_by_role("button", name="Release").click()
    page.get_by_role("dialog").get_by_role("button", name="Release 1 job").click()
    until(lambda: not server.queue.job("still-58").held, "it is released")
    page.locator(".toast").get_by_role("button", name="Undo").click()
    until(lambda: server.queue.job("still-58").held, "it is held again")
    page.get_by_role("button", name="Hold the page still").click()
    expect(page.locator("#live")).to_have_text("paused")
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    assert len(download.value.path().read_text().splitlines()) == 60
    exported = server.full.get("/export/jobs.json?queue=still&text=STILL-1").json()
    assert [job["id"] for job in exported] == ["still-1", *(f"still-{number}" for number in range(10, 20))]


def test_failures_without_output_are_named_by_their_status(
    open_page: OpenPage, server: Service, worker: Worker
) -> None:
    for name in ("quiet-1", "quiet-2"):
        server.enqueue("exit 9", id=name, queue="quiet", max_retries=0)
        ended(server, name)
    page = open_page("/failures", width=390)
    group = page.locator("tr[data-row]", has=page.get_by_role("link", name="exit code 9", exact=True))
    expect(group.locator("b")).to_have_text("2")
    expect(group.locator(".first")).to_be_visible()
    expect(group.locator(".last")).to_be_visible()


HOLD = """() => new Promise((done) => {
  document.body.addEventListener("fresh", () => {
    window.freshened = 0;
    document.body.addEventListener("fresh", () => { window.freshened++; });
    document.addEventListener("job", () => { document.getElementById("hold").click(); done(); }, { once: true });
  }, { once: true });
  document.dispatchEvent(new Event("refresh"));
})"""
"""Holds a page at the moment at which it has heard of a change, and is about to show it."""


def test_a_held_page_shows_nothing_that_it_was_about_to(open_page: OpenPage, server: Service) -> None:
    page = open_page("/jobs?queue=held-page")
    expect(page.locator("#live")).to_have_text("live")
    page.clock.install()
    page.reload()
    expect(page.locator("#live")).to_have_text("live")
    with page.expect_request(lambda request: True):
        page.evaluate(f"void ({HOLD})()")
    server.enqueue(id="too-late", queue="held-page", delay="1h")
    expect(page.locator("#live")).to_have_text("paused")
    page.clock.run_for(5000)
    page.evaluate("""document.dispatchEvent(new Event("visibilitychange"))""")
    page.clock.run_for(5000)
    assert page.evaluate("freshened") == 0
    page.get_by_role("button", name="Hold the page still").click()
    expect(page.locator("tr[data-part=too-late]")).to_be_visible()


REFRESH = """() => new Promise((done) => {
  document.addEventListener("fresh", () => done(), { once: true });
  document.dispatchEvent(new Event("refresh"));
})"""


def test_a_failure_on_the_overview_has_its_command_as_title(
    open_page: OpenPage, server: Service, worker: Worker
) -> None:
    command = "exit 9 # " + "x" * 300
    server.enqueue(command, id="fails-at-once", max_retries=0)
    ended(server, "fails-at-once")
    page = open_page("/")
    line = page.locator("li[data-row]", has=page.get_by_role("link", name="fails-at-once"))
    expect(line).to_contain_text("exit 9 # xxx")
    expect(line).to_contain_text("exit code 9")
    expect(line.get_by_title(command)).to_be_visible()


BAR_OF = """(at) => [...document.querySelectorAll("#chart g:has(.failed)")]
  .find((bar) => bar.dataset.from <= at && at < bar.dataset.until)?.dataset.from"""


def bar_of(page: Page, server: Service, job_id: str) -> Locator:
    """The bar of a failed job, once there is one: a chart can be some seconds old."""
    at = format_time(server.queue.job(job_id).finished_at)

    def is_shown() -> bool:
        page.evaluate("document.dispatchEvent(new Event('refresh'))")
        return page.evaluate(BAR_OF, at) is not None

    until(is_shown, f"the end of {job_id} is in the chart")
    return page.locator(f'#chart g[data-from="{page.evaluate(BAR_OF, at)}"]')


def test_a_bar_of_the_chart_tells_its_numbers_and_leads_to_its_jobs(
    open_page: OpenPage, server: Service, worker: Worker
) -> None:
    server.enqueue("exit 5", id="in-a-bar", max_retries=0)
    ended(server, "in-a-bar")
    page = open_page("/?range=6h")
    bar = page.locator("#chart, [data-part=slow-chart]").locator("g:has(.failed)").last
    bar.hover()
    expect(page.locator(".said")).to_have_text(
        re.compile(r"^\d{4}-.* \d\d:\d[05]–\d\d:\d[05]: \d+ completed, \d+ failed$")
    )
    page.get_by_role("navigation", name="Range").get_by_role("link", name="1h").click()
    expect(page).to_have_url(re.compile("range=1h"))
    bar_of(page, server, "in-a-bar").locator(".failed").click()
    expect(page.locator("tr[data-part=in-a-bar]")).to_be_visible()
    expect(page.locator(".chip", has_text="ended from")).to_contain_text(re.compile(r"\d\d:\d\d:00[+-]"))
    shown = set(page.locator("tr[data-row] .state").all_inner_texts())
    assert shown <= {"dead", "failed"}
    page.locator(".chip", has_text="ended lost").click()
    page.wait_for_url(lambda url: "outcome=lost" not in url)
    assert "outcome=failed" in page.url


A_MINUTE_LATER = """async () => {
  const { morph } = await import("/static/live.js");
  const chart = document.querySelector("#chart svg"), later = chart.cloneNode(true);
  const next = later.querySelector("g"), last = later.querySelector("g:last-of-type");
  last.after(next);
  next.dataset.from = last.dataset.until;
  morph(chart, later);
  document.dispatchEvent(new Event("fresh"));
}"""


def test_a_touched_bar_tells_its_numbers_until_it_opens_its_jobs(
    open_page: OpenPage, server: Service, worker: Worker
) -> None:
    server.enqueue("exit 5", id="touched", max_retries=0)
    ended(server, "touched")
    page = open_page("/", width=390, has_touch=True)
    bar = bar_of(page, server, "touched")
    bar.scroll_into_view_if_needed()
    place = bar.bounding_box()
    bar.tap()
    said = page.locator("#chart .said")
    expect(said).to_contain_text("failed")
    assert bar.bounding_box() == place  # what is told takes no room of the bars
    page.locator(".page-head").tap(position={"x": 1, "y": 1})
    expect(said).to_be_empty()
    bar.tap()
    pending = int(page.locator("[data-count=pending]").inner_text())
    server.enqueue(id="beside-touched", delay="1h")
    page.evaluate("document.dispatchEvent(new Event('refresh'))")
    expect(page.locator("#chart")).to_be_visible()
    expect(page.locator("[data-count=pending]")).to_have_text(str(pending + 1))
    expect(said).to_contain_text("failed")
    page.get_by_role("button", name="Hold the page still").press("Enter")
    told = said.inner_text()
    page.evaluate(A_MINUTE_LATER)
    assert said.inner_text() == told  # of the same minute, though its bar has moved
    bar.tap()
    expect(page.locator("tr[data-part=touched]")).to_be_visible()


def test_a_queue_has_a_chart_of_its_own_that_shows_times_too(
    open_page: OpenPage, server: Service, worker: Worker
) -> None:
    server.enqueue("sleep 0.1", id="charted", queue="charted")
    ended(server, "charted")
    server.enqueue(queue="nothing-ended", delay="1h")
    page = open_page("/queues/nothing-ended")
    chart = page.locator("[data-part=slow-chart]")
    expect(chart).to_contain_text("Nothing ended in the last 1h")
    zero, plot = chart.locator(".bottom").bounding_box(), chart.locator("svg").bounding_box()
    assert zero
    assert plot
    assert zero["y"] > plot["y"] + plot["height"] / 2  # though nothing stands above it
    page.goto(f"{server.url}/queues/charted")
    expect(chart.locator(".legend")).to_have_text("1 completed 0 failed")
    chart.get_by_role("link", name="Run time").click()
    expect(chart.locator("h2")).to_have_text("Run time")
    expect(chart.locator(".legend")).to_contain_text(re.compile(r"^p50 \S+ p95 \S+ p99 \S+"))
    chart.get_by_role("link", name="6h").click()
    bar = chart.locator("g:has(.p50)").last
    bar.hover()
    expect(chart.locator(".said")).to_have_text(re.compile(r"–\d\d:\d[05]: p50 \S+, p95 \S+, p99 \S+ of 1$"))
    assert page.url.endswith("/queues/charted?range=6h&show=run")
    bar.locator(".p50").click()
    expect(page.locator("tr[data-row]")).to_have_count(1)
    expect(page.locator("tr[data-part=charted]")).to_be_visible()


# --- finding and acting ---------------------------------------------------------------------


def test_a_filter_is_kept_by_a_name(open_page: OpenPage, server: Service) -> None:
    server.enqueue(id="kept-1", queue="kept", delay="1h")
    page = open_page("/jobs")
    saved = page.get_by_role("group", name="Saved filters")
    expect(saved).to_be_hidden()  # nothing is filtered, and nothing was saved
    page.goto(f"{server.url}/jobs?queue=kept&state=pending&state=failed")
    saved.get_by_role("textbox", name="Name of this filter").fill("waits in <kept>")
    saved.get_by_role("button", name="Save filter").click()
    page.goto(f"{server.url}/jobs")
    saved.get_by_role("link", name="waits in <kept>").click()
    expect(page.locator("tr[data-part=kept-1]")).to_be_visible()
    expect(saved.get_by_role("link")).to_have_attribute("aria-current", "true")
    expect(saved.get_by_role("textbox")).to_be_hidden()
    saved.get_by_role("button", name="Forget this filter").click()
    expect(saved.get_by_role("link")).to_have_count(0)
    page.goto(f"{server.url}/jobs")
    expect(saved).to_be_hidden()


def test_filters_and_pages_stand_in_the_address(open_page: OpenPage, server: Service) -> None:
    jobs = [
        {"command": f"echo number {number}", "queue": "paged", "tags": ["weekly"], "delay": "1h"}
        for number in range(60)
    ]
    assert server.full.post("/api/v1/jobs", json=jobs).status_code == 201
    page = open_page("/jobs", allowed=("400 (Bad Request)",))
    assert {"weekly", "paged"} <= {*page.locator("#known option").all_inner_texts()}
    page.get_by_role("button", name="Search", exact=True).click()
    page.wait_for_url(f"{server.url}/jobs")
    page.goto(f"{server.url}/jobs?queue=paged")
    expect(page.locator(".pager")).to_contain_text("60 jobs")
    page.get_by_role("link", name="Older").click()
    expect(page.locator("tr[data-row]")).to_have_count(10)
    expect(page.get_by_text("echo number 0", exact=True)).to_be_visible()
    page.get_by_role("link", name="Newer").click()
    expect(page.locator("tr[data-row]")).to_have_count(50)
    page.get_by_label("Search", exact=True).fill("number 7")
    page.keyboard.press("Enter")
    expect(page.locator("tr[data-row]")).to_have_count(1)
    assert "text=number+7" in page.url
    assert "queue=paged" in page.url
    page.goto(f"{server.url}/jobs?older_than=soon")
    expect(page.get_by_role("alert")).to_contain_text("not a duration")


def test_a_selection_is_acted_on_after_a_question(open_page: OpenPage, server: Service) -> None:
    for number in range(3):
        server.enqueue(id=f"bulk-{number}", queue="bulk", delay="1h")
    page = open_page("/jobs?queue=bulk")
    for number in (0, 2):
        page.get_by_label(f"Select bulk-{number}").check()
    expect(page.locator("#bulk-count")).to_have_text("2 selected")
    page.locator("#bulk").get_by_role("button", name="Cancel").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Cancel 2 jobs?")
    dialog.get_by_role("button", name="Cancel", exact=True).click()
    assert server.queue.job("bulk-0").state is JobState.PENDING
    page.locator("#bulk").get_by_role("button", name="Cancel").click()
    dialog.get_by_role("button", name="Cancel 2 jobs").click()
    expect(page.get_by_text("cancelled 2 jobs")).to_be_visible()
    expect(page.locator("tr[data-part=bulk-0] .state")).to_have_text("cancelled")
    states = [server.queue.job(f"bulk-{number}").state for number in range(3)]
    assert states == [JobState.CANCELLED, JobState.PENDING, JobState.CANCELLED]


def test_dead_jobs_are_retried_over_a_whole_filter_after_their_number(
    open_page: OpenPage, server: Service, worker: Worker
) -> None:
    server.full.post(
        "/api/v1/jobs",
        json=[
            {
                "command": f"echo '/srv/{user}: 4: last words of [user-{user}]'; exit 7",
                "queue": "doomed",
                "max_retries": 0,
            }
            for user in range(60)
        ],
    )
    dead = Selector(queues=("doomed",), states=(JobState.DEAD,))
    until(lambda: server.queue.count(dead) == 60, "all are dead")
    page = open_page("/failures")
    group = page.locator("tr[data-row]", has_text="last words of")
    expect(group.locator("b")).to_have_text("60")
    expect(group.get_by_text("exit code 7", exact=True)).to_be_visible()
    expect(group.get_by_role("img", name="60 in the last 24 hours")).to_be_visible()
    expect(page.locator("[data-part=recent] li").first).to_contain_text("exit code 7: /srv/")
    group.get_by_role("link", name="last words of [user-…]", exact=True).click()
    expect(page.locator("tr[data-row]")).to_have_count(50)
    expect(page.locator("tr[data-row] .info").first).to_contain_text("exit code 7: /srv/")
    server.full.put("/api/v1/config/max-retries", json={"value": "3"})
    page.get_by_label("Select this page").check()
    page.get_by_role("button", name="Select all that match").click()
    page.locator("#bulk").get_by_role("button", name="Retry").click()
    expect(page.get_by_role("dialog")).to_contain_text("Retry 60 jobs?")
    page.get_by_role("button", name="Retry 60 jobs").click()
    expect(page.get_by_text("retried 60 jobs")).to_be_visible()
    until(lambda: server.queue.count(dead) == 60, "they have died again")
    assert all(job.starts == 2 for job in server.queue.find(dead))
    first, last = sorted(server.queue.find(dead), key=lambda job: (job.finished_at, job.seq))[::59]
    page.goto(f"{server.url}/dlq?queue=doomed")
    expect(page.locator("tr[data-row]").first).to_have_attribute("data-part", last.id)
    expect(page.locator("tr[data-row] .tail").first).to_contain_text("last words")
    page.get_by_label(f"Select {last.id}").check()
    server.enqueue("echo another; exit 7", id="dies-later", queue="doomed", max_retries=0)
    expect(page.get_by_role("link", name="1 new")).to_be_visible()
    expect(page.locator("tr[data-row]").first).to_have_attribute("data-part", last.id)
    page.get_by_role("link", name="Older").click()
    expect(page.locator("tr[data-row]").last).to_have_attribute("data-part", first.id)
    expect(page.locator("tr[data-row]")).to_have_count(10)
    page.goto(f"{server.url}/jobs/{first.id}")
    expect(page.locator("[data-part=reason]")).to_contain_text("Died after 1 attempt")
    expect(page.locator("[data-part=reason]")).to_contain_text(first.last_line or "")


def test_a_large_act_tells_how_far_it_is_and_can_be_stopped(open_page: OpenPage, server: Service) -> None:
    for _ in range(3):
        jobs = [{"command": "true", "queue": "large", "held": True} for _ in range(1500)]
        assert server.full.post("/api/v1/jobs", json=jobs).status_code == 201
    page = open_page("/jobs?queue=large")
    asked: list[dict[str, Any]] = []

    def slowly(route: Route) -> None:
        asked.append(json.loads(route.request.post_data or ""))
        if len(asked) == 3:  # after the count and the first slice
            expect(page.get_by_role("dialog")).to_contain_text("2,000 of 4,500 jobs")
            page.get_by_role("button", name="Stop").click()
        route.continue_()

    page.route("**/api/v1/jobs/cancel", slowly)
    page.get_by_label("Select this page").check()
    page.get_by_role("button", name="Select all that match").click()
    page.locator("#bulk").get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel 4,500 jobs").click()
    expect(page.get_by_text("cancelled 4,000 jobs; stopped there")).to_be_visible()
    assert [each.get("limit") for each in asked] == [None, 2000, 2000]
    assert server.queue.count(Selector(queues=("large",), states=(JobState.PENDING,))) == 500


# --- one job --------------------------------------------------------------------------------


def test_the_output_is_followed_while_it_is_written(open_page: OpenPage, server: Service, worker: Worker) -> None:
    gate = Path(server.db).with_name("log-gate")
    server.enqueue(f"echo first; until [ -e {gate} ]; do sleep 0.05; done; echo last", id="talks")
    page = open_page("/jobs/talks")
    log = page.get_by_role("log")
    expect(log).to_contain_text("first")
    expect(log).not_to_contain_text("last")
    gate.touch()
    expect(log).to_contain_text("last")
    expect(page.locator(".page-head .state")).to_have_text("completed")
    attempt = page.locator("tr[data-attempt='1']")
    expect(attempt).to_contain_text("exit code 0")
    icon, bar = attempt.locator("svg.i").bounding_box(), attempt.locator(".bar svg").bounding_box()
    assert icon
    assert bar
    assert icon["width"] < 20 < bar["width"]


def test_hostile_output_stays_text(open_page: OpenPage, server: Service, worker: Worker) -> None:
    command = (
        r"""printf '<script>document.title="owned"</script><img src=x onerror=alert(1)>\n"""
        r"""\033]0;title\007\033]8;;http://x\033\\link\033]8;;\033\\ \033[31;1mred\033[0m\033[2J\033[H\n'; """
        r"""i=0; while [ $i -lt 3000 ]; do i=$((i+1)); printf '\033[3%dm\033[1mx' $((i%8)); done; echo; """
        r"""head -c 100000 /dev/zero | tr '\0' y; echo; """
        r"""printf '10%%\r20%%\r30%%\n\033[9999999999999999m\033[38;5;mend\n'"""
    )
    server.enqueue(command, id="hostile")
    ended(server, "hostile")
    page = open_page("/jobs/hostile")
    log = page.get_by_role("log")
    expect(log).to_contain_text("end")
    expect(log).to_contain_text('<script>document.title="owned"</script><img src=x onerror=alert(1)>')
    expect(log).to_contain_text("link red")
    expect(log).to_contain_text("91,808 more characters")
    expect(log.get_by_text("30%", exact=True)).to_be_visible()
    assert log.locator("script, img, a").count() == 0
    assert page.title() == "hostile · queuectl"
    assert log.locator("span.a-f1").first.inner_text() == "red"
    assert log.locator("span").count() < 1000


BARS = (
    r"""printf 'files: 1/2'; printf '\n\rbytes: 10%%'; printf '\033['; sleep 0.3; printf 'A'; """
    r"""printf '\n\r\033[2Kbytes: 100%%\033[A'; printf '\rfiles: 2/2'; printf '\n\n'; echo 'all of it'"""
)
"""Two progress bars, one below the other; a movement of the cursor comes in two parts."""


def test_nested_progress_bars_stay_in_their_lines(open_page: OpenPage, server: Service, worker: Worker) -> None:
    server.enqueue(BARS, id="bars")
    page = open_page("/jobs/bars")
    lines = page.get_by_role("log").locator(".line")
    expect(lines).to_have_text(["files: 2/2", "bytes: 100%", "all of it"])
    assert lines.last.get_attribute("data-n") == "5"  # of the output as it is kept
    page.reload()
    expect(lines).to_have_text(["files: 2/2", "bytes: 100%", "all of it"])
    page.goto(f"{server.url}/console")
    typed(page, "logs bars")
    expect(page.locator("#terminal")).to_contain_text("all of it")
    assert "10%\n" not in page.locator("#terminal").inner_text()


REFRESHED = """new Promise((done) => {
    document.addEventListener("fresh", done, { once: true });
    document.dispatchEvent(new Event("refresh"));
}).then(() => true)"""
"""Has the page get itself anew, and waits until it has."""


WRITTEN = {
    "building 9%\r\x1b[0m\x1b[?25h\nend\n": ["building 9%", "end"],  # what cannot be seen erases nothing
    "resolved 1\x1b[1G\x1b[0Kresolved 2\x1b[2K\x1b[Gresolved 3\n": ["resolved 3"],
    "one\ntwo\nthree\n\x1b[3FONE\x1b[2ETHREE\n": ["ONE", "two", "THREE"],
    "a: 0\nb: 0\n\x1b[2A\x1b[Jb: 1\n": ["b: 1", ""],
    "tables: 1/8\b\b\b2/8\x1b[3D3/8\b\b\bdone\n": ["tables: done"],
    "kept\b\b\b\nword \x1b[31mred\x1b[0m.\x1b[3D\x1b[Kx\n": ["kept", "word rx"],
    "\x1b[31m\x1b[Kmatch\x1b[m\x1b[K of \x1b[mgrep\x1b[K\r\nend": ["match of grep", "end"],
    "\r0% [Working]\r            \rHit:1\r\n\x1b[?25h": ["Hit:1"],
}
SCREEN = """async (texts) => {
  const { Screen } = await import("/static/screen.js");
  return texts.map((pieces) => {
    const lines = [], screen = new Screen(() => { lines.push(document.createElement("div")); return lines.at(-1); });
    for (const piece of pieces) screen.write(piece);
    return lines.map((line) => line.textContent);
  });
}"""


def test_lines_are_written_as_on_a_terminal_wherever_the_text_is_cut(open_page: OpenPage) -> None:
    page = open_page("/login")
    assert page.evaluate(SCREEN, [[text] for text in WRITTEN]) == list(WRITTEN.values())
    assert page.evaluate(SCREEN, [list(text) for text in WRITTEN]) == list(WRITTEN.values())


def test_a_long_output_is_bounded_and_searched(open_page: OpenPage, server: Service, worker: Worker) -> None:
    """Waits without `expect`, which describes the whole page after each look that was too early, and looks for no role
    or text in all of it: both have the browser lay out each line of the output.
    """

    def hits(text: str) -> None:
        page.locator("#log-hits", has_text=re.compile(f"^{text}$")).wait_for()

    server.enqueue("echo early needle; seq 2 60000; echo needle; seq 1 300", id="long-log")
    ended(server, "long-log")
    page = open_page("/jobs/long-log")
    log, tools = page.locator("#log"), page.locator(".log-tools")
    search, now = tools.get_by_role("searchbox", name="Search the output"), log.locator(".now")
    log.locator(".line", has_text="needle").wait_for(state="attached")
    page.locator("#log-note", has_text="Earlier lines are not shown").wait_for()
    assert log.get_attribute("role") == "log"
    assert log.locator(".line").count() <= 20_300
    page.keyboard.press("/")
    page.evaluate(REFRESHED)
    expect(search).to_be_focused()
    page.keyboard.type("EARLY")
    hits("1 line")
    search.fill("NEEDLE")
    page.keyboard.press("Shift+Enter")  # at once: it waits for the hits
    hits("2 of 2 lines")
    log.locator(".hit.now[data-n='60001']").wait_for()
    expect(now).to_be_in_viewport()
    page.keyboard.press("Enter")  # the server searches all of it, and the page reads what is not there yet
    log.locator(".now", has_text=re.compile("^early needle$")).wait_for()
    expect(now).to_be_in_viewport()
    tools.get_by_role("button", name="Later lines").click()
    log.locator("[data-n='1']").wait_for(state="detached")
    now.wait_for()
    expect(now).to_be_in_viewport()
    tools.get_by_role("button", name="Earlier lines").click()
    log.locator("[data-n='1']", has_text=re.compile("^early needle$")).wait_for(state="attached")
    log.locator("[data-n='3']").click(position={"x": 20, "y": 5})
    page.wait_for_url("**/jobs/long-log#L3")
    page.goto(f"{server.url}/jobs/long-log?attempt=1#L50000")
    log.locator(".now", has_text=re.compile("^50000$")).wait_for()
    expect(page.locator("#log-attempt")).to_have_value("1")
    page.evaluate("location.hash = 'L50010'")
    log.locator(".now", has_text=re.compile("^50010$")).wait_for()
    with page.expect_download() as download:
        page.locator("#log-download").click()
    assert download.value.path().read_bytes().count(b"\n") == 60_301


def test_split_streams_can_be_looked_at_apart(open_page: OpenPage, server: Service, worker: Worker) -> None:
    server.enqueue("echo to-out; echo to-err >&2", id="split", split_output=True)
    ended(server, "split")
    page = open_page("/jobs/split")
    log = page.get_by_role("log")
    expect(log.locator(".err")).to_have_text("to-err")
    page.get_by_label("Stream").select_option("stdout")
    expect(log).to_contain_text("to-out")
    expect(log).not_to_contain_text("to-err")


def test_a_new_job_is_a_shell_line_unless_words_are_chosen(open_page: OpenPage, server: Service) -> None:
    page = open_page("/enqueue", allowed=("400 (Bad Request)",))
    page.get_by_label("Command", exact=True).fill("echo one | tr a-z A-Z")
    page.get_by_label("Id", exact=True).fill("shell-line")
    page.get_by_label("Delay", exact=True).fill("1h")
    page.get_by_text("More", exact=True).click()
    page.get_by_label("Locks").fill("a, b=0")
    page.get_by_role("button", name="Enqueue").click()
    expect(page.locator("[data-field=locks] [role=alert]")).to_contain_text("the units of lock b must be")
    page.get_by_label("Locks").fill("a, b=1")
    page.get_by_role("button", name="Enqueue").click()
    expect(page.locator("h1")).to_have_text("shell-line")
    assert server.queue.job("shell-line").locks == ("a", "b")
    assert server.queue.job("shell-line").command == "echo one | tr a-z A-Z"


def test_a_job_is_cloned_with_the_values_that_no_page_shows(open_page: OpenPage, server: Service) -> None:
    server.enqueue(["printf", "%s\n", "a b", "$HOME"], id="origin", queue="media", env={"KEY": "s3cret"}, delay="1h")
    page = open_page("/jobs/origin", allowed=("400 (Bad Request)",))
    page.get_by_role("link", name="Clone…").click()
    expect(page.locator("#f-command")).to_have_value("""["printf", "%s\\n", "a b", "$HOME"]""")
    assert "s3cret" not in page.content()
    page.get_by_label("Delay", exact=True).fill("soon")
    page.get_by_role("button", name="Enqueue").click()
    expect(page.locator("[data-field=delay] [role=alert]")).to_contain_text("'soon' is not a duration")
    expect(page.get_by_label("Delay", exact=True)).to_be_focused()
    page.get_by_label("Delay", exact=True).fill("2h")
    page.get_by_label("Id", exact=True).fill("copy")
    page.get_by_role("button", name="Enqueue").click()
    expect(page.locator("h1")).to_have_text("copy")
    made, origin = server.queue.job("copy"), server.queue.job("origin")
    assert (made.command, made.queue, made.spec) == (origin.command, "media", origin.spec)


def test_a_clone_has_what_no_page_shows_and_lacks_what_was_removed(open_page: OpenPage, server: Service) -> None:
    server.enqueue(id="whole", umask="0077", env={"A": "1", "B": "2", "PATH": "/srv/bin"}, tags=["x"], delay="1h")
    page = open_page("/enqueue?clone=whole")
    page.get_by_label("Id", exact=True).fill("part")
    page.get_by_label("Variables, NAME=VALUE a line").fill("A=***\nC=3")
    page.get_by_label("Tags", exact=True).fill("")
    page.get_by_role("button", name="Enqueue").click()
    expect(page.locator("h1")).to_have_text("part")
    part, whole = server.queue.job("part"), server.queue.job("whole")
    env = {**whole.spec.env, "C": "3"}
    del env["B"]
    assert part.spec == whole.spec._replace(env=env)
    assert (part.tags, part.run_at < whole.run_at) == ((), True)


def test_a_taken_unique_key_is_told_in_the_form(open_page: OpenPage, server: Service) -> None:
    server.enqueue(id="owner", unique_key="mine", held=True)
    page = open_page("/enqueue", allowed=("409 (Conflict)",))
    page.locator("#f-command").fill("true")
    page.get_by_text("More", exact=True).click()
    page.get_by_label("Unique key", exact=True).fill("mine")
    page.get_by_role("button", name="Enqueue").click()
    expect(page.locator("[data-field=unique_key] [role=alert]")).to_contain_text("is taken by job owner")
    page.get_by_label("If the key is taken", exact=True).fill("ignore")
    page.get_by_role("button", name="Enqueue").click()
    expect(page.locator("h1")).to_have_text("owner")


def test_a_waiting_job_is_changed_and_moved_to_the_front(open_page: OpenPage, server: Service) -> None:
    server.queue.pause_queues("edits")
    server.enqueue(
        ["printf", "%s", "a b"], id="waits", queue="edits", env={"KEY": "s3cret", "OLD": "x"}, timeout="1h", tags=["a"],
        priority=2,
    )  # fmt: skip
    server.enqueue(id="ahead", queue="edits", priority=9)
    page = open_page("/jobs/waits", allowed=("400 (Bad Request)",))
    page.get_by_role("link", name="Edit…").click()
    expect(page.locator("h1")).to_have_text("Change waits")
    assert "s3cret" not in page.content()
    page.get_by_label("Priority", exact=True).fill("many")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("[data-field=priority] [role=alert]")).to_contain_text("whole number")
    page.get_by_label("Priority", exact=True).fill("5")
    page.get_by_label("Time limit", exact=True).fill("")
    page.locator("#f-tags").fill("b, c")
    page.locator("#f-env").fill("KEY=***\nNEW=y")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("h1")).to_have_text("waits")
    job = server.queue.job("waits")
    assert (job.priority, job.spec.timeout, job.tags, job.command) == (5, None, ("b", "c"), ("printf", "%s", "a b"))
    assert [job.spec.env.get(name) for name in ("KEY", "OLD", "NEW")] == ["s3cret", None, "y"]
    expect(page.locator("[data-part=events]")).to_contain_text("priority: 2 → 5")
    page.get_by_role("button", name="Move to front").click()
    expect(page.locator("[data-part=events]")).to_contain_text("to the front")
    assert [each.id for each in server.queue.line("edits", 2)] == ["waits", "ahead"]


def test_a_job_is_run_before_its_time_and_a_deleted_one_says_so(
    open_page: OpenPage, server: Service, worker: Worker
) -> None:
    server.enqueue(id="early", delay="1h")
    page = open_page("/jobs/early", allowed=("404",))
    page.get_by_role("button", name="Run now").click()
    expect(page.locator(".page-head .state")).to_have_text("completed")
    server.full.delete("/api/v1/jobs/early")
    expect(page.get_by_role("alert")).to_contain_text("This job has been deleted")
    expect(page.get_by_role("button", name="Retry")).to_have_count(0)
    page.evaluate("document.dispatchEvent(new Event('refresh'))")
    expect(page.locator(".toast.bad")).to_have_count(0)


# --- console --------------------------------------------------------------------------------


def typed(page: Page, line: str) -> None:
    page.locator("#line").fill(line)
    page.keyboard.press("Enter")
    expect(page.locator("#send")).to_be_visible()


def test_commands_are_typed_as_in_a_terminal(open_page: OpenPage, server: Service) -> None:
    page = open_page("/console")
    terminal = page.locator("#terminal")
    typed(page, """enqueue {"id":"typed","command":"echo 'two  blanks' \\"quoted\\"","delay":"1h"}""")
    expect(terminal).to_contain_text("enqueued typed")
    assert server.queue.job("typed").command == """echo 'two  blanks' "quoted\""""
    typed(page, "list --queue no-such-queue")
    expect(terminal).to_contain_text("0 jobs")
    typed(page, "hold --queue default --state pending")
    expect(terminal).to_contain_text("[y/N]")
    typed(page, "n")
    expect(terminal).to_contain_text("nothing was changed")
    assert not server.queue.job("typed").held
    typed(page, "nonsense; rm -rf /")
    expect(terminal).to_contain_text("unknown command 'nonsense;'")
    expect(terminal).to_contain_text("exit code 2")
    typed(page, "serve")
    expect(terminal).to_contain_text("serve is already running")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    expect(page.locator("#line")).to_have_value("nonsense; rm -rf /")
    page.reload()
    expect(page.locator("#line")).to_be_editable()
    page.locator("#line").press("ArrowUp")
    expect(page.locator("#line")).to_have_value("serve")
    page.locator("#line").fill("dlq li")
    page.keyboard.press("Tab")
    expect(page.locator("#line")).to_have_value("dlq list ")
    page.keyboard.type("--gr")
    page.keyboard.press("Tab")
    expect(page.locator("#line")).to_have_value("dlq list --group ")


def test_the_console_opens_on_every_page_and_keeps_its_text(open_page: OpenPage, server: Service) -> None:
    loaded: list[str] = []
    page = open_page("/jobs")
    page.on("request", lambda request: loaded.append(request.url))
    panel, line = page.get_by_role("region", name="Console"), page.get_by_role("textbox", name="queuectl")
    opener = page.get_by_role("button", name="Console", exact=True)
    page.goto(f"{server.url}/queues")
    expect(page.locator("#live")).to_have_text("live")
    expect(panel).to_be_hidden()
    assert not any("console.js" in url for url in loaded)
    page.keyboard.press("c")
    expect(line).to_be_focused()
    expect(opener).to_have_attribute("aria-expanded", "true")
    page.keyboard.type("list --queue `c/?")  # keys of the page are only signs here
    expect(line).to_have_value("list --queue `c/?")
    typed(page, "list --queue no-such-queue")
    expect(panel).to_contain_text("0 jobs")
    page.get_by_role("link", name="Jobs", exact=True).click()
    page.wait_for_url("**/jobs")
    expect(panel).to_contain_text("list --queue no-such-queue")
    expect(panel).to_contain_text("0 jobs")
    typed(page, "nonsense")
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(opener).to_have_attribute("aria-expanded", "false")
    page.reload()
    expect(page.locator("#live")).to_have_text("live")
    expect(panel).to_be_hidden()
    opener.click()
    expect(panel).to_contain_text("unknown command 'nonsense'")
    page.get_by_role("button", name="Log out").click()
    page.get_by_label("Token").fill(server.tokens["full"])
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("#live")).to_have_text("live")
    page.keyboard.press("`")
    expect(line).to_be_focused()
    expect(panel).not_to_contain_text("nonsense")


def test_a_command_is_watched_in_the_console_and_stopped(open_page: OpenPage, server: Service, worker: Worker) -> None:
    page = open_page("/console", width=390, height=780)
    terminal, line = page.locator("#terminal"), page.locator("#line")
    line.fill("run --id watched -- sh -c 'echo number $((40 + 1)); sleep 60'")
    page.keyboard.press("Enter")
    expect(terminal).to_contain_text("number 41")
    page.keyboard.press("Control+c")
    expect(terminal).to_contain_text("cancelled watched")
    expect(terminal).to_contain_text("exit code 130")
    expect(page.locator("#send")).to_be_visible()
    gate = Path(server.db).with_name("watched-gate")
    line.fill(f"run --id goes-on -- sh -c 'echo number $((40 + 2)); until [ -e {gate} ]; do sleep 0.05; done'")
    page.keyboard.press("Enter")
    expect(terminal).to_contain_text("number 42")
    page.goto(f"{server.url}/queues")
    expect(terminal).to_contain_text("its job goes on")
    gate.touch()
    ended(server, "goes-on")
    assert server.queue.job("goes-on").state is JobState.COMPLETED


def test_workers_are_started_and_stopped_in_the_console(open_page: OpenPage, server: Service) -> None:
    page = open_page("/console")
    terminal = page.locator("#terminal")
    typed(page, "worker start --count 2 --name browser --queue nobody")
    expect(terminal).to_contain_text("started 2 worker(s)")
    try:
        (worker,) = [each for each in server.queue.workers() if each.name == "browser"]
        assert worker.slots == 2
        page.goto(f"{server.url}/workers")
        region = page.get_by_role("region", name="Worker browser")
        expect(region).to_contain_text("nobody")
        expect(region.locator("dt", has_text="last seen").locator("+ dd")).to_have_text(re.compile(r"^\d+s ago$"))
        page.goto(f"{server.url}/console")
    finally:
        typed(page, "worker stop browser")
    expect(terminal).to_contain_text("stopped browser")


# --- queues, locks --------------------------------------------------------------------------


def test_a_queue_is_limited_paused_and_resumed(open_page: OpenPage, server: Service) -> None:
    server.enqueue(queue="mail/in@eu+1")
    page = open_page("/queues", allowed=("400 (Bad Request)",))
    page.get_by_role("link", name="mail/in@eu+1").click()
    expect(page.locator("h1")).to_have_text("mail/in@eu+1")
    limits, why = page.get_by_role("region", name="Limits"), page.get_by_role("region", name="Why the first in line")
    limits.get_by_label("Rate").fill("often")
    limits.get_by_role("button", name="Set").click()
    expect(page.get_by_text('rate "often" is not a rate')).to_be_visible()
    limits.get_by_label("Rate").fill("60/60m")
    limits.get_by_label("Jobs at a time").fill("2")
    limits.get_by_role("button", name="Set").click()
    expect(limits.get_by_label("Rate")).to_have_value("60/h")
    limits.get_by_label("Jobs at a time").fill("")
    limits.get_by_role("button", name="Set").click()
    until(lambda: server.queue.queue("mail/in@eu+1").concurrency is None, "the limit is lifted")
    page.get_by_label("Reason").fill("disk full")
    page.get_by_label("For", exact=True).fill("2h")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("[data-part=pause]")).to_contain_text("by token:test-full, 1h59m left: disk full")
    server.enqueue(id="first-in-line", queue="mail/in@eu+1", priority=1)  # not before, or a worker may run it
    expect(why).to_contain_text("first-in-line")
    expect(why).to_contain_text("disk full")
    page.get_by_role("button", name="Resume", exact=True).click()
    expect(page.locator("[data-part=pause]")).to_have_count(0)
    found = server.queue.queue("mail/in@eu+1")
    assert (found.concurrency, found.pause, found.rate and found.rate[:2]) == (None, None, (60, 3600.0))


def test_the_page_of_a_lock_shows_who_holds_it_and_who_waits(
    open_page: OpenPage, server: Service, worker: Worker
) -> None:
    gate = Path(server.db).with_name("lock-gate")
    page = open_page("/locks", allowed=("409 (Conflict)",))
    form = page.get_by_role("form", name="Set a lock")
    form.get_by_label("Set a lock").fill("disk/a@b")
    form.get_by_label("or their names").fill("left, right")
    form.get_by_role("button", name="Set").click()
    expect(page.locator("h1")).to_have_text("disk/a@b")
    for job in ("holder", "waiter"):
        server.enqueue(f"until [ -e {gate} ]; do sleep 0.05; done", id=job, locks=["disk/a@b=2"])
        until(lambda: server.queue.lock("disk/a@b").held == 2, "it is held")
    held, waiting = page.get_by_role("region", name="Held by"), page.get_by_role("region", name="Waiting")
    expect(held).to_contain_text("left, right")
    expect(waiting).to_contain_text("waits for lock disk/a@b=2 (held by holder)")
    waiting.get_by_role("link", name="waiter").click()
    page.locator("[data-part=gates]").get_by_role("link", name="holder").click()
    expect(page.locator("h1")).to_have_text("holder")
    page.locator("[data-part=facts]").get_by_role("link", name="disk/a@b=2").click()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.locator(".toast")).to_contain_text("is held or waited for")
    gate.touch()
    expect(page.get_by_text("Nobody holds it")).to_be_visible()


# --- forms ------------------------------------------------------------------------------------


def test_an_error_goes_from_its_field_as_soon_as_that_is_changed(open_page: OpenPage, server: Service) -> None:
    page = open_page("/enqueue", allowed=("400 (Bad Request)",))
    page.get_by_placeholder("echo hello").fill("true")
    page.get_by_label("Retries", exact=True).fill("-1")
    page.get_by_role("button", name="Enqueue", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("max_retries must be a whole number")
    page.get_by_label("Retries", exact=True).fill("0")
    expect(page.get_by_role("alert")).to_have_count(0)


# --- settings, access, keys -----------------------------------------------------------------


def test_a_setting_is_set_checked_and_put_back(open_page: OpenPage, server: Service) -> None:
    page = open_page("/settings", allowed=("400 (Bad Request)",))
    row = page.locator("li[data-part=max-lost]")
    field = page.get_by_label("max-lost", exact=True)
    field.fill("many")
    row.get_by_role("button", name="Set", exact=True).click()
    expect(page.get_by_text("must be a whole number")).to_be_visible()
    field.fill("5")
    page.evaluate(REFRESH)  # what is being typed stays
    row.get_by_role("button", name="Set", exact=True).click()
    expect(row.locator(".tag")).to_have_text("set")
    assert server.queue.settings()["max-lost"] == 5
    row.get_by_role("button", name="Reset").click()
    expect(field).to_have_value("3")


def test_a_token_is_shown_once_and_ends_when_it_is_revoked(open_page: OpenPage, server: Service) -> None:
    page = open_page("/access")
    page.get_by_label("New token for").fill("guest")
    page.get_by_role("button", name="Create").click()
    expect(page.locator("#made-text")).to_have_text(re.compile("^qctl_"))
    text = page.locator("#made-text").inner_text()
    guest = server.client(text)
    assert guest.get("/api/v1/status").status_code == 200
    row = page.get_by_role("row", name="guest")
    row.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(row).to_have_count(0)
    assert guest.get("/api/v1/status").status_code == 401
    guest.close()
    expect(page.locator(".deeds")).to_contain_text("guest")
    assert text not in page.locator(".deeds").inner_text()


def test_the_keyboard_leads_everywhere(open_page: OpenPage, server: Service) -> None:
    server.enqueue(id="key-1", queue="keys", delay="1h")
    server.enqueue(id="key-2", queue="keys", delay="1h")
    page = open_page("/")
    expect(page.locator("#live")).to_have_text("live")
    page.keyboard.press("g")
    page.keyboard.press("j")
    page.wait_for_url("**/jobs")
    page.goto(f"{server.url}/jobs?queue=keys")
    expect(page.locator("#live")).to_have_text("live")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    expect(page.get_by_label("Search", exact=True)).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.locator("#bulk-count")).to_have_text("1 selected")
    page.keyboard.press("k")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("key-1")


# --- cost -----------------------------------------------------------------------------------

FIRST_PAINT_BYTES_MAX = 100 * 1024


def test_the_first_paint_takes_less_than_100_kb(open_page: OpenPage, server: Service) -> None:
    page = open_page("/access")
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    network.send("Network.setCacheDisabled", {"cacheDisabled": True})
    transferred: list[float] = []
    network.on("Network.loadingFinished", lambda event: transferred.append(event["encodedDataLength"]))
    page.goto(server.url)
    expect(page.locator("#chart svg")).to_be_visible()
    assert 10_000 < sum(transferred) < FIRST_PAINT_BYTES_MAX


# --- schedules ------------------------------------------------------------------------------


def test_an_alert_of_a_schedule_is_set_and_lifted_in_its_form(open_page: OpenPage, server: Service) -> None:
    page = open_page("/schedules")
    page.get_by_label("Name").fill("hourly")
    page.get_by_label("Command, for the shell").fill("true")
    page.get_by_label("or each").fill("1h")
    page.get_by_label("Alert").fill("mail me")
    page.get_by_label("Each run ends well within").fill("30m")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("h1")).to_have_text("hourly")
    expect(page.locator("[data-part=facts]")).to_contain_text("mail me")
    page.get_by_label("Alert").fill("")
    page.get_by_role("button", name="Save").click()
    until(lambda: server.queue.schedule("hourly").alert is None, "the alert is lifted")
    assert server.queue.schedule("hourly").expect_within == 1800


def test_an_operation_is_read_and_tried_on_the_page_of_the_api(open_page: OpenPage, server: Service) -> None:
    server.enqueue(id="tried", queue="api", held=True)
    page = open_page("/api#find_jobs", allowed=("404 (Not Found)",))
    operation = page.locator("#find_jobs")
    expect(operation.get_by_role("rowheader", name="fields")).to_be_visible()
    expect(operation.locator("code", has_text=re.compile("^ETag$")).first).to_be_visible()
    assert "`" not in page.locator("main").inner_text()
    operation.get_by_label("fields").fill("id,state")
    operation.get_by_label("queue", exact=True).fill("api")
    operation.get_by_role("button", name="Try").click()
    answer = operation.get_by_role("region", name="Answer of find_jobs")
    expect(answer).to_contain_text("200 OK")
    expect(answer).to_contain_text('"id": "tried"')
    shown = page.locator("#show_job")
    shown.locator("summary").click()
    shown.get_by_label("id", exact=True).fill("no/such")
    shown.get_by_role("button", name="Try").click()
    expect(shown.get_by_role("region", name="Answer of show_job")).to_contain_text("404 Not Found")
    assert page.locator("details.operation[data-path]").count() == len(OPERATIONS)
    assert page.locator("#enqueue").get_by_role("button", name="Try").count() == 0
