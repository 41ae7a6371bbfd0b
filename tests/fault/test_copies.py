"""A copy of a store that is in use: nothing of the original's workers is touched, whatever is done in the copy."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from queuectl import ids
from queuectl.client import doctor
from queuectl.domain.job import JobState
from queuectl.store.postgres.store import PostgresStore
from tests.server import Server, start_server
from tests.workshop import Workshop, open_workshop, until


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    place = tmp_path / "project"
    place.mkdir()
    with open_workshop(place) as shop:
        yield shop


def running_job(shop: Workshop, gate: Path, *options: str) -> str:
    """A job whose command runs until the gate is opened, under a live worker."""
    job = shop.enqueue(f"while [ ! -e {gate} ]; do sleep 0.05; done; echo ended", id="long")
    shop.worker(1, *options)
    shop.started(job)
    return job


def assert_untouched(original: Workshop, job: str, gate: Path) -> None:
    """The original's command still runs, and ends by itself as its first and only execution."""
    assert original.commands()
    gate.touch()
    (done,) = original.finished(job)
    assert (done.state, done.starts, done.lost, original.output(job)) == (JobState.COMPLETED, 1, 0, b"ended\n")


def codes(address: str | Path) -> list[str]:
    return [finding.code for finding in doctor.examine(str(address))]


def copied(folder: Path, how: str) -> Path:
    place = folder.with_name("copy")
    subprocess.run([*how.split(), f"{folder}/", str(place)], check=True)
    return place


def test_doctor_in_a_copy_says_so_and_cleaning_up_touches_no_process(shop: Workshop, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = running_job(shop, gate)
    place = copied(shop.folder, "cp -a")
    assert "worker_of_original" in codes(place / "queuectl.db")
    assert "process_left" not in codes(place / "queuectl.db")
    with open_workshop(place) as copy:
        assert doctor.clean_up(copy.store)
        found = copy.job(job)
        assert (found.state, found.attempts, found.lost) == (JobState.PENDING, 0, 0)
        assert copy.store.workers() == []
        assert copy.left_files() == []
    assert_untouched(shop, job, gate)


def test_a_worker_in_a_copy_touches_only_the_copys_jobs(shop: Workshop, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = running_job(shop, gate)
    with open_workshop(copied(shop.folder, "cp -a")) as copy:
        copy.worker(1)
        until(lambda: copy.job(job).worker != shop.job(job).worker, "the copy runs the job, too")
        copy.started(job)
        assert copy.job(job).lost == 0
        copy.client.cancel([job])
        copy.finished(job)
    assert_untouched(shop, job, gate)


def test_a_copy_without_its_folder_is_a_copy_too(shop: Workshop, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = running_job(shop, gate)
    place = tmp_path / "restored"
    place.mkdir()
    for name in ("queuectl.db", "queuectl.db-wal"):
        shutil.copy(shop.folder / name, place / name)
    with open_workshop(place) as copy:
        assert doctor.clean_up(copy.store)
        assert (copy.job(job).state, copy.job(job).lost) == (JobState.PENDING, 0)
    assert_untouched(shop, job, gate)


def test_a_store_that_was_moved_is_no_copy(shop: Workshop, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = shop.enqueue(f"while [ ! -e {gate} ]; do sleep 0.05; done; echo ended", id="long")
    worker = shop.worker(1)
    shop.started(job)
    worker.kill()
    moved = shop.folder.rename(tmp_path / "moved")
    with open_workshop(moved) as there:
        there.worker(1)
        assert_untouched(there, job, gate)


@pytest.fixture
def server() -> Iterator[Server]:
    server = start_server()
    yield server
    server.remove()


def test_a_database_copied_on_one_server_is_another_store(server: Server, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with psycopg.connect(server.url, autocommit=True) as db:
        db.execute("CREATE DATABASE production")
    production = server.url.rpartition("/")[0] + "/production"
    staging = server.url.rpartition("/")[0] + "/staging"
    with open_workshop(tmp_path, production) as shop:
        job = running_job(shop, gate, "--poll", "1")
        _copy_database(server, tmp_path, "production", "staging")
        assert "worker_of_original" in codes(staging)
        with open_workshop(tmp_path, staging) as copy:
            assert isinstance(copy.store, PostgresStore)
            assert copy.store.folder != shop.store.folder
            copy.worker(1)
            until(lambda: copy.job(job).worker != shop.job(job).worker, "the copy runs the job, too")
            copy.started(job)
            copy.client.cancel([job])
            copy.finished(job)
        assert_untouched(shop, job, gate)


def _copy_database(server: Server, folder: Path, source: str, target: str) -> None:
    """What `pg_dump` and `pg_restore` do."""
    base = server.url.rpartition("/")[0]
    with psycopg.connect(server.url, autocommit=True) as db:
        db.execute(f"CREATE DATABASE {target}".encode())
    dump = folder / f"{ids.random_id(6)}.sql"
    programs = server._binaries
    subprocess.run([programs / "pg_dump", "-f", dump, f"{base}/{source}"], check=True)
    subprocess.run([programs / "psql", "-q", "-f", dump, f"{base}/{target}"], check=True, stdout=subprocess.DEVNULL)
