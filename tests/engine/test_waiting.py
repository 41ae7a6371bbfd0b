"""Waiting for jobs: until they have ended, at next to no cost, and over a store that is away for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from queuectl.client import following, waiting
from queuectl.domain.errors import NotFound, StoreLost, StoreUnavailable
from queuectl.domain.job import Job
from queuectl.domain.lifecycle import CancelRequested
from queuectl.domain.selector import Selector
from queuectl.store.sqlite.store import SqliteStore
from tests.builders import a_job
from tests.workshop import PATIENCE_S, until


class Observed(SqliteStore):
    """A store that fails as often as `failures` says, and notes what it was asked."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.failures: list[StoreUnavailable] = []
        self.asked: list[int] = []
        self.spent_s = self.look_takes_s = 0.0

    def find(self, selector: Selector, **how: Any) -> list[Job]:
        began = time.monotonic()
        self.asked.append(len(selector.ids))
        time.sleep(self.look_takes_s)
        self._fail()
        found = super().find(selector, **how)
        self.spent_s += time.monotonic() - began
        return found

    def get(self, ref: str) -> Job:
        self._fail()
        return super().get(ref)

    def _fail(self) -> None:
        if self.failures:
            raise self.failures.pop()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Observed]:
    store = Observed(tmp_path / "queuectl.db")
    yield store
    store.close()


def in_thread(act: Any) -> threading.Thread:
    thread = threading.Thread(target=act)
    thread.start()
    return thread


def end_soon(store: Observed, *ids: str) -> None:
    """Cancels jobs from another connection."""
    other = SqliteStore(store.path)
    other.change(ids, CancelRequested(), None)
    other.close()


AWAY = StoreUnavailable("away")


def test_a_store_that_is_away_for_a_while_is_outlived(store: Observed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "AWAY_TOLD_AFTER_S", 0.0)
    store.insert([a_job("a")])
    said: list[str] = []

    def tick() -> None:
        if not said:
            store.failures = [AWAY] * 3
        elif len(said) == 2:
            end_soon(store, "a")

    (job,) = waiting.wait(store, ["a"], False, PATIENCE_S, tick, said.append)
    assert job.finished
    assert said == ["away; waiting until it is back", "the store is back"]


def test_what_follows_an_output_outlives_it_too(store: Observed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "AWAY_TOLD_AFTER_S", 0.0)
    store.insert([a_job("a")])
    said: list[str] = []
    for _ in following.follow(store, "a", None, None, ticks=True, say=said.append):
        if not said:
            store.failures = [AWAY] * 3
        elif len(said) == 2:
            end_soon(store, "a")
    assert said == ["away; waiting until it is back", "the store is back"]


def test_a_job_that_ended_while_the_store_was_away_ends_the_following(
    store: Observed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "AWAY_TOLD_AFTER_S", 0.0)
    store.insert([a_job("a")])
    said: list[str] = []
    for _ in following.follow(store, "a", None, None, ticks=True, say=said.append):
        if not said:
            end_soon(store, "a")
            store.failures = [AWAY]
    assert said == ["away; waiting until it is back", "the store is back"]


def test_a_store_that_is_lost_ends_the_waiting(store: Observed) -> None:
    store.insert([a_job("a")])

    def tick() -> None:
        store.failures = [StoreLost("damaged")]

    with pytest.raises(StoreLost, match="damaged"):
        waiting.wait(store, ["a"], False, PATIENCE_S, tick)


def test_a_time_limit_holds_while_the_store_is_away(store: Observed) -> None:
    store.insert([a_job("a")])
    with pytest.raises(TimeoutError, match="not finished yet: a"):
        waiting.wait(store, ["a"], False, 0.3, lambda: store.failures.extend([AWAY] * 1000))


def test_of_many_jobs_only_the_first_are_looked_at(store: Observed) -> None:
    ids = [f"job{number}" for number in range(1000)]
    store.insert([a_job(each) for each in ids])
    with pytest.raises(TimeoutError):
        waiting.wait(store, ids, False, 0.2, lambda: store.asked.clear())
    assert set(store.asked) == {waiting.AT_ONCE}
    end_soon(store, *ids)
    assert [job.id for job in waiting.wait(store, ids, False, PATIENCE_S)] == ids


def test_any_of_many_jobs_may_be_the_first(store: Observed) -> None:
    ids = [f"job{number}" for number in range(250)]
    store.insert([a_job(each) for each in ids])
    end_soon(store, ids[-1])
    assert [job.id for job in waiting.wait(store, ids, True, PATIENCE_S)] == [ids[-1]]


def test_a_job_that_is_deleted_ends_the_waiting(store: Observed) -> None:
    store.insert([a_job("a"), a_job("b")])

    def tick() -> None:
        other = SqliteStore(store.path)
        other.delete(["b"])
        other.close()

    with pytest.raises(NotFound, match="no job b"):
        waiting.wait(store, ["a", "b"], False, PATIENCE_S, tick)


def test_looking_takes_a_small_part_of_the_time_on_a_busy_store(store: Observed) -> None:
    store.insert([a_job("a")])
    store.look_takes_s = 0.005
    over = threading.Event()

    def others() -> None:
        other = SqliteStore(store.path)
        number = 0
        while not over.is_set():
            other.insert([a_job(f"other{(number := number + 1)}")])
        other.close()

    busy = in_thread(others)
    try:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            waiting.wait(store, ["a"], False, 1.5)
        assert store.spent_s < (time.monotonic() - began) / 4
        assert len(store.asked) > 2, "it looks all the same"
    finally:
        over.set()
        busy.join()


def test_an_ended_job_is_noticed_long_before_the_next_poll(store: Observed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "RECHECK_EVERY_S", 10 * PATIENCE_S)
    store.insert([a_job("a")])
    ended: list[Job] = []
    mine = Observed(Path(store.path))
    waits = in_thread(lambda: ended.extend(waiting.wait(mine, ["a"], False, None)))
    until(lambda: mine.asked, "it has looked")
    end_soon(store, "a")
    waits.join(PATIENCE_S)
    mine.close()
    assert [job.id for job in ended] == ["a"]
