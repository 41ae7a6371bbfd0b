"""`enqueue`, `clone`: adds the jobs of a command line or a file, and notes what they lack here."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, BinaryIO

from queuectl.cli.call import Call
from queuectl.cli.changed import print_changed
from queuectl.cli.forms import command_of, document_of, file_of, options, spelled
from queuectl.client.facade import Client
from queuectl.clock import SystemClock
from queuectl.domain.errors import Invalid
from queuectl.domain.job import Job, Spec
from queuectl.wire.requests import parse_request

if TYPE_CHECKING:  # few commands need it
    from queuectl.domain.limits import Pause


def enqueue(call: Call) -> int:
    """Adds jobs, all or none."""
    filename = file_of(call.args, call.words, call.after)
    add = _from_command_line(call) if filename is None else _from_file(call, filename)
    with call.client() as client:
        added = add(client)
        jobs = [job for job in added if not job.seq]
        print_changed(call.console, client, jobs, "enqueued")
        for job in added:
            if job.seq:
                _note_there(call, job)
        if not call.console.quiet:
            note_missing(call, jobs)
            note_paused(call, client.paused(job.queue for job in jobs))
            note_unserved(call, client.unserved(job.queue for job in jobs))
    return 0


def _note_there(call: Call, job: Job) -> None:
    call.console.note(f"{job.id} is already there ({job.state}) and left as it is", "already_there")


def clone(call: Call) -> int:
    """Adds a copy of a job, with changes."""
    keys = options(call.args)
    typed = call.after is not None or call.args.shell_command is not None
    changes = {**keys, **command_of(call.args, call.after)} if typed else keys
    parse_request({"command": "true", **changes}, SystemClock().now(), spelled(keys))  # names options
    with call.client() as client:
        job = client.clone(call.words[0], changes, on_conflict=call.args.on_conflict)
        if job.seq:
            print_changed(call.console, client, [], "enqueued")
            _note_there(call, job)
            return 0
        print_changed(call.console, client, [job], "enqueued")
        note_missing(call, [job])
        note_paused(call, client.paused([job.queue]))
        note_unserved(call, client.unserved([job.queue]))
    return 0


def note_missing(call: Call, jobs: Sequence[Job]) -> None:
    """Notes which folders and files of these jobs do not exist here; they may when the jobs start."""
    specs = {id(job.spec): job.spec for job in jobs}.values()
    for what in dict.fromkeys(missing for spec in specs for missing in _missing(spec)):
        call.console.note(f"{what}: the job fails unless it is there when it starts", "missing")


def _missing(spec: Spec) -> Iterator[str]:
    if spec.cwd is not None and not os.path.isdir(spec.cwd):
        yield f"no folder {spec.cwd} here (--cwd)"
    if spec.stdin is not None and not os.path.exists(spec.stdin):
        yield f"no file {spec.stdin} here (--stdin)"
    if spec.output_path is not None and not os.path.isdir(folder := os.path.dirname(spec.output_path)):
        yield f"no folder {folder} here (--output)"
    if not os.access(os.path.join(spec.cwd or "/", spec.shell), os.X_OK):
        yield f"no program {spec.shell} here (--shell)"


def note_paused(call: Call, paused: Mapping[str, Pause]) -> None:
    """Notes which queues of new jobs are paused, and how to resume them."""
    for queue, pause in paused.items():
        from queuectl.cli.render import visible
        from queuectl.wire.limits import pause_words

        resume = call.command(f"queue resume {queue}")
        call.console.note(f"queue {queue} is {visible(pause_words(pause))}; resume it with: {resume}", "queue_paused")


def note_unserved(call: Call, queues: Sequence[str]) -> None:
    """Notes which queues no worker serves, and how to start one."""
    if queues:
        names = ", ".join(queues)
        start = call.command("worker start")
        call.console.note(f"no live worker serves queue {names}; start one with: {start}", "no_worker")


Adding = Callable[[Client], list[Job]]
"""Adds the parsed jobs once the store is open."""


def _from_command_line(call: Call) -> Adding:
    document = document_of(call.args, call.words, call.after)
    request = parse_request(document, SystemClock().now(), spelled(options(call.args)))
    return lambda client: client.enqueue([request], on_conflict=call.args.on_conflict)


def _from_file(call: Call, name: str) -> Adding:
    if name == "-":
        return _from_lines(call, sys.stdin.buffer, "stdin")
    try:
        with open(name, "rb") as file:
            return _from_lines(call, file, name)
    except OSError as error:
        raise Invalid(f"cannot read {name}: {error.strerror}", "give a file with one JSON job per line") from None


def _from_lines(call: Call, file: BinaryIO, name: str) -> Adding:
    from queuectl.wire.reading import documents_in, read

    left_out: dict[str, None] = {}
    given = options(call.args)
    found = read(
        documents_in(file), name, SystemClock().now(), given=given, spelled=spelled(given),
        progress=call.console.progress("read"), unique=call.args.on_conflict == "error", left_out=left_out,
    )  # fmt: skip
    call.console.progress_done()
    if not found.requests:
        raise Invalid(f"{name} has no job", "give one JSON job per line")
    if left_out:
        call.console.note(f"ignored keys that queuectl writes: {', '.join(left_out)}", "left_out")
    return lambda client: client.enqueue_read(found, call.args.on_conflict)
