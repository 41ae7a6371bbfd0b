"""`demo`: the main features, shown with real commands on a temporary store."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shlex import join

from queuectl import program
from queuectl.cli.call import Call
from queuectl.domain.errors import Invalid, OperationFailed

FLAKY = 'echo "attempt $QUEUECTL_ATTEMPT"; test "$QUEUECTL_ATTEMPT" -ge 3'

JOBS = (
    ("One that succeeds and writes something.", ("""{"id": "hello", "command": "echo Hello World; uname -s"}""",)),
    (
        "One that fails twice, then succeeds; retries after 0.3 s and 0.6 s.",
        ("--id", "flaky", "--backoff-initial", "300ms", "-c", FLAKY),
    ),
    (
        "One that never succeeds: after its retry it goes to the dead letter queue.",
        ("--id", "doomed", "--max-retries", "1", "--backoff-initial", "300ms", "--", "ls", "/no/such/folder"),
    ),
    ("One that starts after 3 seconds at the earliest.", ("--id", "later", "--delay", "3s", "--", "date")),
    (
        "One with a time limit that it exceeds.",
        ("--id", "slow", "--timeout", "1s", "--max-retries", "0", "-c", "echo working...; sleep 60"),
    ),
)

LOOKS = (
    ("The status.", ("status",)),
    ("All jobs.", ("list",)),
    ("Dead jobs, with the reason and the end of their output.", ("dlq", "list")),
    ("The output of every attempt of a job.", ("logs", "flaky", "--attempt", "all")),
    ("Everything about a job.", ("show", "flaky")),
)


def demo(call: Call) -> int:
    """Plays the demo from beginning to end."""
    if call.console.as_json:
        raise Invalid("demo prints no JSON", "leave out --json")
    with _stage() as folder:
        environment = _environment(folder)

        def play(words: Sequence[str], messages: bool = True) -> None:
            _type(call, words)
            _run(words, environment, folder, messages)

        for number, (what, words) in enumerate(JOBS, 1):
            _say(call, f"{number}. {what}")
            play(("enqueue", *words), messages=False)
        _say(call, "Two run at a time, until no job is left.")
        play(("worker", "start", "--count", "2", "--drain"))
        for what, words in LOOKS:
            _say(call, what)
            play(words)
    _say(call, f"Done; nothing is left behind. Your turn: {own_name()} enqueue -- echo hello")
    return 0


def own_name() -> str:
    """The word that starts this program in the shell that has started it."""
    own = sys.argv[0]
    return own if os.path.basename(own) == "queuectl" and shutil.which("queuectl") != own else "queuectl"


@contextmanager
def _stage() -> Iterator[Path]:
    """A folder for the store, removed at the end."""
    with tempfile.TemporaryDirectory(prefix="queuectl-demo-") as folder:
        yield Path(folder)


def _environment(folder: Path) -> dict[str, str]:
    path = [program.HOME, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "QUEUECTL_DB": str(folder / "queuectl.db"), "PYTHONPATH": os.pathsep.join(path)}


def _say(call: Call, text: str) -> None:
    call.console.print()
    call.console.print(call.console.paint(f"# {text}", "dim"))


def _type(call: Call, words: Sequence[str]) -> None:
    call.console.print(call.console.paint(f"$ queuectl {join(words)}", "bold"))
    sys.stdout.flush()


def _run(words: Sequence[str], environment: dict[str, str], folder: Path, messages: bool) -> None:
    """Runs a command line as a user would, with or without its messages for people."""
    command = [*program.command(), *words]
    done = subprocess.run(
        command, env=environment, cwd=folder, stdin=subprocess.DEVNULL, check=False,
        stderr=sys.stdout.fileno() if messages else subprocess.PIPE,
    )  # fmt: skip
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip() if done.stderr else ""
        raise OperationFailed(f"queuectl {join(words)} ended with exit code {done.returncode}", said)
