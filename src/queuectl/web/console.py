"""The dashboard's console: queuectl's own commands, typed in a browser, parsed by the command line's own code.

A line is split here and never passed to a shell. The command runs in this process, with its own thread and client, and
writes to the browser's panel. Rules:

- A word that begins with `{` begins a JSON object, taken before words are split: its quotes and blanks stay.
- A read-only token may call only commands that read, by GET. Everything else is a POST, for which the guard demands a
  full token.
- Commands that make no sense without a terminal are refused with the reason.
- `Session.stop` is Ctrl-C. When the reader leaves, nothing that was begun is undone: a command that only watches ends,
  and the job of a `run` goes on.
- `worker start` starts a separate process: a server with threads must not fork.
"""

from __future__ import annotations

import asyncio
import codecs
import io
import os
import re
import shlex
import subprocess
import threading
from collections import deque
from collections.abc import Callable
from contextlib import closing
from json import JSONDecodeError, JSONDecoder

from queuectl import ids, program
from queuectl.cli import main
from queuectl.cli.call import Call
from queuectl.cli.command import GLOBAL_OPTIONS, Command
from queuectl.cli.commands import commands
from queuectl.cli.console import Screen
from queuectl.client.facade import Client
from queuectl.domain.errors import Invalid
from queuectl.typed import NamedTuple
from queuectl.web.guard import Visitor
from queuectl.web.problems import Forbidden, Overloaded
from queuectl.web.streams import message

SESSIONS_MAX = 16
SESSION_ID_LENGTH = 16
OUTPUT_BYTES_MAX = 2 << 20
LINE_MAX = 64 << 10
WIDTH_LEAST, WIDTH_MOST = 40, 300
HEIGHT = 40
WORKER_STARTS_WITHIN_S = 30.0


def words_of(line: str) -> list[str]:
    """The words of a line as typed. Raises `Invalid`."""
    line = re.sub(r"^\s*(?:\$\s+)?(?:queuectl(?:\s+|$))?", "", line)
    head, brace, _ = line.partition("{")
    before = _split(head) if brace and (not head or head[-1].isspace()) else None
    if before is None or "--" in before:
        words = _split(line)
        if words is None:
            raise Invalid("a quote is not closed", "close it, or put a backslash before it")
        return words
    text = line[len(head) :]
    try:
        end = JSONDecoder().raw_decode(text)[1]
    except (JSONDecodeError, RecursionError):
        return [*before, text]  # the command itself says what is wrong, or knows this form
    return [*before, text[:end], *(_split(text[end:]) or [])]


def _split(text: str) -> list[str] | None:
    """Words as a shell would read them, without expansion; None if a quote is open."""
    try:
        return shlex.split(text)
    except ValueError:
        return None


class Asked(Exception):
    """A command asks a question that has no answer yet."""


class Left(Exception):
    """The command's reader has left: it ends at once."""


class Typed(NamedTuple):
    """A typed line with the panel's width, and the answer if the command asked a question before."""

    line: str
    visitor: Visitor
    width: int = 100
    answer: str | None = None
    by_get: bool = False


class Console:
    """The commands that run in browsers' consoles."""

    def __init__(self, open_client: Callable[[], Client], listen_s_max: float) -> None:
        self._open = open_client
        self._listen_s_max = listen_s_max
        self._sessions: dict[str, Session] = {}

    def run(self, typed: Typed) -> Session:
        """Starts a line. Raises `Invalid`, `Overloaded`."""
        if len(typed.line) > LINE_MAX:
            raise Invalid(f"the line is longer than {LINE_MAX:,} characters", "put jobs into a file: enqueue --file")
        words = words_of(typed.line)
        if len(self._sessions) >= SESSIONS_MAX:
            raise Overloaded("too many commands are running in consoles", "wait for one to end, or stop it")
        session = Session(asyncio.get_running_loop(), typed, words, self._open, self._over)
        self._sessions[session.id] = session
        session.begin(self._listen_s_max)
        return session

    def stop(self, session_id: str, visitor: Visitor) -> None:
        """Interrupts a running command of this visitor, as Ctrl-C does."""
        session = self._sessions.get(session_id)
        if session is not None and session.visitor.token.id == visitor.token.id:
            session.stop()

    def _over(self, session: Session) -> None:
        self._sessions.pop(session.id, None)

    def close(self) -> None:
        """Ends all commands."""
        for session in list(self._sessions.values()):
            session.hang_up()


class Session:
    """A running line: the source of a stream of the events `begin`, `output`, and at last `question` or `end`."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, typed: Typed, words: list[str], open_client: Callable[[], Client],
        over: Callable[[Session], None],
    ) -> None:  # fmt: skip
        self.id = ids.random_id(SESSION_ID_LENGTH)
        self._loop = loop
        self._typed = typed
        self._words = words
        self._open = open_client
        self._tell_over = over
        self._lock = threading.Lock()
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._room = OUTPUT_BYTES_MAX
        self._called = threading.Event()  # by Ctrl-C, or because the reader has left
        self._gone = False
        self._deaf = False
        self._begin = message("begin", {"session": self.id})
        self._news = asyncio.Event()
        self._news.set()
        self._end: bytes | None = None
        self._over = False
        decoder = codecs.getincrementaldecoder("utf-8")
        self._decoders = {1: decoder("replace"), 2: decoder("replace")}

    @property
    def visitor(self) -> Visitor:
        """Who typed the line."""
        return self._typed.visitor

    # --- for the event loop -----------------------------------------------------------------

    def begin(self, listen_s_max: float) -> None:
        """Starts the command. After `listen_s_max` seconds it ends as if its reader had left."""
        self._timer = self._loop.call_later(listen_s_max, self._leave_it)
        threading.Thread(target=self._run, name="queuectl-console", daemon=True).start()

    async def next(self) -> bytes | None:
        if self._over:
            return None
        await self._news.wait()
        self._news.clear()
        with self._lock:
            pieces, self._waiting = self._waiting, deque()
            end = self._end
        self._over = end is not None
        begin, self._begin = self._begin, b""
        return begin + b"".join(self._told(stream, data) for stream, data in _joined(pieces)) + (end or b"")

    def _told(self, stream: int, data: bytes) -> bytes:
        text = self._decoders[stream].decode(data)
        return message("output", {"stream": stream, "text": text}) if text else b""

    def stop(self) -> None:
        """Ctrl-C."""
        self._called.set()

    def hang_up(self) -> None:
        """The reader has left, or the server stops."""
        self._leave_it()
        self._over = True
        self._news.set()

    def close(self) -> None:
        self._timer.cancel()
        self._leave_it()

    def _leave_it(self) -> None:
        self._gone = True
        self._called.set()

    # --- for the command's thread -----------------------------------------------------------

    def put(self, stream: int, data: bytes) -> None:
        """Takes the command's output. Raises `KeyboardInterrupt`; once also `Left`: no reader, or too much output."""
        if self._deaf:
            return
        self._answer_call()
        with self._lock:
            self._waiting.append((stream, data[: self._room]))
            self._room -= len(data)
        self._tell()
        if self._room < 0:
            self._leave_it()
            self._answer_call()

    def pause(self, seconds: float) -> None:
        """Waits. Raises `KeyboardInterrupt`, `Left`."""
        self._called.wait(seconds)
        self._answer_call()

    def _answer_call(self) -> None:
        if self._gone:
            self._deaf = True
            raise Left
        if self._called.is_set():
            self._called.clear()
            raise KeyboardInterrupt

    def _tell(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._news.set)
        except RuntimeError:  # the server has ended
            self._leave_it()

    def _answer(self, question: str) -> str:
        if self._typed.answer is None:
            raise Asked(question)
        return self._typed.answer

    def _screen(self) -> Screen:
        out, err = (
            io.TextIOWrapper(_Stream(self, number), "utf-8", errors="backslashreplace", write_through=True)  # type: ignore[type-var]
            for number in (1, 2)
        )
        width = max(WIDTH_LEAST, min(self._typed.width, WIDTH_MOST))
        return Screen(
            out=out, err=err, terminal=True, width=width, height=HEIGHT, answer=self._answer, progress=False,
            pause=self.pause,
        )  # fmt: skip

    def _run(self) -> None:
        end = message("end", {"code": 1})
        try:
            code = main.execute(self._words, self._screen(), self._do, lambda db: self._client())
            end = message("end", {"code": code})
        except Left:
            end = message("end", {"code": 0, "cut" if self._room < 0 else "left": True})
        except Asked as asked:
            end = message("question", {"text": str(asked)})
        except KeyboardInterrupt:  # while the interruption was being told
            end = message("end", {"code": main.EXIT_INTERRUPTED})
        finally:
            with self._lock:
                self._end = end
            self._tell()
            self._tell_over(self)

    def _client(self) -> Client:
        client = self._open()
        client.who = self._typed.visitor.who
        return client

    def _do(self, command: Command, call: Call) -> int:
        """Runs a command if it is allowed here."""
        self._check(command, call)
        if command.name == "worker start":
            return self._start_worker(call)
        if command.name == "doctor":  # doctor opens the store itself
            client = self._client()
            call.args.db = client.address
            client.close()
        return main.do(command, call)

    def _check(self, command: Command, call: Call) -> None:
        if call.args.db is not None:
            raise Invalid("the console works on the server's store only", "for another: queuectl serve --db PATH")
        if command.only_here:
            raise Invalid(f"{command.name} {command.only_here}")
        visitor = self._typed.visitor
        if not visitor.may_write and (not command.reads or call.args.json):
            reading = sorted(name for name, row in commands().items() if row.reads)
            raise Forbidden(f"token {visitor.token.name} is read-only", f"it may use: {', '.join(reading)}")
        if self._typed.by_get and not command.reads:
            raise Forbidden(f"{command.name} changes something", "send it as a POST")

    def _start_worker(self, call: Call) -> int:
        """Starts a worker as a separate process, which outlives this server."""
        words = [*program.command(), *self._words]
        if not call.args.detach:
            words.append("--detach")
        with closing(self._client()) as client:
            done = subprocess.run(
                words, env={**os.environ, "QUEUECTL_DB": client.address}, stdin=subprocess.DEVNULL,
                capture_output=True, timeout=WORKER_STARTS_WITHIN_S, check=False,
            )  # fmt: skip
            if done.returncode == 0:
                client.note("WorkersStarted", " ".join(self._words))
        call.console.raw(done.stdout)
        call.console.raw(done.stderr, 2)
        return done.returncode


def _joined(pieces: deque[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Joins neighbouring pieces of the same stream."""
    joined: list[tuple[int, list[bytes]]] = []
    for stream, data in pieces:
        if joined and joined[-1][0] == stream:
            joined[-1][1].append(data)
        else:
            joined.append((stream, [data]))
    return [(stream, b"".join(parts)) for stream, parts in joined]


class _Stream(io.RawIOBase):
    """A stream of a session, as a file."""

    def __init__(self, session: Session, number: int) -> None:
        super().__init__()
        self._session = session
        self._number = number

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        taken = bytes(data)  # type: ignore[call-overload]
        self._session.put(self._number, taken)
        return len(taken)


class Entry(NamedTuple):
    """What the panel needs to complete a command: its name, its options, the kind of its words."""

    name: str
    help: str
    flags: tuple[str, ...]
    words: str


def entries() -> list[Entry]:
    """The commands that can be typed here."""
    return [_entry(command) for command in commands().values() if not command.only_here]


def _entry(command: Command) -> Entry:
    options = (*command.options, *GLOBAL_OPTIONS)
    return Entry(
        name=command.name, help=command.help, words=command.words,
        flags=tuple(option.flags[-1] for option in options if "--db" not in option.flags),
    )  # fmt: skip
