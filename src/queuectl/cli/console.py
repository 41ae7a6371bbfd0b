"""Where a command's words go: results to stdout, messages for people to stderr.

`Console` knows whether a person looks (a terminal) or a program reads (a pipe), and whether JSON, colours or
bare ids are wanted.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from queuectl.cli import render
from queuectl.domain.errors import QueuectlError

PROGRESS_EVERY = 1000


class Console:
    """The two streams of this process and how to write to them."""

    def __init__(self, *, as_json: bool = False, quiet: bool = False, color: str = "auto") -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.terminal = _is_terminal(sys.stdout)
        self.colour = _wants_colour(color, self.terminal)
        self.width = _terminal_width() if self.terminal else None

    # --- results ----------------------------------------------------------------------------

    def print(self, text: str = "") -> None:
        """A line of the result."""
        print(text)

    def lines(self, lines: Iterable[str]) -> None:
        """Lines of the result."""
        for line in lines:
            print(line)

    def raw(self, data: bytes, stream: int = 1) -> None:
        """A command's own bytes, untouched, at once."""
        target = sys.stderr if stream == 2 else sys.stdout
        target.flush()
        target.buffer.write(data)
        target.buffer.flush()

    def json(self, value: Any) -> None:
        """One JSON document."""
        print(_dumped(value, indent=2))

    def json_array(self, values: Iterable[Any]) -> None:
        """A JSON array, written as it comes: an element a line for programs, spread out for people."""
        indent = 2 if self.terminal else None
        separator = "[\n"
        for value in values:
            sys.stdout.write(separator + _dumped(value, indent))
            separator = ",\n"
        print("[]" if separator == "[\n" else "\n]")

    def table(self, columns: Sequence[render.Column], rows: Iterable[Sequence[str | render.Cell]]) -> None:
        """A table, as wide as the terminal; complete in a pipe."""
        self.lines(render.table(columns, rows, width=self.width, colour=self.colour))

    def flush(self) -> None:
        """Sends on what was printed, where the command goes on for long."""
        sys.stdout.flush()

    def paint(self, text: str, style: str) -> str:
        """The text in a style, where colours are wanted."""
        return render.paint(text, style, self.colour)

    # --- messages ---------------------------------------------------------------------------

    def note(self, text: str) -> None:
        """A line for people; `--quiet` silences it."""
        if not self.quiet:
            sys.stdout.flush()
            print(text, file=sys.stderr, flush=True)

    def error(self, error: QueuectlError) -> None:
        """The one form in which every error is shown."""
        try:
            sys.stdout.flush()
        except OSError:
            pass  # it will be reported where the command's end flushes
        if self.as_json:
            parts = {"code": error.code, "message": error.message, "hint": error.hint}
            print(json.dumps({"error": parts}), file=sys.stderr)
        else:
            text = f"{error.message}; {error.hint}" if error.hint else error.message
            print(f"queuectl: {render.visible(text)}", file=sys.stderr)

    def confirmed(self, question: str, yes: bool) -> bool:
        """Whether to go on: asks where a person sits at the terminal and has not said `--yes`."""
        if yes or not (_is_terminal(sys.stdin) and _is_terminal(sys.stderr)):
            return True
        sys.stdout.flush()
        print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    def progress(self, verb: str, total: int | None = None) -> Callable[[int], None] | None:
        """Shows how far long work is, on a terminal; none where nobody looks. Call `progress_done` at its end."""
        if self.quiet or not _is_terminal(sys.stderr):
            return None
        of = "" if total is None else f" of {total:,}"

        def show(done: int) -> None:
            print(f"\r{verb} {done:,}{of} ", end="", file=sys.stderr, flush=True)

        return show

    def progress_done(self) -> None:
        """Removes the progress line."""
        if not self.quiet and _is_terminal(sys.stderr):
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _dumped(value: Any, indent: int | None) -> str:
    plain = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
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
