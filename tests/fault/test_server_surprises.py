"""A store outlives every surprise from its server, and no role's settings change what it does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import psycopg
import pytest

from queuectl import ids
from queuectl.client.facade import Client
from queuectl.domain.errors import OutcomeUnknown, QueuectlError, StoreBusy, StoreUnavailable
from queuectl.domain.job import JobState
from queuectl.store.postgres.address import parse_address
from queuectl.store.postgres.connection import PREPARE_FROM, RELIED_ON
from queuectl.store.postgres.listener import Listener
from queuectl.store.postgres.store import PostgresStore
from queuectl.store.values import LEASE_S
from queuectl.wire.requests import parse_request
from tests.builders import a_grip
from tests.pooler import pooled_by
from tests.server import Server, new_schema, start_server
from tests.workshop import open_workshop, until


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server of our own: its settings are going to be changed."""
    found = start_server()
    yield found
    found.remove()


@pytest.fixture
def url(server: Server) -> str:
    return new_schema(server.url)


@pytest.fixture
def store(url: str, tmp_path: Path) -> Iterator[PostgresStore]:
    with closing(PostgresStore(url, tmp_path)) as store:
        store.wait_at_most(0.02, 5.0)
        yield store


@pytest.fixture
def client(store: PostgresStore) -> Client:
    return Client(store)


@pytest.fixture
def admin(server: Server) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    with psycopg.connect(server.url_here, autocommit=True) as db:
        yield db


def enqueue(client: Client, **document: Any) -> str:
    (job,) = client.enqueue([parse_request({"command": "true", **document}, time.time())])
    return job.id


@contextmanager
def locked(server: Server, url: str, table: str) -> Iterator[None]:
    """Nobody else can read or write a table of the store."""
    with psycopg.connect(server.url_here) as db:
        db.execute(f"LOCK TABLE {parse_address(url).schema}.{table}".encode())
        yield


# --- connections ----------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["specs", "jobs", "uses", "counts"])
@pytest.mark.parametrize("good", [0, PREPARE_FROM - 1, PREPARE_FROM, PREPARE_FROM + 1])
def test_errors_between_any_number_of_good_transactions_leave_a_store_that_works(
    server: Server, url: str, client: Client, table: str, good: int
) -> None:
    for _ in range(3):
        for _ in range(good):
            enqueue(client)
        with locked(server, url, table), pytest.raises(StoreBusy):
            enqueue(client)
    enqueue(client)
    assert client.count() == 3 * good + 1


@pytest.mark.parametrize("good", [0, PREPARE_FROM + 1])
def test_a_role_works_again_once_its_rights_are_back(
    url: str, store: PostgresStore, admin: psycopg.Connection[Any], tmp_path: Path, good: int
) -> None:
    role, schema = f"role_{ids.random_id(8)}", parse_address(url).schema
    rights = f"ON ALL TABLES IN SCHEMA {schema}"
    for words in (
        f"CREATE ROLE {role} LOGIN",
        f"GRANT USAGE ON SCHEMA {schema} TO {role}",
        f"GRANT ALL {rights} TO {role}",
    ):
        admin.execute(words.encode())
    with closing(Client(PostgresStore(url.replace("postgres@", f"{role}@"), tmp_path))) as client:
        for _ in range(2):
            for _ in range(good):
                enqueue(client)
            admin.execute(f"REVOKE ALL {rights} FROM {role}".encode())
            with pytest.raises(StoreUnavailable, match="does not let this role work"):
                enqueue(client)
            admin.execute(f"GRANT ALL {rights} TO {role}".encode())
            enqueue(client)
        assert client.count() == 2 * good + 2


def test_a_statement_that_the_server_has_forgotten_costs_only_the_connection(store: PostgresStore) -> None:
    for number in range(2 * PREPARE_FROM):
        store.set_config("max-retries", str(number))
        store.config()
    store._line.open().pgconn.exec_(b"DEALLOCATE ALL")
    with pytest.raises(StoreUnavailable):
        store.set_config("max-retries", "20")
    store.set_config("max-retries", "30")
    store.config()
    store._line.open().pgconn.exec_(b"DEALLOCATE ALL")
    assert store.config() == {"max-retries": "30"}, "what is only read is asked again"


def test_the_server_drops_a_listener_that_reads_nothing(
    server: Server, url: str, store: PostgresStore, admin: psycopg.Connection[Any]
) -> None:
    with closing(Listener(parse_address(url), "suspended", "me")) as listener:
        listener.heard()
        until(lambda: listener.handle >= 0, "it listens")
        until(lambda: not listening(admin) or told(admin), "it is let go")
    assert admin.execute("SELECT pg_notification_queue_usage()").fetchone() == (0.0,)


def listening(admin: psycopg.Connection[Any]) -> bool:
    return admin.execute("SELECT 1 FROM pg_stat_activity WHERE query LIKE 'LISTEN %suspended%'").fetchone() is not None


def told(admin: psycopg.Connection[Any]) -> bool:
    """Tells a megabyte, of which a process that is suspended reads nothing; says no."""
    admin.execute("SELECT count(pg_notify('suspended', n || repeat('x', 7900))) FROM generate_series(1, 128) AS n")
    return False


# --- settings -------------------------------------------------------------------------------

HOSTILE = {
    "array_nulls": "off", "standard_conforming_strings": "off", "bytea_output": "escape", "DateStyle": "German",
    "IntervalStyle": "iso_8601", "extra_float_digits": "-12", "search_path": "public", "synchronous_commit": "off",
    "default_transaction_isolation": "serializable", "default_transaction_read_only": "on",
    "statement_timeout": "250ms", "lock_timeout": "250ms",
    "idle_in_transaction_session_timeout": "250ms", "transaction_timeout": "250ms",
    "idle_session_timeout": "250ms", "transform_null_equals": "on", "client_encoding": "LATIN1",
}  # fmt: skip


@pytest.fixture
def hostile(server: Server, admin: psycopg.Connection[Any]) -> str:
    """The URL of a store in a database whose sessions begin with settings that break naive code."""
    name = f"hostile_{ids.random_id(8)}"
    admin.execute(f"CREATE DATABASE {name}".encode())
    for setting, value in HOSTILE.items():
        admin.execute(f"ALTER DATABASE {name} SET {setting} = '{value}'".encode())
    return server.url.rpartition("/")[0] + f"/{name}"


def test_what_is_relied_on_is_tried_with_other_values() -> None:
    assert set(RELIED_ON) <= set(HOSTILE)


@pytest.mark.parametrize("way", [nullcontext, pooled_by], ids=["direct", "pooled"])
def test_jobs_run_whatever_settings_a_database_hands_out(
    hostile: str, tmp_path: Path, way: Callable[[str], AbstractContextManager[str]]
) -> None:
    with way(hostile) as address, open_workshop(tmp_path, address) as shop:
        shop.worker(2)
        words = ["printf", "%s", "a\\b\n'é\x7f"]
        jobs = shop.enqueue_all(
            [{"command": words, "tags": ["a/b"]}] + [{"command": f"echo {n}", "held": n >= 50} for n in range(600)]
        )
        done = shop.finished(*jobs[:51])
        assert {job.state for job in done} == {JobState.COMPLETED}
        assert shop.output(jobs[0]) == words[2].encode()
        assert done[0].created_at == done[1].created_at
        assert len(shop.client.find()) == 601


def test_an_application_enqueues_the_same_job_whatever_its_session_is_set_to(hostile: str, tmp_path: Path) -> None:
    document = {
        "command": ["printf", "a\\b\n'é\x7f\x01"],
        "cwd": "/tmp",
        "umask": "022",
        "env": {"A": "\\x41 'é"},
        "timeout": 0.1,
    }
    with closing(Client(PostgresStore(hostile, tmp_path))) as client, psycopg.connect(hostile) as application:
        for limit in ("idle_in_transaction_session_timeout", "transaction_timeout", "statement_timeout"):
            application.execute(f"SET {limit} = 0".encode())  # how long this takes is not the question
        application.commit()
        application.execute("SET TRANSACTION READ WRITE")
        client.enqueue([parse_request(document, time.time())])
        client.enqueue([parse_request(document, time.time())], connection=application)
        application.commit()
        mine, theirs = client.find()
        assert (theirs.command, theirs.spec) == (mine.command, mine.spec)


@pytest.mark.parametrize("way", [nullcontext, pooled_by], ids=["direct", "pooled"])
def test_no_time_limit_of_a_database_ends_what_takes_longer(
    hostile: str, tmp_path: Path, way: Callable[[str], AbstractContextManager[str]]
) -> None:
    with way(hostile) as address, closing(PostgresStore(address, tmp_path)) as store:
        store._select("SELECT pg_sleep(0.3)")
        with store.transaction():
            store._select("SELECT pg_sleep(0.3)")
            time.sleep(0.3)
            store._select("INSERT INTO {schema}.config VALUES ('max-retries', '1') RETURNING 1")
        time.sleep(0.3)
        assert store.config() == {"max-retries": "1"}


def test_each_transaction_names_its_isolation_and_that_it_writes(hostile: str, tmp_path: Path) -> None:
    with closing(PostgresStore(hostile, tmp_path)) as store, store.transaction():
        names = "transaction_isolation", "transaction_read_only", "synchronous_commit"
        said = [store._select(f"SHOW {name}")[0][0] for name in names]
    assert said == ["read committed", "off", "on"]


SEE = """
CREATE TABLE {0}.seen (said text[]);
CREATE FUNCTION {0}.see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO {0}.seen SELECT array_agg(current_setting(name)) FROM unnest(ARRAY[
        'transaction_isolation', 'transaction_read_only', 'synchronous_commit', 'lock_timeout']) AS wanted (name);
    RETURN new;
END $$;
CREATE TRIGGER see BEFORE UPDATE ON {0}.workers FOR EACH ROW EXECUTE FUNCTION {0}.see();
"""


@pytest.mark.parametrize("way", [nullcontext, pooled_by], ids=["direct", "pooled"])
def test_a_renewal_alone_is_durable_and_waits_for_nobody_too_long(
    hostile: str, tmp_path: Path, way: Callable[[str], AbstractContextManager[str]]
) -> None:
    with way(hostile) as address, closing(PostgresStore(address, tmp_path)) as store:
        store.set_config("durability", "normal")
        store.wait_at_most(7.0)
        grip = a_grip(store)
        with psycopg.connect(hostile, options="-c default_transaction_read_only=off") as admin:
            admin.execute(SEE.format(parse_address(address).schema).encode())
        store.renew([grip], LEASE_S)
        assert store._select("SELECT said FROM {schema}.seen") == [(["read committed", "off", "on", "7s"],)]
        assert store._select("SHOW lock_timeout")[0][0] != "7s"


def test_a_database_that_turns_read_only_by_default_stops_nothing(
    server: Server, url: str, client: Client, admin: psycopg.Connection[Any]
) -> None:
    admin.execute("ALTER DATABASE postgres SET default_transaction_read_only = on")
    try:
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        until(lambda: _enqueued(client), "it is taken over another connection")
    finally:
        admin.execute("ALTER DATABASE postgres RESET default_transaction_read_only")


def _enqueued(client: Client) -> bool:
    try:
        enqueue(client)
    except QueuectlError:
        return False
    return True


# --- commits without an answer --------------------------------------------------------------


def test_an_enqueue_without_its_standby_has_an_unknown_outcome(
    server: Server, client: Client, store: PostgresStore, admin: psycopg.Connection[Any]
) -> None:
    store.wait_at_most(0.2, 1.0)
    name_standby(admin, "absent")
    try:
        with pytest.raises(OutcomeUnknown, match="not known whether it was added") as refused:
            enqueue(client, id="once")
        assert refused.value.hint == "look first: queuectl show once"
        for _ in range(3):
            with pytest.raises(StoreUnavailable, match="waits for a synchronous standby"):
                store.set_config("max-retries", "1")
        assert waiting_commits(admin) == 1, "none piles up behind the first"
    finally:
        name_standby(admin, "")
    until(lambda: not waiting_commits(admin), "the commit is done")
    assert [job.id for job in client.find()] == ["once"]
    enqueue(client, id="next")


def name_standby(admin: psycopg.Connection[Any], name: str) -> None:
    admin.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'".encode())
    admin.execute("SELECT pg_reload_conf()")
    until(lambda: admin.execute("SHOW synchronous_standby_names").fetchone() == (name,))
    until(lambda: a_commit_waits(admin) is bool(name))


def a_commit_waits(admin: psycopg.Connection[Any]) -> bool:
    """The checkpointer tells all sessions of the setting, and may be late."""
    with closing(psycopg.connect(admin.info.dsn, autocommit=True)) as other:
        other.pgconn.send_query(b"SELECT pg_logical_emit_message(true, '', '')")
        pid, is_over = other.info.backend_pid, False

        def waits() -> bool:
            found = admin.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event = 'SyncRep'", [pid])
            return found.fetchone() is not None

        while not (found := waits()) and not is_over:
            other.pgconn.consume_input()
            is_over = not other.pgconn.is_busy()
        other.cancel_safe()
        return found


def waiting_commits(admin: psycopg.Connection[Any]) -> int:
    return len(admin.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'").fetchall())
