"""What `doctor` says of servers that keep promises badly, and that what it advises helps."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from queuectl import bootstrap, doctor, ids
from queuectl.domain.finding import NOTE, OK, PROBLEM, WARNING, Finding
from queuectl.store.postgres.health import Health
from queuectl.store.postgres.store import PostgresStore
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
    return {" ".join(finding.message.split()[:3]): finding for finding in doctor.judged("here", found)}


def execute(server: Server, text: str) -> None:
    with psycopg.connect(server.url, autocommit=True) as db:
        db.execute(text.encode())


def test_a_sound_server_is_just_named(store: PostgresStore) -> None:
    found = store.health()._replace(fsync=True, synchronous_commit="on", oldest_s=None)
    assert [finding.level for finding in doctor.judged("here", found)] == [OK]


def test_commits_that_are_not_synced_are_named(store: PostgresStore) -> None:
    said = findings(store.health())
    assert said["the server does"].level == PROBLEM
    assert said["synchronous_commit is off:"].level == NOTE


def test_a_session_that_idles_in_its_transaction_is_found_by_what_it_has_read_or_written(
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
    assert abs(found.clock_ahead_s) < doctor.CLOCK_OFF_S
    said = findings(found._replace(clock_ahead_s=-70.0))["this machine's clock"]
    assert (said.level, "70s apart" in said.message) == (NOTE, True)


def test_a_role_with_too_few_rights_is_told_which_and_the_advice_helps(
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
        assert said["is not"].level == NOTE
        for finding in (said["may not"], said["is not"]):
            execute(server, finding.fix.partition(": ")[2])
        told = [finding.message for finding in doctor.examine(address)]
        assert not any("may not" in what or "is not told" in what for what in told)
        assert any("could not bring it up to date" in what for what in told)
        worker = bootstrap.open_store(address)
        worker.set_config("max-retries", "1")
        worker.close()
    finally:
        execute(server, f"DROP OWNED BY {role} CASCADE")
        execute(server, f"DROP ROLE {role}")
