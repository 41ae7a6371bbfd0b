"""Every link of the pages leads where its text says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.links import PAGES, ROOT, headings, links_of, names


def short(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=short)
def test_links_lead_to_files_that_exist(page: Path) -> None:
    assert [link.target for link in links_of(page) if not link.file.exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=short)
def test_links_lead_to_headings_that_exist(page: Path) -> None:
    to_headings = [link for link in links_of(page) if link.fragment]
    assert [link.target for link in to_headings if link.fragment not in headings(link.file)] == []


@pytest.mark.parametrize("page", PAGES, ids=short)
def test_links_to_source_name_what_is_in_the_file(page: Path) -> None:
    named = [(link, name) for link in links_of(page) if (name := link.identifier) and link.file.exists()]
    assert [f"[{link.text}]({link.target})" for link, name in named if not names(link.file.read_text(), name)] == []


def test_every_promise_of_the_guarantees_is_in_their_first_table() -> None:
    page = ROOT / "docs" / "guarantees.md"
    table, _, _ = page.read_text().partition("\n## Recovery times")
    promises = headings(page) - {"guarantees", "recovery-times", "of-a-fleet", "not-promised"}
    assert "every-hook-is-run" in promises
    assert {each for each in promises if f"(#{each})" not in table} == set()
