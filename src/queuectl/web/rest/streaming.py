"""Live streams: events, and a job's output as it is written."""

from __future__ import annotations

import asyncio
import codecs
import re
from contextlib import closing

from starlette.requests import Request
from starlette.responses import Response

from queuectl.client import following
from queuectl.client.facade import Client
from queuectl.client.operations import EVENTS, TOPICS
from queuectl.domain.errors import Invalid, QueuectlError
from queuectl.domain.job import Job, JobState
from queuectl.domain.likeness import nearest
from queuectl.store.past import News, Place
from queuectl.store.values import STDERR, STDOUT
from queuectl.typed import NamedTuple
from queuectl.web import problems
from queuectl.web.ask import ask
from queuectl.web.feed import Feed, Listener, place_in, told_news
from queuectl.web.rest.operation import Given
from queuectl.web.streams import EventStream, message

STREAMS = {"stdout": STDOUT, "stderr": STDERR}
LOOK_EVERY_S, LOOK_AT_REST_S = 0.25, 1.0
FOLLOWERS_MAX = 64


# --- events ---------------------------------------------------------------------------------


class _Listening:
    """A listener of the feed as the source of a stream."""

    def __init__(self, feed: Feed, listener: Listener) -> None:
        self._feed = feed
        self.next = listener.next
        self.hang_up = listener.hang_up
        self._listener = listener

    def close(self) -> None:
        self._feed.leave(self._listener)


async def events(request: Request, given: Given) -> Response:
    """Events as they happen, and on request a snapshot in numbers once a second."""
    topics = [topic.strip() for text in given["topics"] for topic in text.split(",")]
    for topic in topics:
        if topic not in TOPICS:
            raise Invalid(f"unknown topic {topic!r}", nearest(topic, TOPICS))
    feed: Feed = request.app.state.feed
    place = await ask(request, Client.place)  # events from here on are sent
    listener = feed.listen(topics, place)
    before = place_in(request.headers.get("last-event-id", ""))
    if before is not None and EVENTS in listener.topics:
        try:
            missed = await ask(request, lambda client: _since(client, before))
        except BaseException:
            feed.leave(listener)
            raise
        listener.put_first(told_news(*missed))
    return EventStream(_Listening(feed, listener))


def _since(client: Client, place: Place) -> tuple[list[News] | None, Place]:
    """What happened after a place, None if it was too much; and the place of now."""
    with closing(client.watch(place)) as watching:
        return watching.read(), watching.place


# --- output ---------------------------------------------------------------------------------


async def output(request: Request, given: Given) -> Response:
    """The output so far of an attempt (default: the latest), byte for byte; with a Range, a part of it."""

    def read(client: Client) -> tuple[str, bytes]:
        job = client.job(given["id"])
        pieces = client.pieces(job, given["attempt"], STREAMS.get(given["stream"]), given["tail"])
        return job.id, b"".join(data for _, data in pieces)

    job_id, data = await ask(request, read)
    headers = {"Accept-Ranges": "bytes"}
    if given["download"]:
        headers["Content-Disposition"] = f'attachment; filename="{job_id.replace(":", "_")}.log"'
    span = _span(request.headers.get("range"), len(data))
    if span is None:
        return Response(data, 200, headers, "text/plain")
    start, stop = span
    if start >= stop:
        raise problems.OutOfRange(f"the output has {len(data):,} bytes", len(data))
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
    return Response(data[start:stop], 206, headers, "text/plain")


def _span(wanted: str | None, size: int) -> tuple[int, int] | None:
    """Start and stop of a Range. None if there is none that we understand, or for the end of nothing: all is sent."""
    unit, _, text = (wanted or "").partition("=")
    first, dash, last = text.strip().partition("-")
    numbers = [part for part in (first, last) if part]
    if unit.strip() != "bytes" or not dash or not all(part.isascii() and part.isdigit() for part in numbers):
        return None
    if not first:
        return (max(0, size - int(last[:15])), size) if last and (size or not int(last)) else None
    if last and int(last) < int(first):
        return None
    return int(first[:15]), min(size, int(last[:15]) + 1) if last else size


class Followers:
    """The readers that follow an output: they are limited, and end with the server."""

    def __init__(self, listen_s_max: float) -> None:
        self.listen_s_max = listen_s_max
        self.all: set[_Following] = set()
        self.closed = False

    def close(self) -> None:
        """Ends all followers."""
        self.closed = True
        for each in self.all:
            each.hang_up()


class Wanted(NamedTuple):
    """An output to follow: from `place` on, the id of an earlier event, or else its last `tail` lines, or all.

    `name` is in every event, where several outputs share a stream.
    """

    job: str
    place: str = ""
    stream: int | None = None
    tail: int | None = None
    name: int | None = None


class _Following:
    """A job's output as the source of a stream, over all retries until the job ends."""

    def __init__(self, request: Request, among: Followers, wanted: Wanted) -> None:
        self._request = request
        self._among = among
        self._job_id = wanted.job
        self._stream = wanted.stream
        self._named = {} if wanted.name is None else {"of": wanted.name}
        self._follower = _follower(wanted)
        self._decoders: dict[tuple[int, int], codecs.IncrementalDecoder] = {}
        self._gone = asyncio.Event()
        self._end = asyncio.get_running_loop().call_later(among.listen_s_max, self.hang_up)
        self._pause_s = 0.0
        self._over = False
        among.all.add(self)

    def hang_up(self) -> None:
        self._gone.set()

    def close(self) -> None:
        self._among.all.discard(self)
        self._end.cancel()

    async def next(self) -> bytes | None:
        while not self._over:
            if await self._left(self._pause_s):
                return None
            try:
                job, pieces = await ask(self._request, self._news)
            except QueuectlError as error:
                self._over = True
                return message("trouble", {"code": error.code, "detail": error.message, **self._named})
            self._over = job.finished and not self._follower.behind
            told = self._told(pieces)
            if self._over:
                return told + message("end", {"state": job.state.value, "exit_code": job.exit_code, **self._named})
            self._pause_s = LOOK_EVERY_S if job.state is JobState.PROCESSING else LOOK_AT_REST_S
            if self._follower.behind:
                self._pause_s = 0.0
            if told:
                return told
        return None

    async def _left(self, pause_s: float) -> bool:
        """Waits for `pause_s` seconds. Returns whether the stream is over by then."""
        if pause_s:
            try:
                await asyncio.wait_for(self._gone.wait(), pause_s)
            except TimeoutError:
                pass
        return self._gone.is_set()

    def _news(self, client: Client) -> tuple[Job, list[tuple[int, int, bytes]]]:
        job = client.job(self._job_id)
        told = client.written(self._follower, job)
        return job, [(self._follower.number, stream, data) for stream, data in told if data]

    def _told(self, pieces: list[tuple[int, int, bytes]]) -> bytes:
        """The pieces as events. The last one's id is the place behind them."""
        texts = [(number, stream, self._text(number, stream, data)) for number, stream, data in pieces]
        shown = [each for each in texts if each[2] and self._stream in (None, each[1])]
        places = [*[""] * (len(shown) - 1), self._place()]
        return b"".join(
            message("output", {"attempt": number, "stream": stream, "text": text, **self._named}, place)
            for (number, stream, text), place in zip(shown, places, strict=False)
        )

    def _text(self, number: int, stream: int, data: bytes) -> str:
        key = (number, stream)
        if key not in self._decoders:
            self._decoders[key] = codecs.getincrementaldecoder("utf-8")("replace")
        return self._decoders[key].decode(data)

    def _place(self) -> str:
        """How far it has read: the attempt, and how many bytes of each stream were decoded."""
        number = self._follower.number
        read = [self._follower.told.get(stream, 0) - self._undecoded(number, stream) for stream in (STDOUT, STDERR)]
        return f"{number}-{read[0]}-{read[1]}"

    def _undecoded(self, number: int, stream: int) -> int:
        decoder = self._decoders.get((number, stream))
        return len(decoder.getstate()[0]) if decoder else 0


def _follower(wanted: Wanted) -> following.Follower:
    """A follower from the wanted place on, if it is one."""
    found = re.fullmatch(r"(\d{1,9})-(\d{1,15})-(\d{1,15})", wanted.place, re.ASCII)
    if found is None:
        return following.Follower(wanted.tail)
    number, *read = map(int, found.groups())
    return following.Follower(None, number, dict(zip((STDOUT, STDERR), read, strict=True)))


def followed(request: Request, *wanted: Wanted) -> list[_Following]:
    """Sources of the wanted outputs. Raises `Overloaded`."""
    among: Followers = request.app.state.followers
    if len(among.all) + len(wanted) > FOLLOWERS_MAX or among.closed:
        raise problems.Overloaded("too many readers follow an output", "close another page, or try again later")
    return [_Following(request, among, each) for each in wanted]


async def follow_output(request: Request, given: Given) -> Response:
    """Streams a job's output as it is written. May begin before the job, follows its retries, and ends with it."""
    job = await ask(request, lambda client: client.job(given["id"]))
    place = request.headers.get("last-event-id", "")
    wanted = Wanted(job.id, place, stream=STREAMS.get(given["stream"]), tail=given["tail"])
    return EventStream(*followed(request, wanted))
