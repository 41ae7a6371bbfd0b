"""`schedule set`: what changes of a schedule's job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_json_everywhere import typed


def job_after(folder: Path, *lines: str) -> dict[str, Any]:
    """The keys of the job after these changes."""
    for line in lines:
        code, _, said = typed(folder / "jobs.db", f"schedule {line}")
        assert code == 0, said
    job: dict[str, Any] = json.loads(typed(folder / "jobs.db", "schedule show tick --json")[1])["job"]
    return job


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "train.sh"
    path.write_text("#!/bin/sh\necho $1\n")
    return path


def test_a_script_and_a_command_take_each_others_place(tmp_path: Path, script: Path) -> None:
    add = "add tick --every 1h -- true"
    with_script = {"command": ["train.sh", "x"], "script": script.read_text()}
    assert job_after(tmp_path, add, f"set tick --script {script} -- x") == with_script
    assert job_after(tmp_path, f"set tick --script {script}")["command"] == ["train.sh"]
    assert job_after(tmp_path, "set tick -c new") == {"command": "new"}


def test_none_puts_an_option_back_to_its_default(tmp_path: Path) -> None:
    assert typed(tmp_path / "jobs.db", "enqueue --batch c -- true")[0] == 0
    given = "--timeout 5m --tag a --tag b --after batch:c --lock d --max-retries 1 --expires 5m --on-dead e"
    lifted = "--timeout none --tag none --after none --lock none --max-retries none --expires none --on-dead none"
    job = job_after(tmp_path, f"add tick --every 1h {given} -- true", f"set tick {lifted}")
    assert job == {"command": ["true"], "timeout": "none", "on_dead": "none"}  # whatever its queue has


def test_what_makes_up_less_than_it_says_is_told(tmp_path: Path) -> None:
    says = "overlap skip lets the earliest alone make a job; to make up all: queuectl"
    db = tmp_path / "jobs.db"
    assert says in typed(db, "schedule add tick --every 1h --catch-up all -- true")[2]
    assert "make up" not in typed(db, "schedule set tick --overlap allow")[2]
    assert "make up" not in typed(db, "schedule add tock --every 1h -- true")[2]


def test_show_spells_the_keys_of_a_job_as_people_do(tmp_path: Path) -> None:
    db = tmp_path / "jobs.db"
    assert (
        typed(db, "schedule add tick --every 1h --lock d --lock e --tag a --tag b --expect-within 4h -- true")[0] == 0
    )
    shown = typed(db, "schedule show tick")[1]
    for part in ("locks d,e", "tags a,b", "to succeed within 4h"):
        assert part in shown
    assert "['" not in shown


def test_words_before_a_script_are_told_where_its_arguments_go(tmp_path: Path, script: Path) -> None:
    code, _, said = typed(tmp_path / "jobs.db", f"enqueue --script {script} epochs")
    assert code == 2
    assert "words after -- are the script's arguments" in said
