"""An application enqueues in its own transaction: what becomes of the job when it commits, and when it does not."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row, namedtuple_row

from queuectl import ids
from queuectl.client.facade import Client
from queuectl.domain.errors import Conflict, Invalid
from queuectl.domain.job import JobState
from queuectl.domain.selector import Selector
from queuectl.store.postgres.address import parse_address
from queuectl.store.postgres.store import PostgresStore
from queuectl.store.sqlite.store import SqliteStore
from queuectl.wire.requests import JobRequest, parse_request
from tests.workshop import PATIENCE_S, Workshop, open_workshop, until

PAGE = Path(__file__).parents[2] / "docs" / "transactions.md"
NEVER_POLLS = ("--poll", "600")

Application = psycopg.Connection[Any]


@pytest.fixture
def shop(postgres_url: str, tmp_path: Path) -> Iterator[Workshop]:
    """A workshop on a server."""
    with open_workshop(tmp_path, postgres_url) as workshop:
        yield workshop


@pytest.fixture
def client(postgres_url: str, tmp_path: Path) -> Iterator[Client]:
    client = Client(PostgresStore(postgres_url, tmp_path / "state", lock_timeout_s=0.2))
    yield client
    client.close()


@pytest.fixture
def connect(postgres_url: str, client: Client) -> Iterator[Callable[[], Application]]:
    """Opens connections of an application, whose transactions have to be committed."""
    opened: list[Application] = []

    def open_one() -> Application:
        opened.append(psycopg.connect(parse_address(postgres_url).server))
        return opened[-1]

    yield open_one
    for connection in opened:
        connection.close()


@pytest.fixture
def application(connect: Callable[[], Application]) -> Application:
    return connect()


def request(**keys: Any) -> JobRequest:
    return parse_request({"command": "true", **keys}, time.time())


def call(client: Client, connection: Application, document: str = '{"command": "true"}') -> str:
    """`enqueue`, as an application calls it."""
    schema = parse_address(client.store.address).schema
    found = connection.execute(f"SELECT {schema}.enqueue(%s)".encode(), [document]).fetchone()
    assert found is not None
    return str(found[0])


async def asynchronously(client: Client) -> None:
    async with await psycopg.AsyncConnection.connect(parse_address(client.store.address).server) as connection:
        client.enqueue([request()], connection=connection)


def known(client: Client) -> set[str]:
    return {job.id for job in client.find(Selector())}


def test_a_worker_starts_the_job_only_after_the_commit(
    shop: Workshop, client: Client, application: Application, tmp_path: Path
) -> None:
    shop.worker(2, *NEVER_POLLS)
    mark = tmp_path / "started"
    by_sql = call(client, application, f'{{"command": "touch {mark}"}}')
    (by_client,) = client.enqueue([request(command=["touch", str(mark)])], connection=application)
    other = shop.enqueue(command="true")
    until(lambda: shop.job(other).state is JobState.COMPLETED, "a later job runs")
    assert known(client) == {other}
    assert not mark.exists()
    application.commit()
    until(lambda: all(shop.job(ref).state is JobState.COMPLETED for ref in (by_sql, by_client.id)), "both run")
    assert mark.exists()


def test_a_rollback_leaves_nothing(client: Client, application: Application) -> None:
    call(client, application)
    client.enqueue([request(id="one"), request(id="two")], connection=application)
    application.rollback()
    assert known(client) == set()
    assert client.status().counts[JobState.PENDING] == 0


def test_a_savepoint_takes_back_what_came_after_it(client: Client, application: Application) -> None:
    kept = call(client, application)
    with application.transaction(force_rollback=True):
        client.enqueue([request(id="gone")], connection=application)
    application.commit()
    assert known(client) == {kept}


def test_a_taken_id_is_a_conflict_and_nothing_is_added(client: Client, application: Application) -> None:
    client.enqueue([request(id="taken")])
    with pytest.raises(Conflict, match="job taken exists already") as refused, application.transaction():
        client.enqueue([request(id="new"), request(id="taken")], connection=application)
    assert refused.value.hint == "choose another id, or leave it out to get a new one"
    with pytest.raises(psycopg.errors.UniqueViolation, match="job taken exists already"), application.transaction():
        call(client, application, '{"id": "taken", "command": "true"}')
    application.commit()
    assert known(client) == {"taken"}


def test_the_client_keeps_the_same_job_with_and_without_a_connection(client: Client, application: Application) -> None:
    keys = {"queue": "q", "tags": ["a"], "env": {"A": "é"}, "timeout": "5s", "delay": "1h", "fatal_on": 3, "held": True}
    (within,) = client.enqueue([request(**keys)], connection=application)
    application.commit()
    (without,) = client.enqueue([request(**keys)])
    one, other = client.job(within.id), client.job(without.id)
    assert one.owner == application.info.user
    assert one.generated_id
    assert one.run_at == pytest.approx(other.run_at, abs=60)
    same = {"id": "", "seq": 0, "owner": "", "created_at": 0.0, "updated_at": 0.0, "run_at": 0.0}
    assert one._replace(**same) == other._replace(**same)  # type: ignore[arg-type]


def test_many_are_added_all_or_none_even_where_each_statement_commits(client: Client, application: Application) -> None:
    application.autocommit = True
    client.enqueue([request(id="b")])
    with pytest.raises(Conflict):
        client.enqueue([request(id="a"), request(id="b")], connection=application)
    assert known(client) == {"b"}
    added = client.enqueue([request() for _ in range(50)], connection=application)
    assert known(client) == {"b", *(job.id for job in added)}


def test_the_application_may_have_its_rows_as_it_likes(client: Client, application: Application) -> None:
    for factory in (dict_row, namedtuple_row):
        application.row_factory = factory
        (job,) = client.enqueue([request()], connection=application)
        application.commit()
        assert client.job(job.id).generated_id


def test_what_no_server_can_hold_and_connections_that_cannot_work_are_refused(
    client: Client, application: Application, tmp_path: Path
) -> None:
    with pytest.raises(Invalid, match="not UTF-8"):
        client.enqueue([JobRequest(command="true", spec={"env": {"A": "\udcff"}})], connection=application)
    with pytest.raises(Invalid, match="asynchronous"):
        asyncio.run(asynchronously(client))
    on_file = Client(SqliteStore(tmp_path / "q.db"))
    with pytest.raises(Invalid, match="needs a store on PostgreSQL"):
        on_file.enqueue([request()], connection=application)
    on_file.close()


def test_nobody_waits_for_an_open_transaction(client: Client, connect: Callable[[], Application]) -> None:
    """All of them need the same spec, which is new, and the first one keeps it to itself."""
    first, second = connect(), connect()
    second.execute("SET lock_timeout = '200ms'")
    client.enqueue([request()], connection=first)
    client.enqueue([request()], connection=second)
    client.enqueue([request()])
    second.commit()
    first.rollback()
    assert len(known(client)) == 2
    for job in client.find(Selector()):
        assert job.spec.cwd == str(Path.cwd())


def test_many_who_need_the_same_new_specs_at_once_all_get_them(client: Client, tmp_path: Path) -> None:
    together = threading.Barrier(6)

    def add(number: int) -> int:
        own = Client(PostgresStore(client.store.address, tmp_path / "state"))
        try:
            together.wait(PATIENCE_S)
            return len(own.enqueue([request(env={"N": str(at)}) for at in range(300)]))
        finally:
            own.close()

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(add, range(6))) == [300] * 6
    assert client.count(Selector()) == 1800


def test_notice_is_given_once_and_not_where_it_is_switched_off(
    client: Client, connect: Callable[[], Application]
) -> None:
    application, listener = connect(), connect()
    listener.autocommit = True
    schema = parse_address(client.store.address).schema
    listener.execute(f"LISTEN queuectl_{schema}".encode())
    for _ in range(3):
        call(client, application)
    application.commit()
    assert len(list(listener.notifies(timeout=PATIENCE_S, stop_after=1))) == 1
    application.execute("SET LOCAL queuectl.notify = 'off'")
    call(client, application)
    application.commit()
    application.execute("SELECT pg_notify(%s, 'end')", [f"queuectl_{schema}"])
    application.commit()
    assert [notice.payload for notice in listener.notifies(timeout=PATIENCE_S, stop_after=1)] == ["end"]


def test_the_documented_grants_allow_only_enqueueing(client: Client, connect: Callable[[], Application]) -> None:
    owner, application = connect(), connect()
    schema, role = parse_address(client.store.address).schema, f"test_{ids.random_id(10)}"
    owner.autocommit = True
    owner.execute(f"CREATE ROLE {role}".encode())
    owner.execute(f"GRANT USAGE ON SCHEMA {schema} TO {role}".encode())
    try:
        application.execute(f"SET ROLE {role}".encode())
        with pytest.raises(psycopg.errors.InsufficientPrivilege), application.transaction():
            call(client, application)
        for grant in re.findall(r"^GRANT .*;$", PAGE.read_text(), re.MULTILINE):
            owner.execute(grant.replace("queuectl", schema).replace("app;", f"{role};").encode())
        application.execute("CREATE TEMP TABLE jobs (LIKE pg_class); CREATE TEMP TABLE config (name text, value text)")
        application.execute("SET search_path = pg_temp")
        (job,) = client.enqueue([request()], connection=application)
        for attempt in ("SELECT * FROM {}.jobs", "DELETE FROM {}.jobs", "SELECT * FROM {}.config"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), application.transaction():
                application.execute(attempt.format(schema).encode())
        application.commit()
        assert known(client) == {job.id}
    finally:
        application.rollback()
        owner.execute(f"DROP OWNED BY {role} CASCADE".encode())
        owner.execute(f"DROP ROLE {role}".encode())
