"""What one step of a dispatcher does first."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from queuectl.client.facade import Client
from queuectl.clock import SystemClock
from queuectl.engine.dispatch.dispatcher import Dispatcher
from queuectl.engine.dispatch.host import Host
from queuectl.engine.dispatch.stopping import NOW
from queuectl.engine.dispatch.wakeup import Wakeup
from queuectl.store.liveness import DRIVER_LOCK_NAME, is_held, supervisor_folder
from queuectl.store.sqlite.store import SqliteStore
from queuectl.store.values import LEASE_S, WorkerRow
from queuectl.wire.requests import JobRequest
from queuectl.wire.workers import WorkerOptions

GIVE_UP_AFTER_S = 60.0


class Watched(SqliteStore):
    """A store that remembers in which order a worker asks it for jobs and for requests."""

    asked: list[str]
    driven: list[bool]
    """Of each supervisor, whether a lock told who drives it when it came on record."""
    is_deaf = False
    """Whether it never hears of what others commit."""

    def claim(self, *words: Any, **terms: Any) -> Any:
        self.asked.append("jobs")
        return super().claim(*words, **terms)

    def register(self, row: WorkerRow, lease_s: float = LEASE_S) -> None:
        self.driven.append(bool(is_held(supervisor_folder(self.folder, row.id), DRIVER_LOCK_NAME)))
        super().register(row, lease_s)

    def changed(self) -> bool:
        return super().changed() and not self.is_deaf

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


def until(dispatcher: Dispatcher, holds: Any) -> None:
    """Steps until it holds after one."""
    deadline = time.monotonic() + GIVE_UP_AFTER_S
    while time.monotonic() < deadline:
        dispatcher._store.asked.clear()  # type: ignore[attr-defined]
        pause_s = dispatcher.step()
        if holds():
            return
        time.sleep(min(pause_s, 0.01))
    raise TimeoutError("it never held")


def add_a_job(store: Watched) -> None:
    with closing(Client(SqliteStore(store.path))) as client:
        client.enqueue([JobRequest(command="true")])


def test_a_new_job_is_claimed_before_requests_are_looked_for(store: Watched) -> None:
    with idle_dispatcher(store, poll=3600.0) as dispatcher:
        add_a_job(store)
        dispatcher.step()
        assert store.asked == ["jobs", "requests"]
        dispatcher.step()
        assert store.asked == ["jobs", "requests"]


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
