"""The clock is set under a worker: no retry waits longer than its delay, and an execution took as long as it ran."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from queuectl.domain.job import JobState, Spec
from queuectl.engine.dispatch.upkeep import ClockWatch
from queuectl.engine.protocol import Order
from queuectl.engine.supervise import execution
from queuectl.engine.supervise.execution import Run, Slot
from queuectl.engine.supervise.trees import Tree
from queuectl.store.sqlite.store import SqliteStore
from tests.builders import NOON, a_grip, a_job, claim_one, finish

HOUR_S = 3600.0


@dataclass
class SetClock:
    """A clock that somebody sets; the other one runs on."""

    wall: float = NOON
    runs: float = 1000.0

    def now(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.runs


def a_failed_job(store: SqliteStore, id: str, delay_s: float) -> None:
    """It waits for its retry, for so long."""
    grip = a_grip(store, f"{id}~1")
    store.insert([a_job(id, at=store.now(), spec=Spec(backoff_initial=delay_s, backoff_max=delay_s))])
    job = claim_one(store, grip)
    finish(store, grip, job, exit_code=1)


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def store(tmp_path: Path, clock: SetClock) -> SqliteStore:
    return SqliteStore(tmp_path / "queuectl.db", clock)


def waits_s(store: SqliteStore, id: str) -> float:
    return store.get(id).due_at - store.now()


def test_after_a_clock_set_back_retries_wait_at_most_their_delay(store: SqliteStore, clock: SetClock) -> None:
    a_failed_job(store, "short", 3.0)
    a_failed_job(store, "long", 2 * HOUR_S)
    watch = ClockWatch(store, clock)
    assert not watch.go_on()
    clock.wall -= HOUR_S
    assert watch.go_on()
    assert (waits_s(store, "short"), waits_s(store, "long")) == (3.0, 2 * HOUR_S)
    assert not watch.go_on()


def test_after_a_clock_set_back_a_worker_looks_again_though_no_retry_waits(store: SqliteStore, clock: SetClock) -> None:
    watch = ClockWatch(store, clock)
    assert not watch.go_on()
    clock.wall -= HOUR_S
    assert watch.go_on()
    assert not watch.go_on()


def test_a_worker_that_starts_after_the_clock_was_set_back_mends_retries(store: SqliteStore, clock: SetClock) -> None:
    a_failed_job(store, "short", 3.0)
    clock.wall -= HOUR_S
    assert ClockWatch(store, clock).go_on()
    assert waits_s(store, "short") == 3.0
    assert [note.kind for note in store.notes(store.get("short"))] == ["ClockSetBack"]


def test_a_job_for_a_certain_time_waits_for_that_time(store: SqliteStore, clock: SetClock) -> None:
    store.insert([a_job("later", at=NOON, run_at=NOON + 60)])
    clock.wall -= HOUR_S
    assert not ClockWatch(store, clock).go_on()
    assert waits_s(store, "later") == HOUR_S + 60
    assert store.get("later").state is JobState.PENDING


@pytest.mark.parametrize("set_by", [-HOUR_S, HOUR_S])
def test_an_execution_took_as_long_as_it_ran_whatever_the_clock(set_by: float, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(
        order=Order(1, 1, 1, "job1", "default", 0, "true", None, 1.0), slot=Slot.__new__(Slot),
        tree=Tree(low=1, high=1, pid=1, since=1000.0), started_at=NOON, sinks={},
    )  # fmt: skip
    monkeypatch.setattr(execution, "boottime", lambda: 1008.0)
    monkeypatch.setattr(time, "time", lambda: NOON + 8.0)
    assert run.times() == (NOON, NOON + 8.0)
    monkeypatch.setattr(time, "time", lambda: NOON + set_by + 8.0)
    assert run.times() == (NOON + set_by, NOON + set_by + 8.0)
