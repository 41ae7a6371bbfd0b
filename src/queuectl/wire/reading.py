"""Reads jobs from text, strictly and to the end, before any of them is added.

What was read waits in a `Spool`, so a million jobs need little memory. Most lines of a file differ in command and id
alone: the other keys are checked once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice

from queuectl.domain.errors import Conflict, IdTaken, IdTwice, Invalid, QueuectlError
from queuectl.domain.job import COMMAND_STRING_BYTES_MAX
from queuectl.typed import Any, NamedTuple
from queuectl.wire.documents import Documents, documents_in_lines
from queuectl.wire.kinds import JsonObject, check_command, may_be_id
from queuectl.wire.requests import JobRequest, of_printed, parse_request
from queuectl.wire.spool import Spool

PIECE = 1000
"""How many jobs are in memory at once."""
KINDS_KNOWN_MAX = 1000
SHORT_CHARACTERS = COMMAND_STRING_BYTES_MAX
NO_KEYS: JsonObject = {}
NO_SPELLING: Mapping[str, str] = {}
NOTHING_DONE = "nothing was enqueued"
_OWN = frozenset({"id", "command"})
CHECKED_ONE_BY_ONE = frozenset({"depends_on"})
"""Keys that are checked against a job's own id."""


def merged(document: object, given: JsonObject) -> object:
    """The job's JSON with the keys given as options; no key may be in both."""
    if not given or not isinstance(document, dict):
        return document
    spelled = {key.replace("-", "_") for key in document}
    for key in given:
        if key in spelled:
            raise Invalid(f"{key} is given in the JSON and as an option", "give it once")
    return {**document, **given}


class Piece(NamedTuple):
    """Some jobs that were read: the n-th is `kinds[which[n]]` with its own id and command.

    `which` is None if all are of the first kind, `ids` if none has an id of its own.
    """

    numbers: Sequence[int]
    kinds: Sequence[JobRequest]
    which: Sequence[int] | None
    ids: Sequence[str | None] | None
    commands: Sequence[str | tuple[str, ...]]

    def requests(self) -> Iterator[JobRequest]:
        """The jobs one by one."""
        for at, command in enumerate(self.commands):
            kind = self.kinds[self.which[at] if self.which else 0]
            yield kind._replace(id=self.ids[at] if self.ids else None, command=command)


class Requests:
    """Jobs that were read and found right, in their order, to be looked at any number of times.

    `name` is the file, `kind` what its numbers count; `so_far` what an error says of the jobs before these. `is_plain`:
    none has a unique key or a rule. `has_limits`: one says something of its batch. `quotes`: their commands have words
    that are quoted for a shell.
    """

    def __init__(self, name: str, kind: str, quotes: bool = False) -> None:
        self.name = name
        self.kind = kind
        self.quotes = quotes
        self.count = 0
        self.has_ids = False
        self.is_plain = True
        self.has_limits = False
        self.last = 0
        self.so_far = NOTHING_DONE
        self._spool = Spool()

    def add(
        self, numbers: Sequence[int], kinds: Sequence[JobRequest], ids: Sequence[str | None],
        commands: Sequence[str | tuple[str, ...]],
    ) -> None:  # fmt: skip
        """Adds some jobs, in columns."""
        from pickle import dumps

        distinct = {id(kind): kind for kind in kinds}
        places = {identity: at for at, identity in enumerate(distinct)}
        which = [places[id(kind)] for kind in kinds] if len(distinct) > 1 else None
        is_whole = numbers[-1] - numbers[0] == len(numbers) - 1
        given = None if ids.count(None) == len(ids) else list(ids)
        self._spool.add((
            numbers[0] if is_whole else list(numbers), dumps(list(distinct.values())), which, given, list(commands)
        ))  # fmt: skip
        self.count += len(numbers)
        self.has_ids = self.has_ids or given is not None
        self.is_plain = self.is_plain and all(map(_is_plain, distinct.values()))
        self.has_limits = self.has_limits or any(kind.at_most or kind.max_fails for kind in distinct.values())
        self.last = numbers[-1]

    def pieces(self) -> Iterator[Piece]:
        from pickle import loads

        for numbers, kinds, which, ids, commands in self._spool:
            some = range(numbers, numbers + len(commands)) if isinstance(numbers, int) else numbers
            yield Piece(some, loads(kinds), which, ids, commands)

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[JobRequest]:
        for piece in self.pieces():
            yield from piece.requests()

    def blamed(self, error: IdTaken | IdTwice) -> QueuectlError:
        """The error, with the line of the id if there is one."""
        found = self._numbers_of(error.id)
        number = next(found, None)
        if number is None:
            return error
        if isinstance(error, IdTaken):
            return Conflict(f"{self.name} {self.kind} {number}: {error.message}", error.hint_and(self.so_far))
        where = f"{self.name} {self.kind} {next(found, number)}"
        return Conflict(
            f"{where}: {error.message}, in {self.kind} {number} too", f"give each job its own; {self.so_far}"
        )

    def _numbers_of(self, id: str) -> Iterator[int]:
        for piece in self.pieces():
            if piece.ids and id in piece.ids:
                yield from (number for number, each in zip(piece.numbers, piece.ids, strict=True) if each == id)


def _is_plain(kind: JobRequest) -> bool:
    """Whether a job cannot meet others by more than its id, for which it has no rule."""
    return kind.on_conflict is None and "unique_key" not in kind.columns


def read_lines(file: Iterable[bytes], name: str, now: float) -> Requests:
    """The jobs of a file with one JSON job per line. Raises `Invalid` with the line."""
    return read(documents_in_lines(file), name, now)


def read(documents: Documents, name: str, now: float, **how: Any) -> Requests:
    """The jobs of these documents; see `Reader`."""
    return next(Reader(documents, name, now, **how).chunks(), None) or Requests(name, documents.kind)


class Reader:
    """Reads documents, each with the keys `given` as options, named as `spelled` in errors.

    With `left_out`, accepts what queuectl itself prints, and adds the ignored keys to `left_out`. `so_far`: what an
    error says of the jobs before.
    """

    def __init__(
        self, documents: Documents, name: str, now: float, *, given: JsonObject = NO_KEYS,
        spelled: Mapping[str, str] = NO_SPELLING, progress: Callable[[int], None] | None = None,
        left_out: dict[str, None] | None = None, quotes: bool = False,
    ) -> None:  # fmt: skip
        self._documents = documents
        self._name = name
        self._check = _Check(now, given, spelled, left_out)
        self._progress = progress
        self._quotes = quotes
        self.so_far = NOTHING_DONE

    def chunks(self, most: int | None = None) -> Iterator[Requests]:
        """The jobs, at most this many at once. Raises `Invalid` with the number of the document."""
        numbered = iter(self._documents.numbered)
        requests, before = self._empty(), 0
        while True:
            size = PIECE if most is None else min(PIECE, most - len(requests))
            columns = self._checked(islice(numbered, size))
            read = len(columns[0])
            if read:
                requests.add(*columns)
            if self._progress:
                self._progress(before + len(requests))
            if len(requests) and (read < size or len(requests) == most):
                yield requests
                before += len(requests)
                requests = self._empty()
            if read < size:
                return

    def _empty(self) -> Requests:
        return Requests(self._name, self._documents.kind, self._quotes)

    def _checked(self, numbered: Iterable[tuple[int, Any]]) -> tuple[list[int], list[JobRequest], list[Any], list[Any]]:
        """The numbers, kinds, ids and commands of some documents."""
        numbers, kinds, ids, commands = list[int](), list[JobRequest](), list[Any](), list[Any]()
        decode, quick, slow = self._documents.decode, self._check.quick, self._check.slow
        for number, raw in numbered:
            try:
                kind, id, command = quick(decode(raw)) or slow(decode(raw))
            except RecursionError:
                raise self._wrong(number, Invalid("the JSON is nested too deeply")) from None
            except (Invalid, Conflict) as error:
                raise self._wrong(number, error) from None
            numbers.append(number)
            kinds.append(kind)
            ids.append(id)
            commands.append(command)
        return numbers, kinds, ids, commands

    def _wrong(self, number: int, error: Invalid | Conflict) -> QueuectlError:
        where = f"{self._name} {self._documents.kind} {number}"
        error.say(f"{where}: {error.message}", error.hint_and(self.so_far))
        return error


class _Check:
    """Checks documents. `quick` knows the kinds of earlier ones, and gives up where it is not sure; `slow` decides."""

    def __init__(
        self, now: float, given: JsonObject, spelled: Mapping[str, str], left_out: dict[str, None] | None
    ) -> None:
        self._now = now
        self._given = given
        self._spelled = spelled
        self._left_out = left_out
        self._kinds: dict[tuple[bool, str], JobRequest] = {}
        self._is_whole = given.keys().isdisjoint(_OWN)

    def quick(self, document: Any) -> tuple[JobRequest, str | None, Any] | None:
        """The kind, the id and the command of a job whose other keys have been seen before. Spoils the document."""
        if type(document) is not dict:
            return None
        command, id = document.pop("command", None), document.pop("id", None)
        kind = self._kinds.get((id is None, repr(document) if document else ""))
        if kind is None or (id is not None and not (type(id) is str and may_be_id(id))):
            return None
        if type(command) is str:
            if not command.isspace() and _is_short(command, 0):
                return kind, id, command
        elif type(command) is list and _are_short(command):
            return kind, id, tuple(command)
        try:
            return kind, id, check_command(command, "command")
        except Invalid:
            return None

    def slow(self, document: object) -> tuple[JobRequest, str | None, Any]:
        """The same for any document. Raises `Invalid`."""
        ignored: list[str] = []
        asked = document
        if self._left_out is not None:
            asked, ignored = of_printed(document)
        request = parse_request(merged(asked, self._given), self._now, self._spelled)
        kind = request._replace(id=None, command="")
        if ignored:
            assert self._left_out is not None
            self._left_out.update(dict.fromkeys(ignored))
        elif isinstance(document, dict) and self._is_whole and CHECKED_ONE_BY_ONE.isdisjoint(document):
            if len(self._kinds) >= KINDS_KNOWN_MAX:
                self._kinds.clear()
            rest = {key: value for key, value in document.items() if key not in _OWN}
            self._kinds[request.id is None, repr(rest) if rest else ""] = kind
        return kind, request.id, request.command


def _is_short(text: str, nuls: int) -> bool:
    """Whether a command is clearly within its limits; a list of words has a NUL between two."""
    return 0 < len(text) <= SHORT_CHARACTERS and text.isascii() and text.count("\0") == nuls


def _are_short(words: list[Any]) -> bool:
    return set(map(type, words)) == {str} and words[0] != "" and _is_short("\0".join(words), len(words) - 1)
