"""From what a supervisor reports to what the store records."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from queuectl import ids
from queuectl.domain.cause import Cause
from queuectl.domain.job import Job
from queuectl.domain.lifecycle import Ended, GivenBack, Progressed, Started, Stuck
from queuectl.engine.dispatch.link import Flight
from queuectl.engine.protocol import End, Kept, Key
from queuectl.engine.supervise import process
from queuectl.engine.supervise.output import is_untouchable, read_capped
from queuectl.engine.supervise.told import RESULT_BYTES_MAX, told_in
from queuectl.store.port import WorkStore
from queuectl.store.values import Change, Output
from queuectl.typed import NamedTuple
from queuectl.wire.results import checked_result
from queuectl.wire.words import last_line

NOT_ITS_OWN = frozenset({-signal.SIGKILL, -signal.SIGPIPE, 128 + signal.SIGPIPE})
"""Ends that follow from the death of a supervisor, for all we know: by its sentry, or by its pipe that nobody reads any
more, also as shells say that."""

STOPPED = "ended when its worker was stopped, so it does not count"
LEASE_NOT_RENEWED = "ended as its worker could not renew its lease, so it does not count"


def change_of_flight(flight: Flight, store: WorkStore, output_bytes_max: int) -> Change:
    """What is known of a flight and not recorded yet: its end, its start, that it is stuck, or that it never was."""
    if flight.result is not None:
        return change_of(flight.job, flight.result, store, output_bytes_max)
    if flight.stuck is not None and flight.job.started_at is not None and not flight.is_foreseen:
        return Change(job=flight.job, event=Stuck(error=flight.stuck))
    if flight.has_progress and flight.job.started_at is not None and not flight.is_foreseen:
        return Change(job=flight.job, event=Progressed(progress=flight.progress or ""))
    if flight.started_at is not None:
        started = Started(at=store.of_here(flight.started_at))
        return Change(job=flight.job, event=started, output_files=flight.files)
    return Change(job=flight.job, event=GivenBack())


def change_of(job: Job, end: End, store: WorkStore, output_bytes_max: int) -> Change:
    """The change that an end makes to its job, with its output read and capped."""
    outputs = end.outputs or {}
    result, note = _result(end, store.folder)
    if end.cause is Cause.STOP:
        note = note or STOPPED
    kept = [_output(int(stream), kept, store.folder, output_bytes_max) for stream, kept in outputs.items()]
    event = Ended(
        started_at=store.of_here(end.started_at),
        finished_at=store.of_here(end.finished_at),
        exit_code=end.exit_code,
        signal=end.signal,
        error=end.error,
        cause=end.cause,
        cpu_time=end.cpu_time,
        max_rss=end.max_rss,
        output_bytes=sum(kept["size"] for kept in outputs.values()),
        draw=ids.draw() if job.spec.backoff_jitter else 0.0,
        progress=end.progress,
        result=result,
        last_line=None if end.exit_code == 0 and end.cause is None else _last_line(kept),
    )
    return Change(job=job, event=event, outputs=kept, leftover=end.leftover, note=note)


def _result(end: End, below: Path) -> tuple[str | None, str | None]:
    """The result of an execution as compact JSON, or why there is none though it wrote one."""
    if end.result is None:
        return None, end.note
    return checked_result(_output(0, end.result, below, RESULT_BYTES_MAX).head)


def _output(stream: int, kept: Kept, below: Path, output_bytes_max: int) -> Output:
    if "text" in kept:
        return Output(stream=stream, head=kept["text"].encode("latin-1"))
    bytes_max = min(output_bytes_max, kept.get("kept", output_bytes_max))
    capped = read_capped(below, kept["path"], kept["size"], bytes_max)
    return Output(stream=stream, head=capped.head, tail=capped.tail, cut_bytes=capped.cut_bytes)


def _last_line(outputs: Sequence[Output]) -> str | None:
    """What a command said last: on stderr, if its streams are apart and it said anything there."""
    latest_first = sorted(outputs, key=lambda output: -output.stream)
    return next(filter(None, (last_line(output.tail or output.head) for output in latest_first)), None)


class Witness(NamedTuple):
    """What a dead supervisor's own dispatcher knows beyond the journal: ends it saw, and starts it was told of."""

    results: Sequence[End]
    started: Mapping[Key, float]


def witness_of(flights: Iterable[Flight], below: Path) -> Witness:
    """What can be said of a dead supervisor's commands, before what is left of them is ended.

    Its children are ours now (subreaper): those that had ended by themselves still have their status.
    """
    results, started = [], {}
    for flight in flights:
        if flight.started_at is not None:
            started[flight.key] = flight.started_at
        result = flight.result or _end_seen(flight, below)
        if result is not None:
            results.append(result)
    return Witness(results=results, started=started)


def _end_seen(flight: Flight, below: Path) -> End | None:
    status = None if flight.pid is None or flight.end_sent else process.reap(flight.pid)
    if status is None or flight.started_at is None:
        return None
    exit_code = os.waitstatus_to_exitcode(status)
    if exit_code in NOT_ITS_OWN:
        return None
    sizes = {at + 1: (path, _size(below / path)) for at, path in enumerate(flight.files)}
    return End(
        *flight.key, flight.started_at, time.time(),
        exit_code=exit_code if exit_code >= 0 else None, signal=-exit_code if exit_code < 0 else None,
        outputs={str(stream): {"path": path, "size": size} for stream, (path, size) in sizes.items() if size},
        **(told_in(below / flight.telling)._asdict() if flight.telling else {}),
    )  # fmt: skip


def _size(path: Path) -> int:
    try:
        return 0 if is_untouchable(str(path)) else path.stat().st_size
    except OSError:
        return 0  # gone, or a user's that cannot be reached any more
