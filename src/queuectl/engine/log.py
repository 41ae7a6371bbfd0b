"""Every sentence of a worker's log, in one place, and the files they go to."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import assert_never

from queuectl.clock import Clock
from queuectl.domain.job import Job, JobState
from queuectl.engine import happenings
from queuectl.wire.jobs import command_line
from queuectl.wire.times import format_duration, format_time

LOG_BYTES_MAX = 4 << 20
"""A worker's log is started anew (the old one kept as `.1`) when it has grown so far."""


def sentence(event: happenings.Happening) -> str:
    """The event in words."""
    match event:
        case happenings.WorkerStarted():
            served = "queues " + ", ".join(event.queues) if event.queues else "all queues"
            slots = "1 slot" if event.slots == 1 else f"{event.slots} slots"
            return f"worker {event.name} started: {slots}, {served}, store {event.store}"
        case happenings.Lacking():
            return f"this platform lacks {event.name}: {event.without}"
        case happenings.WorkerCrashed():
            return f"the worker crashed, by a fault of queuectl's own: {event.what}"
        case happenings.CannotStart():
            return f"cannot start any command: {event.why}"
        case happenings.LastWords():
            return f"supervisor {event.worker} said last: {event.said}"
        case happenings.WorkerStopping(how="graceful"):
            rest = f"; {_commands(event.running)} will finish first" if event.running else ""
            return f"{event.why}: stopping{rest}"
        case happenings.WorkerStopping():
            return f"{event.why}: ending {_commands(event.running)}; attempts are given back"
        case happenings.DrainWaits():
            return f"nothing to run for {format_duration(event.after)}"
        case happenings.WorkerStopped():
            return f"worker {event.name} stopped"
        case happenings.WorkerLeft():
            return f"{event.why}: leaving without the store; results for the next worker to record: {event.unrecorded}"
        case happenings.JobStarted():
            return f"{event.job.id} started: {_shortened(command_line(event.job.command))}"
        case happenings.JobEnded():
            return _ended(event.job)
        case happenings.JobStuck():
            return f"{event.job.id} {event.job.error}; it is not run again while one of these lives"
        case happenings.StuckLeft():
            left = f"{_commands(event.stuck)} that could not be ended"
            return f"leaving {left}; the next worker takes over and records the end"
        case happenings.JobLost():
            return f"{event.job.id} lost its worker; now {event.job.state}"
        case happenings.StoreLost():
            return f"{event.why}; commands go on, nothing new is started"
        case happenings.StoreBack():
            return f"the store is back after {format_duration(event.after)}"
        case happenings.StoreReplaced(saved=True):
            return f"files of the store {event.url} were removed: all jobs are safe; opening it again, commands go on"
        case happenings.StoreReplaced():
            return f"the store {event.url} was removed or replaced: ending its commands and opening it again"
        case happenings.SupervisorDied():
            return f"supervisor {event.worker} died; settling its jobs and starting another"
        case happenings.SupervisorFrozen():
            return f"supervisor {event.worker} does not answer; ending it with its commands"
        case happenings.TakenOver():
            return f"took over {_commands(event.running)} of {event.worker}"
        case happenings.CleanedUp():
            back = f", {event.taken_back} losses taken back" if event.taken_back else ""
            sums = f"{event.recorded} results recorded, {event.lost} executions lost{back}"
            return f"cleaned up after {event.worker}: {sums}"
        case happenings.CopyReleased():
            jobs = f"{event.given_back} jobs given back, {event.recorded} results recorded"
            return f"this store is a copy: {event.worker} belongs to the original and was not touched; {jobs}"
        case happenings.Superseded():
            return f"{event.worker} is driven by another worker now"
        case happenings.LeaseLost():
            return f"the lease of {event.worker} ran out while the store was away: going on with a new supervisor"
        case _:
            assert_never(event)


def _commands(number: int) -> str:
    return f"{number} running command" + ("" if number == 1 else "s")


def _ended(job: Job) -> str:
    took = format_duration(job.duration or 0.0)
    match job.state:
        case JobState.COMPLETED:
            return f"{job.id} completed in {took}"
        case JobState.FAILED:
            wait = format_duration(max(0.0, (job.next_retry_at or 0.0) - job.updated_at))
            return f"{job.id} failed after {took}: {job.error}; retry {job.attempts}/{job.spec.max_retries} in {wait}"
        case JobState.DEAD:
            return f"{job.id} dead after {took}: {job.error}"
        case JobState.CANCELLED:
            return f"{job.id} cancelled after {took}"
        case _:
            return f"{job.id} given back" + (f" after {took}" if job.duration else "")


def _harmless(text: str) -> str:
    """Text from commands and errors without what a terminal would obey, and on one line."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _shortened(text: str, width: int = 100) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"


class Log:
    """An observer that writes a line an event to a file, and to whatever else is given."""

    def __init__(self, path: Path, clock: Clock, also: Callable[[str], None] | None = None) -> None:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        self._path = path
        self._clock = clock
        self._also = also
        self._open()

    def _open(self) -> None:
        self._handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._room = LOG_BYTES_MAX - os.fstat(self._handle).st_size

    def __call__(self, *happened: happenings.Happening) -> None:
        now = format_time(self._clock.now())
        lines = "".join(f"{now} {_harmless(sentence(event))}\n" for event in happened)
        if self._also is not None:
            self._also(lines)
        data = lines.encode(errors="replace")
        try:
            os.write(self._handle, data)
        except OSError:
            return  # a full disk: the store, not the log, tells of that
        self._room -= len(data)
        if self._room < 0:
            os.close(self._handle)
            os.replace(self._path, self._path.with_name(self._path.name + ".1"))
            self._open()
