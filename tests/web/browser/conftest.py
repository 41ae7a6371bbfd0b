"""One server, one worker and one Chromium for all tests of a module; and a page for each.

Whatever a page says on its console, and whatever the policy blocks, fails the test.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Literal
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.needs import lacks
from tests.web.service import Service, serving
from tests.workshop import Worker

CHROMIUMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE_MS = 20_000
expect.set_options(timeout=PATIENCE_MS)


def chromium() -> str | None:
    """This machine's Chromium, if it has one, the one without windows first, whose pages cost a third;
    `QUEUECTL_TEST_CHROMIUM` names another."""
    return os.environ.get("QUEUECTL_TEST_CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUMS)), None)


@contextmanager
def running_browser(path: str) -> Iterator[Browser]:
    """A headless Chromium until the end of the block."""
    options = ["--process-per-site", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=options)
        yield running
        running.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The browser of a module's tests."""
    path = chromium()
    if path is None:
        lacks("Chromium", "apt-get install chromium, or name one in QUEUECTL_TEST_CHROMIUM")
    with running_browser(path) as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A server on a fresh store."""
    with serving(tmp_path_factory.mktemp("web") / "queuectl.db") as running:
        yield running


@pytest.fixture(scope="module")
def worker(server: Service) -> Iterator[Worker]:
    """A worker on the server's store."""
    running = Worker(server.db, "--count", "3", "--name", "night")
    yield running
    running.stop()
    running.close()


def login(server: Service, path: str = "/", role: str = "full") -> str:
    """The address that logs a browser in and leads to a page."""
    return f"{server.url}/login?{urlencode({'token': server.tokens[role], 'next': path})}"


OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def profile(browser: Browser, server: Service) -> Iterator[BrowserContext]:
    """What all pages share that ask for no other: a new one costs a Chromium with windows more than the page.

    One page of the server stays open, the first of the context. With it stays the process of all others, which costs
    as much as a page.
    """
    with shared_by_pages(browser) as shared:
        shared.new_page().goto(f"{server.url}/login")
        yield shared


@contextmanager
def shared_by_pages(browser: Browser, **options: Any) -> Iterator[BrowserContext]:
    """A context of a browser until the end of the block.

    Icons stand still in it: without a graphics card, the processor draws each step of what turns.
    """
    context = browser.new_context(reduced_motion="reduce", **options)
    context.set_default_timeout(PATIENCE_MS)
    yield context
    context.close()


def forget_all(context: BrowserContext) -> None:
    """Makes the pages' browser as good as new, but for its cache of the server's files.

    The page that stays open forgets for all: a process has what is stored in its memory, so to delete it in the
    browser's files would take effect some time later.
    """
    context.clear_cookies()
    context.set_offline(False)
    context.pages[0].evaluate("localStorage.clear()")


@pytest.fixture
def open_page(browser: Browser, profile: BrowserContext, server: Service) -> Iterator[OpenPage]:
    """Opens a page of the server in a browser that is logged in; `options` make a browser context of its own.

    `allowed` are texts of the console that are no fault here.
    """
    complaints: list[str] = []
    with ExitStack() as opened:

        def open_(
            path: str = "/", allowed: tuple[str, ...] = (), role: str = "full", width: int = 1280, height: int = 900,
            colours: Literal["light", "dark"] = "light", **options: Any,
        ) -> Page:  # fmt: skip
            def complain(text: str) -> None:
                if not any(each in text for each in allowed):
                    complaints.append(text)

            if not options and len(profile.pages) == 1:
                forget_all(profile)
            page = (opened.enter_context(shared_by_pages(browser, **options)) if options else profile).new_page()
            opened.callback(page.close)
            page.set_viewport_size({"width": width, "height": height})
            page.emulate_media(color_scheme=colours)
            page.on("console", lambda said: complain(said.text) if said.type in ("error", "warning") else None)
            page.on("pageerror", lambda error: complain(str(error)))
            page.goto(login(server, path, role))
            return page

        yield open_
    assert not complaints
