"""News and snapshots for all listeners: read once, encoded once, sent to each.

One thread sleeps until something is committed, as workers do, reads the news and hands them to the event loop. It runs
only while somebody listens. A listener that is too slow loses its waiting news, and is told so. News are a view, not a
record: when much happens at once, the store is away, or an end is reported late, some are skipped (`skipped`). The jobs
themselves are always up to date. The id of an event says how far the news have been read, for a listener that comes
back.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing

from queuectl.client import documents
from queuectl.client.facade import Client
from queuectl.client.figures import FAILURES, Counted
from queuectl.client.operations import EVENTS, SNAPSHOT
from queuectl.client.values import WorkerView
from queuectl.domain.errors import QueuectlError
from queuectl.domain.job import Outcome
from queuectl.store.past import News, Place
from queuectl.typed import Any
from queuectl.web.problems import Overloaded
from queuectl.web.streams import message

TICK_S, CROWDED_TICK_S = 0.25, 1.0
"""Least time between two readings of news, however many commits there are, and after one with too many to tell."""
SNAPSHOT_EVERY_S, SNAPSHOT_AT_REST_S = 1.0, 5.0
LOOK_EVERY_S = 1.0
"""Poll interval when commits are not announced."""
AGAIN_AFTER_S = 1.0
"""Pause after the store could not be read."""
RATE_WINDOW_S, RATE_STRETCHES = 60.0, 30
RATE_SPANS = 500
QUEUES_MAX = PROGRESS_MAX = 100

LISTENERS_MAX = 256
WAITING_BYTES_MAX = 1 << 18
"""Most bytes that may wait for one listener."""


SKIPPED = message("skipped", {})
RETRY_MS = 2000
"""How long browsers wait before they reconnect."""


class Listener:
    """The data that waits to be sent on one connection. For the event loop's thread only."""

    def __init__(self, topics: frozenset[str], place: Place) -> None:
        self.topics = topics
        self.end: asyncio.TimerHandle | None = None
        self._waiting: deque[bytes] = deque([b"id: %b\nretry: %d\n\n" % (place_id(place).encode(), RETRY_MS)])
        self._bytes = 0
        self._news = asyncio.Event()
        self._news.set()
        self._over = False

    def put_first(self, data: bytes) -> None:
        """Adds data to send before all that waits."""
        self._waiting.appendleft(data)

    def put(self, data: bytes) -> None:
        """Adds data to send."""
        if self._bytes + len(data) > WAITING_BYTES_MAX:
            self._waiting.clear()
            self._bytes = 0
            data = SKIPPED
        self._waiting.append(data)
        self._bytes += len(data)
        self._news.set()

    def hang_up(self) -> None:
        """Ends the stream once the waiting data is sent."""
        self._over = True
        self._news.set()

    async def next(self) -> bytes | None:
        """All waiting data, as soon as there is some; None at the end."""
        await self._news.wait()
        self._news.clear()
        if self._over:
            return None
        data = b"".join(self._waiting)
        self._waiting.clear()
        self._bytes = 0
        return data


class Feed:
    """The listeners, and the thread that reads for them."""

    def __init__(self, open_client: Callable[[], Client], listen_s_max: float) -> None:
        self._open = open_client
        self._listen_s_max = listen_s_max
        self._listeners: set[Listener] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reader: _Reader | None = None
        self._latest: bytes | None = None
        self._closed = False

    def listen(self, topics: Iterable[str], place: Place) -> Listener:
        """A new listener for news after `place`. Raises `Overloaded`."""
        if len(self._listeners) >= LISTENERS_MAX or self._closed:
            raise Overloaded("too many pages are listening", "close another page, or try again later")
        self._loop = asyncio.get_running_loop()
        listener = Listener(frozenset(topics), place)
        listener.end = self._loop.call_later(self._listen_s_max, listener.hang_up)
        self._listeners.add(listener)
        if SNAPSHOT in listener.topics and self._reader is not None and self._latest is not None:
            listener.put(self._latest)
        if self._reader is None or not self._reader.is_alive():
            self._reader = _Reader(self._open, self._hand_out, place)
            self._reader.start()
        self._reader.topics = self._wanted()
        return listener

    def leave(self, listener: Listener) -> None:
        """Removes a listener."""
        self._listeners.discard(listener)
        if listener.end is not None:
            listener.end.cancel()
        if self._reader is None:
            return
        self._reader.topics = self._wanted()
        if not self._listeners:
            self._reader.stop()
            self._reader = self._latest = None

    def close(self) -> None:
        """Ends all streams, and the thread."""
        self._closed = True
        for listener in self._listeners:
            listener.hang_up()
        if self._reader is not None:
            self._reader.stop()

    def _wanted(self) -> frozenset[str]:
        return frozenset(topic for listener in self._listeners for topic in listener.topics)

    def _in_loop(self, call: Callable[..., None], *given: Any) -> None:
        """Makes a call in the loop's thread."""
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(call, *given)
        except RuntimeError:  # the loop has ended, and no listener is left
            pass

    def _hand_out(self, reader: _Reader, topic: str | None, data: bytes) -> None:
        self._in_loop(self._put, reader, topic, data)

    def _put(self, reader: _Reader, topic: str | None, data: bytes) -> None:
        if reader is not self._reader:
            return  # it was stopped while it read, and whoever listens now has another one
        if topic == SNAPSHOT:
            self._latest = data
        for listener in self._listeners:
            if topic is None or topic in listener.topics:
                listener.put(data)


class _Reader(threading.Thread):
    """The thread that reads news and snapshots and hands them out, until it is stopped."""

    def __init__(
        self, open_client: Callable[[], Client], hand_out: Callable[[_Reader, str | None, bytes], None], place: Place
    ) -> None:
        super().__init__(name="queuectl-feed", daemon=True)
        self.topics: frozenset[str] = frozenset()
        self._open = open_client
        self._hand_out = hand_out
        self._place: Place | None = place  # where the first reading begins
        self._end = threading.Event()

    def stop(self) -> None:
        """Soon."""
        self._end.set()

    def run(self) -> None:
        while not self._end.is_set():
            try:
                self._read_on()
            except QueuectlError as error:
                self._hand_out(self, None, message("trouble", {"code": error.code, "detail": error.message}))
                self._end.wait(AGAIN_AFTER_S)

    def _read_on(self) -> None:
        """Reads one store until it is gone or replaced. Raises what the store raises."""
        with closing(self._open()) as client, closing(client.watch(self._place)) as watching:
            beat, stale, counted = _Beat(), True, Counted()
            if self._place is None:  # what happened since the last reading is not known, or was in another store
                self._hand_out(self, EVENTS, message("skipped", {}, place_id(watching.place)))
            self._place = None
            while not self._end.is_set() and not (beat.due("replaced", LOOK_EVERY_S) and watching.is_lost()):
                news = watching.read() if EVENTS in self.topics else []
                if told := told_news(news, watching.place):
                    self._hand_out(self, EVENTS, told)
                stale = watching.may_be_stale() or stale
                every_s = SNAPSHOT_EVERY_S if stale else SNAPSHOT_AT_REST_S
                if SNAPSHOT in self.topics and beat.due("snapshot", every_s):
                    self._hand_out(self, SNAPSHOT, message("snapshot", snapshot(client, counted)))
                    stale = False
                self._end.wait(CROWDED_TICK_S if news is None else TICK_S)
                watching.wait(LOOK_EVERY_S)


def told_news(news: list[News] | None, place: Place) -> bytes:
    """News up to `place` as events; empty if there are none. The last one's id is the place."""
    if news is None:
        return message("skipped", {}, place_id(place))
    ids = [*[""] * (len(news) - 1), place_id(place)]
    return b"".join(
        message("job" if each.job is not None else "deed", documents.news_to_json(each), event_id)
        for each, event_id in zip(news, ids, strict=False)
    )


def place_id(place: Place) -> str:
    """A place as the id of an event."""
    return f"{place.seq}-{place.deed}-{round(place.at * 1000)}"


def place_in(event_id: str) -> Place | None:
    """The place in the id of an event; None if it is no such id."""
    found = re.fullmatch(r"(\d{1,18})-(\d{1,18})-(\d{1,15})", event_id, re.ASCII)
    return Place(seq=int(found[1]), deed=int(found[2]), at=int(found[3]) / 1000) if found else None


class _Beat:
    """Limits how often each thing is done."""

    def __init__(self) -> None:
        self._done: dict[str, float] = {}

    def due(self, what: str, every_s: float) -> bool:
        """Whether `every_s` seconds have passed since it was last due."""
        now = time.monotonic()
        if now - self._done.get(what, 0.0) < every_s:
            return False
        self._done[what] = now
        return True


def _progress(workers: Sequence[WorkerView]) -> list[tuple[str, str]]:
    """What running jobs say of their progress."""
    return [(job.id, job.progress) for worker in workers for job in worker.running if job.progress]


def snapshot(client: Client, counted: Counted) -> dict[str, Any]:
    """Counts, slots, rates and times, for pages that show them live."""
    recent = client.charted(RATE_WINDOW_S, RATE_STRETCHES, counted, RATE_SPANS)
    found = client.status(retries=0)
    seconds = found.at - recent.since  # the present stretch is not over
    alive = [worker for worker in found.workers if not worker.orphaned]
    whole = documents.STATUS.json(found._replace(next_retries=[]))
    return {
        "at": whole["at"], "counts": whole["counts"], "starting": whole["starting"],
        "progress": dict(_progress(found.workers)[:PROGRESS_MAX]),
        "queues": dict(list(whole["queues"].items())[:QUEUES_MAX]),
        "workers": len(alive), "slots": {"total": documents.slots(alive), "busy": documents.busy(found.workers)},
        "oldest_waiting": whole["oldest_waiting"],
        "rates": {
            "window": RATE_WINDOW_S, "completed": round(recent.ended[Outcome.COMPLETED] / seconds, 3),
            "failed": round(sum(recent.ended[outcome] for outcome in FAILURES) / seconds, 3),
        },
        "run": recent.run._asdict(), "wait": recent.wait._asdict(),
    }  # fmt: skip
