"""What benchmarks are made of: rows with targets, a worker on a fresh store, and timing."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from queuectl.client.facade import Client
from queuectl.domain.job import JobState
from queuectl.store.sqlite.store import SqliteStore
from queuectl.wire.requests import JobRequest

GIVE_UP_AFTER_S = 300.0
LAST_JOBS = 16
"""From here on the end is looked for more often: before, a look takes time from the jobs."""
MODULE = [sys.executable, "-m", "queuectl"]
SCRIPT = str(Path(sys.executable).with_name("queuectl"))
"""The command as a user types it."""


class Target(NamedTuple):
    """What a figure shall reach: `sign` is `>=` or `<=`."""

    sign: str
    bound: float

    def met(self, figure: float) -> bool:
        return figure >= self.bound if self.sign == ">=" else figure <= self.bound

    def __str__(self) -> str:
        return f"{self.sign} {self.bound:g}"


class Figure(NamedTuple):
    """One line of the table. One without a target shows what is possible here."""

    name: str
    what: str
    target: Target | None


class Setting(NamedTuple):
    """What a round needs: `scale` 1 is the full size; `folder` is kept over all rounds of all rows."""

    scale: float
    folder: Path


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measurement: each round gives a value for each of its figures."""

    name: str
    figures: Sequence[Figure]
    measure: Callable[[Setting], Sequence[float]]


@dataclass(frozen=True, kw_only=True)
class Result:
    """A figure with its values of all rounds."""

    figure: Figure
    values: Sequence[float]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def met(self) -> bool | None:
        return self.figure.target.met(self.median) if self.figure.target else None


def run_rounds(row: Row, setting: Setting, rounds: int) -> list[Result]:
    """Measures a row `rounds` times."""
    values = [row.measure(setting) for _ in range(rounds)]
    by_figure = zip(*values, strict=True)
    return [Result(figure=figure, values=each) for figure, each in zip(row.figures, by_figure, strict=True)]


def environment() -> dict[str, str]:
    """The environment of measured processes: byte code may be kept, nothing of queuectl is preset."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE" and not k.startswith("QUEUECTL_")}


@contextmanager
def fresh_store() -> Iterator[Client]:
    """A client of a new store on the disk that temporary files are on."""
    with tempfile.TemporaryDirectory(prefix="queuectl-bench-") as folder:
        client = Client(SqliteStore(Path(folder) / "queuectl.db"))
        try:
            yield client
        finally:
            client.close()


@contextmanager
def worker(client: Client, count: int) -> Iterator[subprocess.Popen[str]]:
    """A running, idle worker."""
    with stopping([*MODULE, "--db", client.store.url, "--quiet", "worker", "start", "--count", str(count)]) as process:
        yield process


@contextmanager
def stopping(command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """A process that has said its first line and is interrupted in the end."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment())
    try:
        assert process.stdout
        process.stdout.readline()
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def run_all(client: Client, command: str, jobs: int) -> float:
    """Seconds from the moment `jobs` jobs are committed until the last result is recorded."""
    before = completed(client)
    client.enqueue([JobRequest(command=command)] * jobs)
    began = time.perf_counter()
    while (done := completed(client) - before) < jobs:
        if time.perf_counter() - began > GIVE_UP_AFTER_S:
            raise RuntimeError(f"only {done} of {jobs} jobs are completed")
        time.sleep(0.01 if jobs - done > LAST_JOBS else 0.002)
    return time.perf_counter() - began


def completed(client: Client) -> int:
    """How many jobs are completed."""
    return sum(number for (_, state), number in client.store.counts().items() if state is JobState.COMPLETED)


def seconds(command: Sequence[str], stdin: str | None = None) -> float:
    """How long a process takes."""
    began = time.perf_counter()
    quiet = subprocess.DEVNULL
    subprocess.run(command, input=stdin, text=True, check=True, stdout=quiet, stderr=quiet, env=environment())
    return time.perf_counter() - began


def alternating(commands: Sequence[Sequence[str]], runs: int) -> list[float]:
    """The median seconds of each command, run in turns so that all see the same machine."""
    took = [[seconds(command) for command in commands] for _ in range(runs)]
    return [statistics.median(each) for each in zip(*took, strict=True)]


def xargs(command: list[str], jobs: int, parallel: int) -> float:
    """Seconds that xargs takes for the same commands, the reference of most rows."""
    words = ["xargs", f"-P{parallel}", "-n1", *command]
    return seconds(words, "".join(f"{number}\n" for number in range(jobs)))
