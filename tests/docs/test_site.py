"""The site is whole, and asks nobody else for anything."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.docs import site
from tests.needs import lacks
from tests.web.browser.conftest import chromium, running_browser

QUIET_MS = 500
"""A page that asks for nothing more for so long has asked for all."""
LOADS = ("src", "srcset", "poster", "data", "background")
"""Attributes that have a browser fetch something."""
FOREIGN = re.compile(r"^(https?:)?//", re.IGNORECASE)
FETCHED_BY_STYLES = re.compile(r"""(?:url\(|@import\s)\s*['"]?((?:https?:)?//[^'")\s]+)""")


class Read(HTMLParser):
    """What a page fetches, what it leads to, and its anchors."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.fetches: list[str] = []
        self.leads_to: list[str] = []
        self.anchors: set[str] = set()
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value and name == "id":
                self.anchors.add(value)
            elif value and (name in LOADS or (name == "href" and tag in ("link", "image", "use"))):
                self.fetches.append(value)
            elif value and name == "href":
                self.leads_to.append(value)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "site"
    site.build(folder)
    return folder


@pytest.fixture(scope="module")
def pages(built: Path) -> dict[Path, Read]:
    return {page: Read(page) for page in built.glob("**/*.html")}


def test_every_page_of_the_docs_is_in_the_map_once() -> None:
    listed = [path for _, path in site.ENTRY.findall(site.MAP.read_text()) if "/" not in path]
    there = [page.name for page in site.DOCS.glob("*.md") if page != site.MAP]
    assert sorted(listed) == sorted(there)


def test_no_page_fetches_anything_from_elsewhere(built: Path, pages: dict[Path, Read]) -> None:
    assert len(pages) > 40
    assert [url for read in pages.values() for url in read.fetches if FOREIGN.match(url)] == []
    styles = [*built.glob("**/*.css"), *built.glob("**/*.svg"), *pages]
    assert [url for style in styles for url in FETCHED_BY_STYLES.findall(style.read_text())] == []


def test_no_link_of_the_site_is_dead(built: Path, pages: dict[Path, Read]) -> None:
    dead = [f"{page.relative_to(built)}: {url}" for page, read in pages.items() for url in dead_ones(page, read, pages)]
    assert dead == []


def dead_ones(page: Path, read: Read, pages: dict[Path, Read]) -> Iterator[str]:
    if page.name == "404.html":  # it may be shown anywhere, so its links begin at the root
        return
    for url in [*read.fetches, *read.leads_to]:
        parts = urlsplit(url)
        if parts.scheme or parts.netloc:
            continue
        target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        target = target / "index.html" if target.is_dir() else target
        if not target.exists() or (parts.fragment and target in pages and not anchor(pages[target], parts.fragment)):
            yield url


def anchor(read: Read, fragment: str) -> bool:
    return unquote(fragment) in read.anchors or fragment.startswith("__")


def test_a_browser_asks_only_the_site(built: Path) -> None:
    path = chromium()
    if path is None:
        lacks("Chromium", "apt-get install chromium, or name one in QUEUECTL_TEST_CHROMIUM")
    asked: list[str] = []
    with running_browser(path) as browser:
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        for name in ("index.html", "start.html", "concepts.html", "commands.html"):
            page.goto((built / name).as_uri())
            before = -1
            while before < len(asked):  # "networkidle" may never come for pages in files
                before = len(asked)
                page.wait_for_timeout(QUIET_MS)
    assert len(asked) > 8
    assert {urlsplit(url).scheme for url in asked} <= {"file", "data", "blob"}
