"""When a worker looks for jobs of which all others have heard too."""

from __future__ import annotations

from math import inf
from types import SimpleNamespace
from typing import Any

import pytest

from queuectl import ids
from queuectl.engine.dispatch.claiming import Claiming, Claims
from queuectl.engine.dispatch.pace import RETRY_FIRST_S, Pace
from queuectl.engine.dispatch.stopping import GRACEFUL, NOW, Begun, Stopping
from queuectl.engine.dispatch.turn import AT_ONCE, DOUBLING_S, Turn
from tests.builders import NOON, ManualClock

MANY = 1000.0
LAST = 1 - 1e-9


class OfMany:
    """One of many workers, always the last in turn, that has just found nothing to claim. What it asks its store in
    one question is counted, and answered by `found`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ids, "draw", lambda: LAST)
        self.clock = ManualClock()
        self.pace = Pace(self.clock)
        self.asked, self.slots = 0, 1
        self.found: tuple[bool, float | None] = (False, None)
        link: Any = SimpleNamespace(
            own=True, for_hooks=False, leaving=False, channel=SimpleNamespace(closed=False), flights={},
            row=SimpleNamespace(slots=1), is_short=lambda: False, free_slots=lambda: self.slots,
        )  # fmt: skip
        crew: Any = SimpleNamespace(links=[link], workers=MANY, options=SimpleNamespace(hooks=False), for_hooks=None)
        store: Any = SimpleNamespace(now=self.clock.now, outlook=self._outlook)
        self.claiming = Claiming(store, crew, self.pace, print)
        self.claim_nothing()

    def _outlook(self) -> tuple[bool, float | None]:
        self.asked += 1
        return self.found

    def claim_nothing(self) -> None:
        claims = Claims()
        claims.orders, claims.room = [(None, [])], 1  # type: ignore[list-item]
        self.claiming.settled(claims)

    def attend(self, *, stops: bool = False) -> None:
        self.claiming.attend(None, self.clock.monotonic(), stops=stops)  # type: ignore[arg-type]

    def looks_in(self) -> float:
        return self.claiming.next_look(self.clock.monotonic()) - self.clock.monotonic()

    def wait(self) -> None:
        """Until it looks."""
        self.clock.forward(self.looks_in())


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> OfMany:
    return OfMany(monkeypatch)


@pytest.mark.parametrize("is_left", [True, False])
def test_in_its_turn_a_worker_asks_once_whether_something_is_left(worker: OfMany, is_left: bool) -> None:
    worker.claiming.hear(1)
    worker.attend()
    assert (worker.asked, worker.claiming.is_wanted()) == (0, False)
    worker.found = is_left, None
    worker.wait()
    worker.attend()
    worker.attend()
    assert (worker.asked, worker.claiming.is_wanted(), worker.looks_in()) == (1, is_left, inf)


def test_in_its_turn_a_worker_learns_when_the_next_job_is_due(worker: OfMany) -> None:
    worker.claiming.hear(0)
    worker.found = False, NOON + 60
    worker.wait()
    worker.attend()
    assert worker.claiming.next_due == NOON + 60


def test_what_has_become_due_is_looked_for_in_turn(worker: OfMany) -> None:
    worker.claiming.note_due(NOON + 60)
    worker.wait()
    worker.attend()
    assert worker.clock.at == NOON + 60
    assert (worker.asked, worker.claiming.is_wanted(), 0 < worker.looks_in() < 1) == (0, False, True)
    worker.found = True, None
    worker.wait()
    worker.attend()
    assert worker.claiming.is_wanted()


def test_a_full_worker_asks_nothing_and_claims_after_an_end(worker: OfMany) -> None:
    worker.slots = 0
    worker.claiming.hear(1)
    assert worker.looks_in() == inf
    worker.slots = 1
    assert worker.claiming.is_wanted()


def test_later_news_do_not_put_off_a_turn(worker: OfMany, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "draw", lambda: 0.01)
    worker.claiming.hear(1)
    soon = worker.looks_in()
    monkeypatch.setattr(ids, "draw", lambda: LAST)
    worker.claiming.hear(1)
    assert 0 < worker.looks_in() == soon < 2 * DOUBLING_S


def test_a_claim_or_a_stop_ends_the_wait_for_a_turn(worker: OfMany) -> None:
    worker.claiming.hear(1)
    worker.claim_nothing()
    assert worker.looks_in() == inf
    worker.claiming.hear(1)
    worker.attend(stops=True)
    assert worker.looks_in() == inf


def test_a_store_that_is_away_is_asked_as_often_as_it_is_tried(worker: OfMany, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "draw", lambda: 0.01)
    worker.claiming.hear(1)
    worker.pace.failed(worker.clock.monotonic())
    assert worker.looks_in() == pytest.approx(RETRY_FIRST_S, abs=1e-6)


def test_as_many_look_at_once_as_there_are_jobs_and_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    for jobs in (0, 1, 100):
        first = AT_ONCE + jobs
        for place, is_at_once in ((first - 0.5, True), (first + 0.5, False)):
            monkeypatch.setattr(ids, "draw", lambda place=place: place / MANY)
            assert Turn(ManualClock()).comes_at_once(jobs, MANY) is is_at_once
        assert Turn(ManualClock()).comes_at_once(jobs, float(first))


def test_a_signal_before_a_stop_of_before_goes_on_ends_what_runs() -> None:
    crew: Any = SimpleNamespace(links=[])
    stopping = Stopping(crew, None, ManualClock(), lambda *_: None, Begun(GRACEFUL, "SIGTERM"))
    stopping.go_on(expects_commands=True)
    stopping.signalled("SIGINT")
    assert (stopping.has_begun, stopping.begun) == (False, Begun(NOW, "SIGINT"))
    stopping.go_on(expects_commands=False)
    assert (stopping.has_begun, stopping.is_at_once) == (True, True)
