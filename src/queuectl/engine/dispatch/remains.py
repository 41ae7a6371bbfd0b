"""What commands left running on this machine, and what could not be ended; what the platform lacks. As findings."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from queuectl.domain.finding import NOTE, PROBLEM, Finding
from queuectl.engine.dispatch.host import Host
from queuectl.engine.dispatch.unable import Notes
from queuectl.engine.supervise import capabilities, process
from queuectl.engine.supervise.trees import Tree, living, name_of, names_of
from queuectl.store.values import WorkerRow


def platform() -> Iterator[Finding]:
    """What queuectl has to do without here."""
    for lack in capabilities.missing():
        what = f"this platform lacks {lack.name}: {lack.without}"
        yield Finding(NOTE, "platform_lacks", what)


def unable(below: Path) -> Iterator[Finding]:
    """Workers of this machine that can start no command."""
    for note in Notes(below).living():
        what = f"worker {note.name} can start no command: {note.why}"
        fix = f"put that right, or: queuectl worker stop {note.name}"
        yield Finding(PROBLEM, "worker_unable", what, fix)


def processes(below: Path, rows: Sequence[WorkerRow], alive: Collection[WorkerRow], clean: str) -> Iterator[Finding]:
    """Of these supervisors, those of this machine. `clean` is the command that ends what is to be ended."""
    host = Host(below)
    for row in rows:
        if row.machine == host.machine and host.has(row.id):
            yield from _of_living(host, row) if row in alive else _of_dead(host, row, clean)


def _of_living(host: Host, row: WorkerRow) -> Iterator[Finding]:
    before = _tagged(row)
    runs = host.runs(row)
    for run in runs:
        if run.stuck and run.processes:
            what = f"{names_of(run.processes)} of worker {row.name} could not be ended"
            what += "; the job is not run again while one of these lives"
            yield Finding(PROBLEM, "process_stuck", what, "end it as its user, or as root")
    running = {pid for run in runs for pid in run.processes}
    yield from _left(row, (before - running) & _tagged(row))  # jobs may start and end while we look


def _of_dead(host: Host, row: WorkerRow, clean: str) -> Iterator[Finding]:
    unended = {pid for run in host.runs(row) for pid in run.processes}
    for pid in sorted(unended):
        what = f"{name_of(pid)}, started by dead worker {row.name}, still runs"
        yield Finding(PROBLEM, "process_left", what, f"end it and run its job again: {clean}")
    yield from _left(row, _tagged(row) - unended)


def _tagged(row: WorkerRow) -> set[int]:
    """What lives of all that the supervisor has started."""
    return set(living([Tree(*process.whole_range(row.tag))]))


def _left(row: WorkerRow, pids: Collection[int]) -> Iterator[Finding]:
    for pid in sorted(pids):
        what = f"{name_of(pid)} was left running by a job of worker {row.name} that has ended; it is not touched"
        yield Finding(NOTE, "process_left_by_ended_job", what)
