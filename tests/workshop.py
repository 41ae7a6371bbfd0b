"""Real workers on a real store in a throw-away folder, and waiting for what they do."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from queuectl.client.facade import Client
from queuectl.domain.job import Job
from queuectl.engine.supervise import process
from queuectl.engine.supervise.trees import Tree, kill, living
from queuectl.store.liveness import is_supervisor, machine_id
from queuectl.store.port import Store
from queuectl.store.postgres.store import PostgresStore
from queuectl.store.sqlite.store import SqliteStore
from queuectl.store.values import WorkerRow
from queuectl.wire.requests import parse_request
from tests.builders import make_sqlite_store
from tests.machines import Machine, inner_process

PATIENCE_S = 120.0
"""No test waits longer for anything; what is asserted is that it happens, not how fast."""

LATER_BY, PAUSE_MAX_S = 0.05, 0.25
"""What is waited for is seen at most by such a part later, and never by more."""

LEASE = "5m"
"""Of a worker on a server: none is to lose its jobs because a busy machine takes long to start the next one."""

T = TypeVar("T")


def until(happened: Callable[[], T], what: str = "", patience_s: float = PATIENCE_S) -> T:
    """The first true answer. Asks more rarely the longer it waits, since asking takes time from those waited for."""
    began = time.monotonic()
    while not (answer := happened()):
        waited = time.monotonic() - began
        assert waited < patience_s, f"waited in vain: {what or happened}"
        time.sleep(min(0.005 + waited * LATER_BY, PAUSE_MAX_S))
    return answer


def clean_environment(**extra: str) -> dict[str, str]:
    """This process's environment, without what would change how queuectl behaves or slow it down."""
    dropped = ("PYTHONDONTWRITEBYTECODE",)
    kept = {k: v for k, v in os.environ.items() if not k.startswith("QUEUECTL_") and k not in dropped}
    return {**kept, **extra}


class Worker:
    """A `queuectl worker start` process, on this machine or on one of our own (see machines.py)."""

    def __init__(
        self, db: Path | str, *options: str, machine: Machine | None = None, under: Sequence[str] = (),
        **environment: str,
    ) -> None:  # fmt: skip
        """`under`: what it is started by, such as `setpriv` with options, which becomes it."""
        words = machine.words() if machine else []
        command = [*words, *under, sys.executable, "-m", "queuectl", "worker", "start", *options]
        surroundings = clean_environment(**{"QUEUECTL_DB": str(db), **environment})
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self._said, text=True, env=surroundings)
        self.pid = self.process.pid
        assert self.process.stdout
        first = self.process.stdout.readline()
        if not first.startswith("started"):
            said = first + self.said()
            self.close()
            raise AssertionError(f"the worker did not start: {said}")
        self.pid = inner_process(self.process, words)

    def said(self) -> str:
        """Its standard error so far."""
        self._said.seek(0)
        return self._said.read()

    def signal(self, signum: int) -> None:
        if self.process.poll() is None:
            with suppress(ProcessLookupError):  # `nsenter` outlives what it runs for a moment
                os.kill(self.pid, signum)

    def kill(self) -> None:
        """SIGKILL to the dispatcher alone."""
        self.signal(signal.SIGKILL)
        self.process.communicate()

    def close(self) -> None:
        if self.process.poll() is None:
            self.kill()
        assert self.process.stdout
        self.process.stdout.close()
        self._said.close()

    def wait(self) -> int:
        """Its exit code; the pipes are read to their end."""
        self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode

    def stop(self) -> int:
        """A graceful stop, as by Ctrl-C."""
        self.signal(signal.SIGINT)
        return self.wait()


class Workshop:
    """A store, and the workers on it. Whatever a test leaves behind is ended with it."""

    def __init__(self, folder: Path, url: str | None = None) -> None:
        """On a new SQLite file in `folder`, or on the PostgreSQL store at `url`."""
        self.folder = folder
        self.db = folder / "queuectl.db"
        self.address = url or str(self.db)
        if not url and not self.db.exists():
            make_sqlite_store(self.db)
        self.client = Client(PostgresStore(url, folder / "queuectl") if url else SqliteStore(self.db))
        if url and "lease-ttl" not in self.store.config():
            self.store.set_config("lease-ttl", LEASE)
        self._workers: list[Worker] = []
        self._tags: set[int] = set()

    @property
    def store(self) -> Store:
        return self.client.store

    def worker(self, count: int = 2, *options: str, under: Sequence[str] = (), **environment: str) -> Worker:
        """Starts a worker and waits until it serves."""
        given = {"XDG_STATE_HOME": str(self.folder), **environment}
        worker = Worker(self.address, "--count", str(count), *options, machine=None, under=under, **given)
        self._workers.append(worker)
        self._tags.update(row.tag for row in self.store.workers() if self.store.is_at_home(row))
        return worker

    def enqueue(self, command: str | list[str], **fields: Any) -> str:
        return self.enqueue_all([{"command": command, **fields}])[0]

    def enqueue_all(self, documents: list[dict[str, Any]]) -> list[str]:
        requests = [parse_request(document, time.time()) for document in documents]
        return [job.id for job in self.client.enqueue(requests)]

    def job(self, job_id: str) -> Job:
        return self.client.job(job_id)

    def started(self, *job_ids: str) -> None:
        """Waits until the starts of all these jobs are on record."""
        until(lambda: all(self.job(each).started_at or self.job(each).finished for each in job_ids), "jobs start")

    def finished(self, *job_ids: str) -> list[Job]:
        """Waits until all these jobs have finished."""
        until(lambda: all(self.job(each).finished for each in job_ids), "jobs finish")
        return [self.job(each) for each in job_ids]

    def output(self, job_id: str, number: int | None = None, stream: int = 1) -> bytes:
        """What a finished attempt (the latest) has written."""
        job = self.job(job_id)
        found = self.store.outputs(job, job.starts if number is None else number)
        return b"".join(output.head + output.tail for output in found if output.stream == stream)

    def supervisors(self) -> list[WorkerRow]:
        """The supervisors that live."""
        rows = [row for row in self.store.workers() if self.store.alive(row)]
        self._tags.update(row.tag for row in rows)
        return rows

    def commands(self) -> list[int]:
        """The pids of all commands, with everything they started, of all supervisors there ever were."""
        self.supervisors()
        return list(living([Tree(*process.whole_range(tag)) for tag in self._tags]))

    def left_files(self) -> list[str]:
        """What lies in the workers' folder."""
        return sorted(path.name for path in (self.store.folder / "workers").glob("*"))

    def events(self, path: Path) -> list[list[str]]:
        """The lines that commands appended to a file, as words."""
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def reopen(self) -> None:
        """Goes on with the store that is at the same place now."""
        self.client.close()
        self.client = Client(SqliteStore(self.db))

    def close(self) -> None:
        for worker in self._workers:
            worker.close()
        for row in self.supervisors():
            if row.machine == machine_id() and is_supervisor(row.pid, row.id):  # elsewhere its pid is a stranger's here
                with suppress(ProcessLookupError):  # it may be leaving by itself
                    os.kill(row.pid, signal.SIGKILL)
        kill(lambda: living([Tree(*process.whole_range(tag)) for tag in self._tags]))
        self.client.close()


@contextmanager
def open_workshop(folder: Path, url: str | None = None) -> Iterator[Workshop]:
    """A workshop that is closed at the end."""
    workshop = Workshop(folder, url)
    try:
        yield workshop
    finally:
        workshop.close()


def pids_of(pattern: str) -> list[int]:
    """The processes whose command line matches."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if re.search(pattern, line) and int(path.parent.name) != os.getpid():
            found.append(int(path.parent.name))
    return found
