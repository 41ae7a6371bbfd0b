"""A store that is locked, full, gone or cut costs no running command and no acknowledged job."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from queuectl.client.facade import Client
from queuectl.domain.job import JobState
from queuectl.store.sqlite.connection import (
    sqlite3,  # two SQLite libraries in one process would drop each other's locks
)
from queuectl.store.sqlite.guard import MARK_EVERY_S
from queuectl.store.sqlite.store import SqliteStore
from queuectl.wire.requests import parse_request
from tests.builders import ManualClock
from tests.fault.history import check, diary_command
from tests.needs import lacks
from tests.workshop import Workshop, clean_environment, open_workshop, pids_of, until


def queuectl(db: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "queuectl", "--db", str(db), *words]
    return subprocess.run(command, capture_output=True, text=True, env=clean_environment(), timeout=60)


def log_of(shop: Workshop) -> str:
    return "".join(path.read_text() for path in (shop.store.folder / "logs").glob("*.log"))


@contextmanager
def locked(shop: Workshop) -> Iterator[None]:
    """Somebody else writes to the store, and does not end."""
    other = sqlite3.connect(shop.db, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield
    other.execute("ROLLBACK")
    other.close()


# --- locked ---------------------------------------------------------------------------------


def test_while_the_store_is_locked_commands_end_and_are_recorded_afterwards(shop: Workshop, tmp_path: Path) -> None:
    diary, gate = tmp_path / "diary", tmp_path / "gate"
    job = shop.enqueue(diary_command(diary, f"while [ ! -e {gate} ]; do sleep 0.05; done"))
    shop.worker(1)
    shop.started(job)
    with locked(shop):
        gate.touch()
        until(lambda: len(shop.events(diary)) == 2)
        until(lambda: "locked by another process" in log_of(shop))
        assert shop.job(job).state is JobState.PROCESSING
    (done,) = shop.finished(job)
    assert (done.state, done.starts, done.lost) == (JobState.COMPLETED, 1, 0)
    until(lambda: "the store is back" in log_of(shop))
    check(shop, diary, [job])


def test_results_survive_a_worker_killed_while_the_store_was_locked(shop: Workshop, tmp_path: Path) -> None:
    diary, gate = tmp_path / "diary", tmp_path / "gate"
    job = shop.enqueue(diary_command(diary, f"while [ ! -e {gate} ]; do sleep 0.05; done; echo kept"))
    worker = shop.worker(1)
    shop.started(job)
    (row,) = shop.supervisors()
    with locked(shop):
        gate.touch()
        until(lambda: len(shop.events(diary)) == 2)
        until(lambda: b"exit_code" in (shop.store.folder / "workers" / row.id / "journal").read_bytes())
        worker.kill()
        os.kill(row.pid, signal.SIGKILL)
    shop.worker(1)
    (done,) = shop.finished(job)
    assert (done.state, done.starts, shop.output(job)) == (JobState.COMPLETED, 1, b"kept\n")
    check(shop, diary, [job])


def test_a_third_signal_ends_a_worker_that_waits_for_the_store(shop: Workshop, tmp_path: Path) -> None:
    diary, gate = tmp_path / "diary", tmp_path / "gate"
    job = shop.enqueue(diary_command(diary, f"while [ ! -e {gate} ]; do sleep 0.05; done; echo kept"))
    worker = shop.worker(1)
    shop.started(job)
    with locked(shop):
        gate.touch()
        until(lambda: "locked by another process" in log_of(shop))
        for told in ("stopping", "attempts are given back", "for the next worker to record: 1"):
            worker.signal(signal.SIGINT)
            until(lambda told=told: told in log_of(shop))  # type: ignore[misc]
        assert worker.wait() == 5
    shop.worker(1)
    (done,) = shop.finished(job)
    assert (done.state, done.starts, shop.output(job)) == (JobState.COMPLETED, 1, b"kept\n")
    check(shop, diary, [job])


def test_a_worker_that_starts_while_the_store_is_locked_waits_for_it(shop: Workshop) -> None:
    job = shop.enqueue("true")
    hold = (
        f"import sqlite3, time; c = sqlite3.connect({str(shop.db)!r}, isolation_level=None); "
        "c.execute('BEGIN IMMEDIATE'); print('held', flush=True); time.sleep(1.5)"
    )
    with subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        shop.worker(1)
    assert shop.finished(job)[0].state is JobState.COMPLETED


# --- gone or replaced -----------------------------------------------------------------------


def test_removing_the_store_under_a_worker_ends_its_commands(shop: Workshop, tmp_path: Path) -> None:
    old = shop.enqueue("sleep 300", id="job1")
    worker = shop.worker(1)
    shop.started(old)
    left = shop.commands()
    assert left
    shop.db.unlink()  # the -wal and -shm stay, as a careless user leaves them
    assert queuectl(shop.db, "enqueue", '{"id":"job1","command":"echo new"}').returncode == 0
    fresh = Client(SqliteStore(shop.db))
    try:
        until(lambda: fresh.job("job1").state is JobState.COMPLETED)
        assert b"".join(output.head for output in fresh.store.outputs(fresh.job("job1"), 1)) == b"new\n"
    finally:
        fresh.close()
    assert shop.commands() == []
    assert worker.stop() == 0
    assert shop.left_files() == []


def test_reset_does_the_same(shop: Workshop) -> None:
    old = shop.enqueue("sleep 300", id="job1")
    worker = shop.worker(1)
    shop.started(old)
    assert queuectl(shop.db, "reset", "--yes").returncode == 0
    until(lambda: shop.commands() == [])
    assert queuectl(shop.db, "run", "--", "echo", "fresh").stdout == "fresh\n"
    assert worker.stop() == 0


def test_reset_by_a_link_removes_the_store_and_not_the_link(shop: Workshop, tmp_path: Path) -> None:
    link = _made(tmp_path / "elsewhere") / "queuectl.db"
    link.symlink_to(shop.db)
    old = shop.enqueue("sleep 300", id="job1")
    worker = shop.worker(1)
    shop.started(old)
    assert queuectl(link, "reset", "--yes").stdout == f"removed {shop.db}\n"
    until(lambda: shop.commands() == [])
    assert link.is_symlink()
    assert queuectl(link, "run", "--", "echo", "fresh").stdout == "fresh\n"
    assert worker.stop() == 0


def test_a_worker_whose_folder_is_gone_says_so_and_ends_everything(tmp_path: Path) -> None:
    with open_workshop(_made(tmp_path / "project")) as shop:
        job = shop.enqueue("sleep 300")
        worker = shop.worker(1)
        shop.started(job)
        shop.commands()
        shutil.rmtree(tmp_path / "project")
        assert worker.wait() == 5
        assert [
            pid for pid in pids_of("queuectl.engine.supervise.supervisor") if str(tmp_path) in _command_line(pid)
        ] == []


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


# --- full -----------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 5 MB. Needs the right to mount one."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        lacks("the right to mount a file system", "run as root")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def cut_log(db: Path) -> bool:
    """Copies the log into the file and leaves it empty; whether nobody was using it just then."""
    with closing(sqlite3.connect(db)) as connection:
        ((busy, _, _),) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return not busy


def fill(path: Path) -> None:
    """Writes until there is no space left."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


def test_a_full_disk_refuses_what_moves_a_store_by_its_own_name(small_disk: Path, tmp_path: Path) -> None:
    db, large, saved = tmp_path / "queuectl.db", tmp_path / "jobs.jsonl", tmp_path / "saved.db"
    large.write_text("".join(f'{{"command": "true {"x" * 50_000}{number}"}}\n' for number in range(160)))
    assert queuectl(db, "enqueue", "--file", str(large)).returncode == 0
    assert queuectl(db, "backup", str(saved)).returncode == 0
    there, new = small_disk / "there.db", small_disk / "new.db"
    assert queuectl(there, "enqueue", "--id", "kept", "--", "true").returncode == 0
    for store, words, named in (
        (db, ["backup", str(new)], new),
        (db, ["export", str(new)], new),
        (db, ["copy", "--keep", "--replace", "--yes", "--to", str(there)], there),
        (there, ["restore", str(saved), "--replace", "--yes"], there),
    ):
        refused = queuectl(store, *words)
        assert refused.returncode in (1, 5)
        assert refused.stderr.count("\n") == 1
        assert refused.stderr.startswith(
            (f"queuectl: {named} cannot grow", f"queuectl: cannot write {named}: No space")
        )
        assert sorted(os.listdir(small_disk)) == [".there.db.d", "there.db"]
        assert queuectl(there, "list", "--quiet").stdout == "kept\n"
    fill(small_disk / "filler")
    refused = queuectl(new, "init")
    assert (refused.returncode, "the disk is full" in refused.stderr) == (5, True)


def test_a_full_disk_refuses_enqueue_clearly_and_loses_nothing(small_disk: Path, tmp_path: Path) -> None:
    diary, gate = tmp_path / "diary", tmp_path / "gate"
    with open_workshop(small_disk) as shop:
        body = f"while [ ! -e {gate} ]; do sleep 0.05; done; echo $QUEUECTL_JOB_ID"
        jobs = shop.enqueue_all([{"command": diary_command(diary, body)} for _ in range(20)])
        worker = shop.worker(4)
        shop.started(*jobs[:4])
        filler = small_disk / "filler"
        until(lambda: cut_log(shop.db), "the log has no room left over that a worker could write into")
        fill(filler)
        large = tmp_path / "jobs.jsonl"  # larger than what else a worker has written meanwhile
        large.write_text("".join(f'{{"command": "true {"x" * 50_000}{number}"}}\n' for number in range(40)))
        refused = queuectl(shop.db, "enqueue", "--file", str(large))
        assert refused.returncode == 5
        assert "disk is full" in refused.stderr
        assert "Traceback" not in refused.stderr
        gate.touch()
        until(lambda: len([e for e in shop.events(diary) if e[2] == "end"]) >= 4)
        until(lambda: "disk is full" in worker.said())
        filler.unlink()
        assert {job.state for job in shop.finished(*jobs)} == {JobState.COMPLETED}
        assert {job.lost for job in shop.finished(*jobs)} == {0}
        assert queuectl(shop.db, "list", "--json").stdout.count('"state":') == 20
        check(shop, diary, jobs)
        assert "Traceback" not in worker.said()


def test_output_larger_than_the_disk_is_cut_and_recorded(small_disk: Path, tmp_path: Path) -> None:
    with open_workshop(small_disk) as shop:
        shop.client.set_setting("output-max", "2mb")
        job = shop.enqueue("head -c 20000000 /dev/zero | tr '\\0' x; echo; echo END")
        after = shop.enqueue("echo after")
        shop.worker(1)
        done, _ = shop.finished(job, after)
        (kept,) = shop.store.outputs(done, 1)
        assert (done.state, kept.head[:3], kept.tail[-4:]) == (JobState.COMPLETED, b"xxx", b"END\n")
        assert b"bytes cut here" in kept.head + kept.tail or kept.cut_bytes
        assert shop.output(after) == b"after\n"
        assert "Traceback" not in log_of(shop)
        assert os.statvfs(small_disk).f_bavail * 4096 > 1 << 20


@pytest.mark.parametrize("words", ["delete p --yes", "cancel p", "prune --older-than 0s --yes", "worker stop"])
@pytest.mark.parametrize("linked", [False, True])
def test_commands_that_free_room_work_on_a_full_disk(
    small_disk: Path, tmp_path: Path, words: str, linked: bool
) -> None:
    db = small_disk / "queuectl.db"
    if linked:
        db = tmp_path / "link.db"
        db.symlink_to(small_disk / "queuectl.db")
    assert queuectl(db, "enqueue", "--id", "old", "--", "true").returncode == 0
    assert queuectl(db, "worker", "start", "--drain").returncode == 0
    assert queuectl(db, "enqueue", "--id", "p", "--delay", "1h", "--", "true").returncode == 0
    fill(small_disk / "filler")
    assert queuectl(db, "enqueue", "--", "true").returncode == 5
    done = queuectl(db, *words.split())
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("words", ["cancel p", "cancel --state pending", "delete p", "batch cancel b"])
def test_what_frees_room_on_a_full_disk_answers_with_one_document(small_disk: Path, words: str) -> None:
    db = small_disk / "queuectl.db"
    assert queuectl(db, "enqueue", "--id", "p", "--batch", "b", "--delay", "1h", "--", "true").returncode == 0
    with closing(SqliteStore(db)) as held:  # so that not the opening, but the change finds the disk full
        held.guard()
        until(lambda: cut_log(db))
        fill(small_disk / "filler")
        done = queuectl(db, *words.split(), "--json")
        assert done.returncode == 0, done.stderr
        (changed,) = json.loads(done.stdout)
        assert changed.get("id") == "p" or changed["counts"]["cancelled"] == 1
        assert done.stderr.count("reserve_used") == 1


@pytest.mark.parametrize("words", ["list", "enqueue -- true"])
def test_a_disk_without_a_byte_left_is_told_from_a_broken_one(small_disk: Path, words: str) -> None:
    db = small_disk / "queuectl.db"
    assert queuectl(db, "enqueue", "--", "true").returncode == 0
    fill(small_disk / "filler")
    refused = queuectl(db, *words.split())
    assert (refused.returncode, "disk is full" in refused.stderr) == (5, True), refused.stderr


def test_the_check_of_a_store_names_a_disk_without_room(small_disk: Path) -> None:
    db = small_disk / "queuectl.db"
    assert queuectl(db, "run", "--hold", "--start-timeout", "10ms", "--", "true").returncode == 125
    checked = queuectl(db, "status", "--check")
    assert checked.returncode == 1
    assert f"only 4 MiB free in {small_disk}\n" in checked.stdout


def test_a_mark_that_finds_the_disk_full_does_not_make_the_store_a_foreign_one(small_disk: Path) -> None:
    db, clock = small_disk / "queuectl.db", ManualClock()
    with closing(SqliteStore(db, clock)) as guarded:
        guarded.guard()
        assert queuectl(db, "enqueue", "--", "true").returncode == 0
        assert guarded.changed()
        assert guarded.replaced() == ""
        assert cut_log(db)
        fill(small_disk / "filler")
        clock.forward(MARK_EVERY_S + 1)
        assert guarded.replaced() == ""
        (small_disk / "filler").unlink()
        assert queuectl(db, "enqueue", "--", "true").returncode == 0
        assert guarded.replaced() == ""


def test_a_read_only_disk_is_named_with_a_fix(small_disk: Path) -> None:
    db = small_disk / "queuectl.db"
    assert queuectl(db, "enqueue", "--", "true").returncode == 0
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    refused = queuectl(db, "list")
    assert (refused.returncode, "is read-only" in refused.stderr) == (5, True), refused.stderr
    assert "fix: its disk is mounted read-only: remount it" in queuectl(db, "doctor").stdout


# --- durable before the answer --------------------------------------------------------------


def test_every_id_that_was_printed_survives_a_kill(tmp_path: Path) -> None:
    db = tmp_path / "queuectl.db"
    chance = random.Random(1)
    script = f'while :; do "{sys.executable}" -m queuectl --db {db} --quiet enqueue -- true; done'
    printed = tmp_path / "printed"
    for _ in range(5):
        with printed.open("ab") as out:
            loop = subprocess.Popen(
                ["sh", "-c", script], stdout=out, stderr=subprocess.DEVNULL, env=clean_environment(),
                start_new_session=True,
            )  # fmt: skip
        lines = len(printed.read_bytes().splitlines())
        until(partial(_has_more_lines, printed, lines))
        time.sleep(chance.random() * 0.5)
        os.killpg(loop.pid, signal.SIGKILL)
        loop.wait()
    store = SqliteStore(db)
    try:
        acknowledged = printed.read_text().splitlines()
        assert len(acknowledged) >= 5
        assert [store.get(job_id).id for job_id in acknowledged] == acknowledged
        assert store.integrity() == []
    finally:
        store.close()


def _has_more_lines(path: Path, than: int) -> bool:
    return len(path.read_bytes().splitlines()) > than


def test_a_cut_wal_is_sound_and_keeps_acknowledged_jobs(tmp_path: Path) -> None:
    """A power cut loses what came after the last sync: the file is copied as the kernel had it, then cut."""
    db, wal = tmp_path / "queuectl.db", tmp_path / "queuectl.db-wal"
    keeper = SqliteStore(db)
    client = Client(keeper)
    sizes = []
    for number in range(20):
        client.enqueue([parse_request({"id": f"job{number:03}", "command": "true"}, time.time())])
        sizes.append(wal.stat().st_size)
    whole = wal.read_bytes()
    for count, size in enumerate(sizes, 1):
        assert _jobs_after_cut(db, whole[:size], tmp_path / "cut") >= count
    chance = random.Random(1)
    for _ in range(20):
        _jobs_after_cut(db, whole[: chance.randrange(len(whole))], tmp_path / "cut")
    client.close()


def _jobs_after_cut(db: Path, wal: bytes, folder: Path) -> int:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copy(db, folder / "queuectl.db")
    (folder / "queuectl.db-wal").write_bytes(wal)
    store = SqliteStore(folder / "queuectl.db")
    try:
        assert store.integrity() == []
        return sum(store.counts().values())
    finally:
        store.close()
