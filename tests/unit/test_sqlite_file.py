"""What only the SQLite store promises: about its file, its locks and the cost of its queries."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import re
import shutil
import sqlite3 as plain_sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from shlex import quote

import pytest

from queuectl.bootstrap import check_worker
from queuectl.client.explaining import Around, explanations
from queuectl.domain.errors import QueuectlError, StoreBusy, StoreUnavailable
from queuectl.domain.job import JobState
from queuectl.domain.limits import Queue, Rate
from queuectl.domain.selector import Selector
from queuectl.store.liveness import machine_id
from queuectl.store.shared import migrations
from queuectl.store.sqlite import session as sqlite
from queuectl.store.sqlite.archive import SqliteArchive
from queuectl.store.sqlite.connection import connect_in_memory, folder_of, mode_of_store, sqlite3
from queuectl.store.sqlite.store import SqliteStore
from queuectl.wire.workers import WorkerOptions
from tests.builders import HOST, NOON, ManualClock, a_grip, a_job, a_worker, claim_one, finish


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queuectl.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    with opened(path) as store:
        yield store


@contextmanager
def opened(path: Path, busy_timeout_s: float = 10.0) -> Iterator[SqliteStore]:
    store = SqliteStore(path, ManualClock(), busy_timeout_s)
    try:
        yield store
    finally:
        store.close()


def refusal(path: Path) -> QueuectlError:
    """Why the store cannot be opened: one line, with a hint, and the exit code for stores."""
    with pytest.raises(StoreUnavailable) as refused:
        SqliteStore(path)
    error = refused.value
    assert str(path) in error.message
    assert "\n" not in error.message
    assert error.hint
    assert error.exit_code == 5
    return error


@contextmanager
def ordinary_user() -> Iterator[Path]:
    """A folder, and no more rights than its owner has: root may write everywhere."""
    with tempfile.TemporaryDirectory() as folder:
        with opened(Path(folder, "first.db")):
            pass  # the schema has been read: nobody else may be able to read it where this clone lies
        me, nobody = os.geteuid(), 65534
        if me == 0:
            os.chown(folder, nobody, -1)
            os.seteuid(nobody)
        try:
            yield Path(folder)
        finally:
            if me == 0:
                os.seteuid(0)
            os.chmod(folder, 0o700)


def rights(path: Path) -> int:
    return path.stat().st_mode & 0o777


# --- making it ------------------------------------------------------------------------------


def test_the_files_are_their_owners_only_whatever_the_umask(path: Path) -> None:
    umask = os.umask(0)
    try:
        with opened(path) as store:
            store.insert([a_job()])
            names = sorted(file.name for file in path.parent.iterdir())
            assert names == [".queuectl.db.d", "queuectl.db", "queuectl.db-shm", "queuectl.db-wal"]
            assert {rights(file) for file in path.parent.iterdir() if file.is_file()} == {0o600}
            assert rights(store.folder) == 0o700
    finally:
        os.umask(umask)


def test_only_folders_that_are_made_are_closed_to_others(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with opened(tmp_path / "new" / "queuectl.db"):
        assert rights(tmp_path / "new") == 0o700
        assert rights(tmp_path) == 0o755


def test_the_store_is_in_wal_mode_and_synced_at_every_commit(store: SqliteStore) -> None:
    assert store._select("PRAGMA journal_mode") == [("wal",)]
    assert store._select("PRAGMA synchronous") == [(2,)]


def test_only_a_deferred_commit_is_not_synced_at_once(store: SqliteStore) -> None:
    with store.transaction(synced=False):
        store.set_config("timeout", "5")
        assert store._select("PRAGMA synchronous") == [(1,)]
    store.sync()
    with store.transaction():
        assert store._select("PRAGMA synchronous") == [(2,)]


def test_durability_normal_holds_from_the_next_opening(path: Path) -> None:
    with opened(path) as store:
        store.set_config("durability", "normal")
    with opened(path) as store, store.transaction():
        assert store._select("PRAGMA synchronous") == [(1,)]


def test_leftovers_of_a_removed_store_stay_out_of_a_new_one(path: Path) -> None:
    with opened(path) as old:
        old.insert([a_job("old")])
        wal = path.with_name(path.name + "-wal").read_bytes()
        shm = path.with_name(path.name + "-shm").read_bytes()
    path.unlink()
    path.with_name(path.name + "-wal").write_bytes(wal)
    path.with_name(path.name + "-shm").write_bytes(shm)
    with opened(path) as new:
        assert new.find(Selector()) == []
        assert new.integrity() == []
        assert new.store_id() != old_id(wal)


def old_id(wal: bytes) -> str:
    found = re.search(rb"store_id([0-9a-z]{16})", wal)
    assert found
    return found[1].decode()


def test_a_new_store_shares_nothing_with_a_removed_open_one(path: Path) -> None:
    beside = [path.with_name(path.name + suffix) for suffix in ("-wal", "-shm")]
    with opened(path) as old:
        old.insert([a_job("old")])
        inodes = [file.stat().st_ino for file in beside]
        kept = [os.open(file, os.O_RDONLY) for file in beside]  # so that no inode is used again
        path.unlink()
        with opened(path) as new:
            new.insert([a_job("new")])
            assert not {file.stat().st_ino for file in beside} & set(inodes)
            assert [job.id for job in new.find(Selector())] == ["new"]
        for file in kept:
            os.close(file)


def test_an_empty_file_becomes_a_store(path: Path) -> None:
    path.touch()
    with opened(path) as store:
        store.insert([a_job()])
    with opened(path) as store:
        assert store.get("job1").id == "job1"


def test_a_store_whose_maker_was_killed_halfway_is_made_to_the_end(path: Path) -> None:
    half = plain_sqlite3.connect(path)
    half.execute("PRAGMA journal_mode = WAL")
    half.close()
    assert path.stat().st_size > 0
    with opened(path) as store:
        store.insert([a_job()])


def first_use(path: Path, number: int, at_once: int, gate: str) -> None:
    """What one of several processes does that meet a missing store."""
    with open(gate, "ab", buffering=0) as ready:
        ready.write(b"x")
        while os.fstat(ready.fileno()).st_size < at_once:
            pass
    store = SqliteStore(path)
    store.insert([a_job(f"job{number}")])
    store.close()


def test_several_processes_may_make_the_store_at_the_same_time(tmp_path: Path) -> None:
    at_once = 4
    fork = multiprocessing.get_context("fork")
    for round_ in range(8):
        path = tmp_path / str(round_) / "queuectl.db"
        gate = str(tmp_path / f"gate{round_}")
        racers = [fork.Process(target=first_use, args=(path, number, at_once, gate)) for number in range(at_once)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
        assert [racer.exitcode for racer in racers] == [0] * at_once
        with opened(path) as store:
            assert store.count(Selector()) == at_once


def claim_all(path: Path, worker: str, grips: multiprocessing.Queue[list[str]]) -> None:
    """What one of several worker processes does: claim and finish until nothing is left."""
    store = SqliteStore(path)
    grip = a_grip(store, worker)
    mine = []
    while claimed := store.claim(grip, HOST, 2, ()):
        for job in claimed:
            assert finish(store, grip, job) is not None
            mine.append(job.id)
    store.close()
    grips.put(mine)


def test_processes_that_race_get_every_job_once(path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    claimed: multiprocessing.Queue[list[str]] = fork.Queue()
    with opened(path) as store:
        store.insert([a_job(f"{number:03}") for number in range(150)])
    racers = [fork.Process(target=claim_all, args=(path, f"w~{number}", claimed)) for number in range(3)]
    for racer in racers:
        racer.start()
    got = [claimed.get(timeout=60) for _ in racers]
    for racer in racers:
        racer.join()
        assert racer.exitcode == 0
    assert sorted(id for ids in got for id in ids) == [f"{number:03}" for number in range(150)]
    with opened(path) as store:
        assert store.counts() == {("default", JobState.COMPLETED): 150}
        assert {len(store.attempts(job)) for job in store.find(Selector())} == {1}


def test_each_store_has_an_identity_of_its_own(path: Path, tmp_path: Path) -> None:
    with opened(path) as one, opened(tmp_path / "other.db") as other, opened(path) as again:
        assert one.store_id() == again.store_id() != other.store_id()


@pytest.mark.parametrize("name", ["with space.db", "100%25?mode=ro#x.db", "é.db", "-.db"])
def test_any_file_name_will_do(tmp_path: Path, name: str) -> None:
    with opened(tmp_path / name) as store:
        store.insert([a_job()])
    assert (tmp_path / name).exists()
    with opened(tmp_path / name) as store:
        assert store.get("job1").id == "job1"


def test_all_names_of_one_store_lead_to_the_same_locks(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "elsewhere" / "link.db"
    link.parent.mkdir()
    link.symlink_to(path)
    with opened(link) as by_link, opened(path) as by_name:
        by_link.insert([a_job()])
        assert by_name.get("job1").id == "job1"
        assert by_link.folder == by_name.folder
        assert (by_link.url, by_name.url) == (str(link), str(path))


# --- what is refused ------------------------------------------------------------------------


def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path) -> None:
    path.write_text("shopping list\n" * 1000)
    assert "is not a database" in refusal(path).message
    assert path.read_text() == "shopping list\n" * 1000


@pytest.mark.parametrize("application_id", [0, 1])
def test_a_database_of_another_program_is_refused_and_left_alone(path: Path, application_id: int) -> None:
    foreign = plain_sqlite3.connect(path)
    foreign.execute("CREATE TABLE jobs (id)")
    foreign.execute(f"PRAGMA application_id = {application_id}")
    foreign.commit()
    foreign.close()
    before = path.read_bytes()
    assert "not a queuectl store" in refusal(path).message
    assert path.read_bytes() == before
    assert not Path(folder_of(str(path))).exists()


def test_a_newer_schema_that_only_added_is_opened(path: Path) -> None:
    with opened(path) as store:
        store._db.execute("INSERT INTO meta VALUES ('oldest reader of schema 999', '1')")
        store._db.execute("PRAGMA user_version = 999")
    with opened(path) as store:
        assert store.schema_version() == 999


def test_a_newer_schema_is_refused(path: Path) -> None:
    with opened(path) as store:
        store._db.execute("PRAGMA user_version = 1000")
    error = refusal(path)
    assert "schema 1000, newer than this queuectl knows" in error.message
    assert "upgrade" in error.hint


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert "is a folder" in refusal(tmp_path).message


def test_a_place_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refusal(tmp_path / "file" / "queuectl.db")


def test_a_file_under_two_names_is_refused(path: Path, tmp_path: Path) -> None:
    with opened(path) as store:
        store.insert([a_job()])
    other = tmp_path / "other.db"
    other.hardlink_to(path)
    assert "under several names" in refusal(path).message
    assert "under several names" in refusal(other).message
    other.unlink()
    with opened(path):
        pass


def test_a_store_that_was_moved_without_its_folder_gets_a_new_one(path: Path, tmp_path: Path) -> None:
    with opened(path):
        pass
    moved = tmp_path / "elsewhere" / "queuectl.db"
    moved.parent.mkdir()
    path.rename(moved)
    with opened(moved) as store:
        assert rights(store.folder) == 0o700
        assert (store.folder / ".gitignore").read_text() == "*\n"


def test_a_database_of_somebody_else_gets_no_folder(path: Path) -> None:
    with plain_sqlite3.connect(path) as other:
        other.execute("CREATE TABLE theirs (x)")
    other.close()
    assert "not a queuectl store" in refusal(path).message
    assert not Path(folder_of(str(path))).exists()


def test_a_folder_that_cannot_be_written_is_refused() -> None:
    with ordinary_user() as folder:
        folder.chmod(0o500)
        assert "Permission denied" in refusal(folder / "queuectl.db").message


def test_a_store_that_cannot_be_read_is_refused() -> None:
    with ordinary_user() as folder:
        with opened(folder / "queuectl.db"):
            pass
        (folder / "queuectl.db").chmod(0)
        refusal(folder / "queuectl.db")


def test_a_store_that_cannot_be_written_is_an_error_and_no_traceback() -> None:
    with ordinary_user() as folder:
        path = folder / "queuectl.db"
        with opened(path) as store:
            store.insert([a_job("a")])
        path.chmod(0o400)
        with pytest.raises(StoreUnavailable, match=r"is read-only|cannot be opened"), opened(path) as store:
            store.insert([a_job("b")])
        path.chmod(0o600)
        with opened(path) as store:
            assert [job.id for job in store.find(Selector())] == ["a"]


def test_a_backup_can_be_read_where_nobody_may_write() -> None:
    with ordinary_user() as folder:
        path = folder / "saved.db"
        with opened(path) as store:
            store.insert([a_job("a")])
        with closing(SqliteArchive(str(path))) as archive:
            archive.become_one_file()
        shutil.rmtree(folder_of(str(path)))
        path.chmod(0o400)
        folder.chmod(0o500)
        with opened(path) as store:
            assert [job.id for job in store.find(Selector())] == ["a"]
            assert (store.workers(), store.living(store.workers())) == ([], [])
            with pytest.raises(StoreUnavailable, match="is read-only"):
                store.insert([a_job("b")])
        with pytest.raises(StoreUnavailable, match="is read-only"):
            check_worker(str(path), WorkerOptions())


def test_a_damaged_store_says_so(path: Path) -> None:
    with opened(path) as store:
        store.insert([a_job(str(number), command="x" * 500) for number in range(200)])
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (size - 4096))
    with pytest.raises(StoreUnavailable, match="is damaged"), opened(path) as store:
        store.find(Selector())


def test_a_long_held_lock_is_store_busy_and_changes_nothing(path: Path) -> None:
    with opened(path) as holder, opened(path, busy_timeout_s=0.0) as waiter:
        with holder.transaction(), pytest.raises(StoreBusy, match="is locked by another process"):
            waiter.insert([a_job()])
        assert waiter.find(Selector()) == []
        waiter.insert([a_job()])


def test_a_store_that_is_being_written_can_be_opened_and_read(path: Path) -> None:
    with opened(path) as holder, holder.transaction(), opened(path, busy_timeout_s=0.0) as reader:
        assert reader.counts() == {}


# --- who lives ------------------------------------------------------------------------------


def test_a_supervisor_is_alive_while_its_lock_is_held(store: SqliteStore) -> None:
    row = a_worker()
    file = store.folder / "workers" / row.id / "lock"
    file.parent.mkdir(parents=True)
    lock = os.open(file, os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert store.alive(row)
    assert store.alive(row)
    os.close(lock)
    assert not store.alive(row)


def test_a_supervisor_without_its_lock_file_is_told_by_its_process(store: SqliteStore) -> None:
    row = a_worker(machine=machine_id(), pid=os.getpid())
    assert not store.alive(row)
    words = ["sh", "-c", "echo up; read line", f"/elsewhere/workers/{row.id}"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert store.alive(row._replace(pid=process.pid))
        process.kill()
    assert not store.alive(row._replace(pid=process.pid))


def test_only_its_lock_proves_a_foreign_supervisor_alive(store: SqliteStore) -> None:
    boot = machine_id().partition("/")[0]
    row = a_worker(machine=f"{boot}/1")
    assert store.alive(row), "for all that can be told"
    file = store.folder / "workers" / row.id / "lock"
    file.parent.mkdir(parents=True)
    file.touch()
    assert not store.alive(row)
    assert not store.alive(a_worker("w~2", machine="an-earlier-boot/1"))


def test_asking_who_lives_makes_no_file(store: SqliteStore) -> None:
    assert not store.alive(a_worker())
    assert not (store.folder / "workers").exists()


def test_two_askers_do_not_mistake_each_other_for_a_supervisor(store: SqliteStore) -> None:
    row = a_worker()
    file = store.folder / "workers" / row.id / "lock"
    file.parent.mkdir(parents=True)
    file.touch()
    with file.open() as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        assert not store.alive(row)


# --- what it costs --------------------------------------------------------------------------


def plan(store: SqliteStore, name: str) -> list[str]:
    """How SQLite runs a named query."""
    sql = sqlite._queries()[name]
    names = dict.fromkeys(re.findall(r":(\w+)", sql), 1)
    return [row[3] for row in store._select(f"EXPLAIN QUERY PLAN {sql}", names or [1] * sql.count("?"))]


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("promote", "jobs_due"),
        ("ready_queues", "jobs_ready"),
        ("claim_candidates", "jobs_ready"),
        ("claim", "INTEGER PRIMARY KEY"),
        ("write_job", "INTEGER PRIMARY KEY"),
        ("next_due", "jobs_due"),
        ("in_hand", "rowid=?"),
        ("cancel_requests", "jobs_processing"),
        ("ahead", "jobs_ready"),
        ("holds_worker", "PRIMARY KEY"),
    ],
)
def test_a_workers_queries_search_an_index_and_sort_nothing(store: SqliteStore, name: str, index: str) -> None:
    steps = plan(store, name)
    assert any(index in step for step in steps), steps
    assert not [step for step in steps if step.startswith("SCAN jobs") or "TEMP B-TREE" in step], steps


def claim_cost(path: Path, waiting: int, history: int) -> int:
    """How many steps SQLite's machine makes for one claim and its report."""
    clock = ManualClock()
    store = SqliteStore(path, clock)
    grip = a_grip(store)
    store.insert([a_job(f"old{number}") for number in range(history)])
    while jobs := store.claim(grip, HOST, 500, ()):
        with store.transaction():
            for job in jobs:
                finish(store, grip, job)
    store.insert([a_job(f"new{number}", queue=f"q{number % 3}", priority=number % 5) for number in range(waiting)])
    store.insert([a_job(f"later{number}", run_at=NOON + number + 1) for number in range(waiting)])
    store.insert([a_job(f"held{number}", held=True) for number in range(waiting)])
    claim_one(store, grip)
    steps = steps_of(store, lambda: finish(store, grip, claim_one(store, grip)))
    store.close()
    return steps


def steps_of(store: SqliteStore, call: Callable[[], object]) -> int:
    """How many steps SQLite's machine makes for a call."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    store._db.set_progress_handler(count, 1)
    call()
    store._db.set_progress_handler(None, 1)
    return steps


def test_a_claim_costs_the_same_whatever_waits_and_whatever_was(tmp_path: Path) -> None:
    few = claim_cost(tmp_path / "few.db", waiting=10, history=10)
    many = claim_cost(tmp_path / "many.db", waiting=2000, history=2000)
    assert many == pytest.approx(few, rel=0.02)


def explain_cost(path: Path, waiting: int) -> int:
    """The same for the explanation of the last job behind a full queue with locks that others wait for too."""
    store = SqliteStore(path, ManualClock())
    grip = a_grip(store)
    store.set_queue(Queue("q", concurrency=2, rate=Rate(2, 60.0)))
    store.insert([a_job(f"first{number}", locks=("gpu",)) for number in range(waiting)])
    store.insert([a_job(f"q{number}", queue="q") for number in range(waiting)])
    for _ in range(1 + waiting // 1000):
        store.claim(grip, HOST, 2 * waiting, ())  # parks the others
    store.insert([a_job("last", queue="q", locks=("gpu",))])
    last = store.get("last")
    steps = steps_of(store, lambda: explanations(store, [last]))
    (found,) = explanations(store, [last])
    assert [gate.code for gate in found.gates] == ["no_worker", "concurrency", "rate", "lock"]
    store.close()
    return steps


def test_an_explanation_costs_the_same_whatever_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Around, "most", 20)
    few, many = explain_cost(tmp_path / "few.db", 50), explain_cost(tmp_path / "many.db", 1500)
    assert many == pytest.approx(few, rel=0.05)


# --- migrations -----------------------------------------------------------------------------


def test_a_store_of_0_1_0_counts_right_and_finds_its_retries(path: Path) -> None:
    with opened(path) as store:
        store.insert([a_job("before")])
        store._db.execute("DROP INDEX jobs_retries")
        store._db.execute(
            "CREATE TRIGGER jobs_insert_counts AFTER INSERT ON jobs BEGIN INSERT INTO counts "
            "VALUES (new.queue, new.state, 1) ON CONFLICT DO UPDATE SET jobs = jobs + 1; END"
        )
        store.insert([a_job("counted-twice")])
        steps = [path for number, path in migrations.numbered("sqlite").items() if number > 4]
        later = "\n".join(map(migrations.sql_text, steps)).replace("{schema}.", "")
        made = re.findall(r"^CREATE TABLE (\w+)", later, re.MULTILINE)
        for table in made:
            store._db.execute(f"DROP TABLE {table}")
        for index in re.findall(r"^CREATE INDEX (\w+) ON (?:jobs|workers)", later, re.MULTILINE):
            store._db.execute(f"DROP INDEX {index}")
        for table, column in re.findall(r"^ALTER TABLE (\w+) ADD COLUMN (\w+)", later, re.MULTILINE):
            if table not in made:
                store._db.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        store._db.execute("DELETE FROM meta WHERE name LIKE 'oldest reader%' AND CAST(substr(name, 25) AS integer) > 3")
        store._db.execute("PRAGMA user_version = 3")
    with opened(path) as store:
        store.insert([a_job("after")])
        assert store.counts() == {("default", JobState.PENDING): 3}
        assert store.backlog(5).next_retries == []


def test_only_missing_steps_are_run_in_their_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "sql" / "some"
    folder.mkdir(parents=True)
    for name in ("some/0002_own", "some/0001_own", "some/queries", "0009_shared"):
        (tmp_path / "sql" / f"{name}.sql").write_text(f"{name} {{bytes}}")
    monkeypatch.setattr(migrations, "SQL_FOLDER", tmp_path / "sql")
    monkeypatch.setattr(migrations, "WORDS", {"some": {"{bytes}": "BLOB"}})
    made: list[tuple[int, str]] = []

    def step(number: int, sql: str) -> None:
        made.append((number, sql))

    migrations.migrate("some", 1, "url", lambda schema: None, step)
    assert made == [(2, "some/0002_own BLOB"), (9, "0009_shared BLOB")]


def test_what_a_missing_shared_step_would_add_is_empty_or_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    text = """
CREATE TABLE {schema}.locks (
    name  {ordered text} PRIMARY KEY,   -- of the lock
    since double precision NOT NULL,
    UNIQUE (name, since)
);
ALTER TABLE {schema}.locks ADD COLUMN slots integer NOT NULL DEFAULT 1;
ALTER TABLE {schema}.config ADD COLUMN who text;
ALTER TABLE {schema}.config ADD COLUMN size bigint NOT NULL DEFAULT 7;
"""
    monkeypatch.setattr(migrations, "numbered", lambda dialect: {5: "sqlite/0005_home.sql", 9: "0009_some.sql"})
    monkeypatch.setattr(migrations, "sql_text", lambda path: text)
    found = migrations.stand_ins("sqlite", 5)
    assert found["{schema}.config"].count("SELECT") == 1, "SQLite before 3.46 nests few"
    with plain_sqlite3.connect(":memory:") as db:
        db.execute("CREATE TABLE config (name TEXT)")
        db.execute("INSERT INTO config VALUES ('a')")
        select = "SELECT * FROM " + found["{schema}.config"].replace("{schema}.", "")
        assert db.execute(select).fetchall() == [("a", None, 7)]
        assert db.execute(f"SELECT name, since, slots FROM {found['{schema}.locks']}").fetchall() == []
    db.close()


def test_a_folder_that_others_can_write_is_refused(path: Path) -> None:
    Path(folder_of(str(path))).mkdir(mode=0o700)
    Path(folder_of(str(path))).chmod(0o777)
    assert "can be written by others" in refusal(path).message
    assert refusal(path).hint == f"chmod 700 {quote(folder_of(str(path)))}"
    assert not path.exists()


def test_no_limit_has_a_query_prepared_anew_at_each_execution() -> None:
    assert not [name for name, query in sqlite._queries().items() if re.search(r"LIMIT\s+:", query)]


def test_null_has_an_adapter_so_it_is_bound_without_a_search() -> None:
    assert sqlite3.adapt(None, sqlite3.PrepareProtocol) is None  # raises where there is none
    assert connect_in_memory().execute("SELECT typeof(?), typeof(:a)", (None, None)).fetchone() == ("null", "null")


def test_a_file_that_was_cut_off_in_its_head_is_no_store(tmp_path: Path) -> None:
    path = tmp_path / "cut.db"
    path.write_bytes(b"SQLite format 3\0")
    Path(folder_of(str(path))).mkdir()
    assert mode_of_store(str(path)) is None
