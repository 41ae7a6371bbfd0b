"""`run`: adds a job, follows it, and exits with its exit code."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from queuectl.cli.call import Call
from queuectl.cli.console import Screen
from queuectl.cli.forms import FORMS, command_of, options
from queuectl.cli.keys import spelled
from queuectl.cli.notes import in_words, note_missing, note_paused, note_unserved
from queuectl.cli.onlooker import Onlooker
from queuectl.cli.wait import BY_SIGNAL, exit_code_of, reason_of
from queuectl.client.facade import Client
from queuectl.client.facts import reason_words
from queuectl.clock import SystemClock
from queuectl.domain.errors import Invalid, StoreUnavailable, TimedOut
from queuectl.domain.job import Job, JobState
from queuectl.domain.selector import Selector
from queuectl.domain.unique import ADDED
from queuectl.typed import TYPE_CHECKING
from queuectl.wire.kinds import JsonObject
from queuectl.wire.requests import parse_request
from queuectl.wire.times import format_duration, parse_duration

if TYPE_CHECKING:  # few commands need it
    from queuectl.domain.limits import Pause

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
CANCEL_MARGIN_S = 10.0
"""How long to wait for a cancelled job's end beyond its kill-grace."""


class _Stopped(KeyboardInterrupt):
    """One of `STOP_SIGNALS` came."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class _Stop:
    """Raises `_Stopped` on a stop signal; while the job is being enqueued, only afterwards."""

    def __init__(self) -> None:
        self.received: int | None = None
        self.immediate = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        if self.immediate:
            raise _Stopped(number)

    def now(self) -> None:
        """From now on a signal interrupts; so does one that came before."""
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
    """Whether the signal is ignored, as by `nohup` and shells' background jobs."""
    return signal.getsignal(number) is signal.SIG_IGN


class _NotStarted(Exception):
    """The job has not started within `--start-timeout`."""


def run(call: Call) -> int:
    """Adds a command, follows it, and returns its exit code."""
    request = parse_request(_document(call), SystemClock().now(), spelled(options(call.args)))
    given = call.args.start_timeout
    start_within_s = None if given is None else parse_duration(given, "--start-timeout")
    with call.client() as client, _stop_signals(call.console.screen) as stop:
        (admitted,) = client.enqueue_each([request])
        job, fate = admitted
        if fate not in ADDED:
            call.args.keep = True  # it is somebody else's
            call.console.note(in_words(admitted), "already_queued")
        try:
            stop.now()
            finished = _followed(call, client, job, start_within_s)
        except KeyboardInterrupt as stopped:
            number = stopped.number if isinstance(stopped, _Stopped) else signal.SIGINT
            return _interrupted(call, client, job, number)
        except BrokenPipeError:
            return _interrupted(call, client, job, signal.SIGPIPE)
        except _NotStarted:
            raise _given_up(call, client, job, start_within_s or 0.0) from None
    if call.console.as_json:
        call.console.job_array([([finished], [reason_of(finished)])])
    elif finished.state is not JobState.COMPLETED and finished.error != f"exit code {finished.exit_code}":
        why = "" if finished.error in (None, finished.state) else f": {finished.error}"
        call.console.note(f"queuectl: job {finished.id} is {finished.state}{why}", "job_ended")
    return exit_code_of(finished)


def _document(call: Call) -> JsonObject:
    if call.after is None and call.args.shell_command is None and getattr(call.args, "key:script") is None:
        raise Invalid("run needs a command", f"write: {FORMS.replace('enqueue', 'run').partition(', or')[0]}")
    split = _streams_differ(call.console.screen)
    return {"max_retries": 0, "split_output": split, **command_of(call.args, call.after), **options(call.args)}


def _streams_differ(screen: Screen) -> bool:
    """Whether stdout and stderr go to different places; if not, their order matters more than their separation."""
    try:
        return screen.own and not os.path.sameopenfile(sys.stdout.fileno(), sys.stderr.fileno())
    except (OSError, ValueError):
        return True


def _followed(call: Call, client: Client, job: Job, start_within_s: float | None) -> Job:
    """Prints a job's output as it comes. Returns the finished job."""
    note_missing(call, [job])
    unserved, paused = _lacking(client, job)
    note_paused(call, paused)
    note_unserved(call, unserved)
    onlooker = Onlooker(call, client, Selector(ids=(job.id,)), told=bool(unserved or paused))
    give_up_at = None if start_within_s is None else time.monotonic() + start_within_s
    for stream, data in client.follow(job.id, ticks=True, say=onlooker.say):
        if stream:
            give_up_at = None
            if not call.console.as_json:
                call.console.raw(data, stream)
            continue
        onlooker()
        if give_up_at is not None and time.monotonic() >= give_up_at and not _has_started(client, job):
            raise _NotStarted
    (finished,) = client.wait(job.id, tick=onlooker, say=onlooker.say)
    return finished


def _lacking(client: Client, job: Job) -> tuple[list[str], dict[str, Pause]]:
    """The job's queue, if no worker serves it; and if it is paused."""
    try:
        return client.unserved([job.queue]), client.paused([job.queue])
    except StoreUnavailable:  # the job is stored nevertheless
        return [], {}


def _has_started(client: Client, job: Job) -> bool:
    """Whether the job has started; true while the store is unavailable, since nobody knows."""
    try:
        now = client.job(job.id)
    except StoreUnavailable:
        return True
    return now.starts > 0 or now.finished or now.state is JobState.PROCESSING


def _given_up(call: Call, client: Client, job: Job, within_s: float) -> TimedOut:
    """Cancels a job that has not started in time, or leaves it with `--keep`. Returns the error."""
    job = client.job(job.id)
    reason = reason_words(job, client.reason(job), client.now(), call.console.time)
    message = f"job {job.id} did not start within {format_duration(within_s)}: {reason}"
    if call.args.keep:
        return TimedOut(message, f"it stays in the queue; follow it with: {call.command(f'logs -f {job.id}')}")
    client.cancel([job.id])
    return TimedOut(message, "it was cancelled")


def _interrupted(call: Call, client: Client, job: Job, number: int) -> int:
    """Cancels the job and waits for its end, or leaves it with `--keep`. Returns the exit code."""
    console = call.console
    if call.args.keep:
        console.note(f"job {job.id} goes on; follow it with: {call.command(f'logs -f {job.id}')}", "kept")
        return BY_SIGNAL + number
    try:
        client.cancel([job.id])
        client.wait(job.id, timeout=job.spec.kill_grace + CANCEL_MARGIN_S)
        console.note(f"cancelled {job.id}", "cancelled")
    except TimeoutError:
        console.note(f"job {job.id} is being cancelled", "cancelling")
    except StoreUnavailable as error:
        again = call.command(f"cancel {job.id}")
        console.note(f"job {job.id} was not cancelled: {error.message}; cancel it with: {again}", "not_cancelled")
    return BY_SIGNAL + number
