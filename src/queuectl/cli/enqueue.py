"""`enqueue`: a job as JSON (quoted or not), as words behind `--`, as a shell string, or many from a file.

Every form becomes the same keys and goes through `wire.parse_request`, so there is one validation.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from json import JSONDecodeError, JSONDecoder
from typing import Any, BinaryIO, NamedTuple

from queuectl.cli import unquoted
from queuectl.cli.call import Call
from queuectl.cli.choosing import print_changed
from queuectl.cli.options import FLAGS
from queuectl.client.facade import Client, Progress
from queuectl.clock import SystemClock
from queuectl.domain.errors import Conflict, IdTaken, Invalid
from queuectl.domain.job import Job, Spec
from queuectl.wire.kinds import JsonObject
from queuectl.wire.requests import JobRequest, of_printed, parse_request

FORMS = """queuectl enqueue -- echo hello, or -c 'echo hello', or '{"command": "echo hello"}'"""
PROGRESS_EVERY = 5000
BOM = b"\xef\xbb\xbf"
NO_OPTIONS: JsonObject = {}
NO_LINES: Mapping[str, int] = {}


def enqueue(call: Call) -> int:
    """Adds the jobs, all or none."""
    given = _requests(call)
    with call.client() as client:
        added = given.added(client, call.args.on_conflict)
        jobs = [job for job in added if not job.seq]
        print_changed(call.console, client, jobs, "enqueued")
        for job in added:
            if job.seq:
                call.console.note(f"{job.id} is already there ({job.state}) and left as it is", "already_there")
        if not call.console.quiet:
            note_missing(call, jobs)
            note_unserved(call, client.unserved(job.queue for job in jobs))
    return 0


def clone(call: Call) -> int:
    """Adds the same job once more, with what is changed."""
    changes = options(call)
    if call.after is not None or call.args.shell_command is not None:
        if call.after is not None and call.args.shell_command is not None:
            raise Invalid("a command behind -- and -c exclude each other", "give one of them")
        changes |= document_of(call)
    parse_request({"command": "true", **changes}, SystemClock().now(), spelled(options(call)))  # names options
    with call.client() as client:
        job = client.clone(call.words[0], changes)
        print_changed(call.console, client, [job], "enqueued")
        note_missing(call, [job])
        note_unserved(call, client.unserved([job.queue]))
    return 0


def note_missing(call: Call, jobs: Sequence[Job]) -> None:
    """Says which folders and files of these jobs are not here, as they may be when the jobs start."""
    specs = {id(job.spec): job.spec for job in jobs}.values()
    for what in dict.fromkeys(missing for spec in specs for missing in _missing(spec)):
        call.console.note(f"{what}: the job fails unless it is there when it starts", "missing")


def _missing(spec: Spec) -> Iterator[str]:
    if spec.cwd is not None and not os.path.isdir(spec.cwd):
        yield f"there is no folder {spec.cwd} here (--cwd)"
    if spec.stdin is not None and not os.path.exists(spec.stdin):
        yield f"there is no file {spec.stdin} here (--stdin)"
    if spec.output_path is not None and not os.path.isdir(folder := os.path.dirname(spec.output_path)):
        yield f"there is no folder {folder} here (--output)"
    if not os.access(os.path.join(spec.cwd or "/", spec.shell), os.X_OK):
        yield f"there is no program {spec.shell} here (--shell)"


def note_unserved(call: Call, queues: Sequence[str]) -> None:
    """Says which queues no worker serves, and how to start one."""
    if queues:
        names = ", ".join(queues)
        start = call.command("worker start")
        call.console.note(f"no live worker serves queue {names}; start one with: {start}", "no_worker")


def _requests(call: Call) -> Requests:
    args = call.args
    filename = "-" if list(call.words) == ["-"] else args.file
    sources = {
        "a JSON job": bool(call.words) and filename != "-",
        "a command behind --": call.after is not None,
        "-c": args.shell_command is not None,
        "--file": filename is not None,
    }
    given = [name for name, there in sources.items() if there]
    if not given:
        raise Invalid("nothing to enqueue", f"write: {FORMS}")
    if len(given) > 1:
        raise Invalid(f"{' and '.join(given)} exclude each other", "give one of them")
    if filename is not None:
        return _from_file(call, filename)
    document = document_of(call) if not call.words else _document(call.words)
    keys = options(call)
    return Requests([parse_request(_merged(document, keys), SystemClock().now(), spelled(keys))])


def document_of(call: Call) -> JsonObject:
    """The job of a command line with words behind `--` or `-c STRING`, without its options."""
    if call.args.shell_command is not None:
        return {"command": call.args.shell_command}
    if not call.after:
        raise Invalid("there is no command behind --", f"write: {FORMS}")
    return {"command": list(call.after)}


def options(call: Call) -> JsonObject:
    """The keys of a job that were given as options."""
    given = {name[4:]: value for name, value in vars(call.args).items() if name.startswith("key:")}
    document = {key: value for key, value in given.items() if value is not None}
    if "env" in document:
        document["env"] = dict(map(_variable, document["env"]))
    return document


def spelled(given: JsonObject) -> Mapping[str, str]:
    """How these keys of a job were typed: as options."""
    return {key: FLAGS[key] for key in given}


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name:
        raise Invalid(f"--env {text!r} has no name", "write it as --env NAME=VALUE")
    if not equals:
        if name not in os.environ:
            raise Invalid(f"--env {name}: there is no such variable here", f"write it as --env {name}=VALUE")
        value = os.environ[name]
    return name, value


def _merged(document: object, given: JsonObject) -> object:
    """The job's JSON with the options' keys; none may be in both."""
    if not given or not isinstance(document, dict):
        return document
    spelled = {key.replace("-", "_") for key in document}
    for key in given:
        if key in spelled:
            raise Invalid(f"{key} is given in the JSON and as an option", "give it once")
    return {**document, **given}


def _document(words: Sequence[str]) -> Any:
    """The job that positional words are: JSON, or what a shell left of it."""
    if unquoted.looks_unquoted(words):
        return unquoted.parse(words)
    text = " ".join(words)
    if not text.strip():
        raise Invalid("the job is empty", f"write: {FORMS}")
    if text.lstrip()[0] in '{["' or (len(words) == 1 and text.strip() in ("null", "true", "false")):
        return parse_json(text, "the job")
    from queuectl.cli.familiar import lines_for

    raise Invalid(
        f"{text!r} is not a job in JSON", f"write: {lines_for('enqueue', words)}, or a JSON object in single quotes"
    )


def parse_json(text: str, what: str) -> Any:
    """The value of a JSON text. Raises `Invalid` naming the place of the mistake."""
    try:
        return _DECODER.decode(text)
    except JSONDecodeError as error:
        raise Invalid(f"{what} is not valid JSON: {error.msg} at column {error.pos + 1}", _json_hint(text)) from None
    except ValueError:  # Python's own limit
        raise Invalid(f"{what} is not valid JSON: a number has thousands of digits") from None


def _json_hint(text: str) -> str:
    if "'" in text and '"' not in text:
        return "JSON has double quotes around keys and values"
    return """e.g. '{"command": "echo hello"}'"""


def _without_doubles(pairs: list[tuple[str, Any]]) -> JsonObject:
    document = dict(pairs)
    if len(document) < len(pairs):
        ((twice, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise Invalid(f"key {twice!r} comes twice", "give it once")
    return document


_DECODER = JSONDecoder(object_pairs_hook=_without_doubles)


# --- many -----------------------------------------------------------------------------------


class Requests(NamedTuple):
    """Jobs to be added; where they are from a file, its name and the line of each id that it gives."""

    requests: list[JobRequest]
    name: str = ""
    lines: Mapping[str, int] = NO_LINES

    def added(self, client: Client, on_conflict: str = "error") -> list[Job]:
        """Adds them, all or none; see `Client.enqueue`. Raises `Conflict` naming the line, where there is one."""
        try:
            return client.enqueue(self.requests, on_conflict=on_conflict)
        except IdTaken as error:
            if error.id not in self.lines:
                raise
            message = f"{self.name} line {self.lines[error.id]}: {error.message}"
            raise Conflict(message, _and_nothing(error.hint)) from None


def _from_file(call: Call, name: str) -> Requests:
    given = options(call)
    if name == "-":
        return _from_lines(call, sys.stdin.buffer, "stdin", given)
    try:
        with open(name, "rb") as file:
            return _from_lines(call, file, name, given)
    except OSError as error:
        raise Invalid(f"cannot read {name}: {error.strerror}", "give a file with one JSON job a line") from None


def _from_lines(call: Call, file: BinaryIO, name: str, given: JsonObject) -> Requests:
    left_out: dict[str, None] = {}
    unique = call.args.on_conflict == "error"
    progress = call.console.progress("read")
    read = _read(_documents(file), name, SystemClock().now(), given, progress, unique, left_out)
    call.console.progress_done()
    if not read.requests:
        raise Invalid(f"{name} has no job", "give one JSON job a line")
    if left_out:
        call.console.note(f"left out what queuectl writes: {', '.join(left_out)}", "left_out")
    return read


def _documents(file: BinaryIO) -> Iterator[_Document]:
    """The jobs of a file: one a line, or as `--json` prints them, each spread over lines or many in an array."""
    lines = _numbered(file)
    first = next(lines, None)
    if first is None:
        return
    head = first[1].removeprefix(BOM).strip()
    if head != b"{" and not head.startswith(b"["):
        yield from _of_lines(chain([first], lines))
        return
    text = _decoded(first[1] + b"".join(line for _, line in lines), 1)
    number = at = 0
    while at < len(text):
        values, at = _next_value(text, at)
        for value in values if isinstance(values, list) else [values]:
            number += 1
            yield _Document("job", number, lambda value=value: value)  # type: ignore[misc]


def _next_value(text: str, start: int) -> tuple[Any, int]:
    """A JSON value that begins at a place, and where the next one begins."""
    try:
        value, end = _DECODER.raw_decode(text, start)
    except JSONDecodeError as error:
        raise Invalid(
            f"the input is not valid JSON: {error.msg} in line {error.lineno}", "nothing was enqueued"
        ) from None
    while end < len(text) and text[end].isspace():
        end += 1
    return value, end


class _Document(NamedTuple):
    """A job's JSON: what it is the how-manieth of, and how it is read."""

    kind: str
    number: int
    read: Callable[[], Any]


def _of_lines(lines: Iterable[tuple[int, bytes]]) -> Iterator[_Document]:
    for number, line in lines:
        yield _Document("line", number, lambda: parse_json(_decoded(line, number), "the job"))  # noqa: B023


def read_lines(
    file: Iterable[bytes], name: str, now: float, given: JsonObject = NO_OPTIONS, progress: Progress | None = None
) -> Requests:
    """The jobs of a file with one JSON job a line. Raises `Invalid` or `Conflict` naming the line."""
    return _read(_of_lines(_numbered(file)), name, now, given, progress)


def _read(
    documents: Iterable[_Document], name: str, now: float, given: JsonObject, progress: Progress | None,
    unique: bool = True, left_out: dict[str, None] | None = None,
) -> Requests:  # fmt: skip
    """The jobs of these documents. With `left_out`, what queuectl itself has printed is taken too; it then has the keys
    that were left out. `unique`: no id may come twice."""
    requests, lines = [], dict[str, int]()
    for kind, number, read in documents:
        try:
            document = read()
            if left_out is not None:
                document, keys = of_printed(document)
                left_out.update(dict.fromkeys(keys))
            request = parse_request(_merged(document, given), now, spelled(given))
            if request.id and lines.setdefault(request.id, number) != number and unique:
                also = f"in {kind} {lines[request.id]} too"
                raise Conflict(f"id {request.id} comes twice, {also}", "give each job its own")
            requests.append(request)
        except RecursionError:
            raise Invalid(f"{name} {kind} {number}: the JSON is nested too deeply", "nothing was enqueued") from None
        except (Invalid, Conflict) as error:
            raise type(error)(f"{name} {kind} {number}: {error.message}", _and_nothing(error.hint)) from None
        if progress and number % PROGRESS_EVERY == 0:
            progress(number)
    return Requests(requests, name, lines)


def _numbered(file: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, from 1."""
    return ((number, line) for number, line in enumerate(file, 1) if not line.isspace())


def _decoded(line: bytes, number: int) -> str:
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError:
        raise Invalid("not UTF-8 text") from None


def _and_nothing(hint: str) -> str:
    return f"{hint}; nothing was enqueued" if hint else "nothing was enqueued"
