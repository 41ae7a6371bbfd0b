"""What a table is filtered by is on its page, stays when its form is sent, and has numbers that are kept up to date."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from queuectl.client import tables
from tests.web.browser.conftest import OpenPage
from tests.web.service import Service


def chips(page: Page) -> list[str]:
    """The parts of the filter that have no field."""
    return [text.strip() for text in page.locator(".chip[title='Remove from the filter']").all_inner_texts()]


def test_the_states_of_one_queue_are_counted_while_the_page_is_open(open_page: OpenPage, server: Service) -> None:
    server.enqueue(queue="counted", held=True)
    page = open_page("/jobs?queue=counted")
    pending = page.locator("#filters .chip", has_text="pending").locator(".n")
    expect(pending).to_have_text("1")
    page.locator("#q").hover()  # the table need not hold still
    server.enqueue(queue="counted", held=True)
    server.enqueue(queue="other", held=True)
    expect(pending).to_have_text("2")


def test_a_queue_without_jobs_is_still_what_is_filtered_by(open_page: OpenPage) -> None:
    page = open_page("/jobs?queue=nobodys")
    expect(page.get_by_label("Queue", exact=True)).to_have_value("nobodys")
    page.get_by_role("button", name="Apply").click()
    page.wait_for_url("**/jobs?queue=nobodys")


@pytest.mark.parametrize("path", ["/jobs", "/dlq"])
def test_what_has_no_field_is_shown_and_stays_in_the_filter(open_page: OpenPage, server: Service, path: str) -> None:
    page = open_page(f"{path}?schedule=nightly&queue=a&queue=b&tag=x,y&outcome=failed")
    assert chips(page) == ["queue b", "tag y", "schedule nightly", "ended failed"]
    page.locator("#q").fill("oom")
    page.keyboard.press("Enter")
    page.wait_for_url("**text=oom**")
    assert chips(page) == ["queue b", "tag y", "schedule nightly", "ended failed"]
    page.get_by_role("link", name="queue b").click()
    expect(page.get_by_role("link", name="queue b")).to_have_count(0)
    expect(page.get_by_label("Queue", exact=True)).to_have_value("a")


def test_listed_states_are_those_of_the_chips(open_page: OpenPage) -> None:
    page = open_page("/jobs?state=failed,dead")
    expect(page.locator("#filters .chip[aria-current=true]")).to_have_count(2)
    page.locator("#filters .chip", has_text="dead").click()
    page.wait_for_url("**/jobs?state=failed")


def test_a_sorted_table_tells_how_many_it_has_and_how_far_it_looked(
    open_page: OpenPage, server: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [{"command": "true", "held": True, "tags": ["rare"]}] * 30 + [{"command": "true", "held": True}] * 20
    assert server.full.post("/api/v1/jobs", json=jobs).is_success
    page = open_page("/jobs?tag=rare&sort=id&size=25")
    expect(page.locator(".pager")).to_contain_text("30 jobs")
    page.get_by_role("link", name="Further").click()
    expect(page.locator("[data-row]")).to_have_count(5)
    monkeypatch.setattr(tables, "FIRST_WINDOW", 20)
    monkeypatch.setattr(tables, "SEARCH_S", -1.0)
    page.goto(f"{server.url}/jobs?tag=rare&sort=id&size=25")
    expect(page.get_by_text("No job matches so far")).to_be_visible()
    page.get_by_role("link", name="Search on").first.click()
    expect(page).to_have_url(re.compile("size=25"))
    expect(page.locator("[data-row]")).not_to_have_count(0)
    expect(page.locator(".pager")).to_contain_text("among those of the last")
