"""Text for people: aligned tables and colours. Pure functions.

A table is cut only if a width is given (for a terminal, not for a pipe), and only in columns that may be cut. Control
characters in a cell are shown as escapes, never sent to the terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

from queuectl.domain.job import STARTING, Job, JobState, seen_state
from queuectl.typed import NamedTuple

STYLES = {
    "bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "magenta": "35", "cyan": "36",
}  # fmt: skip

STATE_STYLES = {
    JobState.BLOCKED.value: "magenta", JobState.PENDING.value: "blue", JobState.PROCESSING.value: "cyan",
    STARTING: "cyan", JobState.FAILED.value: "yellow", JobState.COMPLETED.value: "green", JobState.DEAD.value: "red",
    JobState.CANCELLED.value: "dim",
}  # fmt: skip
"""The style of each state that people see."""

GAP = "  "
FLOOR = 5
"""No column is cut to fewer places than this."""


class Column(NamedTuple):
    """A column of a table. In a narrow terminal it shrinks to `least` places, if given: its texts are cut at the end,
    with `middle` in the middle, or with `wrap` continued on further lines."""

    title: str
    right: bool = False
    least: int = 0
    wrap: bool = False
    middle: bool = False


class Cell(NamedTuple):
    """A text with a style of `STYLES`, or without one."""

    text: str
    style: str = ""


def paint(text: str, style: str, colour: bool) -> str:
    """The text in a style if `colour`."""
    return f"\x1b[{STYLES[style]}m{text}\x1b[0m" if colour and style and text else text


def visible(text: str) -> str:
    """The text on one line: line breaks and control characters are shown as `\\n`, `\\x1b`."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


ALIGNED_MAX = 120
"""In a pipe, a text longer than this does not widen its column: it moves the rest of its own line only."""


def width_of(text: str) -> int:
    """The number of terminal columns that the text takes."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(each) else 2 if east_asian_width(each) in "WF" else 1 for each in text)


def cut(text: str, width: int) -> str:
    """The text, or its beginning and a `…`."""
    if width_of(text) <= width:
        return text
    kept, used = "", 0
    for character in text:
        used += width_of(character)
        if used > width - 1:
            break
        kept += character
    return kept + "…"


def cut_middle(text: str, width: int) -> str:
    """The text, or its beginning and end around a `…`: names of hosts differ at their ends."""
    if width_of(text) <= width:
        return text
    end = ""
    for character in reversed(text):
        if width_of(character + end) > (width - 1) // 2:
            break
        end = character + end
    return cut(text, width - width_of(end)) + end


class Table:
    """A table that may come in parts, without knowing how wide later parts are: columns only grow from part to part.

    Without `width` nothing is cut.
    """

    def __init__(self, columns: Sequence[Column], *, width: int | None, colour: bool) -> None:
        self._columns = columns
        self._width = width
        self._colour = colour
        self._widths: list[int] = []

    def rows(self, rows: Iterable[Sequence[str | Cell]]) -> list[list[str]]:
        """The lines of each row of the next part; in the first part, titles first."""
        cells = [[_cell(value) for value in row] for row in rows]
        titles = [] if self._widths else [[Cell(column.title, "dim") for column in self._columns]]
        if not (titles or cells):
            return []
        so_far = self._widths or [0] * len(self._columns)
        columns = zip(*titles, *cells, strict=True)
        self._widths = [
            max(least, *(width_of(cell.text) for cell in column)) for least, column in zip(so_far, columns, strict=True)
        ]
        widths = [min(each, ALIGNED_MAX) for each in self._widths]
        if self._width is not None:
            widths = _narrowed(self._columns, self._widths, self._width)
        fitting = self._width is not None
        return [list(_lines(self._columns, row, widths, fitting, self._colour)) for row in (*titles, *cells)]


def _cell(value: str | Cell) -> Cell:
    return Cell(visible(value)) if isinstance(value, str) else Cell(visible(value.text), value.style)


def _narrowed(columns: Sequence[Column], widths: Sequence[int], width: int) -> list[int]:
    """Shrinks the column with the most room until the line fits, or no column can shrink.

    If the terminal is too narrow for every column's `least`, columns shrink below it.
    """
    narrowed = list(widths)
    for floors in ([column.least for column in columns], [column.least and FLOOR for column in columns]):
        excess = sum(narrowed) + len(GAP) * (len(narrowed) - 1) - width
        for _ in range(excess):
            gives = [have - floor if floor else 0 for floor, have in zip(floors, narrowed, strict=True)]
            if max(gives) <= 0:
                break
            narrowed[gives.index(max(gives))] -= 1
    return narrowed


def _lines(
    columns: Sequence[Column], row: Sequence[Cell], widths: Sequence[int], fitting: bool, colour: bool
) -> Iterator[str]:
    pieces = [
        _pieces(column, cell.text, width) if fitting else [cell.text]
        for column, cell, width in zip(columns, row, widths, strict=True)
    ]
    for texts in zip_longest(*pieces, fillvalue=""):
        parts = []
        for column, cell, width, text in zip(columns, row, widths, texts, strict=True):
            blank = " " * (width - width_of(text))
            painted = paint(text, cell.style, colour)
            parts.append(blank + painted if column.right else painted + blank)
        yield GAP.join(parts).rstrip()


def _pieces(column: Column, text: str, width: int) -> list[str]:
    """The text of a cell, line by line."""
    if not column.least or width_of(text) <= width:
        return [text]
    if not column.wrap:
        return [cut_middle(text, width) if column.middle else cut(text, width)]
    from textwrap import wrap

    return wrap(text, width)


def state_cell(job: Job) -> Cell:
    """A job's state with its colour."""
    state = seen_state(job)
    return Cell(state, STATE_STYLES[state])
