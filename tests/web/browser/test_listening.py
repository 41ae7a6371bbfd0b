"""What a browser's pages hear, and over how few connections: they are shared, and closed while nobody looks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from tests.server import free_port
from tests.web.browser.conftest import OpenPage, login, shared_by_pages
from tests.web.service import Service, serving
from tests.workshop import Worker, until

TABS = 10
GONE_S = 45
"""How long a page may be silent before it counts as gone (hub.js)."""
HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
NO_SHARED_WORKER = "delete globalThis.SharedWorker"
SAYS_NOTHING_WHILE_ASLEEP = """
const post = MessagePort.prototype.postMessage;
MessagePort.prototype.postMessage = function (said, ...more) {
  if (!(globalThis.asleep && said?.here)) post.call(this, said, ...more);
};
"""


@pytest.fixture(scope="module")
def worker(server: Service) -> Iterator[Worker]:
    """A worker with a slot for each tab."""
    running = Worker(server.db, "--count", str(TABS))
    yield running
    running.stop()
    running.close()


@pytest.fixture
def tabs(browser: Browser) -> Iterator[BrowserContext]:
    """A browser of its own, whose windows are all visible."""
    with shared_by_pages(browser) as context:
        yield context


def listeners(server: Service) -> int:
    return len(server.app.state.feed._listeners)


def followers(server: Service) -> int:
    return len(server.app.state.followers.all)


def test_beside_ten_tabs_of_running_jobs_an_eleventh_opens(
    tabs: BrowserContext, server: Service, worker: Worker
) -> None:
    gate = Path(server.db).with_name("tabs-gate")
    for number in range(TABS):
        server.enqueue(f"echo begun {number}; until [ -e {gate} ]; do sleep 0.1; done; echo over", id=f"tab-{number}")
    pages = [tabs.new_page() for _ in range(TABS)]
    for number, page in enumerate(pages):
        page.goto(login(server, f"/jobs/tab-{number}"))
        expect(page.get_by_role("log")).to_contain_text(f"begun {number}")
    until(lambda: followers(server) == TABS, "each tab follows its output")
    assert listeners(server) == 1  # for all of them
    eleventh = tabs.new_page()
    eleventh.goto(f"{server.url}/jobs")
    expect(eleventh.locator("#live")).to_have_text("live")
    expect(eleventh.locator("tr[data-part=tab-0] .state")).to_have_text("processing")
    gate.touch()
    for page in pages:
        expect(page.get_by_role("log")).to_contain_text("over")
        assert page.get_by_role("log").inner_text().count("begun") == 1  # nothing came twice
    expect(eleventh.locator("tr[data-part=tab-0] .state")).to_have_text("completed")
    until(lambda: followers(server) == 0, "no output is followed")
    for page in tabs.pages:
        page.close()
    until(lambda: listeners(server) == 0, "nobody listens")


def test_a_hidden_page_hears_nothing_and_catches_up(open_page: OpenPage, server: Service, worker: Worker) -> None:
    gate = Path(server.db).with_name("hidden-gate")
    server.enqueue(f"echo one; until [ -e {gate} ]; do sleep 0.1; done; echo two", id="hidden")
    page = open_page("/jobs/hidden")
    log = page.get_by_role("log")
    expect(log).to_contain_text("one")
    page.evaluate(HIDE, True)
    expect(page.locator("#live")).to_have_text("paused")
    until(lambda: (listeners(server), followers(server)) == (0, 0), "no connection is left")
    gate.touch()
    until(lambda: server.queue.job("hidden").finished, "the job ends")
    page.evaluate(HIDE, False)
    expect(log).to_contain_text("two")
    expect(page.locator(".page-head .state")).to_have_text("completed")
    assert log.inner_text().count("one") == 1  # it went on where it was
    expect(page.locator("#live")).to_have_text("live")


def test_a_browser_without_shared_workers_hears_too(browser: Browser, server: Service, worker: Worker) -> None:
    with shared_by_pages(browser) as context:
        context.add_init_script(NO_SHARED_WORKER)
        page = context.new_page()
        server.enqueue("echo seen", id="unshared")
        page.goto(login(server, "/jobs/unshared"))
        assert page.evaluate("typeof SharedWorker") == "undefined"
        expect(page.get_by_role("log")).to_contain_text("seen")
        page.goto(f"{server.url}/jobs")
        expect(page.locator("#live")).to_have_text("live")
        server.enqueue(id="unshared-live", delay="1h")
        expect(page.locator("tr[data-part=unshared-live]")).to_be_visible()


def test_a_page_shows_that_the_server_is_away_and_back(tabs: BrowserContext, tmp_path: Path) -> None:
    port, page = free_port(), tabs.new_page()
    with serving(tmp_path / "queuectl.db", port=port) as server:
        page.goto(login(server, "/jobs"))
        expect(page.locator("#live")).to_have_text("live")
    expect(page.locator("#live")).to_have_text("offline")
    with serving(tmp_path / "queuectl.db", port=port) as server:
        expect(page.locator("#live")).to_have_text("live")  # and still logged in
        server.enqueue(id="after", delay="1h")
        expect(page.locator("tr[data-part=after]")).to_be_visible()
        page.close()


def test_what_was_typed_stays_through_a_new_login(open_page: OpenPage, server: Service) -> None:
    tokens = {name: server.queue.create_token(name, "full")[1] for name in ("first-login", "second-login")}
    page = open_page("/", allowed=("401 (Unauthorized)", "Response Status Error Code 401"))
    page.goto(f"{server.url}/login?token={tokens['first-login']}&next=/enqueue")
    page.get_by_role("textbox", name="Command").fill("echo typed before")
    expect(page.locator("#live")).to_have_text("live")
    server.queue.revoke_token("first-login")
    dialog = page.get_by_role("dialog", name="Log in again")
    expect(dialog).to_be_visible()  # by itself, as soon as the stream ends
    dialog.get_by_role("button", name="Cancel").click()
    page.locator("main").get_by_role("button", name="Enqueue").click()
    dialog.get_by_label("Token").fill("wrong")
    dialog.get_by_role("button", name="Log in").click()
    expect(dialog.get_by_role("alert")).to_contain_text("unknown token")
    dialog.get_by_label("Token").fill(tokens["second-login"])
    dialog.get_by_role("button", name="Log in").click()
    expect(page.locator("h1")).to_contain_text(re.compile("^[a-z0-9]{10}$"))  # the job's page: it was added
    job = page.url.rpartition("/")[2]
    assert (server.queue.job(job).command, server.queue.job(job).owner) == ("echo typed before", "token:second-login")
    expect(page.locator("#live")).to_have_text("live")


RECORDED = """
globalThis.told = [];
globalThis.Notification = class extends Notification {
  static permission = "granted"; // a browser without a screen allows it when asked, and says that it is denied
  constructor(title, options) { super(title, options); told.push([title, options.body]); }
};
const request = LockManager.prototype.request;
LockManager.prototype.request = function (name, got) {
  return request.call(this, name, async () => { await globalThis.turn; return got(); });
};
"""


def test_one_page_of_a_browser_tells_of_jobs_that_die_though_all_are_hidden(
    tabs: BrowserContext, server: Service, worker: Worker
) -> None:
    tabs.add_init_script(RECORDED)
    tabs.grant_permissions(["notifications"], origin=server.url)
    pages = [tabs.new_page() for _ in range(2)]
    for page in pages:
        page.goto(login(server, "/queues"))
        expect(page.locator("#live")).to_have_text("live")
    pages[0].get_by_role("button", name="Notify of jobs that die", exact=True).click()
    for page in pages:
        expect(page.get_by_role("button", name="Do not notify of jobs that die")).to_be_visible()
        page.evaluate(HIDE, True)
    assert [title for title, _ in pages[0].evaluate("told.splice(0)")] == ["Notifications are on"]
    server.enqueue("echo why; exit 3", id="dies-alone", max_retries=0)
    until(lambda: any(page.evaluate("told") for page in pages), "a notification")
    first, second = sorted(pages, key=lambda page: len(page.evaluate("told")), reverse=True)
    assert first.evaluate("told") == [["dies-alone died", "echo why; exit 3: why"]]
    assert second.evaluate("told") == []
    second.evaluate("globalThis.turn = new Promise((resolve) => { globalThis.takeTurn = resolve; }), null")
    first.close()
    jobs = [server.enqueue(f"echo no space {number}; exit 4", max_retries=0) for number in range(3)]
    until(lambda: all(server.queue.job(job["id"]).finished for job in jobs), "all die between two turns")
    second.evaluate("takeTurn()")
    until(lambda: second.evaluate("told"), "the other page gives the next one")
    latest = [f"3 jobs alike: echo no space {number}; exit 4: no space {number}" for number in range(3)]
    assert second.evaluate("told") in [[["3 jobs died", each]] for each in latest]  # any of them may be the last to die
    second.get_by_role("button", name="Do not notify of jobs that die").click()
    until(lambda: listeners(server) == 0, "nobody listens: the first page has said that it closes", GONE_S - 5)


def test_a_browser_that_lets_no_page_notify_says_so_at_once(open_page: OpenPage) -> None:
    page = open_page("/queues")
    page.evaluate("""() => { globalThis.Notification = class {
      static permission = "granted"; static async requestPermission() { return "granted"; }
      constructor() { throw new TypeError("Illegal constructor"); } // as on Android
    }; }""")
    button = page.get_by_role("button", name="Notify of jobs that die", exact=True)
    button.click()
    expect(page.locator(".toast")).to_have_text("this browser lets no page notify")
    expect(button).to_have_attribute("aria-pressed", "false")


def test_a_page_that_counted_as_gone_hears_again(browser: Browser, server: Service) -> None:
    with shared_by_pages(browser) as context:
        context.add_init_script(NO_SHARED_WORKER)
        context.add_init_script(SAYS_NOTHING_WHILE_ASLEEP)
        page = context.new_page()
        page.clock.install()
        page.goto(login(server, "/jobs"))
        until(lambda: listeners(server) == 1, "the page listens")
        page.evaluate("globalThis.asleep = true")
        page.clock.run_for(90_000)  # as on a laptop that is closed, or a machine that is too busy
        until(lambda: listeners(server) == 0, "the page counts as gone")
        page.evaluate("globalThis.asleep = false")
        page.clock.run_for(20_000)
        until(lambda: listeners(server) == 1, "the page listens again")
        expect(page.locator("#live")).to_have_text("live")
