"""Workers on platforms that lack something: they run, end and clean up all the same, and say what is missing.

What is taken away is really gone: the worker, its supervisors and its sentry run in interpreters without it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from queuectl.client import doctor
from queuectl.domain.job import JobState
from queuectl.engine.supervise import capabilities
from tests.workshop import PATIENCE_S, Workshop, clean_environment, open_workshop, until

WITHOUT = [
    ("pidfd", "import os; del os.pidfd_open"),
    ("pidfd", """
import signal
def pidfd_send_signal(*_):
    raise PermissionError(1, "Operation not permitted")
signal.pidfd_send_signal = pidfd_send_signal
"""),
    ("sessions in posix_spawn", """
import os
real = os.posix_spawn
def posix_spawn(*words, setsid=False, **more):
    if setsid:
        raise NotImplementedError("setsid")
    return real(*words, **more)
os.posix_spawn = posix_spawn
"""),
    ("/proc/PID/task/TID/children", """
import os
there = os.path.exists
os.path.exists = lambda path: not str(path).endswith("/children") and there(path)
"""),
]  # fmt: skip
"""What is missing, and the code that takes it away."""


def interpreter_without(folder: Path, code: str) -> Path:
    """A Python that lacks something, for whatever program it runs by `-c`, with or without options before."""
    first = folder / "without.py"
    first.write_text(code)
    program = folder / "python"
    run = f"import sys; exec(open({str(first)!r}).read()); sys.executable = {str(program)!r}; exec(sys.argv.pop(1))"
    program.write_text(
        f'#!/bin/sh\n[ "$1" = -c ] || shift 2\nshift\nexec {shlex.quote(sys.executable)} -c {shlex.quote(run)} "$@"\n'
    )
    program.chmod(0o755)
    return program


class Handicapped:
    """A worker of such an interpreter."""

    def __init__(self, shop: Workshop, program: Path, *options: str) -> None:
        source = str(Path(capabilities.__file__).parents[2])
        main = f"import sys; sys.path.insert(0, {source!r}); from queuectl.cli.main import main; sys.exit(main())"
        self.process = subprocess.Popen(
            [program, "-c", main, "worker", "start", "--count", "2", *options], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env=clean_environment(QUEUECTL_DB=str(shop.db)),
        )  # fmt: skip
        assert self.process.stdout
        assert self.process.stdout.readline() == "started 2 worker(s)\n"

    def end(self) -> str:
        """Its standard error, once it has stopped in order."""
        _, said = self.process.communicate(timeout=PATIENCE_S)
        assert self.process.returncode == 0, said
        return said


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    with open_workshop(tmp_path) as workshop:
        yield workshop


@pytest.mark.parametrize(("name", "code"), WITHOUT, ids=[name.split("/")[-1] for name, _ in WITHOUT])
def test_without_it_commands_run_and_trees_are_ended(shop: Workshop, tmp_path: Path, name: str, code: str) -> None:
    with_limit = shop.enqueue("setsid sleep 300 & sleep 300", timeout=0.5, kill_grace=0.2, max_retries=0)
    plain = shop.enqueue("trap - INT; echo out; echo $(ps -o sid= -p $$) $$", max_retries=0)
    missing = shop.enqueue(["no-such-program"], max_retries=0)
    daemon = shop.enqueue("setsid sleep 1 >/dev/null 2>&1 & true")
    worker = Handicapped(shop, interpreter_without(tmp_path, code), "--drain")
    limited, ran, failed, left = shop.finished(with_limit, plain, missing, daemon)
    said = worker.end()
    assert f"this platform lacks {name}" in said
    assert (limited.state, limited.error) == (JobState.DEAD, "timed out after 0.5s")
    out, session, own = shop.output(plain).split()
    assert (ran.state, out, session) == (JobState.COMPLETED, b"out", own)
    assert (failed.exit_code, failed.error) == (127, "command not found: no-such-program")
    assert "(pid" in (shop.store.attempts(left)[0].leftover or "")
    until(lambda: not shop.commands(), "nothing is left")


UNPRIVILEGED = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
"""Root as this may not raise its limits."""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give it up")
@pytest.mark.skipif(not shutil.which("prlimit"), reason="needs prlimit")
def test_with_a_low_limit_of_locks_commands_are_known_without_tags(shop: Workshop, tmp_path: Path) -> None:
    done = shop.enqueue_all([{"command": "true"}] * 5)
    limited = shop.enqueue("sh -c 'sleep 300; true' & sleep 300", timeout=0.5, kill_grace=0.2, max_retries=0)
    file = tmp_path / "pid"
    stopped = shop.enqueue(f"echo $$ > {file}; setsid --wait sleep 300")
    worker = shop.worker(2, under=("prlimit", "--locks=1000:1000", *UNPRIVILEGED))
    assert {job.state for job in shop.finished(*done)} == {JobState.COMPLETED}
    assert shop.finished(limited)[0].error == "timed out after 0.5s"
    until(lambda: file.exists() and file.read_text().strip())
    worker.signal(signal.SIGINT)
    until(lambda: "stopping" in worker.said())
    worker.signal(signal.SIGINT)
    assert worker.wait() == 0
    assert "this platform lacks tags" in worker.said()
    assert not Path(f"/proc/{file.read_text().strip()}").exists()
    assert shop.job(stopped).state is JobState.PENDING


def test_the_doctor_says_what_the_platform_lacks(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capabilities, "missing", lambda: [capabilities.Lack("pidfd", "looks first")])
    notes = [finding for finding in doctor.examine(str(shop.db)) if finding.code == "platform_lacks"]
    assert [note.message for note in notes] == ["this platform lacks pidfd: looks first"]


def test_the_page_of_platforms_says_of_each_lack_what_happens() -> None:
    page = (Path(__file__).parents[2] / "docs" / "platforms.md").read_text()
    for each in capabilities.CAPABILITIES:
        assert f"{each.without[0].upper()}{each.without[1:]}." in page
