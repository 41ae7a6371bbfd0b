"""Ten dashboards of `benchmarks.web_pages`, as a process of their own, until the end of stdin.

    python -m benchmarks.web_watching URL TOKEN browser|bare [PAGE …]

The PAGEs are shown beside the ten.
Prints what the heaps of the browsers' pages have grown by, after a collection of garbage before and after.
Those without a browser hear what a page hears, and ask for its content as often.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from http.client import HTTPConnection, HTTPResponse
from select import select
from urllib.parse import urlencode, urlsplit

from playwright.sync_api import Page

from tests.web.browser.conftest import chromium, running_browser

PAGES = ("/", "/", "/", "/", "/jobs", "/jobs", "/failures", "/dlq", "/queues", "/workers")
FRESH_S = 2.0
"""As in live.js."""


def ask(connection: HTTPConnection, path: str, token: str) -> HTTPResponse:
    """Asks for something of the server; its answer has begun."""
    connection.request("GET", path, headers={"Authorization": f"Bearer {token}", "HX-Request": "true"})
    answer = connection.getresponse()
    assert answer.status == 200, f"{path}: {answer.status}"
    return answer


def watch(host: str, token: str, path: str) -> None:
    """One dashboard."""
    hearing, asking, due = HTTPConnection(host), HTTPConnection(host), 0.0
    stream = ask(hearing, "/api/v1/events?topics=events,snapshot", token)
    while stream.readline():
        if time.monotonic() >= due:
            ask(asking, path, token).read()
            due = time.monotonic() + FRESH_S


def main(url: str, token: str, how: str, *more: str) -> None:
    """Opens all, and leaves them open."""
    paths = (*PAGES, *more)
    if how == "bare":
        for path in paths:
            threading.Thread(target=watch, args=(urlsplit(url).netloc, token, path), daemon=True).start()
        sys.stdin.read()
        return
    with running_browser(chromium() or "") as browser:
        pages = [browser.new_context().new_page() for _ in paths]
        for page, path in zip(pages, paths, strict=True):
            page.goto(f"{url}/login?{urlencode({'token': token, 'next': path})}")
        pages[0].wait_for_timeout(5000)
        before = [heap_kib(page) for page in pages]
        while not select([sys.stdin], [], [], 0)[0]:
            pages[0].wait_for_timeout(500)
        grown = [round(heap_kib(page) - was) for page, was in zip(pages, before, strict=True)]
        print(json.dumps({"heap_kib": round(max(before)), "heap_grown_kib": grown}))


def heap_kib(page: Page) -> float:
    """What the scripts of a page hold."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    used: float = session.send("Runtime.getHeapUsage")["usedSize"] / 1024
    session.detach()
    return used


main(*sys.argv[1:])
