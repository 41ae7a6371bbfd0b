"""Limits of batches that are set on a server while their jobs end, or are removed: nobody waits in a circle."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Thread

import psycopg
import pytest

from queuectl.domain.job import JobState
from queuectl.domain.lifecycle import CancelRequested, begun
from queuectl.domain.selector import Selector
from queuectl.domain.unique import Rule
from queuectl.store.arrivals import Arrival
from queuectl.store.batches import BatchLimits
from queuectl.store.postgres.store import PostgresStore
from queuectl.store.values import Change
from queuectl.wire.requests import parse_request
from tests.builders import HOST, a_grip, a_job, an_end
from tests.server import drop_schema, new_schema
from tests.workshop import until


@pytest.fixture
def stores(postgres_server: str, tmp_path: Path) -> Iterator[tuple[PostgresStore, PostgresStore]]:
    """Two sessions of one store: one that the test drives, and another one's."""
    url = new_schema(postgres_server)
    with closing(PostgresStore(url, tmp_path)) as store, closing(PostgresStore(url, tmp_path)) as other:
        yield store, other
    drop_schema(url)


def test_a_limit_does_not_wait_for_the_end_of_a_job_that_counts(stores: tuple[PostgresStore, PostgresStore]) -> None:
    """A worker records it in the transaction of its next claim, which waits for the limit."""
    worker, people = stores
    worker.insert([a_job("a", at=worker.now(), batch="b")])
    people.set_batch("b", 1, None)
    grip = a_grip(worker)
    (job,) = worker.claim(grip, HOST, 1, ())
    people.wait_at_most(0.5)
    with worker.transaction():
        worker.record(grip, [Change(job, an_end(worker.now()))])
        people.set_batch("b", 2, None)
    assert worker.held() == {}


def test_a_limit_and_a_removal_do_not_wait_for_each_other(
    stores: tuple[PostgresStore, PostgresStore], postgres_server: str
) -> None:
    store, other = stores
    store.insert([a_job("a", at=store.now(), batch="b", locks=("x",))])
    store.insert([begun(a_job("next", at=store.now(), depends_on=("batch:b",)))])
    pid = other._line.open().info.backend_pid
    setting = Thread(target=other.set_batch, args=("b", 1, None))
    with psycopg.connect(postgres_server, autocommit=True) as db:

        def waits() -> bool:
            return db.execute("SELECT cardinality(pg_blocking_pids(%s)) > 0", [pid]).fetchone() == (True,)

        with store.transaction():
            store._hold_gates()  # as a removal does
            store._select("SELECT 1")  # waits for the answer
            setting.start()
            until(waits, "whoever sets the limit to wait")
            store.delete(["a"])
    setting.join()
    assert store.at_most("b") == 1


def test_new_jobs_under_the_limits_of_before_block_no_removal(stores: tuple[PostgresStore, PostgresStore]) -> None:
    store, other = stores
    store.insert([a_job("a", at=store.now(), batch="b", locks=("x",))])
    store.insert([begun(a_job("next", at=store.now(), depends_on=("batch:b",)))])
    store.set_batch("b", 1, "2")
    other.wait_at_most(0.5)
    with store.transaction():
        store.set_batch("b", 1, "2")
        store._select("SELECT 1")
        other.delete(["a"])
        store.insert([a_job("c", at=store.now(), batch="b")])
    assert [(batch.at_most, batch.max_fails) for batch in store.batches("b")] == [(1, "2")]


@pytest.mark.parametrize("way", ["added", "added in sql", "replaced"])
def test_jobs_that_come_into_a_batch_while_somebody_limits_it_mind_the_limit(
    stores: tuple[PostgresStore, PostgresStore], way: str
) -> None:
    store, other = stores
    store.insert([job for job, _ in store.admit([Arrival(a_job("k", at=store.now(), unique_key="k", held=True))])])
    store.insert([a_job("there", at=store.now(), batch="b")])
    with store.transaction():
        if way == "replaced":
            store.admit([Arrival(a_job("new", at=store.now(), unique_key="k", batch="b"), Rule.REPLACE)])
        elif way == "added":
            store.insert([a_job("c", at=store.now(), batch="b")])
        else:
            store._select("SELECT {schema}.enqueue(?)", [json.dumps({"command": "true", "id": "c", "batch": "b"})])
        other.set_batch("b", 1, None)
        other.settle()
    other.settle()
    assert [job.locks for job in store.find(Selector(batches=("b",)))] == [("batch:b",)] * 2
    assert not store._select("SELECT 1 FROM {schema}.settlements")


def test_many_jobs_that_are_added_with_limits_keep_no_worker_from_its_work(
    stores: tuple[PostgresStore, PostgresStore],
) -> None:
    worker, people = stores
    worker.wait_at_most(0.5)
    worker.insert([a_job("a", at=worker.now())])
    grip, limits = a_grip(worker), BatchLimits()
    limits.add(parse_request({"command": "true", "batch": "b", "at_most": 2, "max_fails": 1}, people.now()))
    with people.transaction():
        with limits.kept(people):
            people.insert([a_job("c", at=people.now(), batch="b", locks=("batch:b",))])
            (job,) = worker.claim(grip, HOST, 1, ())
            worker.record(grip, [Change(job, an_end(worker.now()))])
        assert people.at_most("b") == 2
    assert worker.get("a").state is JobState.COMPLETED
    assert [(batch.at_most, batch.max_fails) for batch in worker.batches("b")] == [(2, "1")]


def test_jobs_that_are_replaced_or_edited_in_a_long_transaction_keep_no_worker_from_its_work(
    stores: tuple[PostgresStore, PostgresStore],
) -> None:
    worker, people = stores
    worker.wait_at_most(0.5)
    worker.insert([a_job("a", at=worker.now(), locks=("x",)), a_job("c", at=worker.now())])
    grip = a_grip(worker)
    with people.transaction():
        people.edit(["a"], lambda _: ({"start_by": people.now() + 60}, "start_by"), "ada")
        (job,) = worker.claim(grip, HOST, 2, ())
        worker.record(grip, [Change(job, an_end(worker.now()))])
    assert (job.id, worker.get("c").state) == ("c", JobState.COMPLETED)
    assert [job.id for job in worker.claim(grip, HOST, 2, ())] == ["a"]


def test_limits_that_new_jobs_rely_on_are_not_forgotten(stores: tuple[PostgresStore, PostgresStore]) -> None:
    store, other = stores
    store.insert([a_job("a", at=store.now(), batch="b")])
    store.set_batch("b", 2, None)
    other.delete(["a"])
    with store.transaction():
        store.set_batch("b", 2, None)
        store.insert([a_job("c", at=store.now(), batch="b")])
        store._select("SELECT 1")
        other.settle()  # finds no job of the batch
    assert (store.at_most("b"), store.lock("batch:b").capacity) == (2, 2)


def test_applications_that_give_a_batch_the_same_limits_do_not_wait_for_each_other(
    stores: tuple[PostgresStore, PostgresStore],
) -> None:
    store, other = stores
    store.set_batch("b", 2, "10%")
    job = json.dumps({"command": "true", "batch": "b", "at_most": 2, "max_fails": "10%"})
    text = "SELECT {schema}.enqueue(?)"
    other.wait_at_most(0.5)
    with store.transaction():
        store._select(text, [job])
        other.delete([other._select(text, [job])[0][0]])
    assert [(batch.at_most, batch.max_fails) for batch in store.batches("b")] == [(2, "10%")]


def test_two_who_name_the_same_jobs_by_prefixes_do_not_wait_in_a_circle(
    stores: tuple[PostgresStore, PostgresStore], postgres_server: str
) -> None:
    store, other = stores
    ids = ("abcd000001", "efgh000002")
    store.insert([a_job(id, at=store.now(), generated_id=True) for id in ids])
    pid = other._line.open().info.backend_pid
    cancelling = Thread(target=other.change, args=(["efgh", "abcd"], CancelRequested(), "bob"))
    with psycopg.connect(postgres_server, autocommit=True) as db:

        def waits() -> bool:
            return db.execute("SELECT cardinality(pg_blocking_pids(%s)) > 0", [pid]).fetchone() == (True,)

        with store.transaction():
            store.change(["abcd"], CancelRequested(), "ada")
            store._select("SELECT 1")
            cancelling.start()
            until(waits, "the other one to wait")
            store.change(["efgh"], CancelRequested(), "ada")
    cancelling.join()
    assert {store.get(id).state for id in ids} == {JobState.CANCELLED}


def test_the_first_jobs_of_a_store_that_mind_gates_keep_nobody_from_adding_others(
    stores: tuple[PostgresStore, PostgresStore],
) -> None:
    store, other = stores
    other.wait_at_most(0.5)
    with store.transaction():
        store.insert([a_job("a", at=store.now(), locks=("x",))])
        store._select("SELECT 1")
        other.insert([a_job("c", at=store.now(), locks=("x",))])
    assert [job.id for job in other.claim(a_grip(other), HOST, 2, ())] == ["a"]


def test_a_call_of_the_sql_function_takes_keys_before_batches(
    stores: tuple[PostgresStore, PostgresStore], postgres_server: str
) -> None:
    store, other = stores
    store.insert([job for job, _ in store.admit([Arrival(a_job("a", at=store.now(), unique_key="k", held=True))])])
    store.insert([a_job("there", at=store.now(), batch="b")])
    store.set_batch("b", 1, None)
    keyed = {"command": "true", "unique_key": "k", "on_conflict": "replace", "batch": "b", "at_most": 2}
    pid = other._line.open().info.backend_pid
    calling = Thread(target=other._select, args=("SELECT {schema}.enqueue(?)", [json.dumps(keyed)]))
    with psycopg.connect(postgres_server, autocommit=True) as db:

        def waits() -> bool:
            return db.execute("SELECT cardinality(pg_blocking_pids(%s)) > 0", [pid]).fetchone() == (True,)

        with store.transaction():
            store._select("SELECT 1 FROM {schema}.unique_keys WHERE key = 'k' FOR UPDATE")
            calling.start()
            until(waits, "the call to wait")
            store.set_batch("b", 3, None)
    calling.join()
    assert (store.at_most("b"), store.get("a").batch) == (2, "b")
