"""The address in front of a proxy: how it is read, and what it does to paths and pages."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from queuectl.domain.errors import Invalid
from queuectl.web.public import parse_public_url, trusted_proxies, under, within
from tests.web.service import Service, serving
from tests.workshop import clean_environment


@pytest.mark.parametrize(
    ("text", "origin", "host", "path"),
    [
        ("https://example.org", "https://example.org", "example.org", ""),
        ("https://Example.org/", "https://example.org", "example.org", ""),
        ("https://example.org:443/queue/", "https://example.org", "example.org", "/queue"),
        ("http://example.org:8080/a/b", "http://example.org:8080", "example.org", "/a/b"),
        ("https://[::1]:8443/q", "https://[::1]:8443", "::1", "/q"),
    ],
)
def test_an_address_is_read_as_browsers_spell_it(text: str, origin: str, host: str, path: str) -> None:
    assert parse_public_url(text) == (origin, host, path)


@pytest.mark.parametrize(
    "text",
    ["", "example.org", "ftp://example.org", "https://", "https://a:b@example.org", "https://example.org/?x=1",
     "https://example.org:99999", "https://example.org/a b", "https://example.org/a/../b", "https://example.org/a//b",
     'https://example.org/"x', "https://exa mple.org", "https://example.org/#x"],
)  # fmt: skip
def test_what_is_no_address_is_refused_with_its_name(text: str) -> None:
    with pytest.raises(Invalid, match="--public-url"):
        parse_public_url(text)


def test_a_trusted_proxy_is_an_address_or_a_network() -> None:
    assert trusted_proxies(["127.0.0.1", "10.0.0.0/8", "fd00::/8"]) == ["127.0.0.1", "10.0.0.0/8", "fd00::/8"]
    for wrong in ("*", "localhost", "10.0.0.1/8", ""):
        with pytest.raises(Invalid, match="--trust-forwarded"):
            trusted_proxies([wrong])


def test_a_path_is_the_same_whether_the_proxy_removes_its_beginning_or_not() -> None:
    assert [within(path, "/queue") for path in ("/queue", "/queue/", "/queue/jobs/a", "/jobs/a", "/queues/a")] == [
        "/", "/", "/jobs/a", "/jobs/a", "/queues/a",
    ]  # fmt: skip
    assert within("/queue/jobs", "") == "/queue/jobs"


def test_a_page_is_moved_below_a_path_and_its_texts_stay() -> None:
    page = (
        '<a href="/jobs">see href=&#34;/x&#34; </a><a href="//else">x</a><form data-call="POST /api" action="/login">'
    )
    moved = page.replace('href="/jobs"', 'href="/q/jobs"').replace('action="/login"', 'action="/q/login"')
    assert under("/q", page) == moved
    assert under("", page) == page


def test_a_path_that_is_one_of_the_pages_is_refused(tmp_path: Path) -> None:
    wrong = parse_public_url("https://example.org/jobs/all")
    with pytest.raises(Invalid, match="/jobs"), serving(tmp_path / "q.db", public=wrong):
        pass


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[Service]:
    with serving(tmp_path / "q.db", public=parse_public_url("https://example.org/queue")) as running:
        yield running


def test_a_public_address_is_accepted_besides_this_machines(behind: Service) -> None:
    def status(**headers: str) -> int:
        return behind.full.get("/queue/api/v1/status", headers=headers).status_code

    assert [status(), status(Host="example.org"), status(Host="evil.example")] == [200, 200, 403]
    assert status(Host="example.org", Origin="https://example.org") == 200
    assert status(Origin="https://example.org") == 200  # a proxy that passes on its own idea of the host
    assert status(Host="example.org", Origin="https://evil.example") == 403
    assert status(Host="example.org", Origin="https://example.org:444") == 403


def test_redirects_and_cookies_are_for_the_public_address(behind: Service) -> None:
    led = behind.stranger.get("/queue/jobs?queue=a", headers={"Accept": "text/html"})
    assert led.headers["location"] == "/queue/login?next=%2Fjobs%3Fqueue%3Da"
    logged_in = behind.stranger.post("/login", data={"token": behind.tokens["full"], "next": "/jobs"})
    assert logged_in.headers["location"] == "/queue/jobs"
    assert {"path=/queue/", "secure"} <= set(logged_in.headers["set-cookie"].lower().split("; "))
    assert "strict-transport-security" not in logged_in.headers
    added = behind.full.post("/queue/api/v1/jobs", json={"command": "true", "id": "a", "held": True})
    assert added.headers["location"] == "/queue/api/v1/jobs/a"


def test_the_command_prints_the_public_address(tmp_path: Path) -> None:
    words = ["--db", str(tmp_path / "q.db"), "serve", "--port", "0", "--public-url", "https://example.org/queue/"]
    process = subprocess.Popen(
        [sys.executable, "-m", "queuectl", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=clean_environment(),
    )  # fmt: skip
    with process:
        assert process.stdout
        assert process.stderr
        said, told = process.stdout.readline(), process.stderr.readline()
        process.kill()
    assert re.fullmatch(r"serving http://127\.0\.0\.1:\d+ as https://example\.org/queue\n", said)
    assert "log in: https://example.org/queue/login?token=qctl_" in told
