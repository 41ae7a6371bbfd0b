"""What one step of a dispatcher does first."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from queuectl.client.facade import Client
from queuectl.clock import SystemClock
from queuectl.domain.errors import StoreUnavailable
from queuectl.domain.job import Job, JobState
from queuectl.domain.lifecycle import Ended
from queuectl.engine.dispatch.dispatcher import Dispatcher
from queuectl.engine.dispatch.host import Host
from queuectl.engine.dispatch.stopping import NOW
from queuectl.engine.dispatch.wakeup import Wakeup
from queuectl.store.liveness import DRIVER_LOCK_NAME, is_held, supervisor_folder
from queuectl.store.sqlite.store import SqliteStore
from queuectl.store.values import LEASE_S, Change, Grip, Heard, WorkerRow
from queuectl.wire.requests import parse_request
from queuectl.wire.workers import WorkerOptions

GIVE_UP_AFTER_S = 60.0


class Watched(SqliteStore):
    """A store that remembers in which order a worker asks it for jobs and for requests."""

    asked: list[str]
    driven: list[bool]
    """Of each supervisor, whether a lock told who drives it when it came on record."""
    is_deaf = False
    """Whether it never hears of what others commit."""
    loses_an_answer = False
    """Whether the next commit of an end is told to have failed, though it has not."""

    def claim(self, *words: Any, **terms: Any) -> Any:
        self.asked.append("jobs")
        return super().claim(*words, **terms)

    _ends = False

    def record(self, grip: Grip, changes: Sequence[Change]) -> list[Job | None]:
        self._ends = any(isinstance(change.event, Ended) for change in changes)
        return super().record(grip, changes)

    @contextmanager
    def transaction(self, *, synced: bool = True) -> Iterator[None]:
        is_outermost = not self._depth
        self._ends = self._ends and not is_outermost
        with super().transaction(synced=synced):
            yield
        if is_outermost and self._ends and self.loses_an_answer:
            self.loses_an_answer = False
            raise StoreUnavailable("the answer is lost")

    def register(self, row: WorkerRow, lease_s: float = LEASE_S) -> None:
        self.driven.append(bool(is_held(supervisor_folder(self.folder, row.id), DRIVER_LOCK_NAME)))
        super().register(row, lease_s)

    def changed(self) -> Heard | None:
        heard = super().changed()
        return None if self.is_deaf else heard

    def asked_of(self, *words: Any) -> Any:
        self.asked.append("requests")
        return super().asked_of(*words)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Watched]:
    with closing(Watched(tmp_path / "queuectl.db")) as store:
        store.asked, store.driven = [], []
        yield store


@contextmanager
def idle_dispatcher(store: Watched, poll: float) -> Iterator[Dispatcher]:
    """One that has nothing to do."""
    options = WorkerOptions(name="w", supervisors=1, poll=poll)
    dispatcher = Dispatcher(store, options, SystemClock(), Host(store.folder), Wakeup(None), lambda *_: None)
    dispatcher.start()
    try:
        until(dispatcher, lambda: "jobs" not in store.asked)
        yield dispatcher
        dispatcher.stop(NOW, "the test is over")
        until(dispatcher, lambda: dispatcher.exit_code is not None)
    finally:
        dispatcher.close()


def until(dispatcher: Dispatcher, holds: Any) -> list[str]:
    """Steps until it holds after one; what the store was asked for by all of them."""
    deadline, asked = time.monotonic() + GIVE_UP_AFTER_S, dispatcher._store.asked  # type: ignore[attr-defined]
    every: list[str] = []
    while time.monotonic() < deadline:
        asked.clear()
        pause_s = dispatcher.step()
        every += asked
        if holds():
            return every
        time.sleep(min(pause_s, 0.01))
    raise TimeoutError("it never held")


def add_a_job(store: Watched, **keys: Any) -> None:
    with closing(Client(SqliteStore(store.path))) as client:
        client.enqueue([parse_request({"command": "true", **keys}, client.now())])


def completed(store: Watched) -> int:
    return sum(number for (_, state), number in store.counts().items() if state is JobState.COMPLETED)


def test_a_new_job_is_claimed_before_requests_are_looked_for(store: Watched) -> None:
    with idle_dispatcher(store, poll=3600.0) as dispatcher:
        add_a_job(store)
        dispatcher.step()
        assert store.asked == ["jobs", "requests"]
        dispatcher.step()
        assert store.asked == ["jobs", "requests"]


def asked_from_the_end(dispatcher: Dispatcher, store: Watched, gate: Path, jobs: int) -> list[str]:
    """What is asked from the end of a job that waits for the gate until so many are completed, with nothing heard of
    other processes."""
    until(dispatcher, lambda: dispatcher._crew.has_flights)
    store.is_deaf = True
    until(dispatcher, lambda: not dispatcher._claiming.is_wanted())
    gate.touch()
    asked = until(dispatcher, lambda: completed(store) == jobs and not dispatcher._crew.has_flights)
    gate.unlink()
    store.is_deaf = False
    return asked


def test_the_end_of_a_job_lets_its_worker_look_for_others_only_if_any_may_wait_for_it(
    store: Watched, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    waits = f"while [ ! -e {gate} ]; do sleep 0.05; done"
    with idle_dispatcher(store, poll=3600.0) as dispatcher:
        add_a_job(store, command=waits)
        assert "jobs" not in asked_from_the_end(dispatcher, store, gate, 1)
        add_a_job(store, command=waits, id="first", held=True)
        add_a_job(store, after=["first"])
        with closing(Client(SqliteStore(store.path))) as client:
            client.release("first")
        assert "jobs" in asked_from_the_end(dispatcher, store, gate, 3)


def test_a_worker_that_hears_of_nothing_claims_only_where_there_is_something(store: Watched) -> None:
    store.is_deaf = True
    with idle_dispatcher(store, poll=0.02) as dispatcher:
        until(dispatcher, lambda: store.asked)
        assert store.asked == ["requests"]
        add_a_job(store)
        until(dispatcher, lambda: "jobs" in store.asked)


def test_whoever_finds_a_supervisor_on_record_can_tell_who_drives_it(store: Watched) -> None:
    with idle_dispatcher(store, poll=3600.0):
        assert store.driven == [True]


def test_a_retry_is_not_forgotten_where_the_answer_to_its_commit_was_lost(store: Watched) -> None:
    with idle_dispatcher(store, poll=3600.0) as dispatcher:
        add_a_job(store, command="false", max_retries=1, backoff_initial=0.1)
        until(dispatcher, lambda: dispatcher._crew.has_flights)
        store.is_deaf = store.loses_an_answer = True
        until(dispatcher, lambda: store.counts().get(("default", JobState.DEAD)))
        assert not store.loses_an_answer
