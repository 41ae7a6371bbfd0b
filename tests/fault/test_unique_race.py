"""No key is held twice while many race for it; unique_race.py does the same for as long as one likes."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from queuectl.domain.errors import Conflict
from queuectl.domain.job import JobState
from queuectl.domain.lifecycle import CancelRequested, Retried, begun
from queuectl.domain.unique import Fate, Rule
from queuectl.store.arrivals import Arrival
from queuectl.store.postgres.store import PostgresStore
from queuectl.store.values import Change
from tests.builders import HOST, a_grip, a_job, an_end
from tests.fault.unique_race import race


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_no_key_is_held_twice_at_any_instant(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("postgres_url") if kind == "postgres" else str(tmp_path / "q.db")
    told = race(url, seconds=1.0, processes=2, threads=4, keys=3)
    assert told["ran"] > 0


def test_a_retry_that_revives_a_dependent_does_not_wait_for_who_is_taking_its_key(
    postgres_url: str, tmp_path: Path
) -> None:
    """An application may leave its transaction open."""
    with (
        closing(PostgresStore(postgres_url, tmp_path)) as store,
        closing(PostgresStore(postgres_url, tmp_path)) as other,
    ):
        store.wait_at_most(2.0)
        store.insert([a_job("parent", at=store.now(), held=True)])
        job = begun(a_job("child", at=store.now(), unique_key="k", depends_on=("parent",)))
        store.insert([each for each, _ in store.admit([Arrival(job)])])
        store.change(["parent"], CancelRequested(), "ada")
        store.insert([each for each, _ in store.admit([Arrival(a_job("later", at=store.now(), unique_key="k"))])])
        store.delete(["later"])  # with the key
        with other.transaction():
            other.insert([each for each, _ in other.admit([Arrival(a_job("new", at=other.now(), unique_key="k"))])])
            other._select("SELECT 1")
            store.change(["parent"], Retried(), "ada")
            (told,) = store.change(["child"], Retried(), "ada")
            assert isinstance(told, Conflict)
            assert "another job is taking its unique key" in told.message
        assert [store.get(id).state for id in ("parent", "child", "new")] == [
            JobState.PENDING, JobState.CANCELLED, JobState.PENDING,
        ]  # fmt: skip
        store.delete(["new"])
        store.change(["child"], Retried(), "ada")
        assert store.get("child").state is JobState.BLOCKED


def test_a_successor_that_is_being_added_does_not_keep_the_end_of_the_running_job_from_its_record(
    postgres_url: str, tmp_path: Path
) -> None:
    with (
        closing(PostgresStore(postgres_url, tmp_path)) as worker,
        closing(PostgresStore(postgres_url, tmp_path)) as people,
    ):
        worker.wait_at_most(0.5)
        first, second = (a_job(id, at=worker.now(), unique_key="k") for id in ("first", "second"))
        worker.insert([job for job, _ in worker.admit([Arrival(first)])])
        grip = a_grip(worker)
        (running,) = worker.claim(grip, HOST, 1, ())
        with people.transaction():
            ((added, fate),) = people.admit([Arrival(second, Rule.REPLACE)])
            worker.record(grip, [Change(running, an_end(worker.now()))])
            people.insert([added])
        worker.settle()
        assert (fate, worker.get("second").state) == (Fate.NEXT, JobState.PENDING)
