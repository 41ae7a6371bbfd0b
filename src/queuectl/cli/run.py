"""`run` and `wait`: a command line that lasts as long as the job, and ends with its exit code."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from queuectl import wire
from queuectl.cli.call import Call
from queuectl.cli.choosing import chosen
from queuectl.cli.console import Screen
from queuectl.cli.enqueue import FORMS, document_of, note_missing, note_unserved, options, spelled
from queuectl.cli.render import counted
from queuectl.client import Client
from queuectl.clock import SystemClock
from queuectl.domain.errors import Invalid, NotFound, TimedOut
from queuectl.domain.job import Job, JobState

OWN_FAILURE = 125
TIMED_OUT = 124
BY_SIGNAL = 128
NONE_SELECTED = NotFound.exit_code
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
CANCEL_MARGIN_S = 10.0
"""Beyond its kill-grace, how long a cancelled job's end is waited for."""


class _Stopped(KeyboardInterrupt):
    """One of `STOP_SIGNALS` came."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class _Stop:
    """Turns the stop signals into `_Stopped`, at once or (while the job is being enqueued) a moment later."""

    def __init__(self) -> None:
        self.received: int | None = None
        self.immediate = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        if self.immediate:
            raise _Stopped(number)

    def now(self) -> None:
        """From here on a signal interrupts; one that came before does so now."""
        self.immediate = True
        if self.received is not None:
            raise _Stopped(self.received)


@contextmanager
def _stop_signals(screen: Screen) -> Iterator[_Stop]:
    stop = _Stop()
    taken = [number for number in STOP_SIGNALS if screen.own and not _ignored(number)]
    before = {number: signal.signal(number, stop) for number in taken}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignored(number: int) -> bool:
    """`nohup` and shells' background jobs ignore signals on purpose."""
    return signal.getsignal(number) is signal.SIG_IGN


def run(call: Call) -> int:
    """Enqueues a command, follows it, and exits as it does."""
    request = wire.parse_request(_document(call), SystemClock().now(), spelled(options(call)))
    with call.client() as client, _stop_signals(call.console.screen) as stop:
        (job,) = client.enqueue([request])
        try:
            stop.now()
            note_missing(call, [job])
            note_unserved(call, client.unserved([job.queue]))
            _follow(call, client, job)
        except KeyboardInterrupt as stopped:
            number = stopped.number if isinstance(stopped, _Stopped) else signal.SIGINT
            return _interrupted(call, client, job, number)
        except BrokenPipeError:
            return _interrupted(call, client, job, signal.SIGPIPE)
        finished = client.job(job.id)
    if call.console.as_json:
        call.console.json_array([wire.job_to_json(finished)])
    elif finished.state is not JobState.COMPLETED and finished.error != f"exit code {finished.exit_code}":
        call.console.note(f"queuectl: job {finished.id} is {finished.state}: {finished.error}", "job_ended")
    return exit_code_of(finished)


def _document(call: Call) -> wire.JsonObject:
    if call.after is None and call.args.shell_command is None:
        raise Invalid("run needs a command", f"write: {FORMS.replace('enqueue', 'run').partition(', or')[0]}")
    if call.after is not None and call.args.shell_command is not None:
        raise Invalid("a command behind -- and -c exclude each other", "give one of them")
    split = _streams_differ(call.console.screen)
    return {"max_retries": 0, "split_output": split, **document_of(call), **options(call)}


def _streams_differ(screen: Screen) -> bool:
    """Where both go to one place, their order is worth more than their being apart."""
    try:
        return screen.own and not os.path.sameopenfile(sys.stdout.fileno(), sys.stderr.fileno())
    except (OSError, ValueError):
        return True


def _follow(call: Call, client: Client, job: Job) -> None:
    from queuectl import follow

    for stream, data in follow.follow(client.store, job.id, None, None, ticks=True):
        if not stream:
            call.console.interruptible()
        elif not call.console.as_json:
            call.console.raw(data, stream)


def _interrupted(call: Call, client: Client, job: Job, number: int) -> int:
    """Cancels the job and waits for its end, or leaves it with `--keep`."""
    console = call.console
    if call.args.keep:
        console.note(f"job {job.id} goes on; follow it with: {call.command(f'logs -f {job.id}')}", "kept")
        return BY_SIGNAL + number
    from queuectl import follow

    client.cancel([job.id])
    try:
        follow.wait(client.store, [job.id], False, job.spec.kill_grace + CANCEL_MARGIN_S)
        console.note(f"cancelled {job.id}", "cancelled")
    except TimeoutError:
        console.note(f"job {job.id} is being cancelled", "cancelling")
    return BY_SIGNAL + number


def exit_code_of(job: Job) -> int:
    """The exit code that says how a finished job ended. Only a completed job gives 0."""
    if job.state is JobState.COMPLETED:
        return 0
    if job.signal is not None:
        return BY_SIGNAL + job.signal
    return job.exit_code or OWN_FAILURE


# --- wait -----------------------------------------------------------------------------------


def wait(call: Call) -> int:
    """Blocks until the jobs have finished."""
    timeout = None if call.args.timeout is None else wire.parse_duration(call.args.timeout, "--timeout")
    console = call.console
    with call.client() as client:
        jobs = chosen(call, client)
        refs = [job.id for job in jobs] if jobs is not None else [client.job(ref).id for ref in call.words]
        if not refs:
            if console.as_json:
                console.json_array([])
            console.note("0 jobs", "no_jobs")
            return 0 if call.args.allow_none else NONE_SELECTED
        try:
            finished = _wait(client, refs, call.args.any, timeout, console.interruptible)
        except TimeoutError:
            waited = _still_waiting(client, refs, wire.format_duration(timeout or 0.0))
            console.error(TimedOut(waited, "give a longer --timeout"))
            return TIMED_OUT
    if console.as_json:
        console.json_array(wire.job_to_json(job, job.error if job.state is JobState.DEAD else None) for job in finished)
    else:
        console.lines(job.id if console.quiet else f"{job.id} {job.state}" for job in finished)
    return max(map(exit_code_of, finished))


def _wait(
    client: Client, refs: Sequence[str], any_: bool, timeout: float | None, tick: Callable[[], None]
) -> list[Job]:
    from queuectl import follow

    return follow.wait(client.store, refs, any_, timeout, tick)


def _still_waiting(client: Client, refs: Sequence[str], timeout: str) -> str:
    left = [job for job in map(client.job, refs) if not job.finished]
    named = ", ".join(f"{job.id} is {job.state}" for job in left[:5])
    more = f" and {counted(len(left) - 5, 'other')}" if len(left) > 5 else ""
    return f"gave up after {timeout}: {named}{more}"
