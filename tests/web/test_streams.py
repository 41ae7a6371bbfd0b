"""What is watched live: events, snapshots, a job's output; and that a stream never keeps the server from anything."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx

from queuectl.client.news import NEWS_MAX, Watching
from queuectl.domain.errors import StoreUnavailable
from queuectl.store.past import Place
from queuectl.store.sqlite.store import SqliteStore
from queuectl.web import feed
from queuectl.web.streams import message
from queuectl.wire.requests import JobRequest
from tests.builders import NOON, ManualClock, a_grip, a_job, claim_one, finish
from tests.web.service import Service, serving
from tests.workshop import PATIENCE_S, open_workshop, until

Event = tuple[str, dict[str, Any]]


def events(answer: httpx.Response, reader: Watcher | None = None) -> Iterator[Event]:
    """The events of a stream, one after the other. The reader's place is the latest id."""
    kind = ""
    for line in answer.iter_lines():
        name, _, value = line.partition(": ")
        if name == "event":
            kind = value
        elif name == "id" and reader:
            reader.place = value
        elif name == "data":
            yield kind, json.loads(value)


class Watcher:
    """Reads a stream in a thread, and keeps what it has read."""

    def __init__(self, service: Service, path: str, after: str | None = None) -> None:
        self.seen: list[Event] = []
        self.place = ""
        self._after = {} if after is None else {"Last-Event-ID": after}
        self._client = service.client(service.tokens["full"])
        self._open = threading.Event()
        self._path = path
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        assert self._open.wait(PATIENCE_S)

    def _read(self) -> None:
        with self._client.stream("GET", self._path, headers=self._after) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            self._open.set()
            for event in events(answer, self):
                self.seen.append(event)

    def until(self, wanted: Callable[[Event], bool]) -> Event:
        """The first event of this kind."""
        until(lambda: any(map(wanted, self.seen)), f"an event of {self._path}: {self.seen[-3:]}")
        return next(filter(wanted, self.seen))

    def end(self) -> list[Event]:
        """All events, once the stream has ended by itself."""
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "the stream does not end"
        self._client.close()
        return self.seen


def job_event(what: str, job: str) -> Callable[[Event], bool]:
    return lambda event: event[0] == "job" and (event[1]["event"], event[1]["job"]) == (what, job)


def test_whoever_listens_is_told_of_the_life_of_a_job(tmp_path: Path) -> None:
    with serving(tmp_path / "queuectl.db") as service, open_workshop(tmp_path) as shop:
        watcher = Watcher(service, "/api/v1/events")
        shop.worker()
        gate = tmp_path / "gate"
        shop.enqueue(f"until [ -e {gate} ]; do sleep 0.05; done; exit 3", id="a", max_retries=0)
        _, enqueued = watcher.until(job_event("enqueued", "a"))
        assert enqueued["queue"] == "default"
        _, started = watcher.until(job_event("started", "a"))
        assert (started["attempt"], started["state"]) == (1, "processing")
        gate.touch()
        _, ended = watcher.until(job_event("ended", "a"))
        assert (ended["outcome"], ended["exit_code"], ended["state"]) == ("failed", 3, "dead")
        service.full.post("/api/v1/jobs/a/retry")
        _, retried = watcher.until(job_event("retried", "a"))
        assert retried["by"] == "token:test-full"
        service.full.put("/api/v1/config/timeout", json={"value": "1h"})
        _, deed = watcher.until(lambda event: event[0] == "deed")
        assert (deed["event"], deed["detail"]) == ("setting_changed", "timeout=1h")
        told = [json.dumps(event[1], sort_keys=True) for event in watcher.seen]
        assert len(told) == len(set(told)), "something was told twice"
    watcher.end()


def test_snapshots_come_only_to_those_who_want_them(tmp_path: Path) -> None:
    with serving(tmp_path / "queuectl.db") as service:
        service.enqueue(id="a")
        both = Watcher(service, "/api/v1/events?topics=snapshot&topics=events")
        only = Watcher(service, "/api/v1/events")
        _, snapshot = both.until(lambda event: event[0] == "snapshot")
        assert (snapshot["counts"]["pending"], snapshot["workers"]) == (1, 0)
        assert snapshot["oldest_waiting"] >= 0
        service.enqueue(id="b")
        both.until(lambda event: event[0] == "snapshot" and event[1]["counts"]["pending"] == 2)
        only.until(job_event("enqueued", "b"))
    both.end()
    assert all(kind != "snapshot" for kind, _ in only.end())


def test_the_reader_sleeps_when_nobody_listens(service: Service) -> None:
    def readers() -> int:
        return sum(thread.name == "queuectl-feed" for thread in threading.enumerate())

    with service.full.stream("GET", "/api/v1/events") as one, service.full.stream("GET", "/api/v1/events") as two:
        assert (one.status_code, two.status_code) == (200, 200)
        until(lambda: readers() == 1, "one reader for both")
    until(lambda: readers() == 0, "the reader ends")


def test_output_is_followed_over_retries_to_the_end(tmp_path: Path) -> None:
    with serving(tmp_path / "queuectl.db") as service, open_workshop(tmp_path) as shop:
        gate = tmp_path / "gate"
        command = f"echo try $QUEUECTL_ATTEMPT; until [ -e {gate} ]; do sleep 0.05; done; echo ä; exit 1"
        shop.enqueue(command, id="a", max_retries=1, backoff_initial="200ms")
        watcher = Watcher(service, "/api/v1/jobs/a/output/stream")
        shop.worker()
        watcher.until(lambda event: event[0] == "output" and "try 1" in event[1]["text"])
        assert shop.job("a").state.value == "processing"  # told while it runs
        gate.touch()
        *told, (kind, end) = watcher.end()
        assert (kind, end) == ("end", {"state": "dead", "exit_code": 1})
        by_attempt = {number: "".join(e["text"] for _, e in told if e["attempt"] == number) for number in (1, 2)}
        assert by_attempt == {1: "try 1\nä\n", 2: "try 2\nä\n"}


def test_output_of_a_job_that_is_deleted_meanwhile_ends_with_the_reason(service: Service) -> None:
    service.enqueue(id="a", held=True)
    watcher = Watcher(service, "/api/v1/jobs/a/output/stream")
    service.full.delete("/api/v1/jobs/a")
    assert watcher.end()[-1][1]["code"] == "not_found"


def test_a_listener_that_comes_back_is_told_what_it_missed(tmp_path: Path) -> None:
    db = tmp_path / "queuectl.db"
    with serving(db) as service:
        service.enqueue(id="before")
        first = Watcher(service, "/api/v1/events")
        service.enqueue(id="heard")
        first.until(job_event("enqueued", "heard"))
    first.end()  # the server has ended
    with serving(db) as service:
        service.enqueue(id="missed")
        service.full.put("/api/v1/config/timeout", json={"value": "1h"})
        again = Watcher(service, "/api/v1/events", after=first.place)
        again.until(job_event("enqueued", "missed"))
        again.until(lambda event: event[0] == "deed" and event[1]["event"] == "setting_changed")
        service.enqueue(id="later")
        again.until(job_event("enqueued", "later"))
        assert not [event for event in again.seen if event[1].get("job") in ("before", "heard")]
        strange = Watcher(service, "/api/v1/events", after="no such place")
        service.enqueue(id="latest")
        strange.until(job_event("enqueued", "latest"))
        assert not [event for event in strange.seen if event[1].get("job") == "missed"]
    for watcher in (again, strange):
        watcher.end()


def test_a_listener_that_missed_very_much_is_told_so(tmp_path: Path) -> None:
    with serving(tmp_path / "queuectl.db") as service:
        place = feed.place_id(service.queue.place())
        service.full.post("/api/v1/jobs", json=[{"command": "true"}] * NEWS_MAX)
        watcher = Watcher(service, "/api/v1/events", after=place)
        watcher.until(lambda event: event[0] == "skipped")
    watcher.end()


def test_an_output_goes_on_where_its_reader_was(tmp_path: Path) -> None:
    with serving(tmp_path / "queuectl.db", listen_s_max=2.0) as service, open_workshop(tmp_path) as shop:
        begun, half, gate = tmp_path / "begun", tmp_path / "half", tmp_path / "gate"
        wait = "until [ -e {} ]; do sleep 0.05; done"
        command = f"printf 'one\\n\\303'; touch {begun}; {wait.format(half)}; printf '\\244 two\\n'; "
        command += f"{wait.format(gate)}; echo three"
        shop.enqueue(command, id="a")
        shop.worker()
        until(begun.exists, "it writes")  # a stream does not last long here
        first = Watcher(service, "/api/v1/jobs/a/output/stream")
        first.until(lambda event: event[0] == "output")
        first.end()  # after its second, in the middle of a character
        assert first.place == "1-4-0"
        half.touch()
        second = Watcher(service, "/api/v1/jobs/a/output/stream", after=first.place)
        second.until(lambda event: event[0] == "output" and "two" in event[1]["text"])
        second.end()
        gate.touch()
        until(lambda: shop.job("a").finished, "it ends")
        third = Watcher(service, "/api/v1/jobs/a/output/stream", after=second.place)
        told = [
            event[1]["text"] for watcher in (first, second, third) for event in watcher.end() if event[0] == "output"
        ]
        assert "".join(told) == "one\nä two\nthree\n"


def test_outputs_of_several_jobs_share_a_stream(tmp_path: Path) -> None:
    with serving(tmp_path / "queuectl.db") as service, open_workshop(tmp_path) as shop:
        shop.enqueue("echo of a", id="a")
        shop.enqueue("echo of b", id="b")
        shop.worker(2)
        watcher = Watcher(service, "/live/outputs?output=a&output=b&output=none&output=a@1-3-0")
        seen = watcher.end()
        texts = {event[1]["of"]: event[1]["text"] for event in seen if event[0] == "output"}
        assert texts == {0: "of a\n", 1: "of b\n", 3: "a\n"}
        assert sorted(event[1]["of"] for event in seen if event[0] == "end") == [0, 1, 3]
        assert [event[1]["of"] for event in seen if event[0] == "trouble"] == [2]
        assert service.full.get("/live/outputs").status_code == 400
        assert service.stranger.get("/live/outputs?output=a").status_code == 401


def test_a_revoked_token_reads_no_output_any_more(service: Service) -> None:
    service.enqueue(id="a", held=True)
    watcher = Watcher(service, "/api/v1/jobs/a/output/stream")
    service.queue.revoke_token("test-full")
    assert watcher.end() == []


def test_a_slow_listener_loses_what_it_did_not_read_and_is_told() -> None:
    async def slow() -> bytes | None:
        listener = feed.Listener(frozenset({"events"}), Place(0, 0, 0))
        piece = b"x" * (feed.WAITING_BYTES_MAX // 4)
        for _ in range(6):
            listener.put(piece)
        return await listener.next()

    got = asyncio.run(slow())
    assert got is not None
    assert got.startswith(feed.SKIPPED)
    assert len(got) < feed.WAITING_BYTES_MAX


class Unsteady:
    """A store's client and its news: it cannot be read when it is first tried, then one thing has happened."""

    def __init__(self) -> None:
        self.place = Place(7, 0, 0)
        self.opened = 0
        self.wait = self.may_be_stale = self.is_lost = lambda *_: False
        self.close = lambda: None

    def open(self) -> Any:
        self.opened += 1
        return self

    def watch(self, place: Place | None) -> Any:
        return self

    def read(self) -> list[Any]:
        if self.opened == 1:
            raise StoreUnavailable("the store is away")
        return []


async def all_until(word: bytes, source: feed.Feed, listener: feed.Listener) -> bytes:
    """All that a listener is told until the word has come; then it leaves."""
    got = b""
    while word not in got:
        said = await asyncio.wait_for(listener.next(), PATIENCE_S)
        got += said or b""
    source.leave(listener)
    return got


def test_a_listener_is_told_that_news_may_be_lost_while_the_store_was_away() -> None:
    async def listen() -> bytes:
        source = feed.Feed(Unsteady().open, 60.0)
        listener = source.listen(["events"], Place(0, 0, 0))
        return await all_until(b"skipped", source, listener)

    told = [line for line in asyncio.run(listen()).splitlines() if line.startswith((b"event", b"id"))]
    assert told == [b"id: 0-0-0", b"event: trouble", b"event: skipped", b"id: 7-0-0"]


def test_what_a_reader_still_says_once_it_was_stopped_reaches_nobody() -> None:
    async def listen() -> bytes:
        source = feed.Feed(Unsteady().open, 60.0)
        source.leave(source.listen(["events"], Place(0, 0, 0)))
        first = feed._Reader(Unsteady().open, source._hand_out, Place(0, 0, 0))
        listener = source.listen(["events"], Place(0, 0, 0))
        source._hand_out(first, "events", b"old")
        source._hand_out(source._reader, "events", b"new")  # type: ignore[arg-type]
        return await all_until(b"new", source, listener)

    assert b"old" not in asyncio.run(listen())


def test_too_much_at_once_is_passed_over_and_reading_goes_on(tmp_path: Path) -> None:
    clock = ManualClock()
    store = SqliteStore(tmp_path / "queuectl.db", clock)
    with closing(Watching(store)) as watching:
        store.insert([a_job(f"job{number}") for number in range(NEWS_MAX)])
        assert watching.read() is None
        assert watching.read() == []
        store.insert([a_job("late")])
        assert [news.job for news in watching.read() or ()] == ["late"]
    store.close()


def test_while_there_is_too_much_to_tell_news_are_read_as_seldom_as_snapshots(tmp_path: Path) -> None:
    with serving(tmp_path / "queuectl.db") as service:
        watcher = Watcher(service, "/api/v1/events?topics=events,snapshot")

        def told(kind: str) -> int:
            return sum(each == kind for each, _ in watcher.seen)

        while told("snapshot") < 4:
            service.queue.enqueue([JobRequest(command="true")] * (NEWS_MAX + 1))
        assert 0 < told("skipped") <= told("snapshot") + 1
    watcher.end()


def test_an_end_that_is_committed_late_is_still_told_once(tmp_path: Path) -> None:
    clock = ManualClock()
    store = SqliteStore(tmp_path / "queuectl.db", clock)
    grip = a_grip(store)
    store.insert([a_job("a")])
    job = claim_one(store, grip)
    with closing(Watching(store)) as watching:
        clock.at = NOON + 1.5
        assert watching.read() == []
        clock.at = NOON + 1
        finish(store, grip, job)  # at a time that was already read
        clock.at = NOON + 1.6
        assert "ended" in [news.kind for news in watching.read() or ()]
        clock.forward(1)
        assert watching.read() == []
    assert store.news(Place(0, 0, NOON), 10)
    store.close()


def test_a_stream_ends_after_its_time_and_may_come_back(tmp_path: Path) -> None:
    with serving(tmp_path / "queuectl.db", listen_s_max=0.3) as service:
        for _ in range(2):
            Watcher(service, "/api/v1/events").end()


def test_no_character_of_an_output_ends_a_line_for_any_client() -> None:
    text = "".join(map(chr, range(0x300))) + "\u2028\u2029"
    event, data, blank = message("output", {"text": text}).decode().splitlines()
    assert (event, blank) == ("event: output", "")
    assert json.loads(data.removeprefix("data: ")) == {"text": text}
