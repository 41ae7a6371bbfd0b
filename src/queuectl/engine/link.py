"""A dispatcher's hold on one supervisor: starting it, talking to it, and what it runs."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import queuectl
from queuectl import ids
from queuectl.domain.errors import OperationFailed
from queuectl.domain.job import Job, Spec
from queuectl.engine import process
from queuectl.engine.protocol import LOCK_NAME, PROTOCOL, Channel, Key, Message, dial
from queuectl.store.port import WorkerRow

WORKERS_FOLDER = "workers"
READY_WITHIN_S = 30.0


@dataclass(slots=True, eq=False)
class Flight:
    """A claimed job on its way: sent, perhaps started, perhaps ended, until all of it is recorded."""

    job: Job
    sent_at: float
    pid: int | None = None
    started_at: float | None = None
    files: tuple[str, ...] = ()
    result: dict[str, Any] | None = None
    end_sent: str | None = None

    @property
    def key(self) -> Key:
        return self.job.seq, self.job.lease

    def is_unstarted(self) -> bool:
        """Whether it may still wait in its supervisor's line, for all we know."""
        return self.pid is None and self.result is None and self.job.started_at is None


class Link:
    """One supervisor, driven in one epoch. `pid` is set where the supervisor is a child of this process."""

    def __init__(
        self, row: WorkerRow, channel: Channel, below: Path, *, first_slot: int = 0, pid: int | None = None
    ) -> None:
        self.first_slot = first_slot
        self.row = row
        self.grip = row.grip
        self.channel = channel
        self.pid = pid
        self.folder = folder_of(below, row.id)
        self.flights: dict[Key, Flight] = {}
        self.leaving = False
        self.listening = True
        self._specs: dict[int, tuple[Spec, int]] = {}

    @property
    def own(self) -> bool:
        """Whether this process started it; an adopted one gets no new commands."""
        return self.pid is not None

    def running(self) -> int:
        """Commands that have started and not ended."""
        return sum(flight.result is None and not flight.is_unstarted() for flight in self.flights.values())

    def hello(self) -> None:
        self.channel.send([["hello", PROTOCOL, self.grip.epoch]])

    def start(self, jobs: Sequence[Job], now: float) -> None:
        """Sends claimed jobs to be run."""
        messages: list[Message] = []
        for job in jobs:
            flight = Flight(job=job, sent_at=now)
            self.flights[flight.key] = flight
            messages += self._order(job)
        self.channel.send(messages)

    def _order(self, job: Job) -> list[Message]:
        messages: list[Message] = []
        known = self._specs.get(id(job.spec))
        if known is None:
            known = self._specs[id(job.spec)] = (job.spec, len(self._specs))
            messages.append(["spec", known[1], _surroundings(job.spec)])
        order = {
            "seq": job.seq, "lease": job.lease, "number": job.starts + (job.started_at is None), "job_id": job.id,
            "queue": job.queue, "spec": known[1], "command": job.command, "timeout": job.spec.timeout,
            "kill_grace": job.spec.kill_grace,
        }  # fmt: skip
        return [*messages, ["start", order]]

    def drop(self, flight: Flight) -> None:
        """Asks for a start back that has not happened yet."""
        self.channel.send([["drop", flight.job.seq, flight.job.lease]])

    def end(self, flight: Flight, cause: str) -> None:
        """Has an execution ended, once for each cause."""
        if flight.end_sent != cause:
            flight.end_sent = cause
            self.channel.send([["end", flight.job.seq, flight.job.lease, cause]])

    def recorded(self, keys: Sequence[Key]) -> None:
        """Tells that these results are committed."""
        for key in keys:
            self.flights.pop(key, None)
        self.channel.send([["recorded", list(keys)]])

    def ping(self) -> None:
        self.channel.send([["ping"]])

    def leave(self) -> None:
        """Lets the supervisor go; it runs nothing any more."""
        self.leaving = True
        self.channel.send([["leave"]])


def _surroundings(spec: Spec) -> dict[str, Any]:
    return {
        "cwd": spec.cwd, "umask": spec.umask, "env": dict(spec.env), "shell": spec.shell, "stdin": spec.stdin,
        "output_path": spec.output_path, "split_output": spec.split_output,
    }  # fmt: skip


def folder_of(below: Path, worker: str) -> Path:
    """Where a supervisor keeps its lock, socket, journal and slots."""
    return below / WORKERS_FOLDER / worker


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What a supervisor is started with."""

    name: str
    below: Path
    store_url: str
    first_slot: int
    slots: int
    output_bytes_max: int


def launch(plan: Plan) -> tuple[str, int, int, Channel]:
    """Starts a supervisor and connects to it: its id, tag bits, pid and channel. Raises `OperationFailed`."""
    worker = f"{plan.name}~{ids.random_id(6)}"
    bits = ids.tag_bits()
    folder = folder_of(plan.below, worker)
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700)
    try:
        pid = _spawn(folder, bits, plan)
        return worker, bits, pid, dial(folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _spawn(folder: Path, bits: int, plan: Plan) -> int:
    source = str(Path(queuectl.__file__).parent.parent)
    program = f"import sys; sys.path.insert(0, {source!r}); from queuectl.engine.supervisor import main; main()"
    words = [
        sys.executable, "-I", "-S", "-c", program, str(plan.below), str(folder), str(bits),
        str(plan.first_slot), str(plan.slots), plan.store_url, str(plan.output_bytes_max),
    ]  # fmt: skip
    reader, writer = os.pipe()
    try:
        pid = os.posix_spawn(
            sys.executable, words, os.environ, setsid=True, setsigmask=(), setsigdef=process.DEFAULTED_SIGNALS,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, str(folder / "errors"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                (os.POSIX_SPAWN_DUP2, writer, 3),
            ],
        )  # fmt: skip
    finally:
        os.close(writer)
    try:
        if os.read(reader, 1) != b"\n":
            os.waitpid(pid, 0)
            reason = (folder / "errors").read_text(errors="replace").strip().rpartition("\n")[2]
            raise OperationFailed(f"the supervisor did not start: {reason}", f"is {plan.below} writable?")
        return pid
    finally:
        os.close(reader)


def lock_path(below: Path, worker: str) -> Path:
    """The file that a supervisor holds locked as long as it lives."""
    return folder_of(below, worker) / LOCK_NAME


def has_died(pid: int) -> bool:
    """Whether a child has ended; it is reaped then. Only this proves a supervisor dead, never a closed socket."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def kill_child(pid: int) -> None:
    """Ends a child for good, and reaps it."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
