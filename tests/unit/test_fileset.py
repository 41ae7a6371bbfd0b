"""A store notices what others have done to its files."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from queuectl.domain.selector import Selector
from queuectl.store.sqlite.connection import sqlite3
from queuectl.store.sqlite.fileset import LOOK_AT_MOST_EVERY_S
from queuectl.store.sqlite.guard import MARK_EVERY_S
from queuectl.store.sqlite.store import SqliteStore
from queuectl.store.values import REOPEN, REPLACED
from tests.builders import ManualClock, a_job


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queuectl.db"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(path: Path, clock: ManualClock) -> Iterator[SqliteStore]:
    """One that is guarded, with a job."""
    with closing(SqliteStore(path, clock)) as store:
        store.guard()
        store.insert([a_job("before")])
        yield store


def jobs(store: SqliteStore) -> list[str]:
    return [job.id for job in store.find(Selector())]


def copy(source: Path | str, target: Path) -> None:
    """By another process: in this one, closing the file would drop SQLite's locks."""
    subprocess.run(["cp", source, target], check=True)


def old_copy(store: SqliteStore, clock: ManualClock) -> Path:
    """A copy of the file alone, after which time has gone by and jobs were added."""
    clock.forward(MARK_EVERY_S + 1)
    assert not store.replaced()
    made = Path(store.path).with_name("copy")
    copy(store.path, made)
    store.insert([a_job("after")])
    clock.forward(MARK_EVERY_S + 1)
    assert not store.replaced()
    return made


def test_an_old_copy_written_over_the_file_is_noticed(store: SqliteStore, clock: ManualClock, path: Path) -> None:
    copy(old_copy(store, clock), path)
    assert store.replaced() == REPLACED
    store.close()
    with closing(SqliteStore(path)) as again:
        assert jobs(again) == ["before"]
        assert again.integrity() == []


def test_a_file_at_rest_is_noticed_when_it_is_written_over(store: SqliteStore, clock: ManualClock, path: Path) -> None:
    made = old_copy(store, clock)
    for _ in range(3):  # now its content is not read again without a reason
        time.sleep(1.1 * LOOK_AT_MOST_EVERY_S)
        assert not store.replaced()
    copy(made, path)
    assert store.replaced() == REPLACED


def test_a_backup_written_into_the_file_is_not_marked_as_ours(
    store: SqliteStore, clock: ManualClock, path: Path
) -> None:
    made = path.with_name("copy")
    store._db.execute(f"VACUUM INTO '{made}'")
    store.insert([a_job("after")])
    clock.forward(MARK_EVERY_S + 1)
    assert not store.replaced()
    with closing(sqlite3.connect(made)) as source, closing(sqlite3.connect(path)) as target:
        source.backup(target)
    clock.forward(MARK_EVERY_S + 1)
    assert store.replaced() == REPLACED


def test_closing_an_overwritten_store_does_not_write_into_it(
    store: SqliteStore, clock: ManualClock, path: Path
) -> None:
    made = old_copy(store, clock)
    copy(made, path)
    store.close()
    assert path.read_bytes() == made.read_bytes()


def test_checkpoints_and_touching_are_not_taken_for_overwriting(
    store: SqliteStore, clock: ManualClock, path: Path
) -> None:
    with closing(SqliteStore(path, clock)) as other:
        for number in range(20):
            clock.forward(MARK_EVERY_S / 3)
            other.insert([a_job(f"job{number}", command="x" * 5000)])
            if number % 3 == 0:
                other._db.execute(f"PRAGMA wal_checkpoint({['PASSIVE', 'RESTART', 'TRUNCATE'][number % 9 // 3]})")
            if number % 5 == 0:
                os.utime(path)
            assert not store.replaced()


def test_a_log_that_grew_before_it_began_again_is_not_taken_for_overwriting(
    store: SqliteStore, clock: ManualClock, path: Path
) -> None:
    with closing(SqliteStore(path, clock)) as other, closing(SqliteStore(path, clock)) as reader:
        other.insert([a_job("one")])
        reader._db.execute("BEGIN")
        jobs(reader)  # as long as it reads, the log only grows
        other._db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        assert not store.replaced()  # sees the whole log copied
        other._db.execute("INSERT INTO meta VALUES ('another', 'mark')")
        reader._db.execute("COMMIT")
        other._db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        other.insert([a_job("two"), a_job("three")])
        time.sleep(1.1 * LOOK_AT_MOST_EVERY_S)
        assert not store.replaced()


def test_an_old_copy_is_noticed_although_the_log_began_again(
    store: SqliteStore, clock: ManualClock, path: Path
) -> None:
    with closing(SqliteStore(path, clock)) as other:
        made = old_copy(store, clock)
        copy(made, path)
        other.insert([a_job("two")])
        other.insert([a_job("three")])
        assert store.replaced() == REPLACED


def test_an_idle_store_is_not_written(store: SqliteStore, clock: ManualClock, path: Path) -> None:
    clock.forward(MARK_EVERY_S + 1)
    assert not store.replaced()
    before = path.stat().st_mtime_ns, path.with_name("queuectl.db-wal").stat().st_mtime_ns
    clock.forward(10 * MARK_EVERY_S)
    assert not store.replaced()
    assert (path.stat().st_mtime_ns, path.with_name("queuectl.db-wal").stat().st_mtime_ns) == before


def test_two_who_guard_a_store_do_not_keep_each_other_writing(
    store: SqliteStore, clock: ManualClock, path: Path
) -> None:
    with closing(SqliteStore(path, clock)) as other:
        other.guard()
        for _ in range(3):
            clock.forward(MARK_EVERY_S + 1)
            assert not store.replaced() + other.replaced()
        before = path.with_name("queuectl.db-wal").stat().st_mtime_ns
        for _ in range(3):
            clock.forward(MARK_EVERY_S + 1)
            assert not store.replaced() + other.replaced()
        assert path.with_name("queuectl.db-wal").stat().st_mtime_ns == before


def test_a_locked_store_is_not_an_error_when_it_is_guarded(store: SqliteStore, clock: ManualClock, path: Path) -> None:
    with closing(SqliteStore(path, clock)) as other, other.transaction():
        store.wait_at_most(0.0)
        clock.forward(MARK_EVERY_S + 1)
        assert store.replaced() == ""


@pytest.mark.parametrize("gone", [["-wal"], ["-shm"], ["-wal", "-shm"]])
def test_what_is_in_a_removed_log_is_saved(store: SqliteStore, path: Path, gone: list[str]) -> None:
    for suffix in gone:
        path.with_name(path.name + suffix).unlink()
    assert store.replaced() == REOPEN
    store.close()
    with closing(SqliteStore(path)) as again:
        assert jobs(again) == ["before"]
        assert again.integrity() == []


def test_a_removed_log_that_others_have_made_anew_is_left_alone(store: SqliteStore, path: Path) -> None:
    wal = path.with_name(path.name + "-wal")
    wal.unlink()
    wal.write_bytes(b"another")
    assert store.replaced() == REPLACED
    store.close()
    assert wal.read_bytes() == b"another"
