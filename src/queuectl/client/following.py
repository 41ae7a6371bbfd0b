"""Reads and follows a command's output, finished or running.

A finished attempt's output is in the store. A running one's is in the file of its slot. Slots are reused, so what was
read counts only if the attempt still ran afterwards.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping

from queuectl.client.waiting import RECHECK_EVERY_S, Patience, Say, Watch, refuse_replaced
from queuectl.clock import boottime
from queuectl.domain.errors import NotFound, StoreUnavailable
from queuectl.domain.job import Attempt, Job, JobState
from queuectl.domain.proposed import named
from queuectl.engine.supervise.output import PIECE_BYTES_MAX, cut_note, read_capped, read_on
from queuectl.places import refuse_moved
from queuectl.settings import Settings
from queuectl.store.port import Store
from queuectl.store.values import Output

MOVES = re.compile(rb"\x1b\[\d*[A-H]")
"""The cursor goes to another line, as nested progress bars have it."""
LOOK_EVERY_S = 0.1
"""How often a running command's file is read."""
TELLS_WITHIN_S = 2.5
"""How soon another machine sends output of a command there."""
ASK_FOR_S = 5.0
"""How long a request for running output on another machine stays valid."""
TAIL_LINES, TAIL_BYTES_MAX = 3, 4096
"""How much of an output is shown with its job."""

Piece = tuple[int, bytes]
"""A stream (1 or 2) and bytes written to it; none for a tick."""


def read(store: Store, job: Job, number: int | None, stream: int | None, tail: int | None) -> Iterator[Piece]:
    """The output so far of attempt `number` (None: the latest).

    `stream` 1 or 2 picks one if the output is split; `tail` is the number of last lines. Raises `NotFound`.
    """
    attempts = store.attempts(job)
    if number is None and not attempts:
        return
    wanted = attempts[-1].number if number is None else number
    attempt = next((each for each in attempts if each.number == wanted), None)
    if attempt is None:
        hint = f"it has had {len(attempts)}: queuectl show {named(job.id)}"
        raise NotFound(f"job {job.id} has no attempt {wanted}", hint)
    pieces = _so_far(store, job, attempt)
    for which, data in pieces:
        if stream is None or stream == which:
            yield which, data if tail is None else last_lines(data, tail)


def tail(store: Store, job: Job) -> str:
    """The last lines of the latest attempt's output."""
    if not job.starts:
        return ""
    data = b"".join(data for _, data in read(store, job, None, None, TAIL_LINES))
    return data[-TAIL_BYTES_MAX:].decode("utf-8", "replace")


def _so_far(store: Store, job: Job, attempt: Attempt) -> list[Piece]:
    """All output of an attempt: from its slot's file while it runs, else from the store."""
    while attempt.outcome is None and attempt.output_files:
        if _is_elsewhere(store, attempt):
            return _from_elsewhere(store, job, attempt.number)
        outputs = [_of_file(store, at + 1, path) for at, path in enumerate(attempt.output_files)]
        again = _as_it_is(store, job, attempt)
        if again.outcome is None:
            return [(output.stream, whole(output)) for output in outputs]
        attempt = again
    return [(output.stream, whole(output)) for output in store.outputs(job, attempt.number)]


def _as_it_is(store: Store, job: Job, attempt: Attempt) -> Attempt:
    """The attempt as it is in the store now. Raises `NotFound` if its job was deleted."""
    for each in store.attempts(job):
        if each.number == attempt.number:
            return each
    raise NotFound(f"no job {job.id}", "it has just been deleted")


def _is_elsewhere(store: Store, attempt: Attempt) -> bool:
    """Whether a running attempt writes its output on another machine."""
    return store.relay is not None and not any((store.folder / path).exists() for path in attempt.output_files)


def _from_elsewhere(store: Store, job: Job, number: int) -> list[Piece]:
    """The output of an attempt on another machine, once that machine sends it; empty if it does not."""
    follower, pieces = Follower(None, number), list[Piece]()
    deadline = time.monotonic() + TELLS_WITHIN_S
    while time.monotonic() < deadline:
        news = [piece for piece in follower.news(store, job) if piece[1]]
        pieces += news
        if pieces and not news:
            break
        time.sleep(LOOK_EVERY_S)
    return pieces


def _of_file(store: Store, stream: int, path: str) -> Output:
    try:
        size = os.stat(store.folder / path).st_size
    except OSError:
        size = 0  # gone, or not readable for this user
    capped = read_capped(store.folder, path, size, Settings(store.config())["output-max"])
    return Output(stream=stream, head=capped.head, tail=capped.tail, cut_bytes=capped.cut_bytes)


def whole(output: Output) -> bytes:
    """The output with a line in place of its cut middle."""
    return output.head + (cut_note(output.cut_bytes) if output.cut_bytes else b"") + output.tail


def last_lines(data: bytes, lines: int) -> bytes:
    """The last `lines` lines, redrawn ones in their last state."""
    return as_redrawn(data[start_of_last(data, lines) :])


def start_of_last(data: bytes, lines: int) -> int:
    """Where the last `lines` lines begin. A line ends at `\\n`."""
    if lines <= 0:
        return len(data)
    start = len(data) - data.endswith(b"\n")
    for _ in range(lines):
        start = data.rfind(b"\n", 0, start)
        if start < 0:
            break
    return start + 1


def as_redrawn(data: bytes) -> bytes:
    """Lines that are redrawn with `\\r` in their last state, unless the cursor goes from line to line."""
    if b"\r" not in data or MOVES.search(data):
        return data
    return b"\n".join(map(_last_state, data.split(b"\n")))


def _last_state(line: bytes) -> bytes:
    """The part of a line after its last carriage return, except one at its end, which may belong to `\\r\\n`."""
    shown = line.rstrip(b"\r")
    return shown[shown.rfind(b"\r") + 1 :]


def follow(
    store: Store, ref: str, stream: int | None, tail: int | None, ticks: bool = False, say: Say | None = None
) -> Iterator[Piece]:
    """Yields the output as it comes, over all retries, until the job has ended. May begin before the job does.

    With `ticks`, an empty piece comes at least every second while the store answers. `say` is called with a message
    when the store is unavailable, and when it is back.
    """
    follower, patience, watch = Follower(tail), Patience(store, say), Watch(store)
    try:
        while True:
            watch.look()
            running = False
            try:
                job = store.get(ref)
                for which, data in follower.news(store, job):
                    if data and (stream is None or stream == which):
                        yield which, data
                patience.is_back()
                if job.finished:
                    return
                refuse_moved(store)
                running = job.state is JobState.PROCESSING
            except StoreUnavailable as error:
                patience.is_away(error)
            refuse_replaced(store)
            if ticks:
                yield 0, b""
            if not follower.behind:
                watch.pause(LOOK_EVERY_S if running else RECHECK_EVERY_S)
    finally:
        watch.close()


class Follower:
    """Remembers how much of which attempt has been read. `behind`: there may be more to read at once.

    `number` is the attempt that is being read, 0 before there is one, and `told` the bytes read of each stream.
    """

    def __init__(self, tail: int | None, number: int = 0, told: Mapping[int, int] | None = None) -> None:
        """`number` is the first attempt to read; 0: the first one, or with `tail` the latest, and of what each of its
        streams has by then only this many last lines.

        `told`: how many bytes of each of its streams are read already.
        """
        self._tail = tail
        self._begun: set[int] = set()
        self.number = number
        self.told = dict(told or {})
        self._ask_at = 0.0
        self.behind = False

    def news(self, store: Store, job: Job) -> Iterator[Piece]:
        """Output since the last call, in pieces, some of which may be empty."""
        attempts = store.attempts(job)
        if not attempts:
            self._tail = None  # all that comes is new
        elif not self.number:
            self.number = attempts[-1].number if self._tail is not None else attempts[0].number
        for attempt in attempts:
            if attempt.number < self.number:
                continue
            if attempt.number > self.number:
                self.number, self.told, self._tail = attempt.number, {}, None
            yield from self._of(store, job, attempt)

    def _of(self, store: Store, job: Job, attempt: Attempt) -> Iterator[Piece]:
        self.behind = False
        if attempt.outcome is None:
            if not attempt.output_files:
                self._tail = None
            found = ((at + 1, self._caught_up(store, job, attempt, at)) for at in range(len(attempt.output_files)))
            fresh = [(stream, *each) for stream, each in found if each is not None]
            again = _as_it_is(store, job, attempt)
            if again.outcome is None:
                self.behind = any(len(data) >= PIECE_BYTES_MAX for _, data, _ in fresh)
                for stream, data, told in fresh:
                    self.told[stream] = told
                    yield stream, self._first(stream, data)
                return
            attempt = again
        for output in store.outputs(job, attempt.number):
            data = rest(output, self.told.get(output.stream, 0))
            self.told[output.stream] = len(output.head) + output.cut_bytes + len(output.tail)
            yield output.stream, self._first(output.stream, data)

    def _caught_up(self, store: Store, job: Job, attempt: Attempt, at: int) -> tuple[bytes, int] | None:
        """The next bytes of a running stream, and where to go on. At the start with `tail`, only the end of all that is
        there. None: its machine has not answered yet."""
        found = self._read_on(store, job, attempt, at, self.told.get(at + 1, 0))
        kept = b""
        while found and self._cuts(at + 1) and len(found[0]) >= PIECE_BYTES_MAX:
            kept = last_lines(kept + found[0], self._tail or 0)
            found = self._read_on(store, job, attempt, at, found[1])
        return found and (kept + found[0], found[1])

    def _read_on(self, store: Store, job: Job, attempt: Attempt, at: int, told: int) -> tuple[bytes, int] | None:
        """The bytes of a running stream after the first `told`, from its file or its machine, and where to go on."""
        path = store.folder / attempt.output_files[at]
        if store.relay is None or path.exists():
            return read_on(path, told)
        if boottime() >= self._ask_at:
            store.relay.ask(job, ASK_FOR_S)
            self._ask_at = boottime() + ASK_FOR_S / 2
        found = store.relay.read(job, attempt.number, at + 1, told)
        if found is None:
            return None
        start, stop, data = found
        return (cut_note(start - told) + data if start > told else data[told - start :]), stop

    def _cuts(self, stream: int) -> bool:
        """Whether only the last lines of what is there of a stream are wanted, and it has not been read yet."""
        return self._tail is not None and stream not in self._begun

    def _first(self, stream: int, data: bytes) -> bytes:
        """The output of a stream, or at the start with `tail` its last lines."""
        cuts = self._cuts(stream)
        self._begun.add(stream)
        return last_lines(data, self._tail or 0) if cuts else data


def rest(output: Output, told: int) -> bytes:
    """The output after its first `told` bytes."""
    if not output.cut_bytes or told < len(output.head):
        return whole(output)[told:]
    behind = told - len(output.head) - output.cut_bytes
    return output.tail[max(0, behind) :]
