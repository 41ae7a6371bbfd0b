"""Both command sets that queuectl grew from, word for word, in the shells people have."""

from __future__ import annotations

import shutil
import sys

import pytest

from tests.e2e.conftest import ROOT, Terminal, eventually

SHELLS = pytest.mark.parametrize("shell", ["bash", "sh"])


@SHELLS
def test_the_first_set(terminal: Terminal, shell: str) -> None:
    line = """queuectl enqueue '{"command": "echo hello; sleep 1", "max_retries": 2}'"""
    job_id = terminal.good(line, shell).out.removeprefix("enqueued ").strip()
    terminal.good("queuectl enqueue --priority 1 -c 'while ! test -e go; do sleep 0.05; done'", shell)
    terminal.worker("--count 1 --poll 1")
    eventually(lambda: "1 of 1 slot busy" in terminal.good("queuectl status", shell).out, "a job runs")
    terminal.good("touch go", shell)
    assert terminal.good(f"queuectl wait {job_id}", shell).out == f"{job_id} completed\n"
    for state in ("pending", "failed", "dead"):
        assert terminal.good(f"queuectl list --state {state} --json", shell).json == []
    assert terminal.good("queuectl dlq list", shell).err == "the dead letter queue is empty\n"
    assert terminal.good("queuectl config set backoff-base 3", shell).out == "backoff-base = 3\n"
    assert "backoff-base         3  " in terminal.good("queuectl config show", shell).out
    assert terminal.type("queuectl dlq retry job1", shell).code == 3


@SHELLS
def test_the_second_set(terminal: Terminal, shell: str) -> None:
    terminal.good("queuectl config set max_retries 1", shell)
    terminal.good("queuectl config set base_backoff_seconds 0.1", shell)
    terminal.good('ln -s "$(command -v python3)" python', shell)
    terminal.environment["PATH"] = f"{terminal.folder}:{terminal.environment['PATH']}"
    hello = """queuectl enqueue {"id":"job1","command":"echo 'Hello World'","max_retries":3}"""
    assert terminal.good(hello, shell).out == "enqueued job1\n"
    fail = r"""queuectl enqueue {"id":"fail1","command":"python -c \"import sys; sys.exit(1)\""}"""
    assert terminal.good(fail, shell).out == "enqueued fail1\n"
    worker = terminal.background("queuectl worker start --count 2 --drain")
    assert worker.communicate()[0] == "started 2 worker(s)\n"
    assert terminal.states() == {"job1": "completed", "fail1": "dead"}
    assert terminal.good("queuectl logs job1", shell).out == "Hello World\n"
    listed = terminal.good("queuectl dlq list", shell).out
    assert "fail1" in listed
    assert "exit code 1" in listed
    assert terminal.job("fail1")["attempts"] == 2
    assert terminal.good("queuectl dlq retry fail1", shell).out == "retried fail1\n"
    assert terminal.job("fail1")["attempts"] == 0


def test_removing_the_file_resets_a_project(terminal: Terminal) -> None:
    del terminal.environment["QUEUECTL_DB"]
    assert terminal.good("queuectl init").out == f"made {terminal.folder}/queuectl.db\n"
    terminal.good("queuectl enqueue --id a -- true")
    assert terminal.states() == {"a": "pending"}
    terminal.good("rm queuectl.db")
    terminal.good("queuectl init")
    assert terminal.states() == {}


def test_a_bare_checkout_needs_nothing_installed(terminal: Terminal) -> None:
    for part in ("main.py", "src"):
        source = ROOT / part
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, terminal.folder / part)
    python = f"{sys.executable} -I -S"
    assert terminal.good(f"{python} main.py enqueue --id a -- echo hello").out == "enqueued a\n"
    terminal.good(f"{python} main.py worker start --drain")
    assert terminal.good(f"{python} main.py logs a").out == "hello\n"
