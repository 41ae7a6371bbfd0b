"""Reading and following a command's output, finished or running.

A finished attempt's output is in the store. A running one's is in the file of its slot, which is used again for
other commands: so what was read counts only if the attempt still ran afterwards.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from queuectl.client.waiting import RECHECK_EVERY_S, Patience, Say, Watch, refuse_replaced
from queuectl.clock import boottime
from queuectl.domain.errors import NotFound, StoreUnavailable
from queuectl.domain.job import Attempt, Job, JobState
from queuectl.engine.supervise.output import PIECE_BYTES_MAX, cut_note, read_capped, read_on
from queuectl.settings import Settings
from queuectl.store.port import Output, Store

LOOK_EVERY_S = 0.1
"""How often a running command's file is read."""
TELLS_WITHIN_S = 2.5
"""How soon another machine tells what a command there writes."""
ASK_FOR_S = 5.0
"""For how long a look at another machine's running output asks for more of it."""
TAIL_LINES, TAIL_BYTES_MAX = 3, 4096
"""What of an output is shown beside its job."""

Piece = tuple[int, bytes]
"""A stream (1 or 2) and what was written to it."""


def read(store: Store, job: Job, number: int | None, stream: int | None, tail: int | None) -> Iterator[Piece]:
    """What an attempt (none: the latest) has written so far.

    `stream` 1 or 2 picks one where they are split; `tail` gives only so many last lines. Raises `NotFound`.
    """
    attempts = store.attempts(job)
    if number is None and not attempts:
        return
    wanted = attempts[-1].number if number is None else number
    attempt = next((each for each in attempts if each.number == wanted), None)
    if attempt is None:
        raise NotFound(f"job {job.id} has no attempt {wanted}", f"it has had {len(attempts)}: queuectl show {job.id}")
    pieces = _so_far(store, job, attempt)
    for which, data in pieces:
        if stream is None or stream == which:
            yield which, data if tail is None else last_lines(data, tail)


def tail(store: Store, job: Job) -> str:
    """The last lines of what the job's latest attempt wrote."""
    if not job.starts:
        return ""
    data = b"".join(data for _, data in read(store, job, None, None, TAIL_LINES))
    return data[-TAIL_BYTES_MAX:].decode("utf-8", "replace")


def _so_far(store: Store, job: Job, attempt: Attempt) -> list[Piece]:
    """Everything an attempt has written, from its slot's file while it runs, else from the store."""
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
    """The attempt as the store has it now. Raises `NotFound` where its job was deleted meanwhile."""
    for each in store.attempts(job):
        if each.number == attempt.number:
            return each
    raise NotFound(f"no job {job.id}", "it has just been deleted")


def _is_elsewhere(store: Store, attempt: Attempt) -> bool:
    """Whether a running attempt writes its output on another machine."""
    return store.relay is not None and not any((store.folder / path).exists() for path in attempt.output_files)


def _from_elsewhere(store: Store, job: Job, number: int) -> list[Piece]:
    """What a running attempt on another machine has written, as soon as that machine tells; nothing if it does not."""
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
        size = 0  # gone, or a user's that cannot be reached any more
    capped = read_capped(store.folder, path, size, Settings(store.config())["output-max"])
    return Output(stream=stream, head=capped.head, tail=capped.tail, cut_bytes=capped.cut_bytes)


def whole(output: Output) -> bytes:
    """An output as people see it, with a line where its middle was cut out."""
    return output.head + (cut_note(output.cut_bytes) if output.cut_bytes else b"") + output.tail


def last_lines(data: bytes, lines: int) -> bytes:
    """The last `lines` lines. A line ends at `\\n`; one that was redrawn with `\\r` is given in its last state."""
    start = len(data) - data.endswith(b"\n")
    for _ in range(lines):
        start = data.rfind(b"\n", 0, start)
        if start < 0:
            break
    wanted = data[start + 1 :] if lines > 0 else b""
    return b"\n".join(map(_last_state, wanted.split(b"\n"))) if b"\r" in wanted else wanted


def _last_state(line: bytes) -> bytes:
    """What of a line came after its last carriage return. One at its end redraws nothing: it may belong to `\\r\\n`."""
    shown = line.rstrip(b"\r")
    return shown[shown.rfind(b"\r") + 1 :]


def follow(
    store: Store, ref: str, stream: int | None, tail: int | None, ticks: bool = False, say: Say | None = None
) -> Iterator[Piece]:
    """The output as it comes, over all retries, until the job has ended. May begin before the job does.

    With `ticks`, an empty piece comes at least every second while the store answers, so that who waits can look at
    something else. `say` is told that the store is away, and that it is back.
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
    """Remembers how much of which attempt has been told. `behind`: there may be more to tell at once.

    `number` is the attempt that is being told, 0 before there is one.
    """

    def __init__(self, tail: int | None, number: int = 0) -> None:
        """`number` is the first attempt to be told; 0: the first there is, or with `tail` the latest."""
        self._tail = tail
        self.number = number
        self._told: dict[int, int] = {}
        self._ask_at = 0.0
        self.behind = False

    def news(self, store: Store, job: Job) -> Iterator[Piece]:
        """What has been written since the last call: pieces, some of which may be empty."""
        attempts = store.attempts(job)
        if not self.number and attempts:
            self.number = attempts[-1].number if self._tail is not None else attempts[0].number
        for attempt in attempts:
            if attempt.number < self.number:
                continue
            if attempt.number > self.number:
                self.number, self._told = attempt.number, {}
            yield from self._of(store, job, attempt)

    def _of(self, store: Store, job: Job, attempt: Attempt) -> Iterator[Piece]:
        self.behind = False
        if attempt.outcome is None:
            fresh = [(at + 1, *self._read_on(store, job, attempt, at)) for at in range(len(attempt.output_files))]
            again = _as_it_is(store, job, attempt)
            if again.outcome is None:
                self.behind = any(len(data) >= PIECE_BYTES_MAX for _, data, _ in fresh)
                for stream, data, told in fresh:
                    self._told[stream] = told
                    yield stream, self._first(data)
                return
            attempt = again
        for output in store.outputs(job, attempt.number):
            data = rest(output, self._told.get(output.stream, 0))
            self._told[output.stream] = len(output.head) + output.cut_bytes + len(output.tail)
            yield output.stream, self._first(data)

    def _read_on(self, store: Store, job: Job, attempt: Attempt, at: int) -> tuple[bytes, int]:
        """The next bytes of a running stream, and where to go on: from its file, or from the machine that has it."""
        told, path = self._told.get(at + 1, 0), store.folder / attempt.output_files[at]
        if store.relay is None or path.exists():
            return read_on(path, told)
        if boottime() >= self._ask_at:
            store.relay.ask(job, ASK_FOR_S)
            self._ask_at = boottime() + ASK_FOR_S / 2
        found = store.relay.read(job, attempt.number, at + 1, told)
        if found is None:
            return b"", told
        start, stop, data = found
        return (cut_note(start - told) + data if start > told else data[told - start :]), stop

    def _first(self, data: bytes) -> bytes:
        """Of what was there at the beginning, only the last lines, if so wished."""
        if self._tail is None or not data:
            return data
        lines, self._tail = self._tail, None
        return last_lines(data, lines)


def rest(output: Output, told: int) -> bytes:
    """What of an output comes after its first `told` bytes."""
    if not output.cut_bytes or told < len(output.head):
        return whole(output)[told:]
    behind = told - len(output.head) - output.cut_bytes
    return output.tail[max(0, behind) :]
