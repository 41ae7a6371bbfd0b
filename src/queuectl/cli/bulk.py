"""`enqueue --file` and `--each-line`: many jobs, read and checked to the end before any of them is added."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain, islice
from stat import S_ISREG
from typing import BinaryIO

from queuectl.cli.call import Call
from queuectl.cli.changed import LINES_MAX, at_once
from queuectl.cli.forms import document_of, options
from queuectl.cli.keys import spelled
from queuectl.cli.notes import in_words, note_all, note_there, note_would_add
from queuectl.client.bulk import Added
from queuectl.client.facade import Client
from queuectl.clock import SystemClock
from queuectl.domain.errors import Invalid, QueuectlError
from queuectl.domain.job import Job
from queuectl.domain.unique import Fate
from queuectl.typed import Any, NamedTuple
from queuectl.wire.documents import LINE_BYTES_MAX, Documents, documents_in
from queuectl.wire.kinds import JsonObject, whole_number
from queuectl.wire.lines import Cut, jobs_of_lines
from queuectl.wire.reading import Reader, Requests, merged
from queuectl.wire.requests import of_printed
from queuectl.wire.words import counted

CHUNK_MAX = 1_000_000_000
SHOWN = 3
"""How many jobs `--dry-run` shows."""
SAMPLES_MAX = 1000
"""The number of kinds of jobs that are checked for missing files, programs and users."""


def enqueue_many(call: Call, name: str) -> int:
    """Adds the jobs of a file, or those that its lines make: all or none, or in chunks."""
    shown = "stdin" if name == "-" else name
    try:
        with opened(name) as file:
            source = _source(call, file)
            numbered = source.read()
            first = list(islice(numbered, SHOWN if call.args.dry_run else 1))
            reader = Reader(
                source.documents._replace(numbered=chain(first, numbered)), shown, SystemClock().now(),
                given=source.given, spelled=spelled(options(call.args)), progress=reading(call, file),
                left_out=source.left_out, quotes=source.quotes,
            )  # fmt: skip
            if not first:
                return _note_none(call, shown)
            if call.args.dry_run:
                return _show_first(call, source, reader, [raw for _, raw in first])
            size = call.args.chunk
            chunks = reader.chunks(None if size is None else whole_number(1, CHUNK_MAX)(size, "--chunk"))
            head = next(chunks)
            call.console.progress_done()
            if source.left_out:
                call.console.note(f"ignored keys that queuectl writes: {', '.join(source.left_out)}", "left_out")
            add(call, reader, chain([head], chunks))
    except Unreadable as error:
        raise Invalid(f"cannot read {shown}: {error}", "give a file, or - for stdin") from None
    finally:
        call.console.progress_done()
    return 0


class Unreadable(Exception):
    """The file cannot be opened or read."""


class Source(NamedTuple):
    """Where jobs come from: their documents, and the keys `given` to all of them.

    `left_out` gathers ignored keys. `quotes`: the commands have words that are quoted for a shell.
    """

    documents: Documents
    given: JsonObject
    left_out: dict[str, None] | None = None
    quotes: bool = False

    def read(self) -> Iterator[tuple[int, Any]]:
        """The documents, not yet decoded. An error of their file is an `Unreadable`."""
        try:
            yield from self.documents.numbered
        except OSError as error:
            raise Unreadable(error.strerror) from None


def _source(call: Call, file: BinaryIO) -> Source:
    args = call.args
    if args.each_line is None:
        return Source(documents_in(iter(partial(file.readline, LINE_BYTES_MAX), b"")), options(args), {})
    document = document_of(args, call.words, call.after)
    if not isinstance(document, dict):
        raise Invalid("a job must be a JSON object", """e.g. '{"command": "gzip {}"}'""")
    documents, template = jobs_of_lines(file, document, Cut(args.null, args.colsep, args.header))
    return Source(documents, template.fixed, quotes=template.quotes)


def _show_first(call: Call, source: Source, reader: Reader, first: Sequence[Any]) -> int:
    """Shows the first jobs as JSON that `enqueue --file` takes, once all are checked."""
    (whole,) = reader.chunks()
    call.console.progress_done()
    with call.client() as client:
        added = client.enqueue_read(whole, rehearsed=True)
    shown = [merged(of_printed(source.documents.decode(raw))[0], source.given) for raw in first]
    if call.console.as_json:
        call.console.json_array(shown)
    else:
        call.console.json_lines(shown)
    note_would_add(call, added.new, added.others)
    return 0


def _note_none(call: Call, name: str) -> int:
    if call.args.each_line is None:
        raise Invalid(f"{name} has no job", "give one JSON job per line")
    if call.console.as_json:
        call.console.json_array([])
    call.console.note(f"{name} has no line: nothing is enqueued", "no_lines")
    return 0


@contextmanager
def opened(name: str) -> Iterator[BinaryIO]:
    """The file of this name, or stdin for `-`. Raises `Unreadable`."""
    if name == "-":
        yield sys.stdin.buffer
        return
    try:
        file = open(name, "rb")  # noqa: SIM115
    except OSError as error:
        raise Unreadable(error.strerror) from None
    with file:
        yield file


def reading(call: Call, file: BinaryIO) -> Callable[[int], None] | None:
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
    with call.client() as client:
        adding = _Adding(call, client, reader, chunks)
        try:
            _print(call, client, adding)
        except (QueuectlError, KeyboardInterrupt) as error:
            adding.end(error)
        if adding.error is not None:
            raise adding.error
        note_all(call, client, adding.samples.values())


def _print(call: Call, client: Client, adding: _Adding) -> None:
    console = call.console
    if console.as_json:
        console.job_array(client.with_reasons(_new(call, adding)))
    elif console.terminal and not console.quiet:
        _print_few(call, adding)
    else:
        for added in adding:
            console.lines(_lines_of(added, console.quiet))
            _note_there(call, added)


def _new(call: Call, adding: Iterable[Added]) -> Iterator[list[Job]]:
    for added in adding:
        if added.others:
            yield from ([job for job, _ in page] for page in added.admitted())
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
        arrived = {} if quiet else {id: at_once("enqueued", job) for id, job in added.arrived.items()}
        verb = "" if quiet else "enqueued "
        yield from (f"{verb}{id}{arrived.get(id, '')}" for ids in added.new_ids() for id in ids)
    for page in added.admitted() if added.others else ():
        if quiet:
            yield from (job.id for job, _ in page)
        else:
            yield from (in_words(each) for each in page if each.fate is not Fate.ID_THERE)


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
        self._done = 0
        self.samples: dict[tuple[object, ...], Job] = {}
        self.error: BaseException | None = None
        """What ended it after the first chunk, to be raised once those before are printed."""

    def __iter__(self) -> Iterator[Added]:
        console = self._call.console
        try:
            for requests in self._chunks:
                console.progress_done()
                requests.so_far = self._reader.so_far
                progress = console.progress("enqueued", len(requests))
                added = self._client.enqueue_read(requests, None, progress)
                console.progress_done()
                self._done += len(requests)
                self._reader.so_far = (
                    f"enqueued so far: {counted(self._done, 'job')}, to {requests.kind} {requests.last:,}"
                )
                if added.new:
                    self._sample(added)
                yield added
                console.flush()
        except (QueuectlError, KeyboardInterrupt) as error:
            self.end(error)

    def end(self, error: QueuectlError | KeyboardInterrupt) -> None:
        """Ends it with an error while jobs are added or printed: says how far it got, or raises if it did not begin."""
        self._call.console.progress_done()
        if not self._done:
            raise error
        self.error = error
        if self._reader.so_far not in getattr(error, "hint", ""):
            self._call.console.note(self._reader.so_far, "so_far")

    def _sample(self, added: Added) -> None:
        for job in islice(added.samples(), max(0, SAMPLES_MAX - len(self.samples))):
            spec = job.spec
            alike = (job.queue, spec.cwd, spec.stdin, spec.output_path, spec.shell, spec.user)
            self.samples.setdefault(alike, job)
