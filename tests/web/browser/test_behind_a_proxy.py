"""The dashboard behind a real proxy, over TLS and below a path, in a real browser."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from queuectl import Client
from queuectl.web.door import FAILURES_MAX
from queuectl.web.public import LOOPBACK, parse_public_url
from tests.server import free_port
from tests.web.browser.conftest import PATIENCE_MS
from tests.web.proxies import PROXIES, before
from tests.web.service import Service, serving
from tests.workshop import Worker

ADDRESSES = re.compile(r'\s(?:href|src|action|hx-get)="([^"#]+)')
PAGES = ("", "jobs", "failures", "dlq", "schedules", "queues", "batches", "locks", "workers", "enqueue", "settings",
         "access", "jobs/first", "queues/default")  # fmt: skip


class Behind:
    """A server behind a proxy: `url` is its public address."""

    def __init__(self, url: str, server: Service, folder: Path) -> None:
        self.url = url
        self.server = server
        self.trusted = ssl.create_default_context(cafile=str(folder / "cert.pem"))

    def login(self, path: str = "/") -> str:
        return f"{self.url}/login?{urlencode({'token': self.server.tokens['full'], 'next': path})}"

    def client(self, token: str | None = None, address: str = "127.0.0.1") -> httpx.Client:
        """Somebody at another address of this machine."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        line = httpx.HTTPTransport(verify=self.trusted, local_address=address)
        return httpx.Client(base_url=self.url, headers=headers, transport=line, timeout=PATIENCE_MS / 1000)


@contextmanager
def behind(kind: str, folder: Path) -> Iterator[Behind]:
    port = free_port()
    with before(kind, folder / kind, f"127.0.0.1:{port}") as origin:
        public = parse_public_url(f"{origin}/queue")
        with serving(folder / "queuectl.db", port=port, public=public, trusted=LOOPBACK) as server:
            yield Behind(f"{origin}/queue", server, folder / kind)


@pytest.fixture(scope="module", params=PROXIES)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    with behind(request.param, tmp_path_factory.mktemp(request.param)) as standing:
        yield standing


@pytest.fixture(scope="module")
def worker(place: Behind) -> Iterator[Worker]:
    running = Worker(place.server.db, "--count", "2")
    yield running
    running.stop()
    running.close()


@pytest.fixture(scope="module")
def page(browser: Browser, place: Behind) -> Iterator[Page]:
    """A page that is logged in, for which nothing may lie outside of /queue/."""
    with browser.new_context(ignore_https_errors=True) as context:
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        complaints: list[str] = []
        page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(place.login())
        yield page
        assert not complaints
        assert all(url.startswith(f"{place.url}/") for url in asked)


@pytest.mark.parametrize("place", ["nginx"], indirect=True)
def test_a_browser_works_through_the_proxy(place: Behind, page: Page, worker: Worker) -> None:
    server, gate = place.server, Path(place.server.db).with_name("gate")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    (cookie,) = page.context.cookies()
    assert (cookie["path"], cookie["secure"], cookie["httpOnly"]) == ("/queue/", True, True)

    # the live table, without a reload
    page.get_by_role("navigation").get_by_role("link", name="Jobs").click()
    expect(page.locator("#live")).to_have_text("live")
    server.enqueue(f"echo begun; until [ -e {gate} ]; do sleep 0.05; done; echo over", id="first")
    row = page.locator("tr[data-part=first]")
    expect(row.locator(".state")).to_have_text("processing")

    # an output as it is written
    row.get_by_role("link", name="first").click()
    expect(page).to_have_url(f"{place.url}/jobs/first")
    expect(page.get_by_role("log")).to_contain_text("begun")
    gate.touch()
    expect(page.get_by_role("log")).to_contain_text("over")
    expect(page.locator(".page-head .state")).to_have_text("completed")

    # the console
    page.keyboard.press("c")
    for number in range(3):
        page.locator("#line").fill(f"enqueue --id bulk-{number} --queue bulk --delay 1h -- true")
        page.locator("#line").press("Enter")
        expect(page.locator("#terminal")).to_contain_text(f"enqueued bulk-{number}")
    page.keyboard.press("Escape")

    # an action on a selection
    page.goto(f"{place.url}/jobs?queue=bulk")
    for number in range(3):
        page.get_by_label(f"Select bulk-{number}").check()
    page.locator("#bulk").get_by_role("button", name="Cancel").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel 3 jobs").click()
    expect(page.get_by_text("cancelled 3 jobs")).to_be_visible()
    expect(page.locator("tr[data-part=bulk-1] .state")).to_have_text("cancelled")

    # and out again
    page.get_by_role("button", name="Log out").click()
    expect(page).to_have_url(f"{place.url}/login")
    assert not page.context.cookies()


def test_every_address_on_every_page_is_below_the_path(place: Behind) -> None:
    if not place.server.full.get("/api/v1/jobs/first").is_success:
        place.server.enqueue(id="first")
    with place.client(place.server.tokens["full"]) as reader:
        for path in PAGES:
            answer = reader.get(f"/{path}")
            assert answer.status_code == 200, path
            found = ADDRESSES.findall(answer.text)
            assert len(found) > 10
            outside = [each for each in found if each.startswith("/") and not each.startswith("/queue/")]
            assert not outside, path
        assert reader.get("/openapi.json").json()["servers"] == [{"url": "/queue"}]
        made = reader.post("/api/v1/jobs", json={"command": "true", "held": True})
        assert urlsplit(str(place.url)).path in made.headers["location"]
        led = reader.get("/nope", headers={"Accept": "text/html", "Authorization": ""})
        assert led.headers["location"] == "/queue/login?next=%2Fnope"


def test_the_client_for_programs_works_through_the_proxy(place: Behind) -> None:
    with Client.remote(place.url, place.server.tokens["full"], ssl=place.trusted) as client:
        job = client.enqueue(command="true", held=True)
        assert client.job(job.id).held
        client.cancel(job.id)
        assert client.job(job.id).finished


def test_who_guesses_through_the_proxy_locks_out_himself_alone(place: Behind) -> None:
    with place.client(address="127.0.0.77") as guesser, place.client(address="127.0.0.78") as somebody:
        guesses = [guesser.post("/login", data={"token": f"guess-{number}"}) for number in range(FAILURES_MAX)]
        assert [answer.status_code for answer in guesses] == [401] * FAILURES_MAX
        right = {"token": place.server.tokens["read-only"]}
        assert guesser.post("/login", data=right).status_code == 429
        spoofed = guesser.post("/login", data=right, headers={"X-Forwarded-For": "192.0.2.9"})
        assert spoofed.status_code == 429
        assert somebody.post("/login", data=right).status_code == 303
