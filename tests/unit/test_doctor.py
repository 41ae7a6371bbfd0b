"""The doctor finds what is wrong and names what would put it right."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from queuectl.client import doctor
from queuectl.domain.limits import Lock, Pause, Queue
from queuectl.store.sqlite.store import SqliteStore
from tests.builders import HOST, a_job, a_worker


def levels(path: Path) -> dict[str, list[str]]:
    """What was found, by level."""
    found: dict[str, list[str]] = {}
    for finding in doctor.examine(str(path)):
        found.setdefault(finding.level, []).append(finding.message)
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path / "queuectl.db"


def test_a_sound_store_has_no_problem(path: Path) -> None:
    SqliteStore(path).close()
    assert set(levels(path)) <= {"ok", "warning"}


def test_looking_makes_no_store(path: Path) -> None:
    assert "there is no store" in levels(path)["note"][0]
    assert not path.exists()


def test_what_a_removed_store_left_is_named(path: Path) -> None:
    wal = path.with_name(path.name + "-wal")
    wal.write_text("left")
    assert any(str(wal) in what for what in levels(path)["note"])


def test_a_dead_worker_of_several_supervisors_is_one_problem(path: Path) -> None:
    store = SqliteStore(path)
    workers = [a_worker("w~1"), a_worker("w~2")]
    for worker in workers:
        store.register(worker)
        store.insert([a_job(worker.id, at=0.0)])
        store.claim(worker.grip, HOST, 1, ())
    store.close()
    assert levels(path)["problem"] == ["worker w is dead but still listed and holds w~1, w~2"]


def test_a_dead_worker_that_holds_nothing_is_a_note(path: Path) -> None:
    store = SqliteStore(path)
    store.register(a_worker())
    store.close()
    assert "dead but still listed" in levels(path)["note"][0]


def test_a_folder_that_a_dead_worker_left_is_named(path: Path) -> None:
    store = SqliteStore(path)
    left = store.folder / "workers" / "gone~1"
    left.mkdir(parents=True)
    store.close()
    assert any(str(left) in what for what in levels(path)["note"])


def test_a_forgotten_pause_and_a_lock_too_small_are_named(path: Path) -> None:
    store = SqliteStore(path)
    now = store.now()
    for name, since, until in (("old", now - 8 * 86400, None), ("new", now - 60, None), ("timed", 0.0, now + 60)):
        store.set_queue(Queue(name, pause=Pause(since, until, "ann", "disk full")))
    store.insert([a_job("a", at=now, locks=("gpu=3",)), a_job("b", at=now, locks=("gpu=1", "x"))])
    store.set_lock(Lock("gpu", ("0", "1")))
    store.close()
    found = levels(path)
    (pause,) = [what for what in found["warning"] if what.startswith("queue ")]
    assert pause.startswith("queue old is paused since ")
    assert found["problem"] == ["a job needs 3 units of lock gpu, which has 2, and never starts"]


def test_rights_that_let_others_in_are_named(path: Path) -> None:
    SqliteStore(path).close()
    path.chmod(0o666)
    assert any("can be used by others" in what for what in levels(path)["warning"])
    path.parent.chmod(0o777)
    assert any("anyone can replace" in what for what in levels(path)["problem"])


def test_fixes_work_when_pasted_whatever_the_path(tmp_path: Path) -> None:
    folder = tmp_path / "it's a $HOME; folder"
    folder.mkdir()
    SqliteStore(path := folder / "- ü.db").close()
    path.chmod(0o666)
    folder.chmod(0o777)
    found = {each.code: each.fix for each in doctor.examine(str(path))}
    for code in ("store_open_to_others", "store_replaceable"):
        subprocess.run(["sh", "-c", found[code]], check=True)
    assert not {"store_open_to_others", "store_replaceable"} & {each.code for each in doctor.examine(str(path))}


def test_a_damaged_store_is_a_problem_with_a_fix(path: Path) -> None:
    path.write_text("no database at all" * 1000)
    (finding,) = [finding for finding in doctor.examine(str(path)) if finding.level == "problem"]
    assert finding.fix


def test_a_finding_is_an_object_with_code_message_and_fix(path: Path) -> None:
    SqliteStore(path).close()
    path.chmod(0o666)
    (open_store,) = [finding for finding in doctor.examine(str(path)) if finding.code == "store_open_to_others"]
    assert open_store._asdict() == {
        "level": "warning", "code": "store_open_to_others", "fix": f"chmod 600 {path}",
        "message": f"{path} can be used by others (mode 0666); they can run commands",
    }  # fmt: skip


def test_a_check_that_failed_has_its_errors_code(path: Path) -> None:
    path.write_text("no database at all" * 1000)
    (problem,) = [finding for finding in doctor.examine(str(path)) if finding.level == "problem"]
    assert problem.code == "store_lost"
