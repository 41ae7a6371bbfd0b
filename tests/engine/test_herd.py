"""What a new job costs a server when many workers are idle, and that none of them relies on another one to take it."""

from __future__ import annotations

import os
import re
import selectors
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from queuectl import ids
from queuectl.client.facade import Client
from queuectl.domain.lifecycle import Ended, GivenBack, begun
from queuectl.store.postgres.address import parse_address
from queuectl.store.postgres.listener import Listener
from queuectl.store.postgres.store import PostgresStore
from queuectl.store.values import Change, Heard
from queuectl.wire.requests import parse_request
from tests.builders import HOST, a_grip, a_job, an_end
from tests.hollow import Member, go_on
from tests.server import Server, new_schema, start_server
from tests.workshop import until

MANY = 40
CLAIM = re.compile(rb"LOG:  execute [^:]*: -- This transaction claims")
QUESTION = re.compile(rb"LOG:  execute [^:]*: -- Whether a claim now may find something, and when")


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that logs each statement."""
    server = start_server({"log_statement": "all", "log_min_messages": "log"})
    yield server
    server.remove()


class Idle:
    """Some idle workers of a store, which know of each other."""

    def __init__(self, url: str, folder: Path, count: int, others: int = 0) -> None:
        """`others` are known as soon as one's leases have been renewed for the first time."""
        self._selector = selectors.DefaultSelector()
        self.orders: list[float] = []
        told, never = self.orders.append, 3600.0
        self._members = [Member(url, others + number, folder, told, poll=never) for number in range(count)]
        until(lambda: self.step() and all(each.dispatcher._crew.workers >= count + others for each in self._members))
        for _ in range(50):
            self.step()

    def step(self) -> bool:
        """Steps those who are woken or whose time has come."""
        go_on(self._members, self._selector, 0.01)
        return True

    def have_looked(self) -> bool:
        """Whether they have found all that they heard of, after a step."""
        return self.step() and not any(
            each.dispatcher._commits.is_pending or each.dispatcher._claiming._turn.at < float("inf")
            for each in self._members
        )  # fmt: skip

    def close(self) -> None:
        self._selector.close()
        for each in self._members:
            each.close()


@contextmanager
def client_of(url: str, folder: Path) -> Iterator[Client]:
    client = Client(PostgresStore(url, folder))
    try:
        yield client
    finally:
        client.close()


def add_jobs(client: Client, count: int = 1) -> None:
    client.enqueue([parse_request({"command": "true"}, client.now())] * count)


def test_few_of_many_idle_workers_claim_what_one_can_take(server: Server, tmp_path: Path) -> None:
    url = new_schema(server.url)
    with client_of(url, tmp_path) as client:
        idle = Idle(url, tmp_path, MANY)
        began = server.log.stat().st_size
        add_jobs(client)
        until(lambda: idle.step() and idle.orders)
        until(idle.have_looked)
        said = server.log.read_bytes()[began:]
        idle.close()
    assert len(CLAIM.findall(said)) <= MANY / 2
    assert len(QUESTION.findall(said)) <= MANY


def test_where_there_are_jobs_for_all_workers_none_waits_for_its_turn(server: Server, tmp_path: Path) -> None:
    url = new_schema(server.url)
    with client_of(url, tmp_path) as client:
        idle = Idle(url, tmp_path, MANY)
        began = server.log.stat().st_size
        add_jobs(client, MANY)
        until(lambda: idle.step() and len(idle.orders) == MANY)
        until(idle.have_looked)
        said = server.log.read_bytes()[began:]
        idle.close()
    assert len(CLAIM.findall(said)) >= MANY
    assert not QUESTION.findall(said)


def test_a_notice_tells_whether_more_than_jobs_has_changed(server: Server, tmp_path: Path) -> None:
    url = new_schema(server.url)
    with client_of(url, tmp_path) as client, client_of(url, tmp_path) as other, psycopg.connect(server.url) as db:
        mine = client.store
        mine.changed()  # begins to listen

        def heard(do: Callable[[], object]) -> Heard:
            do()
            db.commit()
            heard = until(mine.changed)
            assert heard is not None
            return heard

        def send(text: str) -> object:
            return db.execute("SELECT pg_notify(%s, %s)", [f"queuectl_{parse_address(url).schema}", text])

        def function() -> object:
            job = '{"command": "true"}'
            return db.execute(f"SELECT {parse_address(url).schema}.enqueue(%s)".encode(), [job])

        def setting_and_job() -> None:
            with other.store.transaction():
                other.store.set_config("timeout", "6s")
                add_jobs(other)

        add_jobs(client)
        assert heard(lambda: add_jobs(other, 3)) == Heard(3, more=False)
        assert heard(lambda: other.enqueue([parse_request({"command": "true", "delay": "1h"}, 0.0)])) == (0, False)
        assert heard(lambda: other.store.set_config("timeout", "5s")).more
        assert heard(setting_and_job) == Heard(1, more=True)
        assert heard(function) == Heard(1, more=False)
        assert heard(lambda: send("olderrelea")) == Heard(1, more=True)
        assert mine.changed() is None


def test_a_worker_tells_others_how_many_jobs_it_gives_back_or_lets_start(server: Server, tmp_path: Path) -> None:
    url = new_schema(server.url)
    with client_of(url, tmp_path) as client, client_of(url, tmp_path) as other:
        mine, theirs = client.store, other.store
        mine.insert([a_job("first", at=mine.now())])
        mine.insert([begun(a_job(id, at=mine.now(), depends_on=("first",))) for id in ("b", "c", "d")])
        grip = a_grip(theirs)
        mine.changed()  # begins to listen

        def heard_of(event: Ended | GivenBack) -> Heard | None:
            (job,) = theirs.claim(grip, HOST, 1, ())
            theirs.record(grip, [Change(job, event)])
            return until(mine.changed)

        assert heard_of(GivenBack()) == Heard(1, more=False)
        assert heard_of(an_end(theirs.now())) == Heard(3, more=False)


def test_whoever_hears_of_a_new_limit_tells_when_it_frees_a_place(server: Server, tmp_path: Path) -> None:
    url = new_schema(server.url)
    with client_of(url, tmp_path) as client, client_of(url, tmp_path) as other:
        mine, theirs = client.store, other.store
        mine.insert([a_job(id, at=mine.now(), queue="q") for id in ("a", "b")])
        theirs.changed(), mine.changed()  # they begin to listen
        my_grip, their_grip = a_grip(mine, "w~1"), a_grip(theirs, "w~2")
        (job,) = theirs.claim(their_grip, HOST, 1, ())
        client.set_queue("q", concurrency=1)
        assert not mine.claim(my_grip, HOST, 1, ())
        until(theirs.changed)
        theirs.record(their_grip, [Change(job, an_end(theirs.now()))])
        assert until(mine.changed) == Heard(1, more=False)


@pytest.mark.parametrize(
    ("told", "heard"),
    [
        (["her", "him 2"], Heard(3, more=True)),
        (["him 2", "her"], Heard(3, more=True)),
        (["her 2", "", "him 0"], Heard(3, more=False)),
        (["me", "her 2", "me 5"], Heard(2, more=False)),
        (["me 5"], None),
    ],
)
def test_of_several_notices_all_jobs_count_and_any_that_says_more(told: list[str], heard: Heard | None) -> None:
    listener, left = Listener(parse_address("postgresql://nobody@localhost/none"), "channel", "me"), list(told)
    line: Any = SimpleNamespace(
        consume_input=lambda: None, notifies=lambda: SimpleNamespace(extra=left.pop(0).encode()) if left else None
    )
    hears: Any = SimpleNamespace(pgconn=line)
    assert listener._take(hears) == heard


def frozen_after_start(url: str, folder: Path, count: int, door: Connection) -> None:
    """Some workers in a process of their own, to be frozen once they have started."""
    idle = Idle(url, folder, count)
    door.send(None)
    while idle.step():
        pass


def test_whoever_is_last_in_turn_takes_a_job_that_frozen_workers_left(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hears nothing but that there is a job: no renewal and no poll tells of it in the time of the test."""
    url, frozen, context = new_schema(server.url), 11, get_context("spawn")
    ours, theirs = context.Pipe()
    with client_of(url, tmp_path) as client:
        words = (url, tmp_path / "theirs", frozen, theirs)
        process = context.Process(target=frozen_after_start, args=words, daemon=True)
        process.start()
        try:
            ours.recv()
            client.store.set_config("lease-ttl", "24h")
            last = Idle(url, tmp_path / "ours", 1, others=frozen)
            assert process.pid is not None
            os.kill(process.pid, signal.SIGSTOP)
            monkeypatch.setattr(ids, "draw", lambda: 1 - 1e-9)
            add_jobs(client)
            until(lambda: last.step() and last.orders)
            last.close()
        finally:
            process.kill()
            process.join()
