"""`top`: what happens, once a second, on a whole terminal; keys act on the selected job.

What is shown is lines of pieces of text, each with a style; curses draws what differs from the lines before.
"""

from __future__ import annotations

import curses
import os
import time
from collections.abc import Callable, Sequence

from queuectl import program
from queuectl.cli.call import Call
from queuectl.cli.render import STATE_STYLES, STYLES, cut, visible, width_of
from queuectl.client.documents import STATUS, busy, seen_counts, slots
from queuectl.client.facade import Client
from queuectl.client.overview import WAITING, Overview
from queuectl.domain.errors import Invalid, QueuectlError, StoreUnavailable
from queuectl.domain.job import JobState, seen_state
from queuectl.store.past import Failure
from queuectl.typed import Any, NamedTuple
from queuectl.wire.jobs import command_line, job_to_json
from queuectl.wire.limits import pause_words
from queuectl.wire.times import format_duration, format_time
from queuectl.wire.words import age, counted, natural

READ_EVERY_S = 1.0
FAILURES_LEAST, QUEUES_MOST = 3, 6
HELP = "q quit  ↑↓ select  l log  c cancel  r retry  p pause queue  u resume queue"

Piece = tuple[str, str]
"""A text and its style, one of `STYLES` or ""."""
Line = list[Piece]


class Row(NamedTuple):
    """A line, and the job and queue that keys act on, if it is about one."""

    line: Line
    job: str | None = None
    queue: str | None = None


def rows(found: Overview, width: int, height: int | None) -> list[Row]:
    """What is shown, in `height` lines at most (None: as many as needed)."""
    head, queues = _head(found), _queues(found, QUEUES_MOST if height else None)
    layout, room = _fitting(found, height, len(head), len(queues))
    failures = found.failures
    if room is not None:
        failures = failures[: max(room // 3, min(FAILURES_LEAST, room - len(found.running)))] if layout.failures else []
    most = None if room is None else max(0, room - len(failures))
    counts_others = most is not None and 2 < most < len(found.running)  # with fewer lines the title does
    if most is not None:
        most -= counts_others
    gap = [Row([])] if layout.gaps else []
    shown = [Row(line) for line in (*head[: layout.head], *(queues if layout.queues else ()))]
    shown += [*gap, Row([(f"RUNNING  {len(found.running)}", "bold")])]
    shown += [_running(found, number, width) for number in range(len(found.running[:most]))]
    if most is not None and counts_others:
        shown.append(Row([(f"  and {len(found.running) - most:,} more", "dim")]))
    if layout.failures:
        shown += [*gap, Row([("FAILURES", "bold"), ("" if failures else "  none lately", "dim")])]
        shown += [_failed(each, found.status.at, width) for each in failures]
    return shown if height is None else shown[:height]


class Layout(NamedTuple):
    """How many lines of the head are shown, and what else."""

    head: int = 3
    queues: bool = True
    gaps: bool = True
    failures: bool = True


LAYOUTS = (
    Layout(), Layout(queues=False), Layout(queues=False, gaps=False), Layout(2, queues=False, gaps=False),
    Layout(2, queues=False, gaps=False, failures=False), Layout(1, queues=False, gaps=False, failures=False),
)  # fmt: skip
"""What goes first if there are too few lines: figures before failures, and running jobs last."""
JOBS_LEAST = 4
"""Lines for running jobs and failures, if there are that many of them, that are worth more than what a layout has."""


def _fitting(found: Overview, height: int | None, head: int, queues: int) -> tuple[Layout, int | None]:
    """The fullest layout that has room for jobs, and its lines for them. `head`, `queues`: the lines there are."""
    if height is None:
        return LAYOUTS[0], None
    wanted = min(JOBS_LEAST, len(found.running) + min(1, len(found.failures)))
    for layout in LAYOUTS:
        titles = (1 + layout.failures) * (1 + layout.gaps)
        room = height - min(head, layout.head) - (queues if layout.queues else 0) - titles
        if room >= wanted:
            break
    return layout, max(0, room)


def _head(found: Overview) -> list[Line]:
    status = found.status
    used = f"{busy(status.workers)}/{slots(status.workers)} slots busy"
    workers = f"{counted(len(status.workers), 'worker')}, {used}" if status.workers else "no worker"
    counts = [piece for state, number in seen_counts(status).items() if number
              for piece in ((f"{number:,} {state}", STATE_STYLES[state]), ("  ", ""))]  # fmt: skip
    served = (f"  {workers}", "" if status.workers else "yellow")
    lines: list[Line] = [[("queuectl  ", "bold"), (visible(status.url), ""), served]]
    lines.append(counts[:-1] or [("no job yet", "dim")])
    if found.waiting:
        more = sum(status.counts[state] for state in WAITING) > found.waiting_seen
        of = f" (of the first {found.waiting_seen})" if more else ""
        text = ", ".join(f"{number:,} {why}" for why, number in found.waiting)
        lines.append([("waiting: ", "dim"), (text + of, "")])
    return lines


def _queues(found: Overview, most: int | None) -> list[Line]:
    status = found.status
    names = sorted(status.queues, key=natural)
    if len(names) < 2 and not status.paused:
        return []
    lines: list[Line] = [[], [("QUEUES", "bold")]]
    for name in names[:most]:
        counts = [f"{number:,} {state}" for state, number in seen_counts(status, name).items()
                  if number and state != JobState.COMPLETED.value]  # fmt: skip
        pause = status.paused.get(name)
        paused = [(f"  {visible(pause_words(pause))}", "yellow")] if pause else []
        lines.append([(f"  {name:<20} ", ""), (", ".join(counts) or "nothing to do", "" if counts else "dim"), *paused])
    if most is not None and len(names) > most:
        lines.append([(f"  and {len(names) - most} more", "dim")])
    return lines


def _running(found: Overview, number: int, width: int) -> Row:
    job, now = found.running[number], found.status.at
    state = seen_state(job)
    ran = "starting" if job.started_at is None else format_duration(round(max(0.0, now - job.started_at)))
    progress = f"  {visible(job.progress)}" if job.progress else ""
    line = f"  {job.id:<14} {job.queue:<12} {ran:>9}  {job.host or '':<10}{progress}  "
    command = cut(visible(command_line(job.command)), max(10, width - len(line) - 1))
    return Row([(line, STATE_STYLES[state]), (command, "")], job.id, job.queue)


def _failed(failure: Failure, now: float, width: int) -> Row:
    ago = f"{age(max(0.0, now - failure.at))} ago"
    line = f"  {failure.job:<14} {failure.queue:<12} {ago:>9}  {failure.state.value:<10}  "
    why = cut(visible(failure.error or ""), max(10, width - len(line) - 1))
    return Row([(line, STATE_STYLES[failure.state.value]), (why, "")], failure.job, failure.queue)


# --- once -----------------------------------------------------------------------------------


def top(call: Call) -> int:
    """Shows it until `q`, or once."""
    console = call.console
    with call.client() as client:
        if console.as_json:
            console.json(_document(client))
        elif call.args.once or not console.terminal:
            if not call.args.once:
                raise Invalid("top needs a terminal", "write: queuectl top --once, or --json")
            width = console.width or 200
            for row in rows(client.overview(), width, None):
                console.print("".join(console.paint(text, style) if style else text for text, style in row.line))
        else:
            _refuse_unfit_terminal()
            curses.wrapper(lambda window: Top(client, window, call.db, console.colour).run())
    return 0


def _refuse_unfit_terminal() -> None:
    """Raises `Invalid` where nobody knows how to draw on this terminal."""
    kind, hint = os.environ.get("TERM", ""), "write: queuectl top --once"
    try:
        curses.setupterm()
    except curses.error:
        raise Invalid(f"TERM={kind} is not the name of a known terminal", hint) from None
    if not curses.tigetstr("cup"):
        raise Invalid(f"TERM={kind} is a terminal that cannot move its cursor", hint)


def _document(client: Client) -> dict[str, Any]:
    found = client.overview()
    return {
        "status": STATUS.json(found.status),
        "running": list(map(job_to_json, found.running, client.reasons(found.running))),
        "waiting": dict(found.waiting), "waiting_seen": found.waiting_seen,
        "failures": [
            {**each._asdict(), "at": format_time(each.at), "state": each.state.value} for each in found.failures
        ],
    }  # fmt: skip


# --- on a terminal --------------------------------------------------------------------------


class Top:
    """The whole terminal. Reads the store once a second, and at once after a key that has changed something."""

    def __init__(self, client: Client, window: curses.window, db: str | None, colour: bool) -> None:
        self._client, self._window, self._db = client, window, db
        self._chosen: tuple[str, str] | None = None
        self._said = ""
        self._styles = _styles(colour)
        if curses.tigetstr("civis"):
            curses.curs_set(0)
        window.timeout(int(READ_EVERY_S * 1000))

    def run(self) -> None:
        found, read_at = self._read(), time.monotonic()
        while True:
            shown = self._draw(found)
            key = self._window.getch()
            if key in (ord("q"), 27):
                return
            acted = self._take(key, shown)
            if acted or time.monotonic() - read_at >= READ_EVERY_S:
                found, read_at = self._read() or found, time.monotonic()

    def _read(self) -> Overview | None:
        try:
            self._client.refuse_moved()
            return self._client.overview()
        except StoreUnavailable as error:
            self._said = error.message
            return None

    def _draw(self, found: Overview | None) -> list[Row]:
        height, width = self._window.getmaxyx()
        shown = rows(found, width, height - 1) if found else []
        self._window.erase()
        for at, row in enumerate(shown[: height - 1]):
            self._put(at, row.line, width, is_chosen=row.job is not None and (row.job, row.queue) == self._chosen)
        self._put(height - 1, [(self._said or HELP, "dim")], width)
        self._window.refresh()
        return shown

    def _put(self, at: int, line: Line, width: int, is_chosen: bool = False) -> None:
        left = width - 1
        column = 0
        for text, style in line:
            if left <= 0:
                return
            some = cut(text, left)
            attributes = self._styles.get(style, 0) | (curses.A_REVERSE if is_chosen else 0)
            self._window.addstr(at, column, some, attributes)
            column, left = column + width_of(some), left - width_of(some)

    def _take(self, key: int, shown: Sequence[Row]) -> bool:
        """Acts on a key. Returns whether the store may have changed."""
        choices = [(row.job, row.queue) for row in shown if row.job is not None and row.queue is not None]
        if key in (curses.KEY_DOWN, ord("j"), curses.KEY_UP, ord("k")) and choices:
            step = 1 if key in (curses.KEY_DOWN, ord("j")) else -1
            at = choices.index(self._chosen) + step if self._chosen in choices else 0
            self._chosen = choices[at % len(choices)]
            return False
        if key == -1 or key == curses.KEY_RESIZE:
            return False
        act = self._acts().get(chr(key) if 0 <= key < 256 else "")
        if act is None:
            self._said = ""
            return False
        if self._chosen is None:
            self._said = "select a job first: ↑ ↓"
            return False
        try:
            self._said = act(*self._chosen)
        except QueuectlError as error:
            self._said = error.message
        return True

    def _acts(self) -> dict[str, Callable[[str, str], str]]:
        client = self._client
        return {
            "c": lambda job, _: _told(client.cancel([job]), f"{job} is cancelled"),
            "r": lambda job, _: _told(client.retry([job]), f"{job} runs again"),
            "p": lambda _, queue: (client.pause_queues([queue], reason="by top"), f"{queue} is paused")[1],
            "u": lambda _, queue: (client.resume_queues([queue]), f"{queue} is resumed")[1],
            "l": self._log,
        }

    def _log(self, job: str, _queue: str) -> str:
        """Shows the output in the terminal's own pager."""
        import subprocess

        curses.endwin()
        store = ["--db", self._db] if self._db else []
        logs = [*program.command(), *store, "logs", job]
        pager = os.environ.get("PAGER") or "less -R +G"
        output = subprocess.run(logs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False).stdout
        subprocess.run(["/bin/sh", "-c", pager], input=output, check=False)
        self._window.clear()
        return ""


def _told(changed: Any, done: str) -> str:
    return changed.refused[0].message if changed.refused else done


def _styles(colour: bool) -> dict[str, int]:
    """The attributes of `STYLES`, as far as the terminal has them; without the colours unless they are wanted."""
    found = {"bold": curses.A_BOLD, "dim": curses.A_DIM}
    if colour and curses.has_colors():
        curses.use_default_colors()
        for number, name in enumerate(("red", "green", "yellow", "blue", "magenta", "cyan"), 1):
            curses.init_pair(number, getattr(curses, f"COLOR_{name.upper()}"), -1)
            found[name] = curses.color_pair(number)
    return {style: found.get(style, 0) for style in STYLES}
