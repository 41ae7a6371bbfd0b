"""The documents in a text: one a line, or as `--json` prints them (several lines each, or an array)."""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from json import JSONDecodeError, JSONDecoder

from queuectl.domain.errors import Invalid
from queuectl.typed import Any, NamedTuple
from queuectl.wire.kinds import JsonObject

BOM = b"\xef\xbb\xbf"
LINE_BYTES_MAX = 16 << 20
"""A longer line is cut, and refused."""
BLOCK_CHARACTERS = 1 << 16
VALUE_CHARACTERS_MAX = 16 << 20
"""No value of a text is longer; the command and the variables of a job are far shorter."""


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
_scan: Callable[[str, int], tuple[Any, int]] = vars(_DECODER)["scan_once"]
_ENDS = frozenset(("\n", "", "\r\n"))


class Documents(NamedTuple):
    """Documents with their numbers from 1. `kind` is what a number counts: a line or a job.

    `decode` makes a document of each. It may be called again, and gives another one then.
    """

    kind: str
    numbered: Iterable[tuple[int, Any]]
    decode: Callable[[Any], Any]


def documents_in(file: Iterable[bytes]) -> Documents:
    """The documents of a file, in the form that its first line shows."""
    lines = iter(file)
    numbered = _numbered(lines)
    first = next(numbered, None)
    if first is None:
        return Documents("line", (), decoded_line)
    head = first[1].strip()
    if head != b"{" and not head.startswith(b"["):
        return Documents("line", chain([first], numbered), decoded_line)
    return Documents("job", enumerate(_values(chain([first[1]], lines)), 1), _another)


def documents_in_lines(file: Iterable[bytes]) -> Documents:
    """The documents of a file with one a line."""
    return Documents("line", _numbered(file), decoded_line)


def _numbered(file: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank."""
    for number, line in enumerate(file, 1):
        if number == 1:
            line = line.removeprefix(BOM)
        if not line.isspace() and line:
            yield number, line


def decoded_line(line: bytes) -> Any:
    """The document in a line."""
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise Invalid("not UTF-8 text") from None
    if text[0] == "{":
        try:
            document, end = _scan(text, 0)
        except (StopIteration, ValueError):
            return parse_json(text, "the job")
        if text[end:] in _ENDS:
            return document
    return parse_json(text, "the job")


def _another(value: Any) -> Any:
    return value.copy() if isinstance(value, dict) else value


def _values(pieces: Iterable[bytes]) -> Iterator[Any]:
    """The values of a text, and in place of each array its values."""
    text = _Text(pieces)
    while (character := text.next()) is not None:
        if character != "[":
            yield text.value()
            continue
        text.skip()
        if text.next() == "]":
            text.skip()
            continue
        while True:
            yield text.value()
            character = text.next()
            if character not in (",", "]"):
                raise text.wrong("Expecting ',' delimiter")
            text.skip()
            if character == "]":
                break


class _Text:
    """A text that is read a block at a time, and the place in it."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._decoder = getincrementaldecoder("utf-8")()
        self._text = ""
        self._at = 0
        self._line = 1
        self._is_whole = False

    def next(self) -> str | None:
        """The next character that is not blank; None at the end."""
        while True:
            while self._at < len(self._text):
                if not self._text[self._at].isspace():
                    return self._text[self._at]
                self._at += 1
            if not self._more(BLOCK_CHARACTERS):
                return None

    def skip(self) -> None:
        self._at += 1

    def value(self) -> Any:
        """The value that begins at the next character."""
        self.next()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except JSONDecodeError as error:
                known = len(self._text) - self._at
                if known > VALUE_CHARACTERS_MAX or not self._more(max(BLOCK_CHARACTERS, known)):
                    raise self.wrong(error.msg, error.pos) from None
                continue
            if end < len(self._text) or not self._more(BLOCK_CHARACTERS):  # a number may go on
                self._at = end
                return value

    def wrong(self, what: str, at: int | None = None) -> Invalid:
        line = self._line + self._text.count("\n", 0, self._at if at is None else at)
        return Invalid(f"the input is not valid JSON: {what} in line {line}", "nothing was enqueued")

    def _more(self, characters: int) -> bool:
        """Reads at least this many characters. Returns whether there were any."""
        if self._is_whole:
            return False
        self._line += self._text.count("\n", 0, self._at)
        parts = [self._text[self._at :]]
        self._at = 0
        try:
            while characters > 0:
                if (piece := next(self._pieces, None)) is None:
                    self._is_whole = True
                    parts.append(self._decoder.decode(b"", final=True))
                    break
                parts.append(self._decoder.decode(piece))
                characters -= len(piece)
        except UnicodeDecodeError:
            raise Invalid("not UTF-8 text") from None
        before = len(parts[0])
        self._text = "".join(parts)
        return len(self._text) > before
