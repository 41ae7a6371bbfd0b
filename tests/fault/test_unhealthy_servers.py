"""What `doctor` says of servers that keep promises badly, and that what it advises helps."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from queuectl import ids, places
from queuectl.client import doctor
from queuectl.client.doctor_server import CLOCK_OFF_S, judged
from queuectl.client.facade import Client
from queuectl.domain.errors import StoreUnavailable
from queuectl.domain.finding import NOTE, OK, PROBLEM, WARNING, Finding
from queuectl.domain.job import JobState
from queuectl.domain.selector import Selector
from queuectl.store.postgres.health import Health
from queuectl.store.postgres.store import PostgresStore
from queuectl.wire.requests import parse_request
from tests.builders import a_worker
from tests.server import Server, binaries, drop_schema, new_schema, start_server
from tests.workshop import until


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server that syncs nothing, and takes prepared transactions."""
    server = start_server({"synchronous_commit": "off", "max_prepared_transactions": "2"})
    yield server
    server.remove()


@pytest.fixture
def url(server: Server) -> Iterator[str]:
    url = new_schema(server.url)
    yield url
    drop_schema(url)


@pytest.fixture
def store(url: str, tmp_path: Path) -> Iterator[PostgresStore]:
    store = PostgresStore(url, tmp_path)
    yield store
    store.close()


@pytest.fixture
def other(server: Server) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Another session, as of an application."""
    with psycopg.connect(server.url) as connection:
        yield connection


def findings(found: Health) -> dict[str, Finding]:
    """What is said of a server, by its first words."""
    return {" ".join(finding.message.split()[:3]): finding for finding in judged("here", found)}


def execute(server: Server, text: str) -> None:
    with psycopg.connect(server.url, autocommit=True) as db:
        db.execute(text.encode())


def test_a_sound_server_is_just_named(store: PostgresStore) -> None:
    found = store.health()._replace(fsync=True, synchronous_commit="on", oldest_s=None)
    assert [finding.level for finding in judged("here", found)] == [OK]


def test_commits_that_are_not_synced_are_named(store: PostgresStore) -> None:
    said = findings(store.health())
    assert said["the server does"].level == PROBLEM
    assert said["synchronous_commit is off:"].level == NOTE


def test_an_idle_transaction_is_found_by_its_snapshot_or_writes(
    store: PostgresStore, server: Server, other: psycopg.Connection[tuple[object, ...]]
) -> None:
    assert store.health().oldest_s is None
    other.execute("CREATE TEMP TABLE written ()")  # it has a number now, and no snapshot
    found = store.health()
    assert found.oldest_s is not None
    said = findings(found._replace(oldest_s=3600.0))["a transaction has"]
    assert said.level == WARNING
    assert said.message.startswith("a transaction has been open for 60 minutes")
    execute(server, _advised(said))
    until(lambda: store.health().oldest_s is None, "the session is ended")
    with pytest.raises(psycopg.OperationalError):
        other.execute("SELECT 1")


def test_a_snapshot_that_is_held_is_found(store: PostgresStore, other: psycopg.Connection[tuple[object, ...]]) -> None:
    other.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    other.execute("SELECT count(*) FROM pg_class")
    assert store.health().oldest_s is not None


def test_a_prepared_transaction_that_nobody_ends_is_found(
    store: PostgresStore, server: Server, other: psycopg.Connection[tuple[object, ...]]
) -> None:
    other.execute("SELECT pg_current_xact_id()")
    other.execute("PREPARE TRANSACTION 'nobody''s'")
    said = findings(store.health()._replace(oldest_s=3600.0))["a transaction has"]
    execute(server, _advised(said))
    assert store.health().oldest_s is None


def _advised(finding: Finding) -> str:
    advised = re.search(r"end it: (.*?;) and set", finding.fix)
    assert advised
    return advised[1]


def test_a_standby_that_may_lag_is_named_until_commits_wait_for_it(
    store: PostgresStore, server: Server, tmp_path: Path
) -> None:
    program = binaries() / "pg_receivewal"
    tmp_path.chmod(0o777)
    line = [str(program), "--synchronous", "-D", str(tmp_path), "-d", server.url]
    standby = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        until(lambda: store.health().async_standbys, "it streams")
        assert findings(store.health())["the standbys are"].level == WARNING
        execute(server, "ALTER SYSTEM SET synchronous_standby_names = '*'")
        execute(server, "SELECT pg_reload_conf()")
        until(lambda: store.health().sync_standbys, "commits wait for it")
        assert "the standbys are" not in findings(store.health())
    finally:
        execute(server, "ALTER SYSTEM RESET synchronous_standby_names")
        execute(server, "SELECT pg_reload_conf()")
        standby.kill()
        standby.communicate()


def test_clocks_that_are_apart_are_named(store: PostgresStore) -> None:
    found = store.health()
    assert abs(found.clock_ahead_s) < CLOCK_OFF_S
    said = findings(found._replace(clock_ahead_s=-70.0))["this machine's clock"]
    assert (said.level, "70s apart" in said.message) == (NOTE, True)


def test_a_role_with_too_few_rights_gets_a_fix_that_works(
    url: str, store: PostgresStore, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    role, schema = f"test_{ids.random_id(10)}", store.health().schema
    address = url.replace("postgres@", f"{role}@")
    execute(server, f"CREATE ROLE {role} LOGIN")
    try:
        (refused,) = doctor.examine(address)
        assert (refused.level, "does not let this role work" in refused.message) == (PROBLEM, True)
        execute(server, f"GRANT USAGE ON SCHEMA {schema} TO {role}")
        execute(server, f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}")
        said = {" ".join(finding.message.split()[3:5]): finding for finding in doctor.examine(address)}
        assert "jobs" in said["may not"].message
        assert said["may not"].level == PROBLEM
        assert said["cannot see"].level == NOTE
        for finding in (said["may not"], said["cannot see"]):
            execute(server, finding.fix.partition(": ")[2])
        told = [finding.message for finding in doctor.examine(address)]
        assert not any("may not" in what or "cannot see" in what for what in told)
        assert any("could not bring it up to date" in what for what in told)
        worker = places.open_store(address)
        worker.set_config("max-retries", "1")
        worker.close()
    finally:
        execute(server, f"DROP OWNED BY {role} CASCADE")
        execute(server, f"DROP ROLE {role}")


# --- writing --------------------------------------------------------------------------------


def test_a_read_only_default_is_named_and_overridden(url: str, server: Server, tmp_path: Path) -> None:
    execute(server, "ALTER DATABASE postgres SET default_transaction_read_only = on")
    try:
        with closing(PostgresStore(url, tmp_path)) as store:
            store.try_write()
            said = findings(store.health())["sessions are read-only"]
            assert (said.level, said.code) == (WARNING, "read_only_by_default")
    finally:
        with psycopg.connect(server.url, autocommit=True) as db:
            db.execute("SET default_transaction_read_only = off")
            db.execute("ALTER DATABASE postgres RESET default_transaction_read_only")


def test_a_standby_is_named_where_nothing_can_be_written(server: Server, store: PostgresStore, tmp_path: Path) -> None:
    standby = start_server({"max_prepared_transactions": "2"}, primary=server)
    try:
        until(lambda: has_caught_up(server), "the tables are there, too")
        address = store.address.replace(f":{server.port}", f":{standby.port}")
        with closing(PostgresStore(address, tmp_path)) as there:
            assert there.config() == {}
            with pytest.raises(StoreUnavailable, match="is read-only") as refused:
                there.try_write()
            assert "primary" in refused.value.hint
        codes = {finding.code: finding for finding in doctor.examine(address)}
        assert codes["server_is_standby"].level == PROBLEM
        assert codes["store_unwritable"].level == PROBLEM
    finally:
        standby.remove()


def has_caught_up(server: Server) -> bool:
    with psycopg.connect(server.url) as db:
        query = "SELECT 1 FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_insert_lsn()"
        return db.execute(query).fetchone() is not None


def test_a_named_standby_that_is_not_connected_is_a_problem(store: PostgresStore, server: Server) -> None:
    assert "commits wait for" not in findings(store.health())
    execute(server, "ALTER SYSTEM SET synchronous_standby_names = 'absent'")
    execute(server, "SELECT pg_reload_conf()")
    try:
        until(lambda: store.health().named_standbys == "absent")
        store.try_write()  # waits for nobody
        said = findings(store.health())["commits wait for"]
        assert (said.level, "absent" in said.message) == (PROBLEM, True)
        for words in said.fix.partition("or: ")[2].split("; "):
            execute(server, words)
        until(lambda: not store.health().named_standbys, "the advice helps")
    finally:
        execute(server, "ALTER SYSTEM RESET synchronous_standby_names")
        execute(server, "SELECT pg_reload_conf()")


def test_a_locked_or_forbidden_store_is_reported_as_unwritable(
    store: PostgresStore, url: str, other: psycopg.Connection[tuple[object, ...]]
) -> None:
    assert list(doctor.unwritable(store)) == []
    other.execute(f"LOCK TABLE {store.health().schema}.counts IN SHARE MODE".encode())
    store.wait_at_most(0.05)
    (said,) = Client(store).out_of_order()
    assert (said.level, said.code, "is locked" in said.message) == (PROBLEM, "store_unwritable", True)


def test_a_worker_that_does_not_renew_its_lease_is_named(store: PostgresStore) -> None:
    ttl_s, row = 20.0, a_worker()
    store.set_config("lease-ttl", f"{ttl_s:g}s")
    store.register(row, ttl_s)
    assert Client(store).out_of_order() == []
    store.renew([row.grip], 0.4 * ttl_s)  # as if it had done so long ago
    (said,) = Client(store).out_of_order()
    assert (said.level, said.code) == (WARNING, "worker_out_of_touch")
    assert re.fullmatch(f"worker {row.name} has not renewed its lease for 1[2-9]s", said.message)


# --- logical replication --------------------------------------------------------------------


def test_a_publication_of_all_tables_stops_nothing(store: PostgresStore, server: Server) -> None:
    execute(server, "CREATE PUBLICATION everything FOR ALL TABLES")
    try:
        client = Client(store)
        for _ in range(3):
            client.enqueue([parse_request({"command": "true"}, store.now())])
        first, second, _ = client.find()
        store.fold_counts()
        client.cancel([first.id])
        client.delete([second.id])
        assert client.prune([Selector(states=(JobState.CANCELLED,))]) == 1
        assert client.count() == 1
        store.reset()
        assert store.health().unidentified_tables == []
    finally:
        execute(server, "DROP PUBLICATION everything")


def test_a_published_table_without_a_replica_identity_is_named_with_a_fix(store: PostgresStore, server: Server) -> None:
    table = f"{store.health().schema}.counts"
    execute(server, f"CREATE PUBLICATION counts FOR TABLE {table}; ALTER TABLE {table} REPLICA IDENTITY DEFAULT")
    try:
        (said,) = (each for each in judged("here", store.health()) if each.code == "replica_identity_missing")
        assert said.level == PROBLEM
        execute(server, said.fix)
        assert store.health().unidentified_tables == []
    finally:
        execute(server, "DROP PUBLICATION counts")


# --- what refuses a connection --------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["LATIN1", "WIN1252", "SQL_ASCII"])
def test_a_database_in_another_encoding_is_refused_with_a_fix(server: Server, tmp_path: Path, encoding: str) -> None:
    name = f"in_{encoding.lower()}"
    execute(server, f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0")
    with pytest.raises(StoreUnavailable, match=f"has the encoding {encoding}, and queuectl needs UTF8") as refused:
        PostgresStore(server.url.rpartition("/")[0] + f"/{name}", tmp_path)
    assert refused.value.hint == "make it with: createdb -E UTF8 -T template0 NAME"


@pytest.mark.parametrize(
    ("before", "after", "said", "hint"),
    [
        ("postgres@", "guarded:wrong@", "refused the login: password authentication failed", "check user and password"),
        ("postgres@", "guarded@", "refused the login: .*no password supplied", "check user and password"),
        ("postgres@", "stranger@", "refused the login: pg_hba.conf rejects", "pg_hba.conf"),
        ("postgres@", "nobody_here@", 'role "nobody_here" does not exist', "createuser"),
        ("postgres@", "crowd@", "has no free connection: too many connections for role", "CONNECTION LIMIT"),
        ("postgres@", "locked_out@", "refused the login: .*not permitted to log in", "ALTER ROLE … LOGIN"),
        ("/postgres", "/missing?user=postgres", 'database "missing" does not exist', "createdb NAME"),
        ("/postgres", "/postgres?sslmode=require", "cannot be reached with TLS as asked", "sslmode"),
        ("127.0.0.1:{port}", "127.0.0.1:1", "cannot reach the store", "is the server running?"),
        ("127.0.0.1:{port}", "127.0.0.1:99999", "invalid port number", "check the address"),
        ("127.0.0.1:{port}", "nowhere.invalid:{port}", "failed to resolve host", "check the host"),
        ("/postgres", "/postgres?target_session_attrs=standby", "not in hot standby mode", "check the address"),
        ("/postgres", "/postgres?host=/nowhere", "No such file or directory", "is the server running?"),
    ],
)
def test_what_refuses_a_connection_is_told_with_what_would_help(
    guarded: Server, tmp_path: Path, before: str, after: str, said: str, hint: str
) -> None:
    url = after.format(port=guarded.port).join(guarded.url.rsplit(before.format(port=guarded.port), 1))
    with pytest.raises(StoreUnavailable, match=said) as refused:
        PostgresStore(url, tmp_path)
    assert hint in refused.value.hint


def test_what_the_driver_logs_is_not_printed_among_messages() -> None:
    program = "import logging, queuectl.store.postgres.store; logging.getLogger('psycopg').warning('pipeline aborted')"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (said.stdout, said.stderr) == ("", "")


@pytest.fixture(scope="module")
def guarded(server: Server) -> Server:
    """The server, with roles that it does not let in just so."""
    with psycopg.connect(server.url_here, autocommit=True) as db:
        db.execute("CREATE ROLE guarded LOGIN PASSWORD 'right'; CREATE ROLE stranger LOGIN")
        db.execute("CREATE ROLE crowd LOGIN CONNECTION LIMIT 0; CREATE ROLE locked_out")
        ((rules,),) = db.execute("SHOW hba_file").fetchall()
        trusted = Path(str(rules)).read_text()
        own = "host all guarded all scram-sha-256\nhost all stranger all reject\n"
        Path(str(rules)).write_text(own + trusted)
        db.execute("SELECT pg_reload_conf()")
        until(lambda: db.execute("SELECT 1 FROM pg_hba_file_rules WHERE auth_method = 'reject'").fetchone())
    return server
