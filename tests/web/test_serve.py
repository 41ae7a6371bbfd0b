"""`queuectl serve` as a process: how it starts, what it prints, how it ends."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest

from queuectl import program
from queuectl.client import copying
from queuectl.store.sqlite.store import SqliteStore
from queuectl.web import rendering, serve
from queuectl.web.serve import bound
from tests.goldens.test_schemas import closed
from tests.needs import lacks
from tests.web.service import TLS, Service
from tests.workshop import PATIENCE_S, clean_environment

LISTENERS = 20
KEPT_KB_MAX = 3 << 10
"""They were 15 MiB when the garbage collector was left as it is."""


@contextmanager
def served(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """A server process, its address and its token."""
    command = [sys.executable, "-m", "queuectl", "--db", str(folder / "queuectl.db"), "--json", "serve", "--port", "0"]
    process = subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean_environment()
    )
    try:
        assert process.stdout
        said = ""
        while not said.endswith("}\n"):
            line = process.stdout.readline()
            assert line, process.stderr.read() if process.stderr else ""
            said += line
        place = json.loads(said)
        closed("serve").validate(place)
        yield process, place["url"], place["login"].partition("token=")[2]
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_commands_on_pages_and_in_hints_are_on_the_store_that_is_served(tmp_path: Path) -> None:
    main, other = (f"queuectl --db {tmp_path / name} " for name in ("queuectl.db", "other.db"))
    with served(tmp_path, "--also", f"other={_made(tmp_path / 'other.db')}") as (_, url, token):
        for below, begin in (("", main), ("/stores/other", other)):
            ask = partial(httpx.get, headers={"Authorization": f"Bearer {token}", "Accept": "text/html"})
            assert f"<code>{begin}worker start --count 2</code>" in ask(f"{url}{below}/workers").text
            assert f"<code>{begin}enqueue -- echo hello</code>" in ask(f"{url}{below}/jobs").text
            assert ask(f"{url}{below}/api/v1/jobs/nope").json()["hint"] == f"see the ids with: {begin}list"
            assert f"see the ids with: {begin}list" in ask(f"{url}{below}/jobs/nope").text


def _made(path: Path) -> Path:
    """A store."""
    SqliteStore(path).close()
    return path


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_server_in_time_though_many_watch(tmp_path: Path, number: signal.Signals) -> None:
    with served(tmp_path) as (process, url, token), ExitStack() as watchers:
        headers = {"Authorization": f"Bearer {token}"}
        for _ in range(LISTENERS):
            client = watchers.enter_context(httpx.Client(timeout=PATIENCE_S, headers=headers, verify=TLS))
            watchers.enter_context(client.stream("GET", f"{url}/api/v1/events?topics=snapshot"))
        job = client.post(f"{url}/api/v1/jobs", json={"command": "true"}).json()["id"]
        watchers.enter_context(client.stream("GET", f"{url}/api/v1/jobs/{job}/output/stream"))
        process.send_signal(number)
        assert process.wait(serve.KEEP_ALIVE_S) == 0  # it waits for none of them
        assert process.stderr
        assert "Traceback" not in process.stderr.read()


def test_the_server_keeps_no_old_requests(tmp_path: Path) -> None:
    with (
        served(tmp_path) as (process, url, token),
        httpx.Client(headers={"Authorization": f"Bearer {token}"}, verify=TLS) as client,
    ):
        jobs = [{"command": f"echo {number}", "delay": "1h"} for number in range(100)]
        assert client.post(f"{url}/api/v1/jobs", json=jobs).is_success

        def memory_after(requests: int) -> int:
            for _ in range(requests):
                assert client.get(f"{url}/jobs", headers={"HX-Request": "true"}).is_success
            status = Path(f"/proc/{process.pid}/status").read_text()
            return int(status.partition("RssAnon:")[2].split()[0])

        first = memory_after(20)
        assert memory_after(150) - first < KEPT_KB_MAX


def test_the_address_it_prints_logs_a_browser_in(tmp_path: Path) -> None:
    with served(tmp_path) as (_, url, token), httpx.Client(follow_redirects=True, verify=TLS) as browser:
        page = browser.get(f"{url}/login", params={"token": token}, headers={"Accept": "text/html"})
        assert page.status_code == 200
        assert str(page.url) == f"{url}/"
        assert str(tmp_path / "queuectl.db") in page.text
        assert token not in page.text


def test_no_first_request_waits_for_a_template(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: dict[tuple[object, str], object] = {}
    monkeypatch.setattr(rendering.templates, "cache", compiled)
    serve._warm_up()
    assert {name for _, name in compiled} == set(program.names(rendering.FOLDER))


def test_a_second_start_prints_the_same_token(tmp_path: Path) -> None:
    with served(tmp_path) as (_, _, first):
        pass
    with served(tmp_path) as (_, _, second):
        assert first == second


def test_a_port_that_is_taken_is_said_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "queuectl", "--db", str(tmp_path / "q.db"), "serve", "--port", port]
        ended = subprocess.run(command, capture_output=True, text=True, env=clean_environment(), timeout=PATIENCE_S)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"queuectl: cannot listen on 127.0.0.1 port {port}")
    assert len(ended.stderr.splitlines()) == 1


def test_an_answer_does_not_wait_for_the_receipt_of_its_first_half() -> None:
    """Only a socket that says it is TCP is told not to (TCP_NODELAY); otherwise each answer takes 40 ms more."""
    with bound("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_beyond_this_machine_it_warns_loudly_even_if_told(tmp_path: Path) -> None:
    with served(tmp_path, "--host", "0.0.0.0", "--insecure") as (process, _, token):
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=PATIENCE_S)
        assert "WARNING" in said
        assert token


def test_a_certificate_that_cannot_be_used_is_refused_before_anything_is_served(tmp_path: Path) -> None:
    (tmp_path / "junk").write_text("no certificate")
    for path in (tmp_path / "junk", tmp_path / "gone", tmp_path):
        refused = pytest.raises(AssertionError, match=f"cannot use --cert {path}")
        with refused, served(tmp_path, "--cert", str(path), "--key", str(path)):
            pass


def test_with_a_certificate_it_speaks_https_and_the_cookie_is_secure(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    if shutil.which("openssl") is None:
        lacks("openssl", "apt-get install openssl")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(cert)],
        capture_output=True, check=True,
    )  # fmt: skip
    options = ("--host", "localhost", "--cert", str(cert), "--key", str(key))
    with served(tmp_path, *options) as (_, url, token):
        assert url.startswith("https://localhost:")
        with httpx.Client(verify=ssl.create_default_context(cafile=str(cert))) as browser:
            answer = browser.get(f"{url}/login", params={"token": token})
            assert "secure" in answer.headers["set-cookie"].lower().split("; ")
            assert "strict-transport-security" in answer.headers
            assert browser.get(f"{url}/api/v1/status").status_code == 200


def test_a_server_of_a_store_that_has_moved_says_where(service: Service, tmp_path: Path) -> None:
    service.enqueue(id="a", held=True)
    place = str(tmp_path / "new.db")
    copying.copy(service.queue, place, keep=False, replace=False, say=lambda _line: None, progress=None)
    asked = [
        service.full.get("/api/v1/jobs"), service.full.get("/api/v1/jobs/a/output"),
        service.full.post("/api/v1/jobs/a/cancel"),
        service.full.put("/api/v1/config/timeout", json={"value": "1h"}), service.stranger.get("/readyz"),
    ]  # fmt: skip
    for answer in asked:
        assert (answer.status_code, answer.json()["code"]) == (503, "store_lost")
        assert f"has moved to {place}" in answer.text
