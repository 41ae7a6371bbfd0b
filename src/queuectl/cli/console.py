"""Where a command's words go: results to its output, messages for people to its other one.

`Screen` is where they appear: this process's streams, or any others. `Console` knows whether a person looks (a
terminal) or a program reads (a pipe), and whether JSON, colours or bare ids are wanted.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TextIO

from queuectl.cli import render
from queuectl.domain.errors import Invalid, QueuectlError

PROGRESS_EVERY = 1000


class Screen(NamedTuple):
    """Two streams, and who looks at them. `terminal`: a person reads the results, in lines of `width` signs.

    `answer` puts a question to that person and gives back what was typed; none where nobody can be asked. `progress`:
    somebody sees lines that are written over. `pause` waits, until somebody interrupts. `own`: these are this process's
    streams, and its signals interrupt.
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
    """This process's standard streams, as they are now."""
    terminal = _is_terminal(sys.stdout)
    return Screen(
        out=sys.stdout, err=sys.stderr, terminal=terminal, width=_terminal_width() if terminal else None,
        height=_terminal_height() if terminal else None, answer=_typed if _is_terminal(sys.stdin) else None,
        progress=_is_terminal(sys.stderr), own=True,
    )  # fmt: skip


def _typed(question: str) -> str:
    """Puts a question to whoever sits at the terminal that stdin is, wherever stderr goes."""
    if _is_terminal(sys.stderr):
        print(question, end="", file=sys.stderr, flush=True)
    else:
        with open(os.ttyname(sys.stdin.fileno()), "w") as terminal:
            terminal.write(question)
    return sys.stdin.readline()


class Console:
    """A screen and how to write to it."""

    def __init__(
        self, screen: Screen | None = None, *, as_json: bool = False, quiet: bool = False, color: str = "auto"
    ) -> None:
        self.screen = screen or own_screen()
        self.as_json = as_json
        self.quiet = quiet
        self.terminal = self.screen.terminal
        self.colour = _wants_colour(color, self.terminal)
        self.width = self.screen.width
        self._drawn = 0

    # --- results ----------------------------------------------------------------------------

    def print(self, text: str = "") -> None:
        """A line of the result."""
        print(text, file=self.screen.out)

    def lines(self, lines: Iterable[str]) -> None:
        """Lines of the result."""
        self.screen.out.writelines(f"{line}\n" for line in lines)

    def raw(self, data: bytes, stream: int = 1) -> None:
        """A command's own bytes, untouched, at once."""
        target = self.screen.err if stream == 2 else self.screen.out
        target.flush()
        target.buffer.write(data)
        target.buffer.flush()

    def json(self, value: Any) -> None:
        """One JSON document."""
        print(self._dumped(value, indent=2), file=self.screen.out)

    def json_array(self, values: Iterable[Any]) -> None:
        """A JSON array, written as it comes: an element a line for programs, spread out for people."""
        indent = 2 if self.terminal else None
        separator = "[\n"
        for value in values:
            self.screen.out.write(separator + self._dumped(value, indent))
            separator = ",\n"
        print("[]" if separator == "[\n" else "\n]", file=self.screen.out)

    def table(self, columns: Sequence[render.Column], rows: Iterable[Sequence[str | render.Cell]]) -> None:
        """A table, as wide as the terminal; complete in a pipe."""
        self.lines(render.table(columns, rows, width=self.width, colour=self.colour))

    def interruptible(self) -> None:
        """Where a command waits: raises `KeyboardInterrupt` if its person has interrupted it."""
        self.screen.pause(0.0)

    def flush(self) -> None:
        """Sends on what was printed, where the command goes on for long."""
        self.screen.out.flush()

    def paint(self, text: str, style: str) -> str:
        """The text in a style, where colours are wanted."""
        return render.paint(text, style, self.colour)

    # --- messages ---------------------------------------------------------------------------

    def note(self, text: str, code: str = "info") -> None:
        """A line for people, with `--json` an object whose `code` says which; `--quiet` silences it."""
        if not self.quiet:
            self.screen.out.flush()
            shown = json.dumps({"note": {"code": code, "message": text}}) if self.as_json else text
            print(shown, file=self.screen.err, flush=True)

    def error(self, error: QueuectlError) -> None:
        """The one form in which every error is shown."""
        try:
            self.screen.out.flush()
        except OSError:
            pass  # it will be reported where the command's end flushes
        if self.as_json:
            parts = {"code": error.code, "message": error.message, "hint": error.hint}
            print(json.dumps({"error": parts}), file=self.screen.err)
        else:
            text = f"{error.message}; {error.hint}" if error.hint else error.message
            print(f"queuectl: {render.visible(text)}", file=self.screen.err)

    def confirmed(self, question: str, yes: bool, unasked: str = "") -> bool:
        """Whether to go on: asks where a person sits at the terminal and has not said `--yes`.

        Where nobody can be asked it goes on, unless `unasked` says what would then happen: that is refused (`Invalid`).
        """
        answer = self.screen.answer
        if not yes and answer is None and unasked:
            raise Invalid(unasked, "confirm with --yes")
        if yes or answer is None:
            return True
        self.screen.out.flush()
        return answer(f"{question} [y/N] ").strip().lower() in ("y", "yes")

    def progress(self, verb: str, total: int | None = None) -> Callable[[int], None] | None:
        """Shows on a terminal how far long work is; None where nobody looks. Call `progress_done` at its end.

        The line is written over without an escape sequence, so that a simple terminal shows it as well.
        """
        if self.quiet or self.as_json or not self.screen.progress:
            return None
        of = "" if total is None else f" of {total:,}"

        def show(done: int) -> None:
            text = f"{verb} {done:,}{of} "
            self._drawn = max(self._drawn, len(text))
            print(f"\r{text}", end="", file=self.screen.err, flush=True)

        return show

    def progress_done(self) -> None:
        """Removes the progress line."""
        if self._drawn:
            print(f"\r{'':{self._drawn}}\r", end="", file=self.screen.err, flush=True)
            self._drawn = 0

    def _dumped(self, value: Any, indent: int | None) -> str:
        plain = (self.screen.out.encoding or "").lower().replace("-", "") != "utf8"
        return json.dumps(value, indent=indent, ensure_ascii=plain)


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
