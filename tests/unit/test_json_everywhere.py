"""Under --json every command prints JSON and nothing else, and what it says beside that is an object a line."""

from __future__ import annotations

import ast
import io
import json
import re
from pathlib import Path

import pytest

from queuectl.cli import console, main, topics
from queuectl.cli.commands import commands
from queuectl.cli.console import Screen
from queuectl.domain.condition import Condition, finding
from queuectl.domain.errors import error_of
from queuectl.domain.fields import INPUT
from queuectl.domain.job import JobState
from queuectl.wire.requests import OF_BATCH

CLI = Path(console.__file__).parent

LINES = {
    "enqueue": "enqueue --id c -- true",
    "status": "status",
    "list": "list",
    "show": "show a",
    "explain": "explain a",
    "logs": "logs a",
    "wait": "wait b --timeout 0.01",
    "retry": "retry a",
    "clone": "clone a",
    "move": "move a --front",
    "set": "set a priority=5 tags=x",
    "cancel": "cancel a",
    "hold": "hold a",
    "release": "release --all --yes",
    "delete": "delete a",
    "schedule add": "schedule add nightly --every 1h -- true",
    "schedule list": "schedule list",
    "schedule show": "schedule show nosuch",
    "schedule set": "schedule set nosuch --every 2h",
    "schedule preview": "schedule preview @daily --tz UTC -n 2",
    "schedule pause": "schedule pause nosuch",
    "schedule resume": "schedule resume nosuch",
    "schedule run": "schedule run nosuch",
    "schedule delete": "schedule delete nosuch",
    "worker stop": "worker stop",
    "worker set": "worker set nosuch --count 2",
    "worker restart": "worker restart",
    "worker reload": "worker reload",
    "worker list": "worker list",
    "worker logs": "worker logs",
    "queue list": "queue list",
    "queue show": "queue show default",
    "queue set": "queue set video concurrency=4 rate=10/s",
    "queue pause": "queue pause --all --for 1h",
    "queue resume": "queue resume default",
    "batch list": "batch list",
    "batch show": "batch show nosuch",
    "batch wait": "batch wait nosuch",
    "batch cancel": "batch cancel nosuch",
    "batch retry": "batch retry nosuch",
    "lock list": "lock list",
    "lock show": "lock show nosuch",
    "lock set": "lock set gpu units=0,1 env=GPUS",
    "lock delete": "lock delete nosuch",
    "dlq list": "dlq list",
    "dlq show": "dlq show a",
    "dlq retry": "dlq retry --all --yes",
    "dlq purge": "dlq purge nosuch",
    "token create": "token create x",
    "token list": "token list",
    "token revoke": "token revoke nosuch",
    "metrics": "metrics",
    "migrate": "migrate",
    "audit": "audit",
    "config show": "config show",
    "config get": "config get timeout",
    "config set": "config set timeout 1h",
    "config unset": "config unset timeout",
    "init": "init",
    "prune": "prune --older-than 1d --yes",
    "doctor": "doctor",
    "reset": "reset --yes",
    "completion": "completion bash",
    "demo": "demo",
    "events": "events",
    "top": "top",
    "report": "report --by-job",
    "stats": "stats",
    "service print": "service print --serve",
    "import crontab": "import crontab /dev/null",
}
FOR_LONG = {
    "run", "worker start", "serve", "copy", "backup", "restore", "export", "import", "mcp", "service install",
    "service status", "service remove",
}  # fmt: skip
"""Seen elsewhere: they start processes, or want a second store or another machine."""


def typed(db: Path | None, line: str) -> tuple[int, str, str]:
    """The exit code of a command line, and what it wrote to each stream. Without `db`: on the default store."""
    written, told = io.BytesIO(), io.BytesIO()
    out, err = (io.TextIOWrapper(each, "utf-8", newline="", write_through=True) for each in (written, told))
    screen = Screen(out=out, err=err, terminal=False, width=None, height=None, answer=None, progress=True)
    first, *rest = line.split()
    code = main.execute([first, *(["--db", str(db)] if db else []), *rest], screen)
    return code, written.getvalue().decode(), told.getvalue().decode()


@pytest.fixture
def db(tmp_path: Path) -> Path:
    path = tmp_path / "queuectl.db"
    assert typed(path, "enqueue --id a -- true")[0] == typed(path, "enqueue --id b -- true")[0] == 0
    return path


def test_every_command_is_tried() -> None:
    assert set(LINES) | FOR_LONG == set(commands())


OTHER_LINES = (
    "show nosuch", "list --limit x", "help states", "list --help", "--version", "worker", "logs a --attempt 7",
    "status --check",
)  # fmt: skip


@pytest.mark.parametrize("line", [*LINES.values(), *OTHER_LINES])
def test_stdout_is_json_and_stderr_an_object_a_line(db: Path, line: str) -> None:
    first, _, rest = line.partition(" ")
    code, out, err = typed(db, f"{first} --json {rest}")
    if out or not code:
        json.loads(out)
    told = [json.loads(each) for each in err.splitlines()]
    for each in told:
        (kind,) = each
        assert set(each[kind]) == ({"code", "message", "hint"} if kind == "error" else {"code", "message"})
    assert (code in (0, 1)) or "error" in told[-1]


def test_one_id_is_shown_in_an_array_like_two(db: Path) -> None:
    assert [job["id"] for job in json.loads(typed(db, "show a --json")[1])] == ["a"]
    assert [job["id"] for job in json.loads(typed(db, "show a b --json")[1])] == ["a", "b"]
    assert json.loads(typed(db, "show nosuch --json")[1]) == []


def test_a_time_limit_of_wait_is_an_error_of_its_own_kind(db: Path) -> None:
    code, out, err = typed(db, "wait b --timeout 0.01 --json")
    assert (code, out, json.loads(err)["error"]["code"]) == (124, "", "timeout")


def test_every_note_has_a_code_that_help_explains() -> None:
    known = {code for code, _ in topics.NOTES}
    used = set[object]()
    for path in [*CLI.glob("*.py"), CLI.parent / "web" / "serve.py"]:
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and getattr(call.func, "attr", getattr(call.func, "id", "")) == "note":
                assert len(call.args) == 2, f"{path.name}:{call.lineno} says no code"
                if ast.unparse(call.args[1]) == "found.code":  # of a worker that does not work on
                    found = [finding("w", each, 1, ()) for each in (Condition.SUSPENDED, Condition.ORPHANED)]
                    used |= {each.code for each in found if each}
                    continue
                assert isinstance(call.args[1], ast.Constant)
                used.add(call.args[1].value)
    assert used | {"info"} == known


def test_help_names_every_error_code_and_state_and_variable() -> None:
    codes = dict(topics.error_codes())
    assert {"failed", "invalid", "not_found", "conflict", "store_unavailable", "store_busy", "timeout"} <= set(codes)
    assert all(error_of(code, "").code == code for code in codes)
    assert [state for state, _ in topics.STATES] == [state.value for state in JobState]
    read = set()
    for path in CLI.parent.rglob("*.py"):
        read |= set(re.findall(r"""environ(?:\.get\(|\[)"(\w+)\"""", path.read_text()))
    assert read - {"PYTHONPATH"} <= {name for name, _ in topics.READ}


@pytest.mark.parametrize("name", topics.NAMES)
def test_a_topic_fits_a_terminal(name: str, db: Path) -> None:
    assert set(topics.topics()) == set(topics.NAMES)
    assert all(len(line) <= 80 for line in topics.text(name).splitlines())
    assert typed(db, f"help {name}")[1] == topics.text(name) + "\n"
    assert json.loads(typed(db, f"--json help {name}")[1]) == {"help": topics.text(name)}


def test_help_as_json_is_the_whole_contract(tmp_path: Path) -> None:
    code, out, err = typed(tmp_path / "none.db", "help --json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert [each["name"] for each in told["commands"]] == list(commands())
    assert set(told["states"]) == {state.value for state in JobState}
    assert {"command", "priority", "state", "exit_code"} <= {each["name"] for each in told["job_keys"]}
    (enqueue,) = (each for each in told["commands"] if each["name"] == "enqueue")
    spelled = {flag: each for each in enqueue["options"] for flag in each["flags"]}
    assert spelled["--env"]["repeats"]
    assert spelled["--hold"]["is_flag"]
    assert {each["answer"] for each in told["commands"]} - {None} <= set(told["answers"])
    assert told["answers"][enqueue["answer"]]["$id"] == f"urn:queuectl:schema:{told['schema_version']}:enqueue"
    assert set(topics.EXIT_CODES) == set(told["exit_codes"].items())
    assert not (tmp_path / "none.db").exists()


def test_a_number_of_an_option_is_a_number_in_the_job_that_is_shown_or_kept(tmp_path: Path) -> None:
    kinds = (
        "whole number", "number", "duration", "positive duration", "duration or none", "allowance",
        "exit codes", "size",
    )  # fmt: skip
    numbers = [field for field in INPUT if field.option and field.kind in kinds]
    assert len(numbers) > 15
    for field in numbers:
        value = max(int(field.low), 1)
        line = (
            f"{field.option} {value} {'--batch b' * (field.name in OF_BATCH)} {'--unique-key k' * field.spent} -- true"
        )
        document = json.loads(typed(None, f"enqueue -n {line}")[1])
        assert document[field.name] == ([1] if field.kind == "exit codes" else value), field.name
    for options, key, shown in (
        ("--priority -100", "priority", -100), ("--timeout 0.5", "timeout", 0.5),
        ("--retry-on 3,4", "retry_on", [3, 4]),
        ("--timeout 1h", "timeout", "1h"), ("--memory-max 4g", "memory_max", "4g"), ("--id 7", "id", "7"),
        ("--unique-key 7", "unique_key", "7"), ("--batch b --max-fails 5%", "max_fails", "5%"),
    ):  # fmt: skip
        assert json.loads(typed(None, f"enqueue -n {options} -- true")[1])[key] == shown
    db = tmp_path / "queuectl.db"
    typed(db, "schedule add tick --every 5m --priority 5 -- true")
    assert json.loads(typed(db, "schedule show tick --json")[1])["job"]["priority"] == 5
