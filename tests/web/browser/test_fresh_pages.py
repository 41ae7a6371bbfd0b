"""A page that is open stays true: what it remembers stands for the same job after each refresh, and so does an undo."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Route, expect

from queuectl.domain.job import JobState
from queuectl.domain.selector import Selector
from tests.web.browser.conftest import OpenPage
from tests.web.service import Service
from tests.workshop import Worker, until

expect.set_options(timeout=20_000)


def ended(server: Service, job_id: str, starts: int = 1) -> None:
    def is_over() -> bool:
        job = server.queue.job(job_id)
        return job.finished and job.starts == starts

    until(is_over, f"{job_id} ends")


# --- a page that is held still --------------------------------------------------------------


NEXT_ANSWER = """() => {
  window.answered = new Promise((is) => document.body.addEventListener("htmx:afterRequest", is, { once: true }));
}"""


def test_what_is_on_its_way_does_not_move_a_page_that_is_held(open_page: OpenPage, server: Service) -> None:
    page = open_page("/jobs?queue=on-its-way")
    kept: list[Route] = []
    page.route("**/jobs?queue=on-its-way", lambda route: kept.append(route))
    hold = page.get_by_role("button", name="Hold the page still")
    server.enqueue(id="on-its-way", queue="on-its-way", delay="1h")
    expect(page.locator("#jobs.htmx-request")).to_have_count(1)
    hold.click()
    page.evaluate(NEXT_ANSWER)
    kept[0].continue_()
    page.evaluate("() => window.answered.then(() => true)")
    expect(page.locator("#live")).to_have_text("paused")
    expect(page.get_by_role("link", name="on-its-way", exact=True)).to_have_count(0)
    page.unroute("**/jobs?queue=on-its-way")
    hold.click()
    expect(page.get_by_role("link", name="on-its-way", exact=True)).to_be_visible()


def test_a_chart_of_a_held_page_is_not_counted_again(open_page: OpenPage, server: Service) -> None:
    server.enqueue(queue="counted-apart", delay="1h")
    page = open_page("/queues/counted-apart")
    page.clock.install()
    page.reload()
    chart = page.locator("[data-part=slow-chart]")
    expect(chart.locator("h2")).to_be_visible()
    assert chart.get_attribute("aria-busy") is None, "it has come"
    hold = page.get_by_role("button", name="Hold the page still")
    hold.click()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.fast_forward("00:31")
    hold.click()
    with page.expect_request("**/chart?*"):
        page.clock.fast_forward("00:31")
    assert len([url for url in asked if "/chart?" in url]) == 1


# --- one job --------------------------------------------------------------------------------


def test_output_is_of_the_retry_though_that_was_over_at_once(
    open_page: OpenPage, server: Service, worker: Worker
) -> None:
    runs = Path(server.db).with_name("runs")
    server.enqueue(f"echo >> {runs}; echo run $(wc -l < {runs}); exit 1", id="quick", max_retries=0)
    ended(server, "quick")
    page = open_page("/jobs/quick")
    log = page.get_by_role("log", name="Output of quick")
    expect(log).to_contain_text("run 1")
    hold = page.get_by_role("button", name="Hold the page still")
    hold.click()
    server.full.post("/api/v1/jobs/quick/retry")
    ended(server, "quick", starts=2)
    hold.click()
    expect(page.locator("tr[data-attempt='2']")).to_be_visible()
    expect(log).to_contain_text("run 2")
    expect(log).not_to_contain_text("run 1")


def test_a_silent_job_has_run_though_the_page_was_told_later(
    open_page: OpenPage, server: Service, worker: Worker
) -> None:
    gate = Path(server.db).with_name("silent-gate")
    server.enqueue(f"until [ -e {gate} ]; do sleep 0.05; done", id="silent", held=True)
    page = open_page("/jobs/silent")
    expect(page.locator("#log-state")).to_have_text("follows")
    hold = page.get_by_role("button", name="Hold the page still")
    hold.click()
    gate.touch()
    server.full.post("/api/v1/jobs/silent/release")
    expect(page.locator("#log-state")).to_have_text("")  # the output is over, and the page shows no attempt yet
    expect(page.locator("tr[data-attempt]")).to_have_count(0)
    hold.click()
    expect(page.get_by_role("log", name="Output of silent")).to_have_text("It wrote nothing.")


def test_the_latest_of_many_attempts_can_be_chosen(open_page: OpenPage, server: Service, worker: Worker) -> None:
    server.enqueue("false", id="many-tries", max_retries=100, backoff_initial=0)
    ended(server, "many-tries", starts=101)
    page = open_page("/jobs/many-tries")
    choice = page.get_by_label("Attempt", exact=True)
    expect(choice.locator("option[value='101']")).to_have_count(1)
    choice.select_option("101")
    server.full.post("/api/v1/jobs/many-tries/retry")
    ended(server, "many-tries", starts=202)
    expect(choice.locator("option[value='202']")).to_have_count(1)
    expect(choice).to_have_value("101")


def test_the_focus_is_on_no_other_act_when_the_job_has_changed(
    open_page: OpenPage, server: Service, worker: Worker
) -> None:
    gate = Path(server.db).with_name("focus-gate")
    server.enqueue(f"until [ -e {gate} ]; do sleep 0.05; done; exit 1", id="in-focus", max_retries=0)
    page = open_page("/jobs/in-focus")
    buttons = page.locator(".page-head")
    buttons.get_by_role("button", name="Hold").press("Enter")
    expect(buttons.get_by_role("button", name="Release")).to_be_focused()
    buttons.get_by_role("button", name="Cancel").focus()
    gate.touch()
    expect(buttons.get_by_role("button", name="Retry")).to_be_visible()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement === document.body")
    assert server.queue.job("in-focus").state is JobState.DEAD


# --- lists ----------------------------------------------------------------------------------


def test_the_row_that_the_keyboard_is_at_stays_the_same_jobs(
    open_page: OpenPage, server: Service, worker: Worker
) -> None:
    server.enqueue("exit 5", id="fell-before", max_retries=0)
    ended(server, "fell-before")
    page = open_page("/")
    row = page.locator("[data-row].here a[data-open]")
    first = page.locator("[data-part=lists] a[data-open]").first
    expect(first).to_have_text("fell-before")
    page.keyboard.press("j")
    expect(row).to_have_text("fell-before")
    server.enqueue("exit 5", id="fell-later", max_retries=0)
    expect(first).to_have_text("fell-later")
    expect(row).to_have_text("fell-before")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("fell-before")


def test_a_deleted_job_is_chosen_no_more(open_page: OpenPage, server: Service) -> None:
    for number in range(3):
        server.enqueue(id=f"gone-{number}", queue="gone", delay="1h")
    page = open_page("/jobs?queue=gone")
    page.get_by_label("Select gone-1").check()
    page.get_by_label("Select gone-2").check()
    server.full.delete("/api/v1/jobs/gone-1")
    expect(page.locator("tr[data-part=gone-1] .tag")).to_have_text("deleted")
    expect(page.locator("#bulk-count")).to_have_text("1 selected")


def test_a_table_that_holds_still_leads_to_its_neighbours(open_page: OpenPage, server: Service) -> None:
    jobs = [{"id": f"of-60-{number}", "queue": "of-60", "command": "true", "held": True} for number in range(60)]
    assert server.full.post("/api/v1/jobs", json=jobs).status_code == 201
    page = open_page("/jobs?queue=of-60&size=25")
    older, newer = page.get_by_role("link", name="Older", exact=True), page.get_by_role("link", name="Newer")
    older.click()
    expect(newer).to_be_visible()
    server.full.delete("/api/v1/jobs/of-60-30")
    expect(page.locator("tr[data-part=of-60-30] .tag")).to_have_text("deleted")
    expect(newer).to_be_visible()
    expect(page.locator(".pager [data-total]")).to_have_text("59 jobs")
    older.click()
    expect(page.locator("tr[data-row]")).to_have_count(10)
    gone = {"selector": {"text": ["of-60-"], "queue": ["of-60"]}}
    assert server.full.post("/api/v1/jobs/delete", json=gone).json()["changed"] == 59
    expect(page.locator("#jobs").get_by_text("No job matches")).to_be_visible()


# --- undoing --------------------------------------------------------------------------------


def test_a_cancelled_job_is_brought_back_only_if_nothing_of_it_is_lost(open_page: OpenPage, server: Service) -> None:
    server.enqueue(id="now", queue="taken-back", held=True)
    server.enqueue(id="tomorrow", queue="taken-back", delay="1d")
    server.enqueue(id="soon", queue="taken-back", held=True, expires="1d")
    page = open_page()
    undo = page.locator(".toast").get_by_role("button", name="Undo")
    for job in ("soon", "tomorrow", "now"):
        page.goto(f"{server.url}/jobs?queue=taken-back")
        page.get_by_label(f"Select {job}").check()
        page.locator("#bulk").get_by_role("button", name="Cancel").click()
        page.get_by_role("dialog").get_by_role("button", name="Cancel 1 job").click()
        expect(page.locator(".toast")).to_contain_text("cancelled 1 job")
        assert undo.count() == (job == "now"), job
    undo.click()
    until(lambda: server.queue.job("now").state is JobState.PENDING, "it waits again")
    assert server.queue.job("now").held


def test_undoing_a_hold_releases_none_that_was_held_before(open_page: OpenPage, server: Service) -> None:
    server.enqueue(id="was-held", queue="holds", held=True)
    server.enqueue(id="was-free", queue="holds", delay="1d")
    page = open_page("/jobs?queue=holds")
    page.get_by_label("Select was-held").check()
    page.get_by_label("Select was-free").check()
    page.locator("#bulk").get_by_role("button", name="Hold").click()
    page.get_by_role("dialog").get_by_role("button", name="Hold 2 jobs").click()
    page.locator(".toast").get_by_role("button", name="Undo").click()
    until(lambda: not server.queue.job("was-free").held, "it is released")
    assert server.queue.job("was-held").held


def test_a_stopped_act_leaves_the_next_question_as_it_is(open_page: OpenPage, server: Service) -> None:
    for _ in range(2):
        jobs = [{"command": "true", "queue": "stopped", "held": True} for _ in range(1500)]
        assert server.full.post("/api/v1/jobs", json=jobs).status_code == 201
    page = open_page("/jobs?queue=stopped")
    asked: list[Route] = []

    def late(route: Route) -> None:
        asked.append(route)
        if len(asked) != 2:  # after the count
            route.continue_()

    page.route("**/api/v1/jobs/cancel", late)
    bulk, dialog = page.locator("#bulk"), page.get_by_role("dialog")
    page.get_by_label("Select this page").check()
    page.get_by_role("button", name="Select all that match").click()
    bulk.get_by_role("button", name="Cancel").click()
    with page.expect_request("**/api/v1/jobs/cancel"):
        dialog.get_by_role("button", name="Cancel 3,000 jobs").click()
    dialog.get_by_role("button", name="Stop").click()
    bulk.get_by_role("button", name="Delete").click()
    expect(dialog).to_contain_text("Their history and output go with them.")
    asked[1].continue_()
    expect(page.get_by_text("cancelled 2,000 jobs; stopped there")).to_be_visible()
    expect(dialog).to_contain_text("Their history and output go with them.")
    dialog.get_by_role("button", name="Delete 3,000 jobs").click()
    expect(page.get_by_text("deleted 3,000 jobs")).to_be_visible()
    assert server.queue.count(Selector(queues=("stopped",))) == 0


# --- a form ---------------------------------------------------------------------------------


def test_a_list_of_a_form_shows_what_is_set_and_can_be_set_back(open_page: OpenPage, server: Service) -> None:
    server.queue.add_schedule("nightly", {"command": "true"}, cron="0 3 * * *")
    page = open_page("/schedules/nightly")
    overlap, kept = page.get_by_label("While an earlier job has not ended"), page.locator("#f-overlap option[selected]")
    expect(overlap).to_have_value("skip")
    for wanted in ("queue", "skip"):
        overlap.select_option(wanted)
        page.get_by_role("button", name="Save").click()
        until(lambda: server.queue.schedule("nightly").overlap == wanted, f"it is set to {wanted}")  # noqa: B023
        expect(kept).to_have_attribute("value", wanted)
    server.queue.set_schedule("nightly", overlap="allow")  # by somebody else
    expect(overlap).to_have_value("allow")
    overlap.select_option("queue")
    server.queue.set_schedule("nightly", overlap="replace")
    expect(kept).to_have_attribute("value", "replace")
    expect(overlap).to_have_value("queue")  # as it was chosen and not yet sent


# --- once -----------------------------------------------------------------------------------


def test_a_form_that_is_sent_twice_adds_one_job(open_page: OpenPage, server: Service) -> None:
    page = open_page("/enqueue")
    before = server.queue.count()
    page.locator("#f-command").fill("true")
    page.keyboard.press("Control+Enter")
    page.keyboard.press("Control+Enter")
    page.wait_for_url("**/jobs/*")
    assert server.queue.count() == before + 1
    page.go_back()
    expect(page.locator("form").get_by_role("button", name="Enqueue")).to_be_enabled()


def test_a_double_click_acts_once(open_page: OpenPage, server: Service) -> None:
    server.queue.add_schedule("twice", {"command": "true", "held": True}, every="5m")
    page = open_page("/schedules/twice")
    before = server.queue.count()
    page.get_by_role("button", name="Run now").dblclick()
    expect(page.locator(".toast")).to_have_count(1)
    page.reload()
    assert server.queue.count() == before + 1
