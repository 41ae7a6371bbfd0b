"""`enqueue --file`: the jobs of a file, read and checked to its end before any of them is added."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from stat import S_ISREG
from typing import BinaryIO

from queuectl.cli.call import Call
from queuectl.cli.changed import LINES_MAX
from queuectl.cli.forms import options, spelled
from queuectl.cli.notes import in_words, note_all, note_there
from queuectl.client.bulk import Added
from queuectl.client.facade import Client
from queuectl.clock import SystemClock
from queuectl.domain.errors import Invalid, QueuectlError
from queuectl.domain.job import Job
from queuectl.domain.unique import Fate
from queuectl.wire.documents import documents_in
from queuectl.wire.kinds import whole_number
from queuectl.wire.reading import Reader, Requests
from queuectl.wire.words import counted

CHUNK_MAX = 1_000_000_000
SAMPLES_MAX = 1000
"""Of so many kinds of jobs we look whether something is missing here."""


def enqueue_file(call: Call, name: str) -> int:
    """Adds the jobs of a file: all or none, or in chunks."""
    with _opened(name) as file:
        shown = "stdin" if name == "-" else name
        left_out: dict[str, None] = {}
        given = options(call.args)
        reader = Reader(
            documents_in(_lines(file, shown)), shown, SystemClock().now(), given=given, spelled=spelled(given),
            progress=_reading(call, file), left_out=left_out,
        )  # fmt: skip
        chunks = reader.chunks(_chunk(call))
        first = next(chunks, None)
        call.console.progress_done()
        if first is None:
            raise Invalid(f"{shown} has no job", "give one JSON job per line")
        if left_out:
            call.console.note(f"ignored keys that queuectl writes: {', '.join(left_out)}", "left_out")
        add(call, reader, chain([first], chunks))
    return 0


def _chunk(call: Call) -> int | None:
    return None if call.args.chunk is None else whole_number(1, CHUNK_MAX)(call.args.chunk, "--chunk")


@contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    if name == "-":
        yield sys.stdin.buffer
        return
    try:
        file = open(name, "rb")  # noqa: SIM115
    except OSError as error:
        raise _unreadable(name, error) from None
    with file:
        yield file


def _lines(file: BinaryIO, name: str) -> Iterator[bytes]:
    try:
        yield from file
    except OSError as error:
        raise _unreadable(name, error) from None


def _unreadable(name: str, error: OSError) -> Invalid:
    return Invalid(f"cannot read {name}: {error.strerror}", "give a file with one JSON job per line")


def _reading(call: Call, file: BinaryIO) -> Callable[[int], None] | None:
    """Shows how many jobs are read, of about how many."""
    show = call.console.progress("read")
    if show is None:
        return None
    found = os.fstat(file.fileno())
    if not S_ISREG(found.st_mode):
        return show
    return lambda done: show(done, done * found.st_size // max(1, file.tell()))


def add(call: Call, reader: Reader, chunks: Iterable[Requests]) -> None:
    """Adds what was read, and prints it."""
    console = call.console
    with call.client() as client:
        adding = _Adding(call, client, reader, chunks)
        if console.as_json:
            console.job_array(client.with_reasons(_new(call, adding)))
        elif console.terminal and not console.quiet:
            _print_few(call, adding)
        else:
            for added in adding:
                console.lines(_lines_of(added, console.quiet))
                _note_there(call, added)
        if adding.error is not None:
            raise adding.error
        note_all(call, client, adding.samples.values())


def _new(call: Call, adding: Iterable[Added]) -> Iterator[list[Job]]:
    for added in adding:
        if added.others:
            yield from ([job for job, fate in page if fate is not Fate.ID_THERE] for page in added.admitted())
        else:
            yield from map(list, added.pages())
        _note_there(call, added)


def _print_few(call: Call, adding: Iterable[Added]) -> None:
    """Prints the ids on a terminal, or only their number if they are many."""
    few, number, others = list[str](), 0, 0
    for added in adding:
        number += added.new
        others += added.others
        if number + others <= LINES_MAX:
            few += _lines_of(added)
        _note_there(call, added)
    if number + others > LINES_MAX:
        met = f"; {others:,} met others" if others else ""
        call.console.print(f"enqueued {counted(number, 'job')}{met}")
    else:
        call.console.lines(few)


def _lines_of(added: Added, quiet: bool = False) -> Iterator[str]:
    """A line for each job that was added, or left out or changed for the sake of a key."""
    if not added.others:
        yield from (id if quiet else f"enqueued {id}" for ids in added.new_ids() for id in ids)
    for page in added.admitted() if added.others else ():
        yield from (each.job.id if quiet else in_words(each) for each in page if each.fate is not Fate.ID_THERE)


def _note_there(call: Call, added: Added) -> None:
    """Notes whose ids were there before."""
    if added.others and not call.console.quiet:
        for page in added.admitted():
            for job, fate in page:
                if fate is Fate.ID_THERE:
                    note_there(call, job)


class _Adding:
    """Adds chunks one after the other, each when it is asked for. Keeps jobs that are alike once, as `samples`."""

    def __init__(self, call: Call, client: Client, reader: Reader, chunks: Iterable[Requests]) -> None:
        self._call = call
        self._client = client
        self._reader = reader
        self._chunks = chunks
        self.samples: dict[tuple[object, ...], Job] = {}
        self.error: BaseException | None = None
        """What ended it after the first chunk, to be raised once those before are printed."""

    def __iter__(self) -> Iterator[Added]:
        console, done = self._call.console, 0
        try:
            for requests in self._chunks:
                console.progress_done()
                requests.so_far = self._reader.so_far
                progress = console.progress("enqueued", len(requests))
                added = self._client.enqueue_read(requests, None, progress)
                console.progress_done()
                done += len(requests)
                self._reader.so_far = f"enqueued so far: {counted(done, 'job')}, to {requests.kind} {requests.last:,}"
                if added.new:
                    self._sample(added)
                yield added
                console.flush()
        except (QueuectlError, KeyboardInterrupt) as error:
            console.progress_done()
            if not done:
                raise
            self.error = error
            if self._reader.so_far not in getattr(error, "hint", ""):
                console.note(self._reader.so_far, "so_far")

    def _sample(self, added: Added) -> None:
        for job in added.samples():
            if len(self.samples) < SAMPLES_MAX:
                spec = job.spec
                self.samples.setdefault((job.queue, spec.cwd, spec.stdin, spec.output_path, spec.shell), job)
