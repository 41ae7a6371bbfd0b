"""Output of commands: results to stdout, messages for people to stderr.

`Screen` holds the streams: this process's own, or others. `Console` knows whether a person (a terminal) or a program (a
pipe) reads them, and whether JSON, colours or bare ids are wanted.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property

from queuectl.cli import render
from queuectl.cli.hints import on_store, with_options
from queuectl.domain.errors import Invalid, QueuectlError
from queuectl.typed import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from typing import TextIO

    from queuectl.cli.progress import Progress
    from queuectl.domain.job import Job


class Named(Protocol):
    """A thing with a name."""

    @property
    def name(self) -> str: ...


class Screen(NamedTuple):
    """Two streams and their reader. `terminal`: a person reads the results, in lines of `width` characters.

    `answer` asks that person a question and returns the answer; None if nobody can be asked. `progress`: lines may be
    written over. `pause` waits until its time is over or somebody interrupts. `own`: these are this process's streams,
    and its signals interrupt.
    """

    out: TextIO
    err: TextIO
    terminal: bool
    width: int | None
    height: int | None
    answer: Callable[[str], str] | None
    progress: bool
    pause: Callable[[float], None] = time.sleep
    own: bool = False


def own_screen() -> Screen:
    """This process's standard streams."""
    terminal = _is_terminal(sys.stdout)
    return Screen(
        out=sys.stdout, err=sys.stderr, terminal=terminal, width=_terminal_width() if terminal else None,
        height=_terminal_height() if terminal else None, answer=_typed if _is_terminal(sys.stdin) else None,
        progress=_is_terminal(sys.stderr), own=True,
    )  # fmt: skip


def _typed(question: str) -> str:
    """Asks a question on the terminal that stdin is, even if stderr goes elsewhere."""
    if _is_terminal(sys.stderr):
        print(question, end="", file=sys.stderr, flush=True)
    else:
        with open(os.ttyname(sys.stdin.fileno()), "w") as terminal:
            terminal.write(question)
    return sys.stdin.readline()


class Console:
    """Writes to a screen."""

    def __init__(
        self, screen: Screen | None = None, *, as_json: bool = False, quiet: bool = False, color: str = "auto",
        db: str | None = None,
    ) -> None:  # fmt: skip
        """`db`: the store that the command line names, for the commands in hints."""
        self.screen = screen or own_screen()
        self.as_json = as_json
        self.quiet = quiet
        self.db = db
        self.terminal = self.screen.terminal
        self.colour = _wants_colour(color, self.terminal)
        self.width = self.screen.width
        self._progress: Progress | None = None
        self._line_is_open = False
        """Whether a command's output that has not ended its line is where messages go."""

    @cached_property
    def one_place(self) -> bool:
        """Whether stdout and stderr are the same terminal, pipe or file."""
        try:
            return self.screen.own and os.path.sameopenfile(sys.stdout.fileno(), sys.stderr.fileno())
        except (OSError, ValueError):
            return False

    def time(self, at: float) -> str:
        """A time within a sentence: in JSON as UTC, otherwise in the reader's zone."""
        from queuectl.wire.times import format_second
        from queuectl.wire.words import local_time

        return format_second(at) if self.as_json else local_time(at)

    # --- results ----------------------------------------------------------------------------

    def print(self, text: str = "") -> None:
        """Prints a line of the result."""
        print(text, file=self.screen.out)

    def lines(self, lines: Iterable[str]) -> None:
        """Prints lines of the result."""
        self.screen.out.writelines(f"{line}\n" for line in lines)

    def raw(self, data: bytes, stream: int = 1, at_once: bool = True) -> None:
        """Writes bytes unchanged, and at once or with the next ones."""
        target = self.screen.err if stream == 2 else self.screen.out
        target.flush()
        target.buffer.write(data)
        if data and (stream == 2 or self.one_place):
            self._line_is_open = not data.endswith(b"\n")
        if at_once:
            target.buffer.flush()

    def json(self, value: Any) -> None:
        """Prints a JSON document."""
        print(self._dumped(value, indent=2), file=self.screen.out)

    def answer(self, document: Any, bare: str, told: str) -> None:
        """Prints the one result of a command: as JSON, with --quiet what is `bare`, else what people are told."""
        if self.as_json:
            self.json(document)
        else:
            self.print(bare if self.quiet else told)

    def facts(self, name: str, facts: Mapping[str, str | None]) -> bool:
        """Prints a thing, a line for each of its facts that it has. With --quiet prints its name alone, and returns
        False: no more is wanted of it."""
        if self.quiet:
            self.print(name)
        else:
            self.lines(f"{title:<12} {value}" for title, value in facts.items() if value)
        return not self.quiet

    def json_lines(self, values: Iterable[Any]) -> None:
        """Prints JSON documents, one a line."""
        self.lines(self._dumped(value, None) for value in values)

    def json_array(self, values: Iterable[Any]) -> None:
        """Prints a JSON array as its values come: one a line for programs, indented for people."""
        indent = 2 if self.terminal else None
        self._array([self._dumped(value, indent)] for value in values)

    def job_array(self, pages: Iterable[tuple[Sequence[Job], Sequence[str | None]]]) -> None:
        """Prints jobs and their reasons in the same form, page by page (none is empty)."""
        if self.terminal:
            from queuectl.wire.jobs import job_to_json

            self.json_array(job_to_json(*each) for page in pages for each in zip(*page, strict=True))
            return
        from queuectl.wire.listing import JobTexts

        texts = JobTexts(self._is_plain)
        self._array(texts.of(*page) for page in pages)

    def _array(self, parts: Iterable[Iterable[str]]) -> None:
        """Prints a JSON array, given the texts of its values in parts of at least one."""
        write, separator = self.screen.out.write, "[\n"
        for part in parts:
            write(separator + ",\n".join(part))
            separator = ",\n"
        print("[]" if separator == "[\n" else "\n]", file=self.screen.out)

    def table(self, columns: Sequence[render.Column], rows: Iterable[Sequence[str | render.Cell]]) -> None:
        """Prints a table, cut to the terminal's width; complete in a pipe."""
        self.table_in_parts(columns, [rows])

    def table_in_parts(
        self, columns: Sequence[render.Column], parts: Iterable[Iterable[Sequence[str | render.Cell]]]
    ) -> None:
        """The same for rows that come in parts. Columns may be wider in later parts."""
        table = render.Table(columns, width=self.width, colour=self.colour)
        for part in parts:
            self.lines(line for lines in table.rows(part) for line in lines)

    def named(
        self, columns: Sequence[render.Column], found: Sequence[Named],
        row: Callable[[Any], Sequence[str | render.Cell]],
    ) -> bool:  # fmt: skip
        """Prints a table of things by name, q2 before q10: a row each, or with --quiet the names alone. Returns whether
        a person is to be told that there are none."""
        from queuectl.wire.words import natural

        ordered = sorted(found, key=lambda each: natural(each.name))
        if self.quiet:
            self.lines(each.name for each in ordered)
        elif found:
            self.table(columns, map(row, ordered))
        return not (found or self.quiet)

    def interruptible(self) -> None:
        """Called where a command waits: raises `KeyboardInterrupt` if the person has interrupted it."""
        self.screen.pause(0.0)

    def flush(self) -> None:
        """Sends out what was printed, for commands that go on for long."""
        self.screen.out.flush()

    def paint(self, text: str, style: str) -> str:
        """The text in a style, if colours are wanted."""
        return render.paint(text, style, self.colour)

    # --- messages ---------------------------------------------------------------------------

    def note(self, text: str, code: str = "info", is_header: bool = False) -> None:
        """Prints a line for people; with `--json` an object with `code`; with `--quiet` nothing. A header, which parts
        outputs, begins a line wherever it goes."""
        if not self.quiet:
            self.begin_line(is_header)
            shown = json.dumps({"note": {"code": code, "message": text}}) if self.as_json else render.visible(text)
            print(shown, file=self.screen.err, flush=True)

    def error(self, error: QueuectlError) -> None:
        """Prints an error, in the one form of all errors."""
        self.begin_line()
        hint = with_options(on_store(error.hint, self.db))
        if self.as_json:
            parts = {"code": error.code, "message": error.message, "hint": hint}
            print(json.dumps({"error": parts}), file=self.screen.err)
        else:
            text = f"{error.message}; {hint}" if hint else error.message
            print(f"queuectl: {render.visible(text)}", file=self.screen.err)

    def begin_line(self, everywhere: bool = False) -> None:
        """Sends out what stands before a message, and on a terminal, or everywhere, ends its open line."""
        with suppress(OSError):  # reported when the command's end flushes
            self.screen.out.flush()
        if self._line_is_open and (everywhere or _is_terminal(self.screen.err)):
            print(file=self.screen.err)
        self._line_is_open = False

    def confirmed(self, question: str, yes: bool, unasked: str = "") -> bool:
        """Whether to go on; if not, says that nothing was changed. Asks on a terminal unless `--yes` was given.

        If nobody can be asked, it goes on; but raises `Invalid` if `unasked` says what would happen then.
        """
        answer = self.screen.answer
        if not yes and answer is None and unasked:
            raise Invalid(unasked, "confirm with --yes")
        if yes or answer is None:
            return True
        self.screen.out.flush()
        said = answer(f"{question} [y/N] ")
        if not said:
            print(file=self.screen.err)  # Ctrl-D leaves the question's line open
        agreed = said.strip().lower() in ("y", "yes")
        if not agreed:
            self.note("nothing was changed", "nothing_changed")
        return agreed

    def progress(self, verb: str, total: int | None = None) -> Progress | None:
        """Shows the progress of long work; None unless a terminal shows it. Call `progress_done` at its end."""
        if self.quiet or self.as_json or not self.screen.progress:
            return None
        from queuectl.cli.progress import Progress

        self._progress = Progress(self.screen.err, verb, total, self.screen.width)
        return self._progress

    def progress_done(self) -> None:
        """Removes the progress line."""
        if self._progress is not None:
            self._progress.clear()
            self._progress = None

    def _dumped(self, value: Any, indent: int | None) -> str:
        return json.dumps(value, indent=indent, ensure_ascii=self._is_plain)

    @property
    def _is_plain(self) -> bool:
        """Whether characters beyond ASCII are escaped in JSON, since the stream may not take them."""
        return (self.screen.out.encoding or "").lower().replace("-", "") != "utf8"


def _is_terminal(stream: Any) -> bool:
    return stream is not None and not stream.closed and stream.isatty()


def _wants_colour(color: str, terminal: bool) -> bool:
    if color != "auto":
        return color == "always"
    return terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _terminal_width() -> int:
    """The terminal's columns. `$COLUMNS` wins, as in every shell tool."""
    given = os.environ.get("COLUMNS", "")
    if given.isdigit() and int(given):
        return int(given)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except OSError:
        return 80


def _terminal_height() -> int | None:
    try:
        return os.get_terminal_size(sys.stdout.fileno()).lines or None
    except OSError:
        return None
