"""What one step of a dispatcher does first."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from queuectl.client.facade import Client
from queuectl.clock import SystemClock
from queuectl.engine.dispatch.dispatcher import Dispatcher
from queuectl.engine.dispatch.host import Host
from queuectl.engine.dispatch.stopping import NOW
from queuectl.engine.dispatch.wakeup import Wakeup
from queuectl.store.sqlite.store import SqliteStore
from queuectl.wire.requests import JobRequest
from queuectl.wire.workers import WorkerOptions

GIVE_UP_AFTER_S = 60.0


class Watched(SqliteStore):
    """A store that remembers in which order a worker asks it for jobs and for requests."""

    asked: list[str]

    def claim(self, *words: Any, **terms: Any) -> Any:
        self.asked.append("jobs")
        return super().claim(*words, **terms)

    def asked_of(self, *words: Any) -> Any:
        self.asked.append("requests")
        return super().asked_of(*words)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Watched]:
    with closing(Watched(tmp_path / "queuectl.db")) as store:
        store.asked = []
        yield store


@pytest.fixture
def dispatcher(store: Watched) -> Iterator[Dispatcher]:
    """One that has nothing to do."""
    options = WorkerOptions(name="w", supervisors=1)
    dispatcher = Dispatcher(store, options, SystemClock(), Host(store.folder), Wakeup(None), lambda *_: None)
    dispatcher.start()
    until(dispatcher, lambda: not store.asked)
    yield dispatcher
    dispatcher.stop(NOW, "the test is over")
    until(dispatcher, lambda: dispatcher.exit_code is not None)
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


def test_a_new_job_is_claimed_before_requests_are_looked_for(store: Watched, dispatcher: Dispatcher) -> None:
    with closing(Client(SqliteStore(store.path))) as client:
        client.enqueue([JobRequest(command="true")])
    dispatcher.step()
    assert store.asked == ["jobs", "requests"]
    dispatcher.step()
    assert store.asked == ["jobs", "requests"]
