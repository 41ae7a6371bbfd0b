"""However a command ends, it ends in one line and an exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from queuectl import __version__
from queuectl.cli import main as cli
from queuectl.cli.demo import own_name
from queuectl.domain.errors import KEY_HINT, Conflict
from tests.workshop import clean_environment


def ending_in(error: BaseException, monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """The exit code of a command in which `error` happens."""

    def function(call: object) -> int:
        raise error

    monkeypatch.setattr(cli, "_function", lambda command: function)
    return cli.main(words or ["status"])


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (Conflict("job a is taken", "choose another"), 4, "queuectl: job a is taken; choose another"),
        (Conflict("one\ntwo \x1b[31m"), 4, r"queuectl: one\ntwo \x1b[31m"),
        (RecursionError(), 2, "queuectl: the JSON is nested too deeply"),
        (MemoryError(), 1, "queuectl: out of memory; give it less at once"),
        (PermissionError(13, "Permission denied", "/a/file"), 1, "queuectl: /a/file: Permission denied"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), 2, "queuectl: not UTF-8 text: "),
    ],
)
def test_an_error_is_one_line(
    error: BaseException, code: int, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ending_in(error, monkeypatch) == code
    said = capsys.readouterr()
    assert said.err.startswith(line)
    assert said.err.count("\n") == 1
    assert said.out == ""


@pytest.mark.parametrize(
    ("hint", "told"),
    [
        ("see: queuectl dlq list", "see: queuectl --db 'a b.db' dlq list"),
        ("queuectl retry a", "queuectl --db 'a b.db' retry a"),
        ("restore it, or: queuectl reset", "restore it, or: queuectl --db 'a b.db' reset"),
        ("see: queuectl list --help", "see: queuectl list --help"),
        ("let its owner run: queuectl init --db URL", "let its owner run: queuectl init --db URL"),
        ("keys that queuectl writes", "keys that queuectl writes"),
        ("write: queuectl enqueue -- psql --db x", "write: queuectl --db 'a b.db' enqueue -- psql --db x"),
        ("start one; or: queuectl worker stop a", "start one; or: queuectl --db 'a b.db' worker stop a"),
    ],
)  # fmt: skip
def test_commands_in_hints_are_on_the_store_that_was_named(
    hint: str, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ending_in(Conflict("no", hint), monkeypatch, "--db", "a b.db", "status")
    assert capsys.readouterr().err == f"queuectl: no; {told}\n"
    ending_in(Conflict("no", hint), monkeypatch, "status")
    assert capsys.readouterr().err == f"queuectl: no; {hint}\n"


@pytest.mark.parametrize(
    ("hint", "told"),
    [
        (KEY_HINT, "keep that one with --on-conflict ignore, or change it with --on-conflict replace"),
        ("cancel it first, or use force=true", "cancel it first, or use --force"),
        ('e.g. cron="0 3 * * *", or every=5m', 'e.g. --cron "0 3 * * *", or --every 5m'),
        ("name one with tz=Europe/Berlin", "name one with --tz Europe/Berlin"),
        ("such as: queuectl queue set video rate=100/h", "such as: queuectl queue set video rate=100/h"),
    ],
)  # fmt: skip
def test_keys_in_hints_are_options_on_the_command_line(
    hint: str, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ending_in(Conflict("no", hint), monkeypatch, "status")
    assert capsys.readouterr().err == f"queuectl: no; {told}\n"


def test_as_json_an_error_has_its_parts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert ending_in(Conflict("taken", "choose"), monkeypatch, "status", "--json") == 4
    assert json.loads(capsys.readouterr().err) == {"error": {"code": "conflict", "message": "taken", "hint": "choose"}}


def test_a_json_word_behind_the_dashes_is_the_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ending_in(Conflict("taken"), monkeypatch, "enqueue", "--", "jq", "--json")
    assert capsys.readouterr().err == "queuectl: taken\n"


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (BrokenPipeError(), 0)])
def test_an_interrupt_and_a_reader_who_has_enough_are_quiet(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ending_in(error, monkeypatch) == code
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("command", ["run", "wait"])
def test_where_the_commands_code_is_passed_through_own_failures_are_125(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ending_in(Conflict("taken"), monkeypatch, command) == 125


def test_windows_gets_one_line_naming_wsl(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("os.name", "nt")
        code = cli.main(["status"])
    said = capsys.readouterr()
    assert code == 2
    assert "WSL" in said.err
    assert said.err.count("\n") == 1


def test_the_version_is_told_anywhere(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--version"], ["list", "--version"]):
        assert cli.main(words) == 0
        assert capsys.readouterr().out == f"queuectl {__version__}\n"


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--help"], "Dead letter queue:"),
        (["help"], "Dead letter queue:"),
        (["help", "enqueue"], "usage: queuectl enqueue"),
        (["enqueue", "-h"], "usage: queuectl enqueue"),
        (["worker", "--help"], "worker stop"),
        (["dlq", "retry", "--help"], "usage: queuectl dlq retry"),
    ],
)
def test_help_is_where_people_look_for_it(words: list[str], part: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 0
    assert part in capsys.readouterr().out


def test_the_demo_names_the_program_as_the_shell_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "queuectl"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for argument, path, name in (
        (str(program), str(tmp_path), "queuectl"),
        (".venv/bin/queuectl", "/nowhere", ".venv/bin/queuectl"),
        (".venv/bin/queuectl", str(tmp_path), ".venv/bin/queuectl"),
        ("/lib/queuectl/__main__.py", "/nowhere", "queuectl"),
    ):
        monkeypatch.setattr("sys.argv", [argument, "demo"])
        monkeypatch.setenv("PATH", path)
        assert own_name() == name


SLOW_TO_LOAD = (
    "typing",
    "argparse",
    "gettext",
    "importlib",
    "inspect",
    "dataclasses",
    "subprocess",
    "logging",
    "pathlib",
)
NOT_FOR_AN_ENQUEUE = (
    "fnmatch",
    "queuectl.cli.table",
    "queuectl.client.orphaned",
    "queuectl.domain.finding",
    "queuectl.store.edges",
    "queuectl.wire.workers",
)


@pytest.mark.parametrize(
    ("typed", "unwanted"),
    [(["enqueue", "-q", "video", "--", "true"], (*SLOW_TO_LOAD, *NOT_FOR_AN_ENQUEUE)), (["mcp"], SLOW_TO_LOAD)],
)
def test_what_starts_often_loads_nothing_that_is_slow_to_load(
    tmp_path: Path, typed: list[str], unwanted: tuple[str, ...]
) -> None:
    words = ["--db", str(tmp_path / "queuectl.db"), *typed]
    program = f"import sys; loaded = set(sys.modules); from queuectl.cli.main import main; main({words!r}); "
    program += f"print([name for name in {unwanted!r} if name in sys.modules and name not in loaded])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=clean_environment(), cwd=tmp_path,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
