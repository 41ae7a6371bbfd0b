"""Parses jobs from text, strictly: the JSON of one job, or a file of jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from json import JSONDecodeError, JSONDecoder
from typing import Any, BinaryIO, NamedTuple

from queuectl.domain.errors import Conflict, IdTaken, Invalid, QueuectlError
from queuectl.wire.kinds import JsonObject
from queuectl.wire.requests import JobRequest, of_printed, parse_request

PROGRESS_EVERY = 5000
BOM = b"\xef\xbb\xbf"
NO_KEYS: JsonObject = {}
NO_LINES: Mapping[str, int] = {}
NO_SPELLING: Mapping[str, str] = {}


def parse_json(text: str, what: str) -> Any:
    """The value of a JSON text. Raises `Invalid` with the place of the mistake."""
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


def merged(document: object, given: JsonObject) -> object:
    """The job's JSON with the keys given as options; no key may be in both."""
    if not given or not isinstance(document, dict):
        return document
    spelled = {key.replace("-", "_") for key in document}
    for key in given:
        if key in spelled:
            raise Invalid(f"{key} is given in the JSON and as an option", "give it once")
    return {**document, **given}


class Requests(NamedTuple):
    """Jobs to add; if they come from a file, its name and the line of each given id."""

    requests: list[JobRequest]
    name: str = ""
    lines: Mapping[str, int] = NO_LINES

    def blamed(self, error: IdTaken) -> QueuectlError:
        """The error, with the line of the id if there is one."""
        if error.id not in self.lines:
            return error
        return Conflict(f"{self.name} line {self.lines[error.id]}: {error.message}", _and_nothing(error.hint))


def documents_in(file: BinaryIO) -> Iterator[Given]:
    """The jobs of a file: one per line, or as `--json` prints them (several lines each, or an array)."""
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
            yield Given("job", number, lambda value=value: value)  # type: ignore[misc]


def _next_value(text: str, start: int) -> tuple[Any, int]:
    """The JSON value at `start`, and the start of the next one."""
    try:
        value, end = _DECODER.raw_decode(text, start)
    except JSONDecodeError as error:
        raise Invalid(
            f"the input is not valid JSON: {error.msg} in line {error.lineno}", "nothing was enqueued"
        ) from None
    while end < len(text) and text[end].isspace():
        end += 1
    return value, end


class Given(NamedTuple):
    """A job in a file: whether it is a line or a value, its number, and a function that decodes it."""

    kind: str
    number: int
    read: Callable[[], Any]


def _of_lines(lines: Iterable[tuple[int, bytes]]) -> Iterator[Given]:
    for number, line in lines:
        yield Given("line", number, lambda: parse_json(_decoded(line, number), "the job"))  # noqa: B023


def read_lines(file: Iterable[bytes], name: str, now: float) -> Requests:
    """The jobs of a file with one JSON job per line. Raises `Invalid` or `Conflict` with the line."""
    return read(_of_lines(_numbered(file)), name, now)


def read(
    documents: Iterable[Given], name: str, now: float, *, given: JsonObject = NO_KEYS,
    spelled: Mapping[str, str] = NO_SPELLING, progress: Callable[[int], None] | None = None, unique: bool = True,
    left_out: dict[str, None] | None = None,
) -> Requests:  # fmt: skip
    """The jobs of these documents, each with the keys `given` as options, named as `spelled` in errors.

    With `left_out`, accepts what queuectl itself prints, and adds the ignored keys to `left_out`. `unique`: no id may
    come twice. Raises `Invalid` or `Conflict` with the number of the document.
    """
    requests, lines = [], dict[str, int]()
    for kind, number, decoded in documents:
        try:
            document = decoded()
            if left_out is not None:
                document, keys = of_printed(document)
                left_out.update(dict.fromkeys(keys))
            request = parse_request(merged(document, given), now, spelled)
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
    """The lines that are not blank, with their numbers from 1."""
    return ((number, line) for number, line in enumerate(file, 1) if not line.isspace())


def _decoded(line: bytes, number: int) -> str:
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError:
        raise Invalid("not UTF-8 text") from None


def _and_nothing(hint: str) -> str:
    return f"{hint}; nothing was enqueued" if hint else "nothing was enqueued"
