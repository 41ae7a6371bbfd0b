"""Nobody gets in who should not. Each attack of the table in docs/security.md is one test here."""

from __future__ import annotations

import itertools
import re
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from queuectl import places
from queuectl.client import tokens
from queuectl.client.operation import Operation
from queuectl.client.operations import OPERATIONS
from queuectl.clock import SystemClock
from queuectl.domain.token import Role, Token
from queuectl.web.door import FAILURES_MAX, PREFIX_LENGTH
from queuectl.web.guard import BODY_BYTES_MAX, Guard, Hosts
from queuectl.web.rest.operation import MASKED
from queuectl.web.sessions import KEEP_S, Sessions
from tests.web.service import Service, serving
from tests.workshop import PATIENCE_S, clean_environment, until

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
ATTACKS = re.compile(r"\| `(test_\w+)`")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One server for all who knock here. Who guesses does so from an address of their own."""
    with serving(tmp_path_factory.mktemp("guard") / "queuectl.db") as running:
        yield running


def label(operation: Operation[Any]) -> str:
    return f"{operation.method} {operation.path}"


def sent(who: httpx.Client, operation: Operation[Any], **given: object) -> httpx.Response:
    """The operation, with nothing of what it needs."""
    path = re.sub(r"\{\w+\}", "nobody", operation.path)
    return who.request(operation.method, path, **given)  # type: ignore[arg-type]


def is_problem(answer: httpx.Response, status: int) -> bool:
    return answer.status_code == status and answer.headers["content-type"] == "application/problem+json"


def raw(service: Service, request: bytes, hang_up: bool = False) -> bytes:
    """What comes back for these very bytes, which ask for `Connection: close`. `hang_up`: nothing follows them.

    A server may drop a request whose sender has hung up, so only a request that has no end should.
    """
    host, _, port = service.host.partition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as line:
        line.sendall(request)
        if hang_up:
            line.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := line.recv(1 << 16):
            answer += piece
        return answer


# --- tokens ---------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", [each for each in OPERATIONS.values() if not each.open], ids=label)
def test_nothing_is_done_without_a_token(service: Service, operation: Operation[Any]) -> None:
    assert is_problem(sent(service.stranger, operation), 401)


@pytest.mark.parametrize("path", ["/", "/openapi.json", "/no/such/page", "/api/v1/../../", "//", "/static", "/Login"])
def test_no_page_is_shown_without_a_token(service: Service, path: str) -> None:
    assert service.stranger.get(path).status_code == 401
    led = service.stranger.get(path, headers={"Accept": "text/html"})
    assert led.status_code == 401 or led.headers["location"].startswith("/login?next=")


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/login", "/static/app.css"])
def test_what_needs_no_token_says_nothing_of_the_queue(service: Service, path: str) -> None:
    answer = service.stranger.get(path)
    assert answer.status_code == 200
    assert service.queue.store.url not in answer.text


@pytest.mark.parametrize(
    "given",
    [b"Bearer", b"Bearer x", b"Basic dXNlcjpwYXNz", b"Bearer " + b"x" * 4000, b"qctl_", b"Bearer \xff"],
    ids=lambda given: repr(given)[:20],
)
def test_a_wrong_token_does_not_get_in(tmp_path: Path, given: bytes) -> None:
    with serving(tmp_path / "queuectl.db") as service:
        assert is_problem(service.stranger.get("/api/v1/status", headers={b"Authorization": given}), 401)


def test_the_digest_in_the_store_is_no_token(service: Service) -> None:
    digests = [token.digest for token in service.queue.store.tokens()]
    texts = list(service.tokens.values())
    assert not set(digests) & set(texts)
    with service.client(digests[0]) as thief:
        assert is_problem(thief.get("/api/v1/status"), 401)


def test_a_token_in_the_query_or_in_another_servers_cookie_is_none(service: Service) -> None:
    token = service.tokens["full"]
    assert is_problem(service.stranger.get("/api/v1/status", params={"token": token}), 401)
    for cookie in (f"queuectl={token}", f"queuectl-1={token}", f"token={token}"):
        assert is_problem(service.stranger.get("/api/v1/status", headers={"Cookie": cookie}), 401)


def test_a_revoked_token_is_out_within_seconds(tmp_path: Path) -> None:
    with serving(tmp_path / "queuectl.db") as service, service.full.stream("GET", "/api/v1/events") as stream:
        assert stream.status_code == 200
        tokens.revoke(service.queue.store, "tests", "test-full")  # as the command line does it, in another process
        until(lambda: service.full.get("/api/v1/status").status_code == 401, "the token is out")
        assert list(stream.iter_bytes()) is not None  # and its stream ends by itself


def test_a_token_revoked_over_http_is_out_at_once(service: Service) -> None:
    made = service.full.post("/api/v1/tokens", json={"name": "short-lived", "role": "full"}).json()
    with service.client(made["token"]) as guest:
        assert guest.get("/api/v1/status").status_code == 200
        assert service.full.delete(f"/api/v1/tokens/{made['id']}").status_code == 204
        assert is_problem(guest.get("/api/v1/status"), 401)


# --- roles ----------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", [each for each in OPERATIONS.values() if each.method != "GET"], ids=label)
def test_a_read_only_token_writes_nothing(service: Service, operation: Operation[Any]) -> None:
    assert is_problem(sent(service.read_only, operation), 403)
    with service.browser("read-only") as browser:
        assert is_problem(sent(browser, operation), 403)


@pytest.mark.parametrize("path", ["/api/v1/tokens", "/api/v1/audit"])
def test_a_read_only_token_does_not_see_who_comes_in(service: Service, path: str) -> None:
    assert is_problem(service.read_only.get(path), 403)
    assert service.full.get(path).status_code == 200


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"])
def test_no_header_turns_a_look_into_an_act(service: Service, header: str) -> None:
    job = service.enqueue(held=True)
    service.read_only.get(f"/api/v1/jobs/{job['id']}", headers={header: "DELETE"})
    assert service.full.get(f"/api/v1/jobs/{job['id']}").status_code == 200


def test_a_read_only_token_sees_no_value_of_a_variable(service: Service) -> None:
    job = service.enqueue(env={"PASSWORD": "hunter2"}, held=True)
    for path in (f"/api/v1/jobs/{job['id']}", "/api/v1/jobs", "/api/v1/status"):
        assert "hunter2" not in service.read_only.get(path).text
    shown = service.read_only.get(f"/api/v1/jobs/{job['id']}").json()["env"]
    assert shown["PASSWORD"] == MASKED
    assert service.full.get(f"/api/v1/jobs/{job['id']}").json()["env"]["PASSWORD"] == "hunter2"


# --- other sites ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "127.0.0.2", "", "[::1", "0"],
)
def test_a_foreign_host_is_refused_also_with_a_token(service: Service, host: str) -> None:
    answer = service.full.get("/api/v1/status", headers={"Host": host})
    assert is_problem(answer, 403)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:99", "127.0.0.1", "[::1]:8321", "queue.example:443"])
def test_the_servers_own_names_are_taken(service: Service, host: str) -> None:
    assert service.full.get("/api/v1/status", headers={"Host": host}).status_code == 200


def test_two_hosts_or_none_are_refused(service: Service) -> None:
    token = f"Authorization: Bearer {service.tokens['full']}\r\n".encode()
    two = (
        b"GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n"
        + token
        + b"\r\n"
    )
    none = b"GET /api/v1/status HTTP/1.0\r\n" + token + b"\r\n"
    assert raw(service, two).split(b" ")[1] in (b"400", b"403")
    assert raw(service, none).split(b" ")[1] in (b"400", b"403")


def test_beyond_loopback_any_address_is_ours_but_no_foreign_name() -> None:
    hosts = Hosts("0.0.0.0", ["queue.example"])
    assert all(map(hosts.accept, ["10.1.2.3:8321", "[fe80::1]:8321", "queue.example", "Queue.Example:1", "localhost"]))
    assert not any(map(hosts.accept, ["evil.example", "10.1.2.3.evil.example", ""]))


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:1", "file://", "http://127.0.0.1"]
)
def test_a_foreign_origin_is_refused_whatever_else_it_brings(service: Service, origin: str) -> None:
    calls = (("GET", "/api/v1/status"), ("POST", "/api/v1/jobs"), ("POST", "/login"), ("GET", "/"))
    with service.browser() as browser:
        for who, (method, path) in itertools.product((service.full, browser), calls):
            answer = who.request(method, path, headers={"Origin": origin}, json={"command": "true"})
            assert is_problem(answer, 403), f"{method} {path}"


def test_a_browser_that_does_not_say_where_it_is_writes_nothing(service: Service) -> None:
    with service.browser() as browser:
        del browser.headers["Origin"]
        assert is_problem(browser.post("/api/v1/jobs", json={"command": "true"}), 403)
        assert is_problem(browser.post("/logout"), 403)
        assert browser.get("/api/v1/status").status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize(("mode", "dest"), [("no-cors", "image"), ("cors", "empty"), ("navigate", "iframe")])
def test_another_sites_page_gets_nothing_embedded(service: Service, site: str, mode: str, dest: str) -> None:
    about = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest}
    with service.browser() as browser:
        del browser.headers["Origin"]
        assert is_problem(browser.get("/api/v1/status", headers=about), 403)


def test_another_site_may_link_but_not_send_a_form(service: Service) -> None:
    about = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    with service.browser() as browser:
        del browser.headers["Origin"]
        assert browser.get("/", headers=about).status_code == 200
        assert is_problem(browser.post("/api/v1/jobs", headers=about, json={"command": "true"}), 403)


def test_no_answer_lets_another_site_read_or_frame_it(service: Service) -> None:
    answers = [service.full.get("/"), service.full.get("/api/v1/status"), service.stranger.get("/"),
               service.full.get("/nope"), service.stranger.get("/static/app.css"), service.stranger.get("/login"),
               service.full.options("/api/v1/jobs", headers={"Access-Control-Request-Method": "POST"})]  # fmt: skip
    for answer in answers:
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        policy = answer.headers["content-security-policy"]
        assert {"default-src 'none'", "frame-ancestors 'none'"} <= set(policy.split("; "))
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_a_websocket_is_refused(service: Service) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "eA==",
    }
    assert service.stranger.get("/api/v1/events", headers=upgrade).status_code == 401


def test_a_page_cannot_be_made_of_a_commands_output(service: Service) -> None:
    job = service.enqueue("echo '<script>alert(1)</script>'", held=True)
    answer = service.full.get(f"/api/v1/jobs/{job['id']}/output")
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_what_a_template_shows_is_escaped(service: Service) -> None:
    answer = service.stranger.get("/login", params={"next": "/\"><script>alert('here')</script>"})
    assert "<script>alert" not in answer.text


# --- login ----------------------------------------------------------------------------------


def test_the_cookie_is_for_this_server_alone_and_no_script_sees_it(service: Service) -> None:
    answer = service.stranger.get("/login", params={"token": service.tokens["full"]})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert {"httponly", "samesite=strict"} <= set(cookie.split("; "))
    assert "domain" not in cookie
    assert cookie.startswith(f"queuectl-{service.host.partition(':')[2]}=")
    service.stranger.cookies.clear()


@pytest.fixture
def session(service: Service) -> Iterator[str]:
    """The cookie of a browser that is logged in."""
    with service.browser() as browser:
        (cookie,) = browser.cookies.jar
        yield f"{cookie.name}={cookie.value}"


def test_the_cookie_is_no_token_and_cannot_be_altered(service: Service, session: str) -> None:
    def status(cookie: str) -> int:
        return service.stranger.get("/api/v1/status", headers={"Cookie": cookie}).status_code

    assert all(token not in session for token in service.tokens.values())
    assert status(session) == 200
    name, value = session.split("=")
    token, until_, nonce, signature = value.split(".")
    other = next(each.id for each in service.queue.tokens() if each.id != token)
    forged = [
        (token, str(int(until_) + 1), nonce, signature), (other, until_, nonce, signature),
        (token, until_, nonce[::-1], signature), (token, until_, nonce, "0" * 64), (token, until_, nonce),
    ]  # fmt: skip
    for parts in forged * FAILURES_MAX:  # none of them counts as a guess
        assert status(f"{name}={'.'.join(parts)}") == 401
    assert is_problem(service.stranger.get("/api/v1/status", headers={"Authorization": f"Bearer {value}"}), 401)
    assert status(session) == 200


def test_a_session_ends_after_its_days_and_with_its_key() -> None:
    token = Token(id="abc", digest="", name="a", role=Role.FULL, created_at=0)
    sessions = Sessions(b"one key")
    begun = sessions.begin(token)
    assert sessions.token_id(begun) == "abc"
    assert Sessions(b"another key").token_id(begun) is None
    late = Sessions(b"one key")
    late._now = lambda: SystemClock().now() + KEEP_S + 1
    assert late.token_id(begun) is None


def test_a_session_outlives_the_server_and_ends_with_its_token(tmp_path: Path) -> None:
    with serving(tmp_path / "queuectl.db") as first, first.browser() as browser:
        (cookie,) = browser.cookies.jar
    with serving(tmp_path / "queuectl.db") as second:
        told = {"Cookie": f"{second_name(second)}={cookie.value}"}
        assert second.stranger.get("/api/v1/status", headers=told).status_code == 200
        assert stat.S_IMODE((second.queue.store.folder / tokens.KEY_NAME).stat().st_mode) == 0o600
        tokens.revoke(second.queue.store, "tests", "test-full")
        until(lambda: second.stranger.get("/api/v1/status", headers=told).status_code == 401, "the session has ended")


def second_name(service: Service) -> str:
    return f"queuectl-{service.host.partition(':')[2]}"


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/\\evil.example", "\t//evil.example", "/a\nb"]
)
def test_a_login_leads_to_no_other_site(service: Service, target: str) -> None:
    with service.client(None) as guest:
        answer = guest.post("/login", data={"token": service.tokens["full"], "next": target})
        assert answer.headers["location"] == "/"


def test_guessing_ends_after_a_few_attempts_and_nobody_else_is_kept_out(tmp_path: Path) -> None:
    with serving(tmp_path / "queuectl.db") as service:
        assert service.full.get("/api/v1/status").status_code == 200
        guesses = ({"Authorization": f"Bearer guess-{number}"} for number in range(FAILURES_MAX + 2))
        answers = [service.stranger.get("/api/v1/status", headers=guess) for guess in guesses]
        assert [answer.status_code for answer in answers] == [401] * FAILURES_MAX + [429] * 2
        assert int(answers[-1].headers["retry-after"]) > 0
        late = service.stranger.post("/login", data={"token": service.tokens["read-only"]})
        assert late.status_code == 429  # right by luck: it does not count any more
        assert service.full.get("/api/v1/status").status_code == 200  # who was in stays in


def test_ten_wrong_tokens_of_one_client_lock_out_that_client_alone(tmp_path: Path) -> None:
    with serving(tmp_path / "queuectl.db", trusted=["127.0.0.1"]) as service:

        def tries(address: str, token: str) -> int:
            about = {"X-Forwarded-For": f"9.9.9.9, {address}", "Authorization": f"Bearer {token}"}
            return service.stranger.get("/api/v1/status", headers=about).status_code

        assert [tries("192.0.2.1", f"{number}-guess-number") for number in range(FAILURES_MAX)] == [401] * FAILURES_MAX
        assert tries("192.0.2.1", service.tokens["full"]) == 429
        assert tries("192.0.2.2", service.tokens["full"]) == 200
        assert tries("192.0.2.1", service.tokens["full"]) == 200  # in by now, so no guess
        for number in range(FAILURES_MAX):  # many addresses of one network are one client
            assert tries(f"2001:db8::{number}", f"{number}-another-guess") == 401
        assert tries("2001:db8::ffff", service.tokens["read-only"]) == 429
        assert tries("2001:db8:0:1::1", service.tokens["read-only"]) == 200


def test_one_token_is_not_guessed_from_many_addresses(tmp_path: Path) -> None:
    with serving(tmp_path / "queuectl.db", trusted=["127.0.0.1"]) as service:
        begin = service.tokens["full"][:PREFIX_LENGTH]

        def tries(number: int, token: str) -> int:
            about = {"X-Forwarded-For": f"192.0.2.{number}", "Authorization": f"Bearer {token}"}
            return service.stranger.get("/api/v1/status", headers=about).status_code

        answers = [tries(number, f"{begin}{number}") for number in range(FAILURES_MAX + 2)]
        assert answers == [401] * FAILURES_MAX + [429] * 2
        assert tries(200, service.tokens["read-only"]) == 200  # nobody else is kept out


@pytest.mark.parametrize("trusted", [(), ("10.0.0.0/8",)])
def test_nobody_but_a_trusted_proxy_says_who_asks(tmp_path: Path, trusted: tuple[str, ...]) -> None:
    with serving(tmp_path / "queuectl.db", trusted=trusted) as service:
        for number in range(FAILURES_MAX):
            about = {"X-Forwarded-For": f"192.0.2.{number}", "Authorization": f"Bearer {number}-a-wrong-one"}
            assert service.stranger.get("/api/v1/status", headers=about).status_code == 401
        about = {"X-Forwarded-For": "192.0.2.99", "X-Forwarded-Proto": "https"}
        assert service.full.get("/api/v1/status", headers=about).status_code == 429
        assert "strict-transport-security" not in service.stranger.get("/healthz", headers=about).headers


def test_logging_out_takes_the_cookie_away(service: Service) -> None:
    with service.browser() as browser:
        assert browser.get("/").status_code == 200
        assert browser.post("/logout").status_code == 303
        assert browser.get("/").status_code == 401


# --- size and shape -------------------------------------------------------------------------


def test_a_long_body_is_refused_before_it_is_read(service: Service) -> None:
    head = f"POST /api/v1/tokens HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {service.tokens['full']}\r\n"
    declared = f"{head}Connection: close\r\nContent-Length: {BODY_BYTES_MAX + 1}\r\n\r\n".encode()
    assert b" 413 " in raw(service, declared).splitlines()[0]


def test_a_long_body_without_a_declared_length_is_cut_off(service: Service) -> None:
    def pieces() -> Iterator[bytes]:
        yield b'{"name": "'
        for _ in range(BODY_BYTES_MAX // 8192 + 2):
            yield b"x" * 8192

    answer = service.full.post("/api/v1/tokens", content=pieces(), headers={"Content-Type": "application/json"})
    assert is_problem(answer, 413)


@pytest.mark.parametrize(
    "request_",
    [
        b"GARBAGE\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
        b"GET /%00%ff%2e%2e/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    ],
    ids=lambda request_: request_[:24],
)  # fmt: skip
def test_a_request_out_of_shape_does_no_harm(service: Service, request_: bytes) -> None:
    try:
        answer = raw(service, request_, hang_up=True)
    except ConnectionError:
        answer = b""
    assert not answer or answer.split(b" ")[1][:1] == b"4"
    assert service.full.get("/api/v1/status").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "..%2f..%2f..%2fetc/passwd",
        "%2e%2e/serve.py",
        "../app.py",
        "vendor/../../app.py",
        "//etc/passwd",
        "vendor",
        "%00",
    ],
)
def test_static_files_are_those_of_the_folder(service: Service, path: str) -> None:
    line = f"GET /static/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    assert raw(service, line).split(b" ")[1] in (b"404", b"401")


def test_deeply_nested_json_is_refused(service: Service) -> None:
    answer = service.full.post("/api/v1/jobs", content=b"[" * 100_000, headers={"Content-Type": "application/json"})
    assert is_problem(answer, 400)


def test_a_form_of_another_site_cannot_pass_for_json(service: Service) -> None:
    answer = service.full.post("/api/v1/jobs", content=b'{"command": "true"}', headers={"Content-Type": "text/plain"})
    assert is_problem(answer, 415)


# --- the command ----------------------------------------------------------------------------


def queuectl(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "queuectl", "--db", str(tmp_path / "queuectl.db"), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, env=clean_environment())


def test_the_server_stays_on_this_machine_unless_told_twice(tmp_path: Path) -> None:
    refused = queuectl(tmp_path, "serve", "--host", "0.0.0.0", "--port", "0")
    assert refused.returncode == 2
    assert "--insecure" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_the_first_token_is_for_its_owner_only(tmp_path: Path) -> None:
    with serving(tmp_path / "queuectl.db") as service:
        text = tokens.own_token(service.queue.store, "tests")
        path = service.queue.store.folder / tokens.FILE_NAME
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.read_text().strip() == text
        assert tokens.own_token(service.queue.store, "tests") == text
        service.queue.revoke_token(next(t.name for t in service.queue.tokens() if "serve" in t.name))
        assert tokens.own_token(service.queue.store, "tests") != text


def test_no_log_and_no_header_repeats_a_token(service: Service) -> None:
    token = service.tokens["full"]
    for answer in (service.full.get("/api/v1/tokens"), service.full.get("/api/v1/audit"), service.full.get("/metrics")):
        assert token not in answer.text
        assert token not in str(answer.headers)


def test_every_attack_in_the_documentation_is_a_test_here() -> None:
    named = set(ATTACKS.findall(PAGE.read_text()))
    assert named
    assert named <= set(globals())
    assert Guard.__module__ in PAGE.read_text().replace("/", ".")


def test_a_browser_that_is_not_let_in_gets_a_page(service: Service) -> None:
    accept = {"Accept": "text/html,*/*"}
    with service.browser() as browser:
        refused = browser.get("/jobs", headers={**accept, "Host": "else<where>.example"})
        assert (refused.status_code, refused.headers["content-type"]) == (403, "text/html; charset=utf-8")
        assert "is not a name of this server" in refused.text
        assert "allow it with: serve --allow-host NAME" in refused.text
        assert "<where>" not in refused.text
        places.reset_store(service.db)
        for path in ("/jobs", f"/login?token={service.tokens['full']}"):
            lost = browser.get(path, headers=accept)
            assert (lost.status_code, lost.headers["content-type"]) == (503, "text/html; charset=utf-8"), path
            assert "was removed" in lost.text
        assert browser.get("/api/v1/jobs", headers=accept).json()["code"] == "store_lost"
        assert browser.get("/jobs").json()["code"] == "store_lost"
