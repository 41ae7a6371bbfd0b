"""Every sentence of a worker's log, in one place, and the files they go to."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from queuectl.clock import Clock
from queuectl.domain.job import Job, JobState
from queuectl.domain.served import Served
from queuectl.engine import happenings
from queuectl.typed import Any
from queuectl.wire.jobs import command_line
from queuectl.wire.times import format_duration, format_time
from queuectl.wire.words import counted

LOG_BYTES_MAX = 4 << 20
"""At this size a worker's log is renamed to `.1`, and a new one begun."""
SHOWN_MAX = 100
"""Characters of a command that a line has."""
COMMAND = "running command"


def sentence(event: happenings.Happening) -> str:
    """The event in words."""
    words = SENTENCES[type(event)]
    return words.format(e=event) if isinstance(words, str) else words(event)


def _started(event: happenings.WorkerStarted) -> str:
    return f"worker {event.name} started: {counted(event.slots, 'slot')}, {_queues(event.served)}, store {event.store}"


def _queues(served: Served) -> str:
    return f"queues {served}" if served.only else str(served).replace("all", "all queues", 1)


def _stopping(event: happenings.WorkerStopping) -> str:
    if event.how != "graceful":
        return f"{event.why}: ending {counted(event.running, COMMAND)}; attempts are given back"
    rest = f"; {counted(event.running, COMMAND)} will finish first" if event.running else ""
    return f"{event.why}: stopping{rest}"


def _replaced(event: happenings.StoreReplaced) -> str:
    if event.saved:
        return f"files of the store {event.url} were removed: all jobs are safe; opening it again, commands go on"
    return f"the store {event.url} was removed or replaced: ending its commands and opening it again"


def _cleaned_up(event: happenings.CleanedUp) -> str:
    back = f", {event.taken_back} losses taken back" if event.taken_back else ""
    sums = f"{event.recorded} results recorded, {event.lost} executions lost{back}"
    return f"cleaned up after {event.worker}: {sums}"


def _ended(job: Job) -> str:
    took = format_duration(job.duration or 0.0)
    match job.state:
        case JobState.COMPLETED:
            return f"{job.id} completed in {took}"
        case JobState.FAILED if job.finished_at is not None:  # else its latest execution does not count
            wait = format_duration(max(0.0, (job.next_retry_at or 0.0) - job.updated_at))
            return f"{job.id} failed after {took}: {job.error}; retry {job.attempts}/{job.spec.max_retries} in {wait}"
        case JobState.DEAD:
            return f"{job.id} dead after {took}: {job.error}"
        case JobState.CANCELLED:
            return f"{job.id} cancelled after {took}"
        case _:
            return f"{job.id} given back" + (f" after {took}" if job.duration else "")


SENTENCES: dict[type[happenings.Happening], str | Callable[[Any], str]] = {
    happenings.WorkerStarted: _started,
    happenings.WorkerSet: lambda event: f"worker set: {counted(event.slots, 'slot')}, {_queues(event.served)}",
    happenings.Lacking: "this platform lacks {e.name}: {e.without}",
    happenings.ZoneUnknown: "no rules for time zone {e.zone} here: its schedules are left to others; update tzdata",
    happenings.WorkerCrashed: "the worker crashed, by a fault of queuectl's own: {e.what}",
    happenings.WorkerFailed: "the worker ends: {e.what}",
    happenings.CannotStart: "cannot start any command: {e.why}",
    happenings.MachineBusy: "starting nothing for now: {e.why}",
    happenings.MachineFree: "starting commands again",
    happenings.LastWords: "supervisor {e.worker} said last: {e.said}",
    happenings.WorkerStopping: _stopping,
    happenings.Reloaded: "settings and secrets read again",
    happenings.Restarting: lambda event: (
        f"restarting with the installed release, which takes over {counted(event.running, COMMAND)}"
    ),
    happenings.Refused: "no {e.what}: {e.why}; going on as before",
    happenings.DrainStuck: "nothing to run: the jobs that are left wait or run elsewhere; see: queuectl list",
    happenings.DrainWaits: lambda event: f"nothing to run for {format_duration(event.after)}",
    happenings.WorkerStopped: "worker {e.name} stopped",
    happenings.WorkerLeft: "{e.why}: leaving without the store; results for the next worker to record: {e.unrecorded}",
    happenings.JobStarted: lambda event: f"{event.job.id} started: {_shortened(command_line(event.job.command))}",
    happenings.JobEnded: lambda event: _ended(event.job),
    happenings.JobExpired: "{e.job.id} cancelled: {e.job.error}",
    happenings.JobCancelled: "{e.job.id} cancelled: {e.job.error}",
    happenings.JobStuck: "{e.job.id} {e.job.error}; it is not run again while one of these lives",
    happenings.StuckLeft: lambda event: (
        f"leaving {counted(event.stuck, COMMAND)} that could not be ended; "
        "the next worker takes over and records the end"
    ),
    happenings.JobLost: "{e.job.id} lost its worker; now {e.job.state}",
    happenings.StoreLost: lambda event: (
        f"{event.why}; commands go on{' as long as their lease lasts' if event.leased else ''}, nothing new is started"
    ),
    happenings.EndedInTime: "{e.job.id} was ended, as its lease could not be renewed; it runs again",
    happenings.StopWaits: lambda event: (
        f"stopping waits for the store; {counted(event.signals_left, 'more signal')} would leave without it"
    ),
    happenings.StoreBack: lambda event: f"the store is back after {format_duration(event.after)}",
    happenings.StoreReplaced: _replaced,
    happenings.SupervisorDied: "supervisor {e.worker} died; settling its jobs and starting another",
    happenings.SupervisorFrozen: "supervisor {e.worker} does not answer; ending it with its commands",
    happenings.TakenOver: lambda event: f"took over {counted(event.running, COMMAND)} of {event.worker}",
    happenings.CleanedUp: _cleaned_up,
    happenings.CopyReleased: "this store is a copy: {e.worker} belongs to the original and was not touched; "
    "{e.given_back} jobs given back, {e.recorded} results recorded",
    happenings.Superseded: "{e.worker} is driven by another worker now",
    happenings.LeaseLost: "the lease of {e.worker} ran out while the store was away: going on with a new supervisor",
}
"""What is said of each event `e`: words with its fields in them, or what makes them."""


def _harmless(text: str) -> str:
    """Text from commands and errors without what a terminal would obey, and on one line."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN_MAX else line[: SHOWN_MAX - 1] + "…"


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
