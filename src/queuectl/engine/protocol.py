"""What dispatcher and supervisor say to each other.

Each kind of message is a named tuple. On the wire (see channel.py) it is a JSON array: its kind, then its fields.
Output travels as Latin-1 text. Any two releases of one major version must understand each other, so fields are only
added, at the end and with a default; a receiver ignores kinds and fields that it does not know.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TypedDict

from queuectl.domain.cause import Cause
from queuectl.engine.lease import Lease
from queuectl.typed import Any, NamedTuple

PROTOCOL = 1
SOCKET_NAME = "socket"
JOURNAL_NAME = "journal"
SPECS_MAX = 5000
"""The number of specs that a supervisor remembers. A dispatcher refers to no older ones."""

Key = tuple[int, int]
"""The name of an execution: `jobs.seq` and the lease under which it runs."""

# --- from the dispatcher ----------------------------------------------------------------------


class Hello(NamedTuple):
    """Claims the right to drive. The highest epoch wins; the supervisor hangs up on others."""

    protocol: int
    epoch: int


class Ask(NamedTuple):
    """Any worker asks whether the supervisor is orphaned."""

    protocol: int


class Prepare(NamedTuple):
    """Prepare surroundings, to which later orders refer by `number`: what of a job's spec a supervisor needs."""

    number: int
    spec: dict[str, Any]


class Order(NamedTuple):
    """Start a command. `spec` is the number of a `Prepare`. Sent only between two sides of one release."""

    seq: int
    lease: int
    number: int
    job_id: str
    queue: str
    spec: int
    command: str | list[str] | tuple[str, ...]
    timeout: float | None
    kill_grace: float
    batch: str | None = None
    text: str | None = None
    """What its stdin gives it, in place of a file."""

    @property
    def key(self) -> Key:
        return self.seq, self.lease


class Slots(NamedTuple):
    """Take no more than the first `used` slots from now on. Sent only between two sides of one release."""

    used: int


class Drop(NamedTuple):
    """Forget an order that has not been carried out yet."""

    seq: int
    lease: int


class Terminate(NamedTuple):
    """End an execution: SIGTERM to its whole tree, SIGKILL after its grace."""

    seq: int
    lease: int
    cause: str


class Signalled(NamedTuple):
    """The worker has received a signal to stop: see supervise/withheld.py."""


class Recorded(NamedTuple):
    """These results are committed; the supervisor need not keep them."""

    keys: Sequence[Sequence[int]]


class Ping(NamedTuple):
    """The dispatcher lives."""


class Leave(NamedTuple):
    """Exit when nothing runs and every result is recorded."""


# --- from the supervisor ----------------------------------------------------------------------


class About(TypedDict, total=False):
    """A supervisor about itself. `silent`: seconds since its dispatcher's last word. 0.1.0 does not tell its epoch."""

    protocol: int
    epoch: int
    driven: bool
    silent: float


class Welcome(NamedTuple):
    """The answer to `Hello`, after everything that runs and every unrecorded result."""

    about: About


class State(NamedTuple):
    """The answer to `Ask`."""

    about: About


class Started(NamedTuple):
    """A command runs. `files`: what it writes to, by stream. A dispatcher of 0.2.0.dev1 takes no further field."""

    seq: int
    lease: int
    at: float
    pid: int
    files: Mapping[str, str]


NOT_TOLD = (None, None)


class Ended(NamedTuple):
    """An execution has ended. `used`: its CPU time and peak memory, known only after the result is in the journal.
    0.1.0 does not tell them."""

    result: dict[str, Any]
    used: Sequence[Any] = NOT_TOLD


class Dropped(NamedTuple):
    """The answer to `Drop`, or to `Terminate` where there was nothing to end."""

    seq: int
    lease: int


class Short(NamedTuple):
    """An order waits, and all behind it: the machine has no room for another command now."""

    seq: int
    lease: int


class Stuck(NamedTuple):
    """An execution was to be ended and lives on; `what` of it."""

    seq: int
    lease: int
    what: str


class Tells(NamedTuple):
    """A running command may tell of itself in this folder (see supervise/told.py), relative to the store's."""

    seq: int
    lease: int
    place: str


class Progress(NamedTuple):
    """How far a running command says it is."""

    seq: int
    lease: int
    text: str


FromDispatcher = (
    Hello | Ask | Prepare | Order | Slots | Drop | Terminate | Signalled | Recorded | Ping | Lease | Leave
)  # fmt: skip
FromSupervisor = Welcome | State | Started | Ended | Dropped | Short | Stuck | Tells | Progress
Message = FromDispatcher | FromSupervisor

_KINDS: dict[str, type[Message]] = {
    "hello": Hello, "ask": Ask, "spec": Prepare, "start": Order, "slots": Slots, "drop": Drop, "end": Terminate,
    "signalled": Signalled, "recorded": Recorded, "ping": Ping, "lease": Lease, "leave": Leave,
    "welcome": Welcome, "state": State, "started": Started, "ended": Ended, "dropped": Dropped, "short": Short,
    "stuck": Stuck, "tells": Tells, "progress": Progress,
}  # fmt: skip
_NAMES = {kind: name for name, kind in _KINDS.items()}

encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, check_circular=False).encode
"""A message, or a part of one, as JSON."""


def words_of(message: Message) -> tuple[Any, ...]:
    """A message as what its JSON array holds."""
    return (_NAMES[type(message)], *message)


def encoded(message: Message) -> str:
    """A message as JSON."""
    return encode(words_of(message))


def parse(words: list[Any]) -> Message | None:
    """A message from its JSON array; None for a kind that this release does not know."""
    name, *fields = words
    kind = _KINDS.get(name)
    if kind is None:
        return None
    return kind(*fields) if len(fields) <= len(kind._fields) else kind(*fields[: len(kind._fields)])


# --- the end of an execution ------------------------------------------------------------------


class Kept(TypedDict, total=False):
    """The output of one stream: `text`, or the file `path`. `size` in bytes; of a file that was cut, only `kept` bytes
    are there, half at either end."""

    text: str
    path: str
    size: int
    kept: int


def kept_inline(data: bytes) -> Kept:
    """All of what was written, in the message itself: a character a byte."""
    return {"text": data.decode("latin-1"), "size": len(data)}


class End(NamedTuple):
    """How an execution ended, by the clock of its machine. `error` says what went wrong beyond the command's own exit;
    `leftover` names the processes that it left behind. `progress` and `result` are what it has told of itself, and
    `note` is why there is no result though it wrote one."""

    seq: int
    lease: int
    started_at: float
    finished_at: float
    exit_code: int | None = None
    signal: int | None = None
    cause: Cause | None = None
    error: str | None = None
    outputs: Mapping[str, Kept] | None = None
    leftover: str | None = None
    progress: str | None = None
    result: Kept | None = None
    note: str | None = None
    cpu_time: float | None = None
    max_rss: int | None = None

    @property
    def key(self) -> Key:
        return self.seq, self.lease

    def told(self) -> dict[str, Any]:
        """What the journal and `Ended` have of it: all that is known before the process is reaped."""
        return {name: value for name, value in zip(_TOLD, self, strict=False) if value is not None}

    @classmethod
    def of(cls, told: Mapping[str, Any], used: Iterable[Any] = NOT_TOLD) -> End:
        """From what was told of it, and what it used."""
        known: Iterable[Any] = map(told.get, _TOLD)
        end = cls(*known, *used)
        return end if end.cause is None else end._replace(cause=Cause(end.cause))


_TOLD = End._fields[: End._fields.index("cpu_time")]
