"""`run`: adds a job, follows it, and exits with its exit code."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
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
from queuectl.domain.proposed import named
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
WRITTEN_AT_ONCE = 1024
"""Bytes; Python's buffers take at least so many."""


class _Stopped(KeyboardInterrupt):
    """One of `STOP_SIGNALS` came."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class _Stop:
    """Keeps a stop signal until `check`, so that nothing breaks off in the middle. A second one interrupts at once."""

    def __init__(self) -> None:
        self._received: int | None = None
        self.enqueued = False
        """Until then, no signal interrupts."""
        self.immediate = False
        """Whether the first signal interrupts at once, too."""

    def __call__(self, number: int, frame: FrameType | None) -> None:
        is_second, self._received = self._received is not None, number
        if self.immediate or (self.enqueued and is_second):
            self.check()

    def check(self) -> None:
        """Raises `_Stopped` if a signal has come."""
        if (number := self._received) is not None:
            self._received = None
            raise _Stopped(number)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """A signal interrupts what is done within this."""
        before, self.immediate = self.immediate, True
        try:
            self.check()
            yield
        finally:
            self.immediate = before


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
        output = _Output(call, client, job, stop)
        try:
            stop.enqueued = True
            output.begin()
            finished = output.print(start_within_s, partial(_has_started, client, job))
        except KeyboardInterrupt as stopped:
            stop.immediate = True
            number = stopped.number if isinstance(stopped, _Stopped) else signal.SIGINT
            return _interrupted(call, client, job, number, output)
        except BrokenPipeError:
            stop.immediate = True
            return _interrupted(call, client, job, signal.SIGPIPE, output)
        except TimeoutError:
            raise _given_up(call, client, job, start_within_s or 0.0) from None
        except OSError:  # the output cannot be written: nobody would ever see it
            stop.immediate = True
            _interrupted(call, client, job, signal.SIGPIPE, output)
            raise
    if call.console.as_json:
        _print_json(call, finished)
    elif finished.state is not JobState.COMPLETED and finished.error != f"exit code {finished.exit_code}":
        why = "" if finished.error in (None, finished.state) else f": {finished.error}"
        call.console.note(f"queuectl: job {finished.id} is {finished.state}{why}", "job_ended")
    return exit_code_of(finished)


def _document(call: Call) -> JsonObject:
    if call.after is None and call.args.shell_command is None and getattr(call.args, "key:script") is None:
        raise Invalid("run needs a command", f"write: {FORMS.replace('enqueue', 'run').partition(', or')[0]}")
    split = not call.console.one_place  # there, the order of the streams matters more than their separation
    return {"max_retries": 0, "split_output": split, **command_of(call.args, call.after), **options(call.args)}


class _Output:
    """Prints a job's output as it comes. After an interruption, it can go on where it was."""

    def __init__(self, call: Call, client: Client, job: Job, stop: _Stop) -> None:
        self._call, self._client, self._job, self._stop = call, client, job, stop
        self._onlooker = Onlooker(call, client, Selector(ids=(job.id,)))
        self._pieces = client.follow(job.id, ticks=True, say=self._onlooker.say)
        self._stream, self._unwritten = 1, b""
        self._until: float | None = None

    def begin(self) -> None:
        """Notes what the job lacks."""
        note_missing(self._call, [self._job])
        unserved, paused = _lacking(self._client, self._job)
        note_paused(self._call, paused)
        note_unserved(self._call, unserved)
        self._onlooker.told = bool(unserved or paused)

    def print(self, within_s: float | None, happened: Callable[[], bool]) -> Job:
        """Returns the finished job. Raises `TimeoutError` if something has not happened within these seconds."""
        self._until = None if within_s is None else time.monotonic() + within_s
        look = partial(self._look, happened)
        self._write()
        for stream, data in self._pieces:
            if stream and not self._call.console.as_json:
                self._stream, self._unwritten = stream, data
                self._write()
            look()
        (finished,) = self._client.wait(self._job.id, tick=look, say=self._onlooker.say)
        return finished

    def _look(self, happened: Callable[[], bool]) -> None:
        self._stop.check()
        self._onlooker()
        if self._until is not None and time.monotonic() >= self._until:
            if not happened():
                raise TimeoutError
            self._until = None

    def _write(self) -> None:
        """Writes what is left. A signal interrupts only the waiting for the reader, which loses nothing: what waits is
        in Python's buffer."""
        left, self._unwritten = memoryview(self._unwritten), b""
        try:
            while True:
                with self._stop.at_once():
                    self._call.console.raw(b"", self._stream)
                if not left:
                    return
                self._call.console.raw(bytes(left[:WRITTEN_AT_ONCE]), self._stream, at_once=False)
                left = left[WRITTEN_AT_ONCE:]
        finally:
            self._unwritten = bytes(left)


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
        return TimedOut(message, f"it stays in the queue; follow it with: {call.command(f'logs -f {named(job.id)}')}")
    client.cancel([job.id])
    return TimedOut(message, "it was cancelled")


def _interrupted(call: Call, client: Client, job: Job, number: int, output: _Output) -> int:
    """Cancels the job and follows it to its end, or leaves it with `--keep`. Returns the exit code."""
    note, id = call.console.note, job.id
    if call.args.keep:
        note(f"job {id} goes on; follow it with: {call.command(f'logs -f {named(id)}')}", "kept")
        return BY_SIGNAL + number
    try:
        changed = client.cancel([id])
    except (StoreUnavailable, KeyboardInterrupt) as error:
        what = f"was not cancelled: {error.message}" if isinstance(error, StoreUnavailable) else "may not be cancelled"
        note(f"job {id} {what}; cancel it with: {call.command(f'cancel {named(id)}')}", "not_cancelled")
        return BY_SIGNAL + number
    try:
        now = changed.jobs[0] if changed.jobs else client.job(id)
        if not now.finished:
            note(f"cancelling {id}…", "cancelling")
            now = _end_of(client, now, output, is_read=number != signal.SIGPIPE)
        _tell_end(call, now, is_read=number != signal.SIGPIPE)
    except (TimeoutError, StoreUnavailable, KeyboardInterrupt):
        note(f"job {id} is being cancelled", "cancelling")
    return BY_SIGNAL + number


def _end_of(client: Client, job: Job, output: _Output, is_read: bool) -> Job:
    """Waits for the end of a job that is being cancelled. Returns the finished job. Raises `TimeoutError`.

    `is_read`: somebody reads the output.
    """
    within_s = job.spec.kill_grace + CANCEL_MARGIN_S
    if is_read:
        with suppress(BrokenPipeError):  # a Ctrl-C ends the reader as well
            return output.print(within_s, lambda: client.job(job.id).finished)
    (finished,) = client.wait(job.id, timeout=within_s)
    return finished


def _tell_end(call: Call, job: Job, is_read: bool) -> None:
    if job.state is JobState.CANCELLED:
        call.console.note(f"cancelled {job.id}", "cancelled")
    else:
        call.console.note(f"job {job.id} is {job.state}: it had ended before it could be cancelled", "job_ended")
    if call.console.as_json and is_read:
        _print_json(call, job)


def _print_json(call: Call, job: Job) -> None:
    call.console.job_array([([job], [reason_of(job)])])
