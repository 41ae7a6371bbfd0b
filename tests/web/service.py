"""A real server on a loopback port, in a thread of this process, with its store and two tokens."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette

from queuectl.client import tokens as access
from queuectl.client.facade import Client
from queuectl.web.app import create_app, end_streams
from queuectl.web.serve import KEEP_ALIVE_S, bound, open_client
from tests.workshop import PATIENCE_S, until

TLS = ssl.create_default_context()
"""One for all clients, none of which speaks TLS: making one for each takes longer than to start a server."""


class Service:
    """What a test talks to: `full` and `read_only` send their tokens with every request, `stranger` none."""

    def __init__(self, url: str, db: str, tokens: dict[str, str], app: Starlette) -> None:
        self.url = url
        self.app = app
        self.db = db
        self.tokens = tokens
        self.full = self.client(tokens["full"])
        self.read_only = self.client(tokens["read-only"])
        self.stranger = self.client(None)
        self.queue: Client = open_client(db)

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")

    def client(self, token: str | None) -> httpx.Client:
        """Somebody who comes with this token, or with none."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=PATIENCE_S, verify=TLS)

    @contextmanager
    def browser(self, role: str = "full") -> Iterator[httpx.Client]:
        """Somebody logged in, whose cookie is sent with every request, and who says which page they are on."""
        with self.client(None) as browser:
            assert browser.post("/login", data={"token": self.tokens[role]}).status_code == 303
            browser.headers["Origin"] = self.url
            yield browser

    def enqueue(self, command: str | list[str] = "true", **fields: Any) -> dict[str, Any]:
        """A job, added over HTTP."""
        answer = self.full.post("/api/v1/jobs", json={"command": command, **fields})
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def close(self) -> None:
        for each in (self.full, self.read_only, self.stranger, self.queue):
            each.close()


@contextmanager
def serving(db: str | Path, listen_s_max: float = PATIENCE_S, port: int = 0, **more: Any) -> Iterator[Service]:
    """A server that is ended at the end. `more` goes to `create_app`."""
    with bound("127.0.0.1", port) as listener:
        open_client(str(db)).close()
        app = create_app(
            partial(open_client, str(db), make=False), "127.0.0.1", ["queue.example"], listen_s_max, **more
        )
        server = uvicorn.Server(
            uvicorn.Config(
                app, ws="none", lifespan="on", log_config=None, access_log=False, proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_S, timeout_graceful_shutdown=1,
            )
        )  # fmt: skip
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            until(lambda: server.started, "the server starts")
            owner = open_client(str(db))
            known = {token.name for token in owner.tokens()}
            tokens = {
                role: access.create(owner.store, "tests", f"test-{role}{len(known) or ''}", role)[1]
                for role in ("full", "read-only")
            }
            owner.close()
            service = Service(f"http://127.0.0.1:{listener.getsockname()[1]}", str(db), tokens, app)
            try:
                yield service
            finally:
                service.close()
        finally:
            end_streams(app)
            server.should_exit = True
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), "the server does not end"
