"""What idle workers ask of a server: next to nothing but that their leases hold."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server import Server, new_schema, start_server
from tests.workshop import open_workshop, until

STATEMENT = re.compile(r"LOG:  (?:execute [^:]*|statement): (.*)")
RENEWAL = "-- Puts off the expiry"
RENEWALS = 6
BESIDES = 8
"""Statements of one worker's pruning, which comes once a minute, and of one look at the others."""


@pytest.fixture
def log() -> Iterator[tuple[Server, Path]]:
    """A server that logs each statement, and where."""
    server = start_server({"log_statement": "all", "log_min_messages": "log"})
    yield server, server.log
    server.remove()


def statements(log: Path, after: int) -> Counter[str]:
    return Counter(STATEMENT.findall(log.read_bytes()[after:].decode()))


def test_an_idle_worker_sends_one_statement_for_each_renewal(log: tuple[Server, Path], tmp_path: Path) -> None:
    server, path = log
    with open_workshop(tmp_path, new_schema(server.url)) as shop:
        shop.store.set_config("lease-ttl", "10s")
        shop.worker(2)
        shop.worker(2, XDG_STATE_HOME=str(tmp_path / "another host"))
        shop.finished(shop.enqueue("true"))
        began = path.stat().st_size

        def renewals() -> int:
            return sum(n for text, n in statements(path, began).items() if text.startswith(RENEWAL))

        until(lambda: renewals() >= 4)  # they have looked at each other
        began = path.stat().st_size
        until(lambda: renewals() >= 2 * RENEWALS)
        sent = statements(path, began)
        assert sum(sent.values()) <= 2 * (RENEWALS + BESIDES), sent
