"""A pooler that gives every transaction another session may stand before the server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from queuectl.client import doctor
from queuectl.client.facade import Client
from queuectl.domain.errors import StoreUnavailable
from queuectl.domain.job import JobState
from queuectl.domain.lifecycle import Ended
from queuectl.domain.limits import Queue
from queuectl.store.postgres.address import parse_address
from queuectl.store.postgres.connection import PREPARE_FROM
from queuectl.store.postgres.errors import translated
from queuectl.store.postgres.store import PostgresStore
from queuectl.store.values import Change
from queuectl.wire.requests import JobRequest
from tests.builders import HOST, a_grip
from tests.pooler import pooled_by
from tests.workshop import Workshop, open_workshop


@pytest.fixture
def pooled(postgres_url: str, tmp_path: Path) -> Iterator[Workshop]:
    """A workshop that reaches its server only through a pooler."""
    with pooled_by(postgres_url) as address, open_workshop(tmp_path, address) as workshop:
        yield workshop


def test_jobs_run_through_a_pooler_that_mixes_sessions(pooled: Workshop) -> None:
    for _ in range(2):
        pooled.worker(2)
    jobs = pooled.enqueue_all([{"command": f"echo {number}"} for number in range(100)])
    assert {job.state for job in pooled.finished(*jobs)} == {JobState.COMPLETED}
    assert [pooled.output(job) for job in jobs] == [f"{number}\n".encode() for number in range(100)]


def test_the_doctor_sees_the_pooler(pooled: Workshop) -> None:
    said = [finding.message for finding in doctor.examine(pooled.address)]
    assert any(what.startswith("a pooler is in between") for what in said)


@pytest.mark.parametrize("through", ["postgres_url", "pooled"])
def test_queries_are_prepared_where_no_pooler_is_in_between(
    through: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    way = request.getfixturevalue(through)
    store = PostgresStore(way.address if isinstance(way, Workshop) else way, tmp_path)
    with closing(store):
        for number in range(2 * PREPARE_FROM):
            store.set_config("max-retries", str(number))
        ((prepared,),) = store._select("SELECT count(*) FROM pg_prepared_statements")
    assert bool(prepared) is (through == "postgres_url")


def test_what_a_worker_repeats_is_planned_once(emptied_url: str, tmp_path: Path) -> None:
    with closing(PostgresStore(emptied_url, tmp_path)) as store:
        client, grip = Client(store), a_grip(store)
        store.set_queue(Queue("few", concurrency=1))
        client.enqueue([JobRequest(command="true", columns={"queue": queue}) for queue in ("few", "other") * 20])
        planned = "SELECT coalesce(sum(custom_plans), 0) FROM pg_prepared_statements"
        before = []
        for _ in range(20):
            before.append(store._select(planned)[0][0])
            for job in store.claim(grip, HOST, 2, ()):
                store.record(grip, [Change(job, Ended(store.now(), store.now(), exit_code=0))])
    assert before[10] == before[-1], f"queries were planned again: {before}"


def test_a_pooler_that_does_not_ask_its_server_again_yet_is_named() -> None:
    """pgbouncer says so once its server has refused a login, as it does while it restarts."""
    address = parse_address("postgresql://queue@127.0.0.1:6432/work")
    with pytest.raises(StoreUnavailable, match="server login has been failing") as refused, translated(address):
        raise psycopg.OperationalError("server login has been failing, try again later (server_login_retry)")
    assert "server_login_retry (15 s); set it to 1" in refused.value.hint


def test_a_worker_behind_a_pooler_notices_a_cancel_without_being_told(pooled: Workshop) -> None:
    job = pooled.enqueue("sleep 300")
    pooled.worker(1)
    pooled.started(job)
    pooled.client.cancel([job])
    assert pooled.finished(job)[0].state is JobState.CANCELLED
