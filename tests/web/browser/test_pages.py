"""The dashboard in a real browser: every page, as a person uses it."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.web.browser.conftest import OpenPage
from tests.web.browser.server import Served
from tests.workshop import Worker


def test_the_token_opens_the_door_and_a_wrong_one_does_not(open_page: OpenPage, server: Served) -> None:
    page = open_page("/", allowed=("401 (Unauthorized)",))
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("not known")
    page.get_by_label("Token").fill(server.token)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


def test_the_overview_counts_a_new_job_without_a_reload(open_page: OpenPage, server: Served) -> None:
    page = open_page("/")
    expect(page.locator("#live")).to_have_text("live")
    before = int(page.locator(".tiles [data-count=pending]").inner_text())
    server.queuectl("enqueue", "--delay", "1h", "--", "true")
    expect(page.locator(".tiles [data-count=pending]")).to_have_text(str(before + 1))


def test_a_row_of_the_job_table_follows_its_job(open_page: OpenPage, server: Served, worker: Worker) -> None:
    page = open_page("/jobs")
    server.queuectl("enqueue", "--id", "seen", "--", "true")
    expect(page.locator("tr[data-part=seen] .state")).to_have_text("completed")


def test_the_output_is_followed_while_it_is_written(open_page: OpenPage, server: Served, worker: Worker) -> None:
    gate = server.db.parent / "gate"
    server.queuectl(
        "enqueue", "--id", "talks", "-c", f"echo first; until [ -e {gate} ]; do sleep 0.05; done; echo last"
    )
    page = open_page("/jobs/talks")
    log = page.get_by_role("log")
    expect(log).to_contain_text("first")
    expect(log).not_to_contain_text("last")
    gate.touch()
    expect(log).to_contain_text("last")
    expect(page.locator(".page-head .state")).to_have_text("completed")


def test_hostile_output_stays_text(open_page: OpenPage, server: Served, worker: Worker) -> None:
    server.queuectl(
        "enqueue", "--id", "hostile", "-c",
        r"""printf '<script>document.title="owned"</script><img src=x onerror=alert(1)>\n"""
        r"""\033]0;title\007\033]8;;http://x\033\\link\033]8;;\033\\ \033[31;1mred\033[0m\033[2J\033[H\n'; """
        r"""i=0; while [ $i -lt 3000 ]; do i=$((i+1)); printf '\033[3%dm\033[1mx' $((i%8)); done; echo; """
        r"""head -c 100000 /dev/zero | tr '\0' y; echo; """
        r"""printf '10%%\r20%%\r30%%\n\033[9999999999999999m\033[38;5;mend\n'""",
    )  # fmt: skip
    page = open_page("/jobs/hostile")
    log = page.get_by_role("log")
    expect(log).to_contain_text("end")
    expect(log).to_contain_text('<script>document.title="owned"</script><img src=x onerror=alert(1)>')
    expect(log).to_contain_text("link red")
    expect(log).to_contain_text(re.compile("91,808 more signs"))
    expect(log.get_by_text("30%", exact=True)).to_be_visible()
    assert log.locator("script, img, a").count() == 0
    assert page.title() == "hostile · queuectl"
    assert log.locator("span.a-f1").first.inner_text() == "red"
    assert log.locator("span").count() < 1000
