"""Fires of schedules that need what somebody else has in hand on a server: nobody waits in a circle, and a worker goes
on with all else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from threading import Thread
from typing import Any

import psycopg
import pytest

from queuectl.client import schedules
from queuectl.domain.job import JobState
from queuectl.domain.scheduled import Fire
from queuectl.domain.selector import Selector
from queuectl.domain.unique import Rule
from queuectl.engine.dispatch.fires import Fires
from queuectl.store.arrivals import Arrival
from queuectl.store.postgres.address import parse_address
from queuectl.store.postgres.store import PostgresStore
from tests.builders import HOST, NOON, ManualClock, a_grip, a_job
from tests.server import drop_schema, new_schema
from tests.workshop import open_workshop, until

KEYED = {"command": "true", "unique_key": "k", "on_conflict": "replace"}


@pytest.fixture
def url(postgres_server: str) -> Iterator[str]:
    url = new_schema(postgres_server)
    yield url
    drop_schema(url)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(url: str, clock: ManualClock, tmp_path: Path) -> Iterator[PostgresStore]:
    """A worker's session."""
    with closing(PostgresStore(url, tmp_path, clock)) as store:
        store.wait_at_most(5.0)
        yield store


@pytest.fixture
def other(url: str, clock: ManualClock, tmp_path: Path, store: PostgresStore) -> Iterator[PostgresStore]:
    """Somebody else's."""
    with closing(PostgresStore(url, tmp_path, clock)) as other:
        other.wait_at_most(5.0)
        yield other


@pytest.fixture
def application(url: str, store: PostgresStore) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    address = parse_address(url)
    with psycopg.connect(address.server) as db:
        db.execute(f'SET search_path = "{address.schema}"')
        db.commit()
        yield db


@pytest.fixture
def waits(postgres_server: str) -> Iterator[Callable[[PostgresStore], None]]:
    """Waits until a session waits for a lock."""
    with psycopg.connect(postgres_server, autocommit=True) as db:

        def is_blocked(store: PostgresStore) -> None:
            pid = store._line.open().info.backend_pid
            text = "SELECT cardinality(pg_blocking_pids(%s)) > 0"
            until(lambda: db.execute(text, [pid]).fetchone() == (True,), "a session to wait")

        yield is_blocked


@pytest.mark.parametrize("overlap", ["queue", "replace"])
def test_a_fire_and_a_replacement_with_one_key_do_not_wait_in_a_circle(
    store: PostgresStore, other: PostgresStore, clock: ManualClock, waits: Callable[[PostgresStore], None],
    overlap: str, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("queuectl.store.shared.schedules.PATIENCE_S", 60.0)
    schedules.add(store, "ada", "tick", KEYED, every=60, overlap=overlap)
    clock.forward(60)
    assert Fires(store).fire() == (1, 1)
    if overlap == "queue":  # one that runs is waited for
        assert store.claim(a_grip(store), HOST, 1, ())
    clock.forward(60)
    fired: list[tuple[int, int]] = []
    firing = Thread(target=lambda: fired.append(Fires(store).fire()))
    with other.transaction():
        other._select("SELECT 1 FROM {schema}.unique_keys WHERE key = 'k' FOR UPDATE")  # as the replacement does
        firing.start()
        waits(store)
        other.admit([Arrival(a_job("new", at=clock.at, unique_key="k"), Rule.REPLACE)])
    firing.join()
    assert [looked for looked, _ in fired] == [1]
    assert [fire.at for fire in store.fires("tick", 1)] == [NOON + 120]


def test_an_application_that_holds_a_key_stops_neither_a_worker_nor_other_schedules(url: str, tmp_path: Path) -> None:
    address = parse_address(url)
    with open_workshop(tmp_path, url) as shop, psycopg.connect(address.server) as application:
        schedules.add(shop.store, "ada", "blocked", {"command": "true", "unique_key": "k"}, every=1)
        schedules.add(shop.store, "ada", "other", {"command": "true"}, every=1)
        keyed = json.dumps({"command": "true", "unique_key": "k", "held": True})
        application.execute(f'SELECT "{address.schema}".enqueue(%s)', [keyed])
        shop.worker(2)
        shop.finished(shop.enqueue("true"))
        done = (JobState.COMPLETED,)
        until(lambda: shop.store.count(Selector(schedules=("other",), states=done)) >= 2, "the other schedule to run")
        shop.finished(shop.enqueue("true"))
        assert not shop.store.fires("blocked", 10)
        application.rollback()
        until(lambda: shop.store.count(Selector(schedules=("blocked",), states=done)), "the schedule to run")


def test_whoever_runs_a_schedule_by_hand_and_its_fire_do_not_wait_in_a_circle(
    store: PostgresStore, other: PostgresStore, clock: ManualClock, waits: Callable[[PostgresStore], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("queuectl.store.shared.schedules.PATIENCE_S", 60.0)
    schedules.add(store, "ada", "tick", KEYED, every=60)
    clock.forward(60)
    running = Thread(target=schedules.run, args=(other, "ada", "tick"))
    with store.transaction():
        assert store.due_schedules(clock.at, 1)  # as a fire begins
        running.start()
        waits(other)
        store.admit([Arrival(a_job("new", at=clock.at, unique_key="k"), Rule.REPLACE)])
        store.insert([a_job("new", at=clock.at, unique_key="k")])
    running.join()
    assert [fire.reason for fire in store.fires("tick", 5)] == ["run by ada"]


def test_a_schedule_that_is_deleted_while_it_fires_leaves_nothing(
    store: PostgresStore, other: PostgresStore, clock: ManualClock, waits: Callable[[PostgresStore], None]
) -> None:
    schedules.add(store, "ada", "tick", {"command": "true"}, every=60)
    clock.forward(60)
    Fires(store).fire()
    clock.forward(60)
    deleting = Thread(target=other.delete_schedule, args=("tick",))
    with store.transaction():
        assert store.due_schedules(clock.at, 1)
        deleting.start()
        waits(other)
        store.add_fires([Fire("tick", clock.at, clock.at, clock.at, None, "skipped")])
    deleting.join()
    assert not store.fires("tick", 5)
