"""Who waits over HTTP is told when the store will not come back, and waits on while it may."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from queuectl import Client, StoreUnavailable, places
from queuectl.client import copying
from queuectl.client.remote.client import RemoteClient
from queuectl.client.remote.connection import NoAnswer, RemoteConnection
from queuectl.domain.errors import StoreLost
from tests.web.service import Service, serving
from tests.workshop import PATIENCE_S, until

AnyClient = Client | RemoteClient
WAITS: dict[str, Callable[[AnyClient], Any]] = {
    "wait": lambda client: client.wait("a"),
    "any": lambda client: client.wait(["a", "b"], any=True),
    "batch": lambda client: client.wait_batch("night"),
    "follow": lambda client: list(client.follow("a")),
}


def move(service: Service, folder: Path) -> str:
    copying.copy(
        service.queue, str(folder / "new.db"), keep=False, replace=False, say=lambda _line: None, progress=None
    )
    return "has moved to"


def remove(service: Service, folder: Path) -> str:
    places.reset_store(service.db)
    return "was removed"


@pytest.mark.parametrize("lose", [move, remove])
@pytest.mark.parametrize("kind", ["here", "afar"])
def test_a_wait_on_a_store_that_is_lost_ends(service: Service, tmp_path: Path, lose: Any, kind: str) -> None:
    for id in "ab":
        service.enqueue(id=id, held=True, batch="night")
    client: AnyClient = Client(service.db) if kind == "here" else Client.remote(service.url, service.tokens["full"])
    threads = ThreadPoolExecutor(len(WAITS))
    with client:
        waits = {name: threads.submit(wait, client) for name, wait in WAITS.items()}
        with pytest.raises(TimeoutError):
            client.wait("a", timeout=0.5)  # the others have begun by now
        why = lose(service, tmp_path)
        told = {name: each.exception(PATIENCE_S) for name, each in waits.items()}
    threads.shutdown(wait=False)  # who still waits does so until the server ends
    assert {type(error) for error in told.values()} <= {StoreLost, *StoreLost.__subclasses__()}, told
    assert all(why in str(error) for error in told.values()), told


def test_a_wait_for_a_batch_goes_on_when_the_store_is_back(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    service.enqueue(id="a", batch="night")
    really, asked = RemoteConnection.read, list[str]()

    def read(self: RemoteConnection, *given: Any, **more: Any) -> bytes:
        asked.append("")
        if len(asked) == 2:
            raise StoreUnavailable("the store is away")
        return really(self, *given, **more)

    monkeypatch.setattr(RemoteConnection, "read", read)
    with Client.remote(service.url, service.tokens["full"]) as client, ThreadPoolExecutor(1) as thread:
        waits = thread.submit(client.wait_batch, "night")
        until(lambda: len(asked) > 2 or waits.done())
        service.full.post("/api/v1/jobs/a/cancel")
        assert waits.result(PATIENCE_S).is_done


@pytest.mark.parametrize("tail", [None, 1])
def test_a_stream_that_the_server_ends_is_followed_on_where_it_ended(tmp_path: Path, tail: int | None) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    waiting = [f"until [ -e {gate} ]; do sleep 0.02; done; echo ü {gate.name}" for gate in (first, second)]
    with serving(tmp_path / "queuectl.db", listen_s_max=0.3) as service, Client(service.db) as local:
        service.enqueue("; ".join(["echo early; echo late", *waiting]), id="a")
        said, ended = b"", 0
        with Client.remote(service.url, service.tokens["full"]) as client, ExitStack() as stack:
            local.start_worker(1)
            stack.callback(local.stop_workers, now=True)
            until(lambda: local.output("a") == b"early\nlate\n")
            for stream, data in client.follow("a", tail=tail, ticks=True):
                said += data
                ended += not stream
                if ended == 1:
                    first.touch()
                if ended == 3:
                    second.touch()
    assert said.decode() == ("" if tail else "early\n") + "late\nü first\nü second\n"


@pytest.mark.parametrize("kind", WAITS)
def test_a_wait_goes_on_when_the_server_restarts(tmp_path: Path, kind: str) -> None:
    db = tmp_path / "queuectl.db"
    with ExitStack() as stack:
        with serving(db) as service:
            for id in "ab":
                service.enqueue(id=id, held=True, batch="night")
            port = int(service.host.rpartition(":")[2])
            client = stack.enter_context(Client.remote(service.url, service.tokens["full"]))
            threads = stack.enter_context(ThreadPoolExecutor(1))
            asked = Counter[str]()
            stack.enter_context(counting(asked))
            waits = threads.submit(WAITS[kind], client)
            until(lambda: asked["read"] > 2 or asked["events"] or waits.done())
        until(lambda: asked["away"] > 1 or waits.done())
        with serving(db, port=port) as service:
            for id in "ab":
                service.full.post(f"/api/v1/jobs/{id}/cancel")
            waits.result(PATIENCE_S)


@contextmanager
def counting(asked: Counter[str]) -> Iterator[None]:
    """Counts what is asked of servers, and how often nobody is there."""
    read, events = RemoteConnection.read, RemoteConnection.events

    def counted(name: str, found: Callable[[], Any]) -> Any:
        try:
            answer = found()
        except NoAnswer:
            asked["away"] += 1
            raise
        asked[name] += 1
        return answer

    def streamed(self: RemoteConnection, *given: Any, **more: Any) -> Iterator[Any]:
        with closing(events(self, *given, **more)) as stream:
            while event := counted("events", lambda: next(stream, None)):
                yield event

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RemoteConnection, "read", lambda *given, **more: counted("read", lambda: read(*given, **more)))
        patch.setattr(RemoteConnection, "events", streamed)
        yield


def test_a_proxy_before_a_server_that_is_away_is_no_answer() -> None:
    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(502)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Proxy) as server, ThreadPoolExecutor(1) as thread:
        thread.submit(server.handle_request)
        url = f"http://127.0.0.1:{server.server_port}"
        with Client.remote(url, "token") as client, pytest.raises(NoAnswer, match="answers 502 Bad Gateway"):
            client.status()
