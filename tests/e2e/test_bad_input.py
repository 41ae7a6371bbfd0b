"""Bad input: one clear line on stderr, the right exit code, never a traceback, nothing half-written."""

from __future__ import annotations

import os
import shlex
import sqlite3
import tempfile
from pathlib import Path

import pytest

from tests.e2e.conftest import Done, Terminal

BAD = {
    "not JSON": ("enqueue 'nonsense'", 2, "queuectl enqueue -- nonsense"),
    "broken JSON": ("""enqueue '{"command": "true"'""", 2, "not valid JSON"),
    "single quotes": ("""enqueue "{'command': 'true'}" """, 2, "double quotes"),
    "a JSON list": ("enqueue '[1, 2]'", 2, "must be a JSON object"),
    "a JSON number": ("enqueue 5", 2, "write: queuectl enqueue -- 5, or -c 5, or a JSON object"),
    "a word of JSON": ("enqueue true", 2, "'true' is not a job in JSON; write: queuectl enqueue -- true, or -c true"),
    "a JSON text": ("""enqueue '"true"'""", 2, 'must be a JSON object, not "true"'),
    "nothing": ("enqueue", 2, "nothing to enqueue"),
    "an empty word": ("enqueue ''", 2, "empty"),
    "nothing after the dashes": ("enqueue --", 2, "no command after --"),
    "nothing to run after the dashes": ("run --", 125, "no command after --; write: -- echo hello, or -c 'echo hello'"),
    "two places to move to": (
        "move a --front --before b",
        2,
        "--front and --before exclude each other; give one of them",
    ),
    "plain words": ("enqueue echo hi", 2, "queuectl enqueue -- echo hi"),
    "plain words with options": ("enqueue ls -la", 2, "--"),
    "plain words on another store": (
        "enqueue -q v echo hi --db 'a b.db' --tag 'x y'",
        2,
        "write: queuectl --db 'a b.db' enqueue -q v --tag 'x y' -- echo hi, or -c 'echo hi', or a JSON",
    ),
    "an option as a word": (
        "enqueue timeout=5m -- true",
        2,
        "not take 'timeout=5m'; give it as an option: --timeout 5m",
    ),
    "a command without dashes on another store": (
        "enqueue --db 'a b.db' -q v make -j4",
        2,
        "queuectl enqueue --db 'a b.db' -q v -- make …",
    ),
    "a program as a script": ("enqueue -q v --script /bin/ls", 2, "with: queuectl enqueue -q v -- PROGRAM"),
    "an unparsable end of a pause": ("queue pause default --until x", 2, "--until 'x' is not a time"),
    "another tool's verb": ("schedule disable s", 2, "did you mean 'schedule pause'"),
    "two sources": ("enqueue -c true -- true", 2, "exclude each other"),
    "no command": ("""enqueue '{"id": "x"}'""", 2, "needs a command"),
    "an empty command": ("""enqueue '{"command": ""}'""", 2, "command is empty"),
    "a blank command": ("enqueue -c '  '", 2, "command is empty"),
    "an empty list": ("""enqueue '{"command": []}'""", 2, "empty list"),
    "a wrong type": ("""enqueue '{"command": 5}'""", 2, "command must be text, not 5"),
    "a wrong type of retries": ("""enqueue '{"command": "true", "max_retries": "many"}'""", 2, "max_retries"),
    "a fraction of retries": ("""enqueue '{"command": "true", "max_retries": 1.5}'""", 2, "max_retries"),
    "negative retries": ("""enqueue '{"command": "true", "max_retries": -1}'""", 2, "max_retries"),
    "negative retries as an option": ("enqueue --max-retries -1 -- true", 2, "--max-retries must"),
    "an unknown key": ("""enqueue '{"comand": "true"}'""", 2, "did you mean 'command'"),
    "an unquoted unknown key": ("""enqueue {"id":"x","comand":"true"}""", 2, "did you mean 'command'"),
    "a key twice": ("""enqueue '{"command": "true", "command": "false"}'""", 2, "comes twice"),
    "a key as JSON and option": ("""enqueue '{"command": "true", "id": "a"}' --id b""", 2, "id is given"),
    "a set state": ("""enqueue '{"command": "true", "state": "completed"}'""", 2, "state cannot be set"),
    "set attempts": ("""enqueue '{"command": "true", "attempts": 3}'""", 2, "attempts cannot be set"),
    "a bad id": ("enqueue --id 'a b' -- true", 2, "id"),
    "an unparsable delay": ("enqueue --delay soon -- true", 2, "write it as 90"),
    "an unparsable time": ("enqueue --at 'tomorrow 9am' -- true", 2, "--at 'tomorrow 9am' is not a time"),
    "a shell's line as one word": ("enqueue 'true && false'", 2, "write: queuectl enqueue -c 'true && false', or a J"),
    "another tool's state": ("list --state running", 2, "did you mean 'processing'"),
    "an age as an option": ("list --older-than x", 2, "--older-than 'x' is not a duration"),
    "an unparsable interval": ("schedule add s --every x -- true", 2, "--every 'x' is not a duration"),
    "an unparsable lateness": ("schedule add s --every 5m --late-max x -- true", 2, "--late-max 'x' is not a duration"),
    "too long a jitter": ("schedule add s --every 5m --jitter 2d -- true", 2, '--jitter "2d" is too long'),
    "too short an expectation": ("schedule set s --expect-within 0s", 2, "--expect-within must be at least 1s"),
    "a ping to nowhere": ("schedule add s --every 5m --ping x -- true", 2, '--ping "x" is not a URL'),
    "an unparsable start of a preview": ("schedule preview @daily --from x", 2, "--from 'x' is not a time"),
    "a folder for a backup": ("backup nowhere/", 2, "names a folder, not a file; such as "),
    "an unparsable timeout": ("enqueue --timeout 0 -- true", 2, "timeout"),
    "a NUL byte": (r"""enqueue '{"command": "echo \u0000"}'""", 2, "NUL"),
    "half a surrogate": (r"""enqueue '{"command": "echo \ud800"}'""", 2, "UTF-8"),
    "bytes that are no text": ("enqueue -- $'\\xff'", 2, "UTF-8"),
    "JSON without end": ("enqueue \"$(printf '[%.0s' $(seq 100000))\"", 2, "nested too deeply"),
    "a huge number": ("""enqueue '{"command": "true", "priority": 1e999}'""", 2, "priority"),
    "lines without a command": ("enqueue --each-line 'a b'", 2, "queuectl enqueue --each-line 'a b' -- sh -c {}"),
    "a POSIX class": ("enqueue --each-line /dev/null --colsep '[[:space:]]' -- echo", 2, r"write \s for [[:space:]]"),
    "a bad job to import": (
        """import - <<< '{"id": "x", "command": "x", "attempts": -4}'""",
        2,
        "not -4; nothing was imported",
    ),
    "a missing file": ("enqueue --file nowhere.jsonl", 2, "cannot read nowhere.jsonl"),
    "a folder as a file": ("enqueue --file .", 2, "cannot read ."),
    "an empty file": ("enqueue --file /dev/null", 2, "has no job"),
    "a dash for the input": ("enqueue --stdin - -- cat", 2, "--stdin must be a path; - means no stream here"),
    "a dash for the output": ("enqueue --output - -- true", 2, "of that name write ./-"),
    "a dash in JSON": ("""enqueue '{"command": "cat", "stdin": "-"}'""", 2, "stdin must be a path"),
    "a variable that is not there": ("enqueue --env NOT_SET_ANYWHERE -- true", 2, "NOT_SET_ANYWHERE"),
    "an unknown setting": ("config set max-retrys 3", 2, "did you mean 'max-retries'"),
    "a bad setting": ("config set max-retries lots", 2, "max-retries"),
    "a negative setting": ("config set backoff-base -1", 2, "backoff-base"),
    "an unknown setting asked for": ("config get nothing", 2, "unknown setting"),
    "an unknown id": ("show nosuch", 3, "no job nosuch"),
    "an unknown id to retry": ("retry nosuch", 3, "no job nosuch"),
    "an unknown id to log": ("logs nosuch", 3, "no job nosuch"),
    "an unknown dead id": ("dlq retry nosuch", 3, "no job nosuch"),
    "an unknown worker": ("worker stop nosuch", 3, "no live worker nosuch"),
    "no id": ("cancel", 2, "no job given"),
    "an unknown state": ("list --state ded", 2, "did you mean 'dead'"),
    "an unknown command": ("lst", 2, "did you mean 'list'"),
    "a group alone": ("dlq", 2, "dlq needs one of"),
    "an unknown option": ("list --sate dead", 2, "--state"),
    "no workers": ("worker start --count 0", 2, "--count"),
    "a count that is no number": ("worker start --count many", 2, "--count"),
    "nothing to run": ("run", 125, "run needs a command"),
    "an unknown id to wait for": ("wait nosuch", 125, "no job nosuch"),
    "an unknown shell": ("completion nosuch", 2, "nosuch"),
    "nothing to prune": ("prune", 2, "retention"),
    "pruning what runs": ("prune --state processing", 2, "processing"),
}


def one_line(done: Done, code: int, about: str) -> None:
    assert done.code == code, done
    assert len(done.err.splitlines()) == 1, done
    assert done.err.startswith("queuectl: "), done
    assert about in done.err, done
    assert "Traceback" not in done.err
    assert done.out == ""


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_in_one_line(stored: Terminal, case: str) -> None:
    words, code, about = BAD[case]
    one_line(stored.type(f"queuectl {words}"), code, about)
    assert stored.states() == {}
    assert all(not row["set"] for row in stored.good("queuectl config show --json").json)


@pytest.mark.parametrize("case", ["an unknown id", "an unknown key", "an unknown option", "no id", "nothing to run"])
def test_as_json_an_error_is_one_object(stored: Terminal, case: str) -> None:
    words, code, about = BAD[case]
    done = stored.type(f"queuectl --json {words}")
    assert done.code == code
    assert done.out in ("", "[]\n")
    import json

    error = json.loads(done.err)["error"]
    assert set(error) == {"code", "message", "hint"}
    assert about in error["message"] + error["hint"]


def test_an_id_that_is_taken_is_a_conflict(terminal: Terminal) -> None:
    terminal.good("queuectl enqueue --id a -c 'echo first'")
    one_line(terminal.type("queuectl enqueue --id a -c 'echo second'"), 4, "job a exists already")
    assert terminal.job("a")["command"] == "echo first"


def test_a_command_of_10_megabytes_meets_a_clear_limit(stored: Terminal) -> None:
    (stored.folder / "big.jsonl").write_text('{"command": "' + "x" * 10_000_000 + '"}\n')
    one_line(stored.type("queuectl enqueue --file big.jsonl"), 2, "the limit is")
    assert stored.states() == {}


def test_two_bad_ids_are_two_lines_and_the_good_one_is_done(terminal: Terminal) -> None:
    terminal.good("queuectl enqueue --id a -- true")
    done = terminal.type("queuectl cancel nosuch a neither")
    assert (done.code, done.out) == (3, "cancelled a\n")
    assert [line.split(";")[0] for line in done.err.splitlines()] == [
        "queuectl: no job nosuch",
        "queuectl: no job neither",
    ]


# --- stores that cannot be used -------------------------------------------------------------

EVERYDAY = ("list", "status", "enqueue -- true", "config set max-retries 1", "worker start", "dlq list")


@pytest.mark.parametrize("words", EVERYDAY)
def test_a_file_that_is_no_database_is_refused_and_kept(terminal: Terminal, words: str) -> None:
    path = terminal.folder / "queuectl.db"
    path.write_text("dear diary\n" * 1000)
    one_line(terminal.type(f"queuectl {words}"), 5, "queuectl.db")
    assert path.read_text() == "dear diary\n" * 1000


def test_another_programs_database_is_refused_and_kept(terminal: Terminal) -> None:
    path = terminal.folder / "queuectl.db"
    connection = sqlite3.connect(path)
    connection.executescript("CREATE TABLE diary (page TEXT); INSERT INTO diary VALUES ('dear diary')")
    connection.close()
    before = path.read_bytes()
    one_line(terminal.type("queuectl list"), 5, "not a queuectl store")
    assert path.read_bytes() == before


def test_a_store_of_a_newer_version_is_refused(terminal: Terminal) -> None:
    terminal.good("queuectl enqueue --id a -- true")
    connection = sqlite3.connect(terminal.folder / "queuectl.db")
    connection.execute("PRAGMA user_version = 1000")
    connection.close()
    one_line(terminal.type("queuectl list"), 5, "newer")


def test_a_folder_as_a_store_is_refused(terminal: Terminal) -> None:
    one_line(terminal.type("queuectl --db . list"), 5, "folder")


def test_a_place_under_a_file_is_refused(terminal: Terminal) -> None:
    (terminal.folder / "file").write_text("")
    one_line(terminal.type("queuectl --db file/queuectl.db list"), 5, "file/queuectl.db")


def unprivileged(terminal: Terminal, line: str) -> Done:
    """Types a line as a user whom file rights bind; root keeps only those of the clone's owner."""
    if os.geteuid() == 0:
        for folder in (terminal.folder, *terminal.folder.parents):
            if str(folder).startswith(tempfile.gettempdir() + "/"):
                folder.chmod(folder.stat().st_mode | 0o055)
        main = Path(__file__).parents[2] / "main.py"
        owner = main.stat()
        line = line.replace("queuectl ", f"/usr/bin/env python3 {shlex.quote(str(main))} ", 1)
        fewer = "-dac_override,-dac_read_search"
        user = f"--reuid={owner.st_uid} --regid={owner.st_gid} --clear-groups"
        line = f"setpriv {user} --bounding-set={fewer} --inh-caps={fewer} {line}"
    return terminal.type(line)


def test_a_folder_that_cannot_be_written_is_refused(terminal: Terminal) -> None:
    locked = terminal.folder / "locked"
    locked.mkdir(mode=0o555)
    one_line(unprivileged(terminal, f"queuectl --db {locked}/queuectl.db enqueue -- true"), 5, "locked/queuectl.db")
    assert list(locked.iterdir()) == []


@pytest.mark.parametrize("words", ["enqueue -- true", "config set max-retries 1", "list"])
def test_a_store_that_is_read_only_is_refused(terminal: Terminal, words: str) -> None:
    sealed = terminal.folder / "sealed"
    sealed.mkdir()
    terminal.good("queuectl --db sealed/queuectl.db enqueue --id a -- true")
    store = sealed / "queuectl.db"
    before = store.read_bytes()
    store.chmod(0o444)
    sealed.chmod(0o555)
    one_line(unprivileged(terminal, f"queuectl --db {store} {words}"), 5, "sealed/queuectl.db")
    assert store.read_bytes() == before


# --- streams that cannot be used ------------------------------------------------------------


def test_a_reader_that_has_enough_is_no_error(terminal: Terminal) -> None:
    (terminal.folder / "jobs.jsonl").write_text('{"command": "true"}\n' * 3000)
    terminal.good("queuectl enqueue --quiet --file jobs.jsonl")
    for words in ("list", "list --json", "list --quiet"):
        done = terminal.type(f"queuectl {words} | head -1")
        assert (done.code, done.err) == (0, "")
        assert len(done.out.splitlines()) == 1


@pytest.mark.parametrize("words", ["list", "--help", "status --json", "config show"])
def test_a_reader_that_is_not_there_is_no_error(terminal: Terminal, words: str) -> None:
    terminal.good("queuectl enqueue -- true")
    assert terminal.type(f"queuectl {words} | true").err == ""


@pytest.mark.parametrize("words", ["list", "--help", "status", "config show"])
def test_an_output_that_is_full_is_said(terminal: Terminal, words: str) -> None:
    terminal.good("queuectl enqueue -- true")
    one_line(terminal.type(f"queuectl {words} > /dev/full"), 1, "No space left on device")


def test_a_ctrl_c_before_the_command_begins_ends_in_no_traceback(terminal: Terminal) -> None:
    (terminal.folder / "early.py").write_text(
        "from queuectl.cli import main\n\n"
        "def interrupted():\n    raise KeyboardInterrupt\n\n"
        "main.main = interrupted\nmain.run()\n"
    )
    done = terminal.type("python3 early.py")
    assert (done.code, done.out, done.err) == (130, "", "")


def test_closed_streams_harm_nothing(terminal: Terminal) -> None:
    assert terminal.type("queuectl enqueue --id a -- true <&- >&- 2>&-").code == 0
    nothing = terminal.type("queuectl enqueue --file - <&-")
    assert (nothing.code, nothing.err) == (2, "queuectl: stdin has no job; give one JSON job per line\n")
    assert terminal.type("queuectl list >&-").code == 0
    assert terminal.job("a")["state"] == "pending"
    assert terminal.good("queuectl doctor --json").json["ok"]
