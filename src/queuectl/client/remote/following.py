"""Waits for jobs and follows their output over the REST API."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from functools import partial

from queuectl.client.following import Piece
from queuectl.client.operations import FOLLOW, SHOW
from queuectl.client.remote import answers
from queuectl.client.remote.connection import Event, RemoteConnection, problem_of
from queuectl.client.waiting import not_yet
from queuectl.domain.errors import StoreLost, StoreUnavailable
from queuectl.domain.job import Job
from queuectl.typed import Any, TypeVar
from queuectl.wire.keywords import Duration, seconds_of, stream_name

LOOK_FIRST_S, LOOK_LAST_S = 0.05, 1.0
AGAIN_AFTER_S = 1.0
"""Pause before a stream that the server has ended is opened again."""

T = TypeVar("T")


class Pause:
    """Pauses that grow, until the time is over."""

    def __init__(self, timeout: Duration | None) -> None:
        self._deadline = None if timeout is None else time.monotonic() + seconds_of(timeout)
        self._next_s = LOOK_FIRST_S

    def wait(self, what: str) -> None:
        """Sleeps a little. Raises `TimeoutError` with what was waited for."""
        left = self._next_s if self._deadline is None else min(self._next_s, self._deadline - time.monotonic())
        if left <= 0:
            raise TimeoutError(what)
        time.sleep(left)
        self._next_s = min(LOOK_LAST_S, 1.5 * self._next_s)


def if_there(look: Callable[[], T]) -> T | None:
    """What a look at the server finds; None while it does not answer, or its store is unavailable: ask again.

    Raises what will not pass: a store that was removed or has moved.
    """
    try:
        return look()
    except StoreLost:
        raise
    except StoreUnavailable:
        return None


def wait(line: RemoteConnection, refs: Iterable[str], any_: bool, timeout: Duration | None) -> list[Job]:
    """Waits until all (or any) of the jobs have finished, also while the server or its store is away. Returns those.
    Raises `TimeoutError`, `NotFound`."""

    def job(ref: str) -> Job:
        return answers.job_of(line.call(SHOW, id=ref))

    open_refs = [job(ref).id for ref in refs]
    finished: dict[str, Job] = {}
    pause = Pause(timeout)

    def is_over(all_: bool) -> bool:
        nonlocal open_refs
        for ref in open_refs:
            seen = if_there(partial(job, ref))
            if seen is None:
                break  # the others would not be told either
            if seen.finished:
                finished[ref] = seen
            elif not all_:
                break  # one that has not finished is enough to know
        open_refs = [ref for ref in open_refs if ref not in finished]
        return not open_refs or (any_ and bool(finished))

    while not is_over(all_=any_):
        try:
            pause.wait("")
        except TimeoutError:
            if not is_over(all_=True):
                raise TimeoutError(not_yet("finished", open_refs)) from None
            break
    return list(finished.values())


def follow(
    line: RemoteConnection, ref: str, stream: int | None, tail: int | None, ticks: bool
) -> Generator[Piece, None, None]:
    """Yields a job's output as it comes, until the job has ended. A stream that the server has ended is opened again,
    where it ended."""
    name_of_stream = stream_name(stream)
    told: dict[tuple[int, int], int] = {}  # bytes of each stream of an attempt behind `place`
    place, has_begun = "", False
    while True:
        seen: dict[tuple[int, int], int] = {}
        with closing(_events(line, ref, name_of_stream, tail, place, has_begun)) as events:
            for name, document, where in events:
                has_begun = True
                if name == "end":
                    return
                if name == "output":
                    yield from _news(document, seen, told)
                elif ticks:
                    yield 0, b""
                if where:
                    place, told, seen = where, {}, {}
        time.sleep(AGAIN_AFTER_S)
        if ticks:
            yield 0, b""


def _events(
    line: RemoteConnection, ref: str, stream: str | None, tail: int | None, place: str, has_begun: bool
) -> Generator[Event, None, None]:
    """The events of one stream. It ends early where the server or its store is away, unless nothing has begun yet."""
    try:
        with closing(line.events(FOLLOW, after=place, id=ref, stream=stream, tail=tail)) as events:
            for event in events:
                if event[0] == "trouble":
                    raise problem_of({**event[1], "hint": "", "status": 500})
                has_begun = True
                yield event
    except StoreLost:
        raise
    except StoreUnavailable:
        if not has_begun:
            raise


def _news(
    document: Mapping[str, Any], seen: dict[tuple[int, int], int], told: dict[tuple[int, int], int]
) -> Iterator[Piece]:
    """The piece in an event, without bytes that were read before the stream was opened again."""
    which, data = (document["attempt"], document["stream"]), document["text"].encode()
    start = seen.get(which, 0)
    seen[which] = start + len(data)
    fresh = data[max(0, told.get(which, 0) - start) :]
    told[which] = max(told.get(which, 0), seen[which])
    if fresh:
        yield document["stream"], fresh
