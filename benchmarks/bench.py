"""What benchmarks are made of: a worker on a fresh store, timing, and rows of a table."""

from __future__ import annotations

import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from queuectl import wire
from queuectl.client import Client
from queuectl.domain.job import JobState
from queuectl.store.connection import library_version
from queuectl.store.sqlite import SqliteStore

RESULTS = Path(__file__).parent / "results"
GIVE_UP_AFTER_S = 300.0


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table. `measure(scale)` gives one round's figure; `scale` 1 is the full size."""

    name: str
    what: str
    target: str
    measure: Callable[[float], float]


@dataclass(frozen=True, kw_only=True)
class Result:
    """The figures of all rounds of one row."""

    row: Row
    figures: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.figures)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.row.name, "what": self.row.what, "target": self.row.target, "median": round(self.median, 4),
            "min": round(min(self.figures), 4), "max": round(max(self.figures), 4),
            "figures": [round(figure, 4) for figure in self.figures],
        }  # fmt: skip


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
    command = [
        sys.executable, "-m", "queuectl", "--db", client.store.url, "--quiet", "worker", "start", "--count", str(count)
    ]  # fmt: skip
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
    requests = [wire.JobRequest(command=command)] * jobs
    client.enqueue(requests)
    began = time.perf_counter()
    while (done := completed(client)) < jobs:
        if time.perf_counter() - began > GIVE_UP_AFTER_S:
            raise RuntimeError(f"only {done} of {jobs} jobs are completed")
        time.sleep(0.01)
    return time.perf_counter() - began


def completed(client: Client) -> int:
    """How many jobs are completed."""
    return sum(number for (_, state), number in client.store.counts().items() if state is JobState.COMPLETED)


def seconds(command: list[str], stdin: str | None = None) -> float:
    """How long a process takes."""
    began = time.perf_counter()
    subprocess.run(command, input=stdin, text=True, check=True, stdout=subprocess.DEVNULL, env=environment())
    return time.perf_counter() - began


def xargs(command: list[str], jobs: int, parallel: int) -> float:
    """Seconds that xargs takes for the same commands, the reference of most rows."""
    words = ["xargs", f"-P{parallel}", "-n1", *command]
    return seconds(words, "".join(f"{number}\n" for number in range(jobs)))


def machine() -> dict[str, Any]:
    """Where the figures come from."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M", time.gmtime()), "cores": os.cpu_count(), "kernel": platform.release(),
        "machine": platform.machine(), "python": platform.python_version(), "sqlite": library_version(),
    }  # fmt: skip


def save(results: list[Result]) -> Path:
    """Keeps the figures beside the earlier ones."""
    path = RESULTS / f"{time.strftime('%Y-%m-%d-%H%M', time.gmtime())}.json"
    path.parent.mkdir(exist_ok=True)
    rows = [result.to_json() for result in results]
    path.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2) + "\n")
    return path
