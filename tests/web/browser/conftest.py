"""One server with something in it, one worker, one Chromium, for all tests of a module; and a page for each.

Whatever a page says on its console, and whatever the policy blocks, fails the test.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.web.browser.server import Served, chromium, served
from tests.workshop import Worker

PATIENCE_MS = 20_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium of this machine."""
    path = chromium()
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail("there is no Chromium here, and these tests must not be skipped in CI: see .ci/run")
        pytest.skip("there is no Chromium here: apt-get install chromium, or name one in QUEUECTL_TEST_CHROMIUM")
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=sandbox)
        yield running
        running.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server on a fresh store."""
    with served(Path(tmp_path_factory.mktemp("web"))) as running:
        yield running


@pytest.fixture(scope="module")
def worker(server: Served) -> Iterator[Worker]:
    """A worker on the server's store."""
    running = Worker(server.db, "--count", "3", "--name", "night")
    yield running
    running.stop()
    running.close()


OpenPage = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, server: Served) -> Iterator[OpenPage]:
    """Opens a page of the server in a browser that is logged in; options are those of a browser context.

    `allowed` are texts of the console that are no fault here.
    """
    contexts = []
    complaints: list[str] = []

    def open_(path: str = "/", allowed: tuple[str, ...] = (), token: str | None = None, **options: Any) -> Page:
        def complain(text: str) -> None:
            if not any(each in text for each in allowed):
                complaints.append(text)

        options.setdefault("viewport", {"width": 1280, "height": 900})
        context = browser.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.on("console", lambda said: complain(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complain(str(error)))
        page.goto(server._replace(token=token or server.token).login(path))
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not complaints
