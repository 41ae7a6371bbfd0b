"""A store's files are hidden from git, so that `git clean` leaves them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from queuectl.store.sqlite.connection import exclude_from_git
from queuectl.store.sqlite.store import SqliteStore
from tests.builders import a_job
from tests.unit.test_json_everywhere import typed


def git(folder: Path, *words: str) -> str:
    named = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "safe.directory=*")
    done = subprocess.run(["git", *named, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One that ignores databases, as many do."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / ".gitignore").write_text("*.db\n")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    return folder


def survives_cleaning(path: Path) -> bool:
    """Whether every file of a store in use is still there after `git clean -fd`."""
    store = SqliteStore(path)
    try:
        store.insert([a_job()])
        before = sorted(os.listdir(path.parent))
        git(path.parent, "clean", "-fdq")
        return sorted(os.listdir(path.parent)) == before and len(before) > 3
    finally:
        store.close()


def test_cleaning_leaves_a_store_in_use(repository: Path) -> None:
    assert survives_cleaning(repository / "queuectl.db")
    assert git(repository, "status", "--porcelain") == ""


@pytest.mark.parametrize("name", ["my jobs.db", "a*b [1].db", "!x.db", "#x.db", "back\\slash.db"])
def test_names_with_a_meaning_in_patterns_are_hidden_too(repository: Path, name: str) -> None:
    (repository / "sub folder").mkdir()
    (repository / "sub folder" / "kept").touch()
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "second")
    assert survives_cleaning(repository / "sub folder" / name)


def test_a_work_tree_beside_its_repository_is_covered(repository: Path, tmp_path: Path) -> None:
    git(repository, "worktree", "add", "-q", str(tmp_path / "tree"))
    assert survives_cleaning(tmp_path / "tree" / "queuectl.db")


def test_nothing_is_listed_twice_and_lines_stay_apart(repository: Path) -> None:
    listed = repository / ".git" / "info" / "exclude"
    listed.write_text("mine")
    for _ in range(2):
        assert exclude_from_git(str(repository / "queuectl.db")) == str(listed)
    assert listed.read_text().splitlines() == [
        "mine", "/queuectl.db", "/queuectl.db-wal", "/queuectl.db-shm", "/.queuectl.db.d/",
    ]  # fmt: skip


def test_a_link_in_the_place_of_the_list_is_not_followed(repository: Path, tmp_path: Path) -> None:
    listed = repository / ".git" / "info" / "exclude"
    listed.unlink()
    listed.symlink_to(tmp_path / "other")
    SqliteStore(repository / "queuectl.db").close()
    assert not (tmp_path / "other").exists()


def test_outside_of_a_repository_nothing_is_written(tmp_path: Path) -> None:
    assert exclude_from_git(str(tmp_path / "queuectl.db")) is None


def test_backups_and_copies_that_replace_a_store_leave_nothing_in_the_list(repository: Path) -> None:
    db, listed = repository / "queuectl.db", repository / ".git" / "info" / "exclude"
    assert typed(db, "enqueue -- true")[0] == 0
    before = listed.read_text()
    assert typed(db, f"backup {repository}/saved.db")[0] == 0
    assert typed(db, f"restore {repository}/saved.db --replace --yes")[0] == 0
    assert listed.read_text() == before
    assert git(repository, "status", "--short", "--ignored") == "!! .queuectl.db.d/\n!! queuectl.db\n!! saved.db\n"
