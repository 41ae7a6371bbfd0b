"""What a draining worker tells of jobs that it cannot start."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from queuectl.engine.dispatch.drain import TELLS_FROM_S, Drain
from queuectl.engine.happenings import DrainStuck
from queuectl.wire.workers import WorkerOptions


def test_a_worker_that_has_been_busy_is_not_stuck_at_once() -> None:
    told: list[Any] = []
    clock = SimpleNamespace(now=0.0)
    store: Any = SimpleNamespace(has_work=lambda *_: True, now=lambda: clock.now)
    crew: Any = SimpleNamespace(options=WorkerOptions(), has_flights=False)
    drain = Drain(store, crew, lambda *happened: told.extend(happened))
    for clock.now, crew.has_flights in ((0.0, False), (1.0, True), (99.0, True), (100.0, False)):
        assert not drain.is_over(None)
    assert told == []
    clock.now += TELLS_FROM_S + 1
    assert not drain.is_over(None)
    assert told == [DrainStuck()]
