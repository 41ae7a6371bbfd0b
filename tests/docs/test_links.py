"""Every link of the pages leads where its text says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.line_links import PAGES, ROOT, headings, links_of, names

AGAIN = "put the line numbers right with: python -m tests.docs.line_links"


def short(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=short)
def test_links_lead_to_files_that_exist(page: Path) -> None:
    assert [link.target for link in links_of(page) if not link.file.exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=short)
def test_links_lead_to_headings_that_exist(page: Path) -> None:
    to_headings = [link for link in links_of(page) if link.fragment and link.line is None]
    assert [link.target for link in to_headings if link.fragment not in headings(link.file)] == []


@pytest.mark.parametrize("page", PAGES, ids=short)
def test_links_to_lines_name_what_stands_there(page: Path) -> None:
    wrong = []
    for link in links_of(page):
        if link.line is not None:
            lines = link.file.read_text().splitlines()
            there = lines[link.line - 1] if 0 < link.line <= len(lines) else ""
            if link.identifier is None or not names(there, link.identifier):
                wrong.append(f"[{link.text}]({link.target})")
    assert wrong == [], AGAIN
