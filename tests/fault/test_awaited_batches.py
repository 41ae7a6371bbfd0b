"""Batches whose last jobs go while somebody comes to wait for them on a server: no dependent is stranded."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from queuectl.domain.job import JobState
from queuectl.domain.lifecycle import CancelRequested, Retried, begun
from queuectl.domain.unique import Rule
from queuectl.store.arrivals import Arrival
from queuectl.store.postgres.store import PostgresStore
from queuectl.store.shared.batch_ends import settle_listed
from tests.builders import a_job
from tests.server import drop_schema, new_schema

PENDING, BLOCKED = JobState.PENDING, JobState.BLOCKED


@pytest.fixture
def stores(postgres_server: str, tmp_path: Path) -> Iterator[tuple[PostgresStore, PostgresStore, PostgresStore]]:
    """Three sessions of one store."""
    url = new_schema(postgres_server)
    with (
        closing(PostgresStore(url, tmp_path)) as one,
        closing(PostgresStore(url, tmp_path)) as two,
        closing(PostgresStore(url, tmp_path)) as three,
    ):
        yield one, two, three
    drop_schema(url)


def cancel(store: PostgresStore) -> None:
    store.change(["a"], CancelRequested(), "ada")


def expire(store: PostgresStore) -> None:
    from queuectl.store.shared.gates import expire

    assert expire(store, store.now() + 3600)


def replace(store: PostgresStore) -> None:
    store.admit([Arrival(a_job("new", at=store.now(), unique_key="k", batch="other", held=True), Rule.REPLACE)])


def replace_in_sql(store: PostgresStore) -> None:
    job = {"command": "true", "unique_key": "k", "on_conflict": "replace", "batch": "other"}
    store._select("SELECT {schema}.enqueue(?)", [json.dumps(job)])


def come_to_wait(store: PostgresStore, way: str, ref: str) -> None:
    if way == "sql":
        job = {"id": "next", "command": "true", "depends_on": [ref]}
        store._select("SELECT {schema}.enqueue(?)", [json.dumps(job)])
    else:
        store.insert([begun(a_job("next", at=store.now(), depends_on=(ref,)))])


@pytest.mark.parametrize("way", ["queuectl", "sql"])
@pytest.mark.parametrize("goes", [cancel, expire, replace, replace_in_sql])
def test_a_dependent_added_while_the_last_waiting_job_goes_is_not_stranded(
    stores: tuple[PostgresStore, PostgresStore, PostgresStore], goes: Callable[[PostgresStore], None], way: str
) -> None:
    store, other, third = stores
    now = store.now()
    first = a_job("a", at=now, batch="b", unique_key="k", start_by=now + 3600, held=True)
    store.insert([job for job, _ in store.admit([Arrival(first)])])
    with store.transaction():
        goes(store)
        store._settle_ends()  # nobody waits yet
        come_to_wait(other, way, "batch:b:any")
        third.settle()  # somebody looks before it is gone
    third.settle()
    assert store.get("next").state is PENDING
    assert not store._select("SELECT 1 FROM {schema}.settlements")


@pytest.mark.parametrize("way", ["queuectl", "sql"])
def test_a_dependent_of_a_failed_batch_added_while_its_job_is_retried_waits_for_it(
    stores: tuple[PostgresStore, PostgresStore, PostgresStore], way: str
) -> None:
    store, other, third = stores
    store.insert([a_job("a", at=store.now(), batch="b", held=True)])
    cancel(store)
    with store.transaction():
        store.change(["a"], Retried(), "ada")
        store._settle_ends()
        come_to_wait(other, way, "batch:b")
        third.settle()
        assert third.get("next").error == "batch b has failed"
    third.settle()
    assert store.get("next").state is BLOCKED
    store.change(["a"], CancelRequested(), "ada")
    store.settle()
    assert store.get("next").error == "batch b has failed"


def test_a_look_at_a_batch_that_somebody_changes_holds_up_nobody(
    stores: tuple[PostgresStore, PostgresStore, PostgresStore],
) -> None:
    store, other, third = stores
    for each in stores:
        each.wait_at_most(0.5)
    store.insert([a_job(id, at=store.now(), batch="b", held=True) for id in ("a", "c")])
    come_to_wait(store, "queuectl", "batch:b:any")
    with store.transaction(), third.transaction():
        cancel(store)
        store._settle_ends()
        assert not settle_listed(third)  # it is looked at again
        third._select("SELECT 1")
        other.change(["c"], CancelRequested(), "ada")
    third.settle()
    assert store.get("next").state is PENDING
