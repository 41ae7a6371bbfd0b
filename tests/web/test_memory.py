"""What the server keeps in memory is bounded, whatever the store holds."""

from __future__ import annotations

import asyncio
import re
import threading
from functools import partial
from pathlib import Path
from typing import Any, cast

import httpx

from queuectl.client.facade import Client
from queuectl.client.figures import Counted
from queuectl.domain.errors import StoreUnavailable
from queuectl.store.sqlite.store import CACHE_KIB, SqliteStore
from queuectl.web.app import create_app
from queuectl.web.ask import THREADS, Clients
from queuectl.web.feed import snapshot
from queuectl.web.serve import open_client
from queuectl.wire.requests import JobRequest
from tests.workshop import PATIENCE_S, until

PAGES = (
    "/", "/chart?range=30d&show=run", "/chart?queue=default", "/jobs", "/jobs?sort=took", "/failures", "/dlq",
    "/queues", "/queues/default", "/locks", "/batches", "/schedules", "/workers", "/settings", "/access",
)  # fmt: skip


def database(client: Client) -> Any:
    """The connection of a client to its file."""
    return cast("SqliteStore", client.store)._db


def has_ended(clients: Clients) -> bool:
    """Whether none of its threads runs any more: none is using or closing a client, which is for one thread."""
    return not any(thread.is_alive() for thread in clients._pool._threads)


def is_closed(client: Client) -> bool:
    """Whether its store no longer answers."""
    try:
        client.counts()
    except StoreUnavailable:
        return True
    return False


def test_no_statement_of_the_server_keeps_all_that_it_groups(tmp_path: Path) -> None:
    """SQLite sorts what is to be grouped unless an index has it in order; some builds of it always do so in memory."""
    told: set[str] = set()

    def traced() -> Client:
        client = open_client(str(tmp_path / "queuectl.db"))
        database(client).set_trace_callback(told.add)
        return client

    async def look() -> None:
        with_token = {"Authorization": f"Bearer {token}"}
        transport = httpx.ASGITransport(create_app(traced))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=with_token) as asking:
            paths = (await asking.get("/openapi.json")).json()["paths"]
            reading = [path for path, methods in paths.items() if "get" in methods and "{" not in path]
            for path in (*PAGES, *reading):
                if path not in ("/api/v1/events", "/api/v1/schedule-preview"):  # without an end; without what it needs
                    (await asking.get(path)).raise_for_status()

    client = traced()
    assert database(client).execute("PRAGMA cache_size").fetchone() == (-CACHE_KIB,)
    token = client.own_token()
    client.enqueue([JobRequest(command="true")])
    snapshot(client, Counted())
    asyncio.run(look())
    brief = "INDEXED BY jobs_due"  # what is due is there only until a worker looks
    grouped = [text for text in told if re.search(r"\bGROUP BY\b", text) and brief not in text]
    assert grouped
    for text in grouped:
        plan = [step for *_, step in database(client).execute(f"EXPLAIN QUERY PLAN {text}")]
        assert not any("TEMP B-TREE FOR GROUP BY" in step for step in plan), text
    client.close()


def test_calls_one_after_the_other_share_a_client_and_the_others_are_closed(tmp_path: Path) -> None:
    used: list[Client] = []
    at_once = threading.Barrier(THREADS)

    def use(client: Client) -> None:
        used.append(client)

    def use_at_once(client: Client) -> None:
        at_once.wait(PATIENCE_S)
        use(client)

    async def run() -> Clients:
        clients = Clients(partial(open_client, str(tmp_path / "queuectl.db")), idle_s=0.0)
        await asyncio.gather(*(clients.run("me", use_at_once) for _ in range(THREADS)))
        for _ in range(2 * THREADS):
            await clients.run("me", use)
        clients.close()
        return clients

    clients = asyncio.run(run())
    assert len({id(client) for client in used[:THREADS]}) == THREADS
    assert len({id(client) for client in used[THREADS:]}) == 1
    until(lambda: has_ended(clients), "the threads end")
    assert all(is_closed(client) for client in used)


def test_the_first_request_finds_the_store_open(tmp_path: Path) -> None:
    opened = list[Client]()

    def open_one() -> Client:
        opened.append(open_client(str(tmp_path / "queuectl.db")))
        return opened[-1]

    async def run() -> Clients:
        app = create_app(open_one, "127.0.0.1")
        async with app.router.lifespan_context(app):
            await asyncio.to_thread(until, lambda: opened, "it is open though nobody has asked")
        return cast("Clients", app.state.clients)

    clients = asyncio.run(run())
    until(lambda: has_ended(clients), "the threads end")
    assert all(is_closed(client) for client in opened)
