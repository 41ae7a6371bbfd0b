"""Files of a store removed or exchanged, under a worker or after a crash: no acknowledged job is lost in silence."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from queuectl.domain.job import JobState
from queuectl.engine.supervise.trees import see
from queuectl.store.sqlite.connection import folder_of, sqlite3
from queuectl.store.sqlite.fileset import SET_ASIDE
from queuectl.store.sqlite.store import SqliteStore
from queuectl.store.values import REPLACED
from tests.workshop import PATIENCE_S, Workshop, clean_environment, pids_of, until


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Path]:
    """A store that this process does not hold open. Whatever runs from it is ended with the test."""
    place = tmp_path / "project"
    place.mkdir()
    yield place / "queuectl.db"
    for pid in pids_of(f"queuectl.*{place}/"):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@contextmanager
def working(db: Path) -> Iterator[subprocess.Popen[str]]:
    """A worker, which ends by itself at the end and must end well."""
    words = [sys.executable, "-m", "queuectl", "--db", str(db), "worker", "start", "--count", "2"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as worker:
        assert worker.stdout
        assert worker.stdout.readline().startswith("started")
        try:
            yield worker
            if worker.poll() is None:
                worker.send_signal(signal.SIGINT)
                assert worker.wait(timeout=PATIENCE_S) == 0
        finally:
            worker.kill()


def crash(worker: subprocess.Popen[str]) -> None:
    worker.kill()
    worker.wait()


def queuectl(db: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "queuectl", "--db", str(db), *words]
    return subprocess.run(command, capture_output=True, text=True, env=clean_environment(), timeout=60)


def log_of(db: Path) -> str:
    return "".join(path.read_text() for path in (Path(folder_of(str(db))) / "logs").glob("*.log"))


def ids(db: Path) -> list[str]:
    done = queuectl(db, "list", "--quiet")
    assert done.returncode == 0, done.stderr
    return sorted(done.stdout.split())


def is_sound(db: Path) -> bool:
    with closing(SqliteStore(db)) as store:
        return store.integrity() == []


def backup(db: Path, how: str) -> Path:
    """A backup of the store as it is now, made while it is in use."""
    made = db.with_name(f"backup.{how}")
    with closing(sqlite3.connect(db)) as source:
        if how == "vacuum":
            source.execute(f"VACUUM INTO '{made}'")
        else:
            with closing(sqlite3.connect(made)) as target:
                source.backup(target)
    return made


def filled(db: Path, *names: str) -> None:
    for name in names:
        assert queuectl(db, "enqueue", "--id", name, "--hold", "--", "true", "x" * 300).returncode == 0


def running(db: Path, gate: Path) -> str:
    """A job whose command runs until the gate is opened."""
    queuectl(db, "enqueue", "--id", "long", "-c", f"while [ ! -e {gate} ]; do sleep 0.05; done")
    until(lambda: queuectl(db, "list", "--quiet", "--state", "processing").stdout == "long\n")
    return "long"


# --- only the files beside it ---------------------------------------------------------------


@pytest.mark.parametrize("names", [["-wal", "-shm"], ["-wal"], ["-shm"]])
def test_a_removed_log_costs_no_job_and_no_command(db: Path, tmp_path: Path, names: list[str]) -> None:
    gate = tmp_path / "gate"
    with working(db):
        filled(db, "a", "b")
        job = running(db, gate)
        for name in names:
            db.with_name(db.name + name).unlink()
        until(lambda: "all jobs are safe" in log_of(db))
        assert ids(db) == ["a", "b", "long"]
        gate.touch()
        assert queuectl(db, "wait", job).returncode == 0
    with closing(SqliteStore(db)) as store:
        done = store.get(job)
        assert (done.state, done.starts, done.lost) == (JobState.COMPLETED, 1, 0)
        assert store.integrity() == []


def test_a_worker_that_stops_goes_on_to_stop_when_its_log_is_removed(db: Path, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with working(db) as worker:
        job = running(db, gate)
        worker.send_signal(signal.SIGTERM)
        until(lambda: "SIGTERM: stopping" in log_of(db))
        remove_log(db)
        until(lambda: "took over 1 running command" in log_of(db))
        assert queuectl(db, "enqueue", "--id", "later", "--", "true").returncode == 0
        gate.touch()
        assert worker.wait(timeout=PATIENCE_S) == 0
    with closing(SqliteStore(db)) as store:
        done, later = store.get(job), store.get("later")
        assert (done.state, done.starts, done.lost) == (JobState.COMPLETED, 1, 0)
        assert (later.state, later.starts) == (JobState.PENDING, 0)


def test_a_second_signal_ends_the_commands_of_a_stop_that_outlived_its_log(db: Path, tmp_path: Path) -> None:
    with working(db) as worker:
        job = running(db, tmp_path / "gate")
        worker.send_signal(signal.SIGTERM)
        until(lambda: "SIGTERM: stopping" in log_of(db))
        remove_log(db)
        until(lambda: "took over 1 running command" in log_of(db))
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=PATIENCE_S) == 0
    with closing(SqliteStore(db)) as store:
        assert store.get(job).state is JobState.PENDING


def test_a_worker_keeps_what_it_was_told_when_its_log_is_removed(db: Path) -> None:
    with working(db):
        name = json.loads(queuectl(db, "worker", "list", "--json").stdout)[0]["name"]
        assert queuectl(db, "worker", "set", name, "--count", "3").returncode == 0
        remove_log(db)
        until(lambda: log_of(db).count("started: 3 slots") == 1)
        until(lambda: [each["slots"] for each in json.loads(queuectl(db, "worker", "list", "--json").stdout)] == [3])


def remove_log(db: Path) -> None:
    for name in ("-wal", "-shm"):
        db.with_name(db.name + name).unlink()


def test_workers_that_share_a_removed_log_all_go_on(shop: Workshop, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    for count in (2, 2, 2):
        shop.worker(count)
    jobs = shop.enqueue_all([{"command": f"until [ -e {gate} ]; do sleep 0.1; done"}] * 6)
    shop.started(*jobs)
    shop.client.close()
    for suffix in ("-wal", "-shm"):
        shop.db.with_name(f"{shop.db.name}{suffix}").unlink()
    until(shop.db.with_name(f"{shop.db.name}-wal").exists, "a worker has saved the log and made a new one")
    shop.reopen()
    gate.touch()
    done = shop.finished(*jobs)
    assert {(job.state, job.starts, job.lost) for job in done} == {(JobState.COMPLETED, 1, 0)}
    assert isinstance(shop.store, SqliteStore)
    assert shop.store.integrity() == []


# --- a backup in its place ------------------------------------------------------------------

WAYS = pytest.mark.parametrize("how", ["online", "vacuum"])


def written_into(made: Path, db: Path) -> None:
    """Writes a backup into a file that is in use, as SQLite's own `.restore` does."""
    with closing(sqlite3.connect(made)) as source, closing(sqlite3.connect(db, timeout=PATIENCE_S)) as target:
        source.backup(target)


PUT = pytest.mark.parametrize("put", [shutil.copyfile, os.rename])
RESTORED = pytest.mark.parametrize("put", [shutil.copyfile, os.rename, written_into])


@WAYS
@RESTORED
def test_a_backup_put_in_place_under_a_worker_takes_effect(
    db: Path, how: str, put: Callable[[Path, Path], object]
) -> None:
    filled(db, "a", "b")
    made = backup(db, how)
    with working(db):
        filled(db, "c", "d")
        put(made, db)
        until(lambda: "removed or replaced" in log_of(db))
        assert ids(db) == ["a", "b"]
        assert is_sound(db)
        filled(db, "e")
    assert ids(db) == ["a", "b", "e"]
    assert is_sound(db)


@pytest.mark.parametrize("put", [lambda made, db: os.replace(made, db), lambda _, db: db.unlink()], ids=["put", "rm"])
def test_a_stop_is_over_when_the_store_is_exchanged(
    db: Path, tmp_path: Path, put: Callable[[Path, Path], object]
) -> None:
    filled(db, "a")
    made = backup(db, "online")
    with working(db) as worker:
        running(db, tmp_path / "gate")
        worker.send_signal(signal.SIGTERM)
        until(lambda: "SIGTERM: stopping" in log_of(db))
        put(made, db)
        assert worker.wait(timeout=PATIENCE_S) == 0
    assert queuectl(db, "worker", "list", "--json").stdout.strip() in ("", "[]") or not db.exists()


def test_a_backup_written_into_the_file_ends_what_runs_from_it(db: Path, tmp_path: Path) -> None:
    diary, gate = tmp_path / "diary", tmp_path / "gate"
    command = f"echo $$ >> {diary}; while [ ! -e {gate} ]; do sleep 0.05; done"
    queuectl(db, "enqueue", "--id", "long", "-c", command)
    made = backup(db, "online")
    with working(db):
        until(diary.exists)
        written_into(made, db)
        until(lambda: len(diary.read_text().split()) == 2, "it runs again")
        first, second = map(int, diary.read_text().split())
        assert see(first) is None
        assert see(second)
        gate.touch()
        assert queuectl(db, "wait", "long").returncode == 0


@RESTORED
def test_a_backup_is_noticed_before_the_worker_looks_at_new_jobs(db: Path, put: Callable[[Path, Path], object]) -> None:
    filled(db, "a", "b")
    made = backup(db, "online")
    with closing(SqliteStore(db)) as guarded:
        guarded.guard()
        filled(db, "c", "d")  # the first begins the log again
        put(made, db)
        assert guarded.replaced() == REPLACED
        guarded.close()
        assert ids(db) == ["a", "b"]
    assert is_sound(db)


def test_a_backup_that_comes_just_before_a_mark_does_not_become_the_workers_own(db: Path) -> None:
    filled(db, "a")
    made = backup(db, "online")
    with closing(SqliteStore(db)) as guarded:
        guarded.guard()
        filled(db, "b")
        assert not guarded.replaced()
        written_into(made, db)
        guarded._guard._mark()
        assert guarded.replaced() == REPLACED


def test_a_renamed_backup_is_noticed_after_a_checkpoint_that_no_worker_saw(db: Path) -> None:
    filled(db, "a", "b")
    made = backup(db, "online")
    with closing(SqliteStore(db)) as guarded:
        guarded.guard()
        filled(db, "c")
        with closing(sqlite3.connect(db)) as other:
            other.execute("PRAGMA wal_checkpoint").fetchall()
            filled(db, "d")
            made.rename(db)
        assert ids(db) == ["a", "b"]
    assert ids(db) == ["a", "b"]
    assert is_sound(db)


@WAYS
@PUT
def test_the_log_of_a_crashed_store_is_not_laid_over_a_backup(
    db: Path, how: str, put: Callable[[Path, Path], object]
) -> None:
    filled(db, "a", "b")
    made = backup(db, how)
    with working(db) as worker:
        filled(db, "c", "d")
        crash(worker)
    assert db.with_name("queuectl.db-wal").stat().st_size > 0
    put(made, db)
    filled(db, "e")
    assert ids(db) == ["a", "b", "e"]
    assert is_sound(db)
    assert len(list(Path(folder_of(str(db))).glob(f"{SET_ASIDE}*"))) == 1


def test_the_log_of_a_crash_serves_its_store_and_a_copy(db: Path, tmp_path: Path) -> None:
    with working(db) as worker:
        filled(db, "a", "b")
        os.utime(db)
        crash(worker)
    subprocess.run(["cp", "-a", db.parent, tmp_path / "copy"], check=True)
    db.chmod(0o640)
    assert ids(db) == ["a", "b"]
    assert ids(tmp_path / "copy" / "queuectl.db") == ["a", "b"]


def test_touching_the_file_disturbs_no_worker(db: Path, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with working(db):
        job = running(db, gate)
        record = Path(folder_of(str(db))) / "files"
        before = os.readlink(record)
        os.utime(db)
        until(lambda: os.readlink(record) != before, "the worker has looked")
        gate.touch()
        assert queuectl(db, "wait", job).returncode == 0
        assert "replaced" not in log_of(db)
