"""A store is saved in one file while it is in use, and comes back from there on any kind of store."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from fcntl import LOCK_EX, flock
from pathlib import Path

import pytest

from queuectl import places
from queuectl.client import copying
from queuectl.client.backups import restore
from queuectl.client.facade import Client
from queuectl.client.placing import PREFIX
from queuectl.domain.errors import Conflict, Invalid, StoreUnavailable, SystemFailure
from queuectl.domain.job import HOOKS, Job, JobState, Outcome
from queuectl.domain.lifecycle import Ended, Started
from queuectl.domain.selector import Selector
from queuectl.store.sqlite.connection import folder_of
from queuectl.store.values import FIRST_EPOCH, Change, Grip, Moved, Superseded, WorkerRow
from tests.builders import a_grip
from tests.conformance.test_copying import Places, all_of, enqueue, fill, opened, place
from tests.unit.test_json_everywhere import typed

__all__ = ["place"]


def running(client: Client) -> tuple[Grip, Job]:
    """A job that runs, and who runs it."""
    store = client.store
    enqueue(client, {"id": "runs", "command": "sleep 9", "priority": 9})
    row = WorkerRow(
        id="v~1", name="v", epoch=FIRST_EPOCH, host="h", machine="none", pid=1, dispatcher=1, slots=1, queues=(),
        tag=0, version="0", started_at=store.now(),
    )  # fmt: skip
    store.register(row, lease_s=0.0)
    (job,) = store.claim(row.grip, "h", 1, ())
    store.record(row.grip, [Change(job=job, event=Started(at=store.now()))])
    return row.grip, job


def back(address: str, path: Path, *, replace: bool = False) -> dict[str, int]:
    return restore(address, "ann", str(path), replace=replace, progress=None)


def test_where_nobody_can_be_asked_replacing_a_store_wants_yes(tmp_path: Path) -> None:
    db, file = tmp_path / "queuectl.db", tmp_path / "saved.db"
    assert typed(db, "enqueue --id saved -- true")[0] == typed(db, f"backup {file}")[0] == 0
    assert typed(db, "enqueue --id later -- true")[0] == 0
    told = f"queuectl: all jobs of {db} would be removed; confirm with --yes\n"
    assert typed(db, f"restore {file} --replace") == (2, "", told)
    assert typed(db, "list --quiet")[1] == "saved\nlater\n"
    assert typed(db, f"restore {file} --replace --yes")[0] == 0
    assert typed(db, "list --quiet")[1] == "saved\n"
    code, _, notes = typed(db, f"restore {file} --replace --yes --json")
    assert (code, [json.loads(line)["note"]["code"] for line in notes.splitlines()]) == (0, ["queue_paused"])


@pytest.mark.parametrize("to", ["sqlite", "postgres"])
@pytest.mark.parametrize("source", ["sqlite", "postgres"])
def test_everything_comes_back_paused_and_what_ran_runs_again(
    place: Places, tmp_path: Path, source: str, to: str
) -> None:
    client, file, target = opened(place(source)), tmp_path / "saved.db", place(to)
    fill(client)
    before = all_of(client)
    _, job = running(client)
    client.backup(file)
    assert client.job("runs").state is JobState.PROCESSING
    client.close()
    assert [each.name for each in tmp_path.glob("saved*")] == ["saved.db"]
    assert file.stat().st_mode & 0o777 == 0o600
    assert back(target, file)["jobs"] == 5
    with closing(opened(target)) as restored:
        again = restored.job("runs")
        assert (again.state, again.worker, again.lost) == (JobState.PENDING, None, 1)
        assert again.lease >= job.lease
        assert [each.outcome for each in restored.store.attempts(again)] == [Outcome.LOST]
        assert {queue.name for queue in restored.queues() if queue.pause} == {"default", "other"}
        restored.delete(["runs"])
        assert all_of(restored) == before


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_worker_of_before_can_report_nothing_to_the_restored_store(place: Places, tmp_path: Path, kind: str) -> None:
    address, file = place(kind), tmp_path / "saved.db"
    client = opened(address)
    grip, job = running(client)
    client.backup(file)
    with pytest.raises(Conflict, match="not empty"):
        back(address, file)
    back(address, file, replace=True)
    end = Ended(started_at=job.created_at, finished_at=client.now(), exit_code=0)
    late = opened(address) if kind == "sqlite" else client  # an open file is the old store for ever
    with pytest.raises(Superseded):
        late.store.record(grip, [Change(job=job, event=end)])
    assert late.job("runs").state is JobState.PENDING
    late.close()
    client.close()


def test_a_restore_waits_for_no_worker_and_takes_only_backups(place: Places, tmp_path: Path) -> None:
    address, other = place("sqlite"), tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as db:
        db.execute("CREATE TABLE t (x)")
    emptied = tmp_path / "emptied.db"
    emptied.touch()
    Path(folder_of(str(emptied))).mkdir()
    for path, said in (
        (other, "not a backup"),
        (emptied, "not a backup"),
        (tmp_path / "missing.db", "there is no backup"),
        (tmp_path, "not a backup"),
    ):
        with pytest.raises(StoreUnavailable, match=said):
            back(address, path)
    assert not os.path.exists(address)


def test_a_store_in_use_is_not_restored_without_its_log(place: Places, tmp_path: Path) -> None:
    address, target = place("sqlite"), place("sqlite")
    with closing(opened(address)) as client:
        enqueue(client, {"id": "a", "command": "true"})
        with pytest.raises(Conflict, match="its latest changes are in") as refused:
            back(target, Path(address))
        assert f"queuectl --db {address} backup FILE" in refused.value.hint
    assert not os.path.exists(target)
    assert back(target, Path(address))["jobs"] == 1  # closed: all of it is in the file


def test_damage_is_told_of_the_store_that_has_it(place: Places, tmp_path: Path) -> None:
    address, file = place("sqlite"), tmp_path / "saved.db"
    with closing(opened(address)) as client:
        enqueue(client, *({"command": f"true {'x' * 200} {number}"} for number in range(500)))
    data = bytearray(Path(address).read_bytes())
    for page in range(len(data) // 4096 - 40, len(data) // 4096):
        data[page * 4096 : page * 4096 + 200] = b"\x5a" * 200
    Path(address).write_bytes(data)
    with closing(opened(address)) as client, pytest.raises(StoreUnavailable, match=f"{address} is damaged"):
        client.backup(file)
    assert not file.exists()


def test_the_file_of_a_store_that_has_moved_is_a_backup(place: Places, tmp_path: Path) -> None:
    address, target = place("sqlite"), place("sqlite")
    with closing(opened(address)) as client:
        fill(client)
        before = all_of(client)
        copying.copy(client, place("sqlite"), keep=False, replace=False, say=lambda _line: None, progress=None)
    assert back(target, Path(address))["jobs"] == 4
    with closing(opened(target)) as restored:
        assert all_of(restored) == before
        enqueue(restored, {"command": "true"})
    with pytest.raises(Moved):
        opened(address)


def test_an_error_about_a_backup_names_it(place: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address, file = place("sqlite"), tmp_path / "saved.db"
    with closing(opened(address)) as client:
        client.backup(file)
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA user_version = 999")
    with pytest.raises(StoreUnavailable, match=f"^{file} has schema 999, newer"):
        back(place("sqlite"), file)
    monkeypatch.setattr("shutil.copyfile", lambda _from, to: os.write(os.open("/dev/full", os.O_WRONLY), b"x"))
    with pytest.raises(SystemFailure, match=f"^cannot copy {file} into .*: No space left") as refused:
        back(place("sqlite"), file)
    assert "TMPDIR" in refused.value.hint


def test_a_damaged_backup_changes_nothing(place: Places, tmp_path: Path) -> None:
    address, file = place("sqlite"), tmp_path / "saved.db"
    with closing(opened(address)) as client:
        fill(client)
        client.backup(file)
        before = all_of(client)
    data = bytearray(file.read_bytes())
    for page in range(4, len(data) // 4096):
        data[page * 4096 : page * 4096 + 200] = b"\x5a" * 200
    file.write_bytes(data)
    with pytest.raises(StoreUnavailable, match=f"{file} is damaged"):
        back(address, file, replace=True)
    file.write_bytes(data[:3000])
    with pytest.raises(StoreUnavailable, match=f"{file} is damaged"):
        back(other := place("sqlite"), file)
    assert not os.path.exists(other)
    with closing(opened(address)) as client:
        assert all_of(client) == before


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_restore_that_is_cut_off_leaves_the_store_as_it_was(place: Places, tmp_path: Path, kind: str) -> None:
    address, file = place(kind), tmp_path / "saved.db"
    with closing(opened(address)) as client:
        fill(client)
        enqueue(client, *({"command": "true"} for _ in range(1000)))
        client.backup(file)
        before = all_of(client)

    def cut_off(_done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore(address, "ann", str(file), replace=True, progress=cut_off)
    with closing(opened(address)) as client:
        assert all_of(client) == before
        (new,) = enqueue(client, {"command": "true"})
        assert client.job(new.id).state is JobState.PENDING
    assert [each.name for each in tmp_path.glob(".queuectl-*")] == []


KILLED_AT = """
import os, sys
from queuectl.client.backups import restore

address, file, at = sys.argv[1], sys.argv[2], int(sys.argv[3])
seen = 0

def strike(event, told):
    global seen
    if event in ("os.remove", "os.rename") and any(str(each).startswith(address) for each in told[:2]):
        seen += 1
        if seen == at:
            os._exit(9)

sys.addaudithook(strike)
restore(address, "ann", file, replace=True, progress=None)
"""


def test_a_restore_that_is_killed_leaves_the_old_store_or_the_new_one_whole(tmp_path: Path) -> None:
    db, file = tmp_path / "queuectl.db", tmp_path / "saved.db"
    assert typed(db, "enqueue --id saved -- true")[0] == typed(db, f"backup {file}")[0] == 0
    assert typed(db, "enqueue --id later -- true")[0] == 0
    kills = 0
    while kills < 9:  # one before each change of the store's files, until it is not killed any more
        with closing(opened(str(db))) as reader:  # somebody reads, so what is new is in the log alone
            enqueue(reader, {"id": f"new-{kills}", "command": "true"})
            words = (sys.executable, "-c", KILLED_AT, str(db), str(file), str(kills + 1))
            code = subprocess.run(words, check=False).returncode
            assert code in (0, 9)
        whole = ["saved", "later", *(f"new-{number}" for number in range(kills + 1))]
        assert typed(db, "list --quiet --limit 99")[1].split() == (whole if code else ["saved"])
        if code == 0:
            break
        kills += 1
    assert kills >= 3


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_what_was_paused_before_keeps_its_reason_in_a_restored_store(place: Places, tmp_path: Path, kind: str) -> None:
    file, target = tmp_path / "saved.db", place(kind)
    with closing(opened(place("sqlite"))) as client:
        client.pause_queues("broken", reason="the disk is full")
        client.pause_queues("slow", duration="1h", reason="until the night")
        client.add_schedule("paused", every="1h", job={"command": "true"})
        client.pause_schedule("paused", reason="not now")
        client.add_schedule("fires", every="1h", job={"command": "true"})
        client.backup(file)
    back(target, file)
    with closing(opened(target)) as restored:
        found = {each.name: each.pause for each in restored.queues()} | {
            each.name: each.pause for each in restored.schedules()
        }
        told = {name: (pause.reason, pause.until) for name, pause in found.items() if pause}
        restored_from = f"restored from {file}"
        slow, until = told.pop("slow")
        assert until is None
        told_of = f"{restored_from}; it was paused since [^ ]+Z by [^ ]+ until [^ ]+Z: until the night"
        assert re.fullmatch(told_of, slow or "")
        assert told == {
            "broken": ("the disk is full", None),
            "paused": ("not now", None),
            "fires": (restored_from, None),
        }


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_hooks_that_wait_are_held_in_a_restored_store(place: Places, tmp_path: Path, kind: str) -> None:
    file, target = tmp_path / "saved.db", place(kind)
    with closing(opened(place("sqlite"))) as client:
        enqueue(client, {"id": "dies", "command": "false", "max_retries": 0, "on_dead": "tell"})
        grip = a_grip(client.store, "w")
        (job,) = client.store.claim(grip, "h", 1, ())
        end = Ended(started_at=client.now(), finished_at=client.now(), exit_code=1)
        client.store.record(grip, [Change(job=job, event=end)])
        client.store.deregister(grip)
        client.backup(file)
        assert [hook.held for hook in client.find(Selector(hooks=True))] == [False]
    back(target, file)
    with closing(opened(target)) as restored:
        assert restored.store.claim(a_grip(restored.store, "v"), "h", 1, (HOOKS,)) == []
        (hook,) = restored.find(Selector(hooks=True))
        restored.release([hook.id])
        assert len(restored.store.claim(a_grip(restored.store, "u"), "h", 1, (HOOKS,))) == 1


def test_the_next_backup_removes_what_a_killed_one_has_left(place: Places, tmp_path: Path) -> None:
    left, held, fresh, others = (tmp_path / name for name in (f"{PREFIX}a", f"{PREFIX}b", f"{PREFIX}c", ".new-d"))
    for folder in (left, held, fresh, others):
        folder.mkdir()
        (folder / "store.db").write_text("x")
        if folder is not fresh:
            os.utime(folder, (0, 0))
    handle = os.open(held, os.O_RDONLY)
    flock(handle, LOCK_EX)
    with closing(opened(place("sqlite"))) as client:
        client.backup(tmp_path / "saved.db")
    os.close(handle)
    assert [folder.exists() for folder in (left, held, fresh, others)] == [False, True, True, True]


def test_a_backup_writes_over_nothing_unless_asked(place: Places, tmp_path: Path) -> None:
    with closing(opened(place("sqlite"))) as client:
        file = tmp_path / "saved.db"
        file.write_text("mine")
        with pytest.raises(Conflict, match="there already"):
            client.backup(file)
        with pytest.raises(Conflict, match="is a queuectl store"):
            client.backup(client.address, replace=True)
        with pytest.raises(Invalid, match="cannot be written to stdout"):
            client.backup("-")
        assert file.read_text() == "mine"
        client.backup(file, replace=True)
    with closing(Client(places.open_store(str(file)))) as saved:
        assert saved.count() == 0
