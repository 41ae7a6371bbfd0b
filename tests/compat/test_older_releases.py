"""Any two releases of one major version work on one store, and running commands are handed over between them."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
import pytest

from queuectl.client.facade import Client
from queuectl.places import reset_store
from queuectl.store.postgres.store import PostgresStore
from queuectl.store.shared.migrations import SQL_FOLDER, newest
from queuectl.store.sqlite.store import SqliteStore
from queuectl.wire.requests import parse_request
from tests.compat.older import HERE, ON_POSTGRES, RELEASES, STATES, Release
from tests.workshop import Workshop, open_workshop, until

RELEASED = {
    "sqlite/0001_schema.sql": "1b77e9ad9abc64c1",
    "sqlite/0002_web.sql": "850254936af08664",
    "sqlite/0003_completed.sql": "916db9caad7e6ae9",
    "sqlite/0004_counts.sql": "b160054ba4708ec3",
    "sqlite/0005_home.sql": "ee3ea8e10fa8f464",
    "postgres/0001_schema.sql": "5bd7d5e84d84f3e9",
    "postgres/0002_web.sql": "0c76f97c8f212a82",
    "postgres/0003_enqueue.sql": "96c60119b226f855",
    "postgres/0004_completed.sql": "93c763a7b52b66b1",
    "postgres/0005_times.sql": "9e3dd75c4b585b8d",
    "postgres/0006_home.sql": "320156fe914b7aae",
    "postgres/0007_any_server.sql": "78b43eaccf99e3dd",
    "postgres/0008_enqueue.sql": "85b078e5b34a332f",
}
"""Stores have these migrations behind them: a change is a new file. By the first 16 digits of SHA-256."""

BESIDE = ("0.2.0.dev1",)
"""Releases that work on a store which this one has made. 0.1.0 is refused: it counted jobs in another way."""


@pytest.fixture(params=["sqlite", "postgres"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a store that does not exist yet."""
    if request.param == "sqlite":
        return str(tmp_path / "queuectl.db")
    return str(request.getfixturevalue("postgres_url"))


def workshop_at(address: str, folder: Path) -> AbstractContextManager[Workshop]:
    return open_workshop(folder, address if "://" in address else None)


@pytest.mark.parametrize("name", RELEASED)
def test_a_released_migration_is_never_edited(name: str) -> None:
    assert sha256(Path(SQL_FOLDER, name).read_bytes()).hexdigest()[:16] == RELEASED[name]


def assert_kept(client: Client, schema: Callable[[], int]) -> None:
    """All that an older release has put into its store is there. Only who writes brings it up to date."""
    older = schema()
    assert {job.id: str(job.state) for job in client.find()} == STATES
    done, later = client.job("done"), client.job("later")
    assert (done.tags, done.attempts, done.spec.max_retries) == (("kept",), 1, 1)
    assert [output.head for output in client.store.outputs(done, 1)] == [b"hello\noops\n"]
    assert (later.command, later.queue) == (("echo", "two words"), "night")
    assert [attempt.exit_code for attempt in client.history("sorry").attempts] == [7]
    assert "CancelRequested" in {deed.kind for deed in client.audit()}
    assert (client.workers(), client.tokens()) == ([], [])
    client.status()
    client.store.try_write()
    assert schema() == older
    assert [job.id for job in client.retry(["sorry", "gone"]).jobs] == ["sorry", "gone"]
    assert schema() > older
    assert (client.workers(), client.tokens()) == ([], [])


@pytest.mark.parametrize("name", RELEASES)
def test_a_file_of_an_older_release_opens_with_all_its_jobs(name: str, tmp_path: Path) -> None:
    shutil.copy(HERE / "stores" / f"{name}.db", tmp_path / "queuectl.db")
    client = Client(store := SqliteStore(tmp_path / "queuectl.db"))
    assert_kept(client, store.schema_version)
    client.close()


@pytest.mark.parametrize("name", ON_POSTGRES)
def test_a_schema_of_an_older_release_opens_with_all_its_jobs(name: str, postgres_url: str, tmp_path: Path) -> None:
    server, _, schema = postgres_url.partition("?schema=")
    with psycopg.connect(server, autocommit=True) as db:
        text = (HERE / "stores" / f"{name}.sql").read_text().replace("{schema}", schema)
        db.execute(text.encode())
        client = Client(PostgresStore(postgres_url, tmp_path))
        number = f"SELECT value::int FROM \"{schema}\".meta WHERE name = 'schema'"
        assert_kept(client, lambda: db.execute(number.encode()).fetchone()[0])  # type: ignore[index]
        client.close()


def assert_migrates(client: Client) -> None:
    """It is brought up to date once, and then is."""
    older, now = client.migrate()
    assert older < now == client.store.schema_version() == newest()
    assert not client.store._behind  # type: ignore[attr-defined]
    assert client.migrate() == (now, now)
    assert {job.id: str(job.state) for job in client.find()} == STATES


@pytest.mark.parametrize("name", ON_POSTGRES)
def test_a_schema_of_an_older_release_can_be_reset(name: str, postgres_url: str, tmp_path: Path) -> None:
    server, _, schema = postgres_url.partition("?schema=")
    with psycopg.connect(server, autocommit=True) as db:
        db.execute((HERE / "stores" / f"{name}.sql").read_text().replace("{schema}", schema).encode())
    reset_store(postgres_url)
    with closing(Client(PostgresStore(postgres_url, tmp_path))) as client:
        assert client.find() == []
        client.enqueue([parse_request({"command": "true"}, client.now())])


@pytest.mark.parametrize("name", RELEASES)
def test_a_file_of_an_older_release_is_migrated_when_asked(name: str, tmp_path: Path) -> None:
    shutil.copy(HERE / "stores" / f"{name}.db", tmp_path / "queuectl.db")
    with closing(Client(SqliteStore(tmp_path / "queuectl.db"))) as client:
        assert_migrates(client)


@pytest.mark.parametrize("name", ON_POSTGRES)
def test_a_schema_of_an_older_release_is_migrated_when_asked(name: str, postgres_url: str, tmp_path: Path) -> None:
    server, _, schema = postgres_url.partition("?schema=")
    with psycopg.connect(server, autocommit=True) as db:
        db.execute((HERE / "stores" / f"{name}.sql").read_text().replace("{schema}", schema).encode())
    with closing(Client(PostgresStore(postgres_url, tmp_path))) as client:
        assert_migrates(client)


@pytest.mark.parametrize("name", BESIDE)
def test_a_worker_of_an_older_release_goes_on_beside_this_one(name: str, address: str, tmp_path: Path) -> None:
    with workshop_at(address, tmp_path) as workshop, running(Release(name, tmp_path), address, "--count", "2"):
        long = workshop.enqueue(f"until [ -e {tmp_path}/go ]; do sleep 0.02; done; echo late")
        workshop.started(long)
        (short,) = workshop.finished(workshop.enqueue("echo early"))
        (tmp_path / "go").touch()
        workshop.finished(long)
        assert workshop.output(short.id) == b"early\n"
        assert workshop.output(long) == b"late\n"


@pytest.mark.parametrize(
    ("name", "kind"), [(name, "sqlite") for name in RELEASES] + [(name, "postgres") for name in ON_POSTGRES]
)
def test_commands_of_a_killed_older_worker_are_taken_over(name: str, kind: str, tmp_path: Path, request: Any) -> None:
    address = str(tmp_path / "queuectl.db") if kind == "sqlite" else request.getfixturevalue("postgres_url")
    release = Release(name, tmp_path)
    release.run(address, "enqueue", "--id", "job", "--max-retries", "0", "-c", long_command(tmp_path))
    with running(release, address) as worker:
        until(lambda: (tmp_path / "begun").exists(), "the command runs")
        worker.kill()
    with workshop_at(address, tmp_path) as workshop:
        workshop.worker()
        assert_ended_once(workshop, "job")


@pytest.mark.parametrize("name", BESIDE)
def test_an_older_worker_takes_over_commands_of_a_killed_newer_one(name: str, address: str, tmp_path: Path) -> None:
    with workshop_at(address, tmp_path) as workshop:
        newer = workshop.worker()
        job = workshop.enqueue(long_command(tmp_path), max_retries=0)
        workshop.started(job)
        newer.kill()
        with running(Release(name, tmp_path), address):
            assert_ended_once(workshop, job)


@contextmanager
def running(release: Release, address: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A worker of an older release. It is stopped at the end, unless it was killed."""
    worker = release.start_worker(address, *options)
    try:
        yield worker
    finally:
        worker.terminate()
        code = worker.wait(60)
    assert code in (0, -signal.SIGKILL)


def long_command(folder: Path) -> str:
    """Says that it began, and goes on until it is told to end."""
    return f"echo begun >> {folder}/begun; until [ -e {folder}/go ]; do sleep 0.02; done; exit 3"


def assert_ended_once(workshop: Workshop, job: str) -> None:
    """Whoever took the command over records its end, and it was not run again."""

    def taken_over() -> bool:
        holder = workshop.job(job).worker
        return any(row.id == holder and row.epoch > 1 for row in workshop.store.workers())

    until(taken_over, "its supervisor is driven by another worker")
    (workshop.folder / "go").touch()
    until(lambda: workshop.job(job).attempts, "its end is on record")
    found = workshop.job(job)
    assert (found.exit_code, found.attempts, found.lost) == (3, 1, 0)
    assert (workshop.folder / "begun").read_text() == "begun\n"
