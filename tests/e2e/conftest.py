"""The command line as a user has it: a shell, a folder, and `queuectl` on the PATH."""

from __future__ import annotations

import json
import os
import pty
import signal
import sqlite3
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from fcntl import ioctl
from pathlib import Path
from typing import Any

import psycopg
import pytest

from queuectl import ids
from queuectl.store.sqlite.store import SqliteStore
from tests.loaded import Loaded, plain_words
from tests.server import WITH_PASSWORD, new_schema
from tests.workshop import until

ROOT = Path(__file__).parents[2]
DEADLINE_S = 60.0
PASSWORD = "correct-horse"


@dataclass(frozen=True)
class Done:
    """What a command line did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def eventually(check: Callable[[], Any], what: str) -> Any:
    """The first true answer of `check`, which may run commands."""
    return until(check, what, DEADLINE_S)


@dataclass
class Terminal:
    """A prompt in an empty folder."""

    folder: Path
    environment: dict[str, str]
    loaded: Loaded
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def type(self, line: str, shell: str | None = None, stdin: str | bytes = b"") -> Done:
        """Types a line at a shell's prompt and waits for its end. Where no shell is asked for, and none is needed, the
        command starts without one (see loaded.py)."""
        given = stdin.encode() if isinstance(stdin, str) else stdin
        words = None if shell or not self.loaded.stands_for(self.environment) else plain_words(line)
        if words is not None:
            code, out, err = self.loaded.run(words, self.folder, self.environment, given, DEADLINE_S)
        else:
            environment = self.loaded.for_a_shell(line, self.environment)
            done = subprocess.run(
                [shell or "bash", "-c", line], cwd=self.folder, env=environment, timeout=DEADLINE_S,
                capture_output=True, input=given, check=False,
            )  # fmt: skip
            code, out, err = done.returncode, done.stdout, done.stderr
        return Done(code, out.decode(errors="replace"), err.decode(errors="replace"))

    def good(self, line: str, shell: str | None = None, stdin: str = "") -> Done:
        """The same, where success is expected."""
        done = self.type(line, shell, stdin)
        assert done.code == 0, (line, done)
        return done

    def job(self, ref: str) -> dict[str, Any]:
        """A job with its history."""
        found: dict[str, Any] = self.good(f"queuectl show {ref} --json").json[0]
        return found

    def states(self) -> dict[str, str]:
        """The state of every job."""
        return {job["id"]: job["state"] for job in self.good("queuectl list --json").json}

    def background(self, line: str) -> subprocess.Popen[str]:
        """Starts a line that lasts, in a session of its own."""
        process = subprocess.Popen(
            ["bash", "-c", f"exec {line}"], cwd=self.folder, env=self.environment, text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.started.append(process)
        return process

    def waiting(self, line: str) -> Iterator[str]:
        """Starts a line that lasts; what it writes to stderr, line by line."""
        process = subprocess.Popen(
            ["bash", "-c", f"exec {line}"], cwd=self.folder, env=self.environment, text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.started.append(process)

        def told() -> Iterator[str]:
            assert process.stderr is not None
            with process.stderr:
                yield from process.stderr

        return told()

    def worker(self, options: str = "") -> subprocess.Popen[str]:
        """A worker that serves."""
        process = self.background(f"queuectl worker start {options}")
        assert process.stdout is not None
        assert process.stdout.readline().startswith("started "), process.wait()
        return process

    def watched(self, line: str, columns: int = 80, keys: str = "") -> tuple[int, str]:
        """Types a line with a terminal attached, and keys into it; its exit code and what the terminal showed."""
        controller, terminal = pty.openpty()
        ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = subprocess.Popen(
            ["bash", "-c", line], cwd=self.folder, env=self.environment, start_new_session=True, stdin=terminal,
            stdout=terminal, stderr=terminal,
        )  # fmt: skip
        os.close(terminal)
        os.write(controller, keys.encode())
        shown = b""
        while True:
            try:
                piece = os.read(controller, 1 << 16)
            except OSError:  # Linux's word for: nobody has the terminal open any more
                break
            if not piece:
                break
            shown += piece
        os.close(controller)
        return process.wait(DEADLINE_S), shown.decode().replace("\r\n", "\n")

    def may_have_workers(self) -> bool:
        """False if the store is a file that knows of none."""
        place = self.environment.get("QUEUECTL_DB", "")
        if not place or "://" in place:
            return True
        try:
            with closing(sqlite3.connect(f"file:{place}?mode=ro", uri=True)) as store:
                return store.execute("SELECT 1 FROM workers").fetchone() is not None
        except sqlite3.Error:
            return Path(place).exists()

    def close(self) -> None:
        """Ends what was started."""
        if self.may_have_workers():
            self.type("queuectl worker stop --now --quiet")
        for process in self.started:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait(DEADLINE_S)
            if process.stdout is not None:
                process.stdout.close()


@pytest.fixture(scope="session")
def loaded() -> Iterator[Loaded]:
    """Runs command lines in an environment as bare as a terminal's."""
    kept = {name: os.environ[name] for name in ("LANG", "TMPDIR", "TZ", "SYSTEMROOT") if name in os.environ}
    path = os.pathsep.join([str(Path(sys.executable).parent), "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"])
    found = Loaded({**kept, "PATH": path, "TERM": "xterm", "PYTHONWARNINGS": "error"})
    yield found
    found.close()


@pytest.fixture
def terminal(tmp_path: Path, loaded: Loaded) -> Iterator[Terminal]:
    """A prompt in a folder with a store of its own."""
    folder = tmp_path / "project"
    folder.mkdir()
    own = {"HOME": str(tmp_path / "home"), "QUEUECTL_DB": str(folder / "queuectl.db")}
    found = Terminal(folder, {**loaded.environment, **own}, loaded)
    yield found
    found.close()


@pytest.fixture
def stored(terminal: Terminal) -> Terminal:
    """The same, where the store has been made."""
    SqliteStore(terminal.folder / "queuectl.db").close()
    return terminal


@pytest.fixture
def login(postgres_server: str) -> Iterator[str]:
    """A server's URL with the name and password of a role that may make schemas, and nothing else."""
    role = f"{WITH_PASSWORD}{ids.random_id(10)}"
    with psycopg.connect(postgres_server, autocommit=True) as db:
        db.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'".encode())
        db.execute(f"GRANT CREATE ON DATABASE {db.info.dbname} TO {role}".encode())
        yield postgres_server.replace("postgres@", f"{role}:{PASSWORD}@")
        db.execute(f"DROP OWNED BY {role} CASCADE".encode())
        db.execute(f"DROP ROLE {role}".encode())


@pytest.fixture
def fleet(terminal: Terminal, login: str, tmp_path: Path) -> Terminal:
    """A prompt whose store is a schema of a server."""
    terminal.environment |= {"QUEUECTL_DB": new_schema(login), "XDG_STATE_HOME": str(tmp_path / "state")}
    return terminal
