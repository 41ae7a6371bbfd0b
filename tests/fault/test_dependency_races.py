"""Ends and new dependents that meet on a server: nobody waits, and no dependent is stranded."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from threading import Barrier, Thread

import psycopg
import pytest

from queuectl.domain.errors import StoreBusy
from queuectl.domain.job import Job, JobState, Spec
from queuectl.domain.lifecycle import Retried, begun
from queuectl.domain.selector import Selector
from queuectl.store.postgres.address import parse_address
from queuectl.store.postgres.store import PostgresStore
from queuectl.store.values import Change, Grip
from tests.builders import HOST, ManualClock, a_grip, a_job, an_end
from tests.fault.graph_chaos import race_of_two
from tests.server import drop_schema, new_schema
from tests.workshop import until

PENDING, BLOCKED = JobState.PENDING, JobState.BLOCKED


@pytest.fixture
def url(postgres_server: str) -> Iterator[str]:
    url = new_schema(postgres_server)
    yield url
    drop_schema(url)


@pytest.fixture
def store(url: str, tmp_path: Path) -> Iterator[PostgresStore]:
    with closing(PostgresStore(url, tmp_path)) as store:
        yield store


@pytest.fixture
def application(url: str) -> Iterator[psycopg.Connection]:
    address = parse_address(url)
    with psycopg.connect(address.server) as db:
        db.execute(f'SET search_path = "{address.schema}"')
        db.commit()
        yield db


def running(store: PostgresStore, id: str = "a") -> tuple[Grip, Change]:
    """A job that runs, and its end."""
    store.insert([a_job(id, at=store.now())])
    grip = a_grip(store)
    (job,) = store.claim(grip, HOST, 1, ())
    return grip, Change(job, an_end(store.now()))


def enqueue(db: psycopg.Connection, **keys: object) -> None:
    db.execute("SELECT enqueue(%s)", [json.dumps({"command": "true", **keys})])


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
def test_a_dependent_in_an_open_transaction_hears_of_an_end(
    store: PostgresStore, application: psycopg.Connection, isolation: str
) -> None:
    grip, end = running(store)
    application.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
    enqueue(application, id="b", depends_on=["a"])
    store.record(grip, [end])  # waits for nobody
    application.commit()
    assert [job.id for job in store.claim(grip, HOST, 1, ())] == ["b"]


def test_a_dependent_that_is_committed_first_is_released_by_the_end(
    store: PostgresStore, application: psycopg.Connection
) -> None:
    grip, end = running(store)
    enqueue(application, id="b", depends_on=["a"])
    application.commit()
    assert store.get("b").state is BLOCKED
    store.record(grip, [end])
    assert store.get("b").state is PENDING


def test_a_dependent_committed_while_the_end_is_not_waits_for_nobody(
    store: PostgresStore, application: psycopg.Connection
) -> None:
    grip, end = running(store)
    enqueue(application, id="b", depends_on=["a"])
    with store.transaction():
        store.record(grip, [end])
        application.execute("SET LOCAL lock_timeout = '2s'")
        application.commit()
    assert [job.id for job in store.claim(grip, HOST, 1, ())] == ["b"]


def test_a_dependent_of_a_job_deleted_meanwhile_is_cancelled(
    store: PostgresStore, application: psycopg.Connection
) -> None:
    store.insert([a_job("a", at=store.now())])
    enqueue(application, id="b", depends_on=["a"])
    enqueue(application, id="c", depends_on=["a:any"])
    store.delete(["a"])
    application.commit()
    store.settle()
    assert (store.get("b").error, store.get("c").state) == ("job a was deleted", PENDING)


def test_jobs_of_one_open_transaction_depend_on_each_other(
    store: PostgresStore, application: psycopg.Connection
) -> None:
    for id, after in (("a", []), ("b", ["a"]), ("c", ["a", "b:any"])):
        enqueue(application, id=id, depends_on=after)
    application.commit()
    assert {job.id: job.unmet for job in store.find(Selector())} == {"a": 0, "b": 1, "c": 2}
    assert not store._select("SELECT 1 FROM {schema}.settlements")


def test_two_last_jobs_that_end_at_once_release_their_dependent(url: str, tmp_path: Path) -> None:
    assert race_of_two(url, tmp_path, pairs=120) > 0


def ends_at_once(store: PostgresStore, url: str, folder: Path, **end: int) -> None:
    """Two jobs of batch b end, each recorded with its worker's next claim, while the other's end is not committed."""
    with closing(PostgresStore(url, folder)) as other:
        sides = [(each, a_grip(each, f"w{side}~1")) for side, each in enumerate((store, other))]
        changes = [
            Change(job, an_end(store.now(), **end)) for each, grip in sides for job in each.claim(grip, HOST, 1, ("b",))
        ]
        with store.transaction(), other.transaction():
            for (each, grip), change in zip(sides, changes, strict=True):
                each.record(grip, [change])
                each.claim(grip, HOST, 1, ("b",))
    store.settle()


def test_two_last_jobs_of_a_batch_recorded_with_the_next_claims_strand_nobody(
    store: PostgresStore, url: str, tmp_path: Path
) -> None:
    store.insert([a_job(id, at=store.now(), queue="b", batch="b") for id in ("a", "c")])
    store.insert([begun(a_job("next", at=store.now(), depends_on=("batch:b",)))])
    ends_at_once(store, url, tmp_path)
    assert store.get("next").state is PENDING


@pytest.mark.parametrize("way", ["queuectl", "sql"])
def test_a_job_that_comes_to_wait_for_a_batch_while_its_last_job_ends_is_not_stranded(
    store: PostgresStore, application: psycopg.Connection, url: str, tmp_path: Path, way: str
) -> None:
    store.insert([a_job("a", at=store.now(), batch="b")])
    grip = a_grip(store)
    (job,) = store.claim(grip, HOST, 1, ())
    with closing(PostgresStore(url, tmp_path)) as other:
        with store.transaction():
            store.record(grip, [Change(job, an_end(store.now()))])
            store.claim(grip, HOST, 1, ())  # nobody waits yet
            if way == "sql":
                enqueue(application, id="next", depends_on="batch:b")
                application.commit()
            else:
                other.insert([begun(a_job("next", at=store.now(), depends_on=("batch:b",)))])
            other.settle()  # a worker that looks before the end is committed
        other.settle()
    assert store.get("next").state is PENDING


@pytest.mark.parametrize("way", ["prune", "delete"])
def test_a_finished_job_that_goes_while_a_dependent_is_being_added_leaves_it_as_it_is(
    store: PostgresStore, application: psycopg.Connection, way: str
) -> None:
    grip, end = running(store)
    store.record(grip, [end])
    store.insert([a_job("open", at=store.now(), held=True)])
    enqueue(application, id="next", depends_on=["a", "open"])
    if way == "prune":
        assert store.prune(Selector(), 10) == 1
    else:
        store.delete(["a"])
    application.commit()
    store.settle()
    assert (store.get("next").state, store.get("next").error) == (BLOCKED, None)
    store.delete(["open"])
    store.settle()
    assert store.get("next").error == "job open was deleted"


def test_two_dead_jobs_recorded_with_the_next_claims_are_more_than_one(
    store: PostgresStore, url: str, tmp_path: Path
) -> None:
    store.insert([a_job(id, at=store.now(), queue="b", batch="b", spec=Spec(max_retries=0)) for id in ("a", "c")])
    store.insert([a_job("rest", at=store.now(), batch="b")])
    store.set_batch("b", None, "1")
    store.settle()
    ends_at_once(store, url, tmp_path, exit_code=1)
    assert store.get("rest").state is JobState.CANCELLED


def test_a_person_who_cancels_a_dependent_does_not_stop_the_end_of_its_job(
    store: PostgresStore, url: str, tmp_path: Path
) -> None:
    grip, end = running(store)
    store.insert([begun(a_job("b", at=store.now(), depends_on=("a",)))])
    both = Barrier(2)

    def hold() -> None:
        with closing(PostgresStore(url, tmp_path)) as other, other.transaction():
            other._select("SELECT 1 FROM {schema}.jobs WHERE id = 'b' FOR UPDATE")
            both.wait()
            both.wait()

    holder = Thread(target=hold)
    holder.start()
    both.wait()
    store.record(grip, [end])
    assert store.get("b").state is BLOCKED
    both.wait()
    holder.join()
    assert [job.id for job in store.claim(grip, HOST, 1, ())] == ["b"]


def test_a_hook_is_added_though_somebody_removes_the_one_before_it(
    store: PostgresStore, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a worker could not record the end of a job."""
    store.insert([a_job("a", at=store.now(), spec=Spec(on_failure="tell", max_retries=1, backoff_initial=0.0))])
    grip, insert = a_grip(store), store.insert

    def fail() -> None:
        (job,) = [job for job in store.claim(grip, HOST, 2, ()) if job.id == "a"]
        store.record(grip, [Change(job, an_end(store.now(), exit_code=1))])

    fail()
    with closing(PostgresStore(url, tmp_path)) as other:
        other.wait_at_most(0.1)
        (hook,) = other.find(Selector(hooks=True))

        def insert_late(jobs: Iterable[Job]) -> dict[str, Job]:
            with suppress(StoreBusy):
                other.delete([hook.id])
            return insert(jobs)

        monkeypatch.setattr(store, "insert", insert_late)
        store.change(["a"], Retried(), "ada")
        fail()
    assert store.count(Selector(hooks=True)) == 2


def test_a_dependent_in_somebodys_hands_is_freed_soon_after_whatever_the_clock_says(
    url: str, tmp_path: Path, application: psycopg.Connection
) -> None:
    clock = ManualClock()
    with closing(PostgresStore(url, tmp_path, clock)) as store:
        grip, ended = running(store)
        store.insert([begun(a_job("b", at=store.now(), depends_on=("a",)))])
        application.execute("SELECT 1 FROM jobs WHERE id = 'b' FOR UPDATE")
        store.record(grip, [ended])
        assert not store.claim(grip, HOST, 1, ())
        application.rollback()
        clock.forward(-3600)

        def is_free() -> bool:
            store.claim(grip, HOST, 1, ())
            return store.get("b").state is not BLOCKED

        until(is_free, "the dependent to be free")
