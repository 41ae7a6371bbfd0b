"""What is told of a store or a machine that fails."""

from __future__ import annotations

from queuectl.domain.errors import OperationFailed, StoreUnavailable
from queuectl.engine.dispatch.outage import STOP_WAITS_S, TOLD_AFTER_S, Outage
from queuectl.engine.happenings import Happening, StopWaits, StoreLost


class Told(list[Happening]):
    def __call__(self, *happened: Happening) -> None:
        self.extend(happened)


def test_a_stop_waits_for_a_store_that_is_away() -> None:
    told = Told()
    outage = Outage(told, leased=True)
    assert not outage.hinders_stop(0.0, 2, has_jobs=True)
    assert told == []
    for now in (0.0, TOLD_AFTER_S + 1):
        outage.goes_on(StoreUnavailable("the server is away"), now)
    for signals_left in (2, 2, 1, 1):
        assert not outage.hinders_stop(STOP_WAITS_S + 1, signals_left, has_jobs=True)
    assert told == [StoreLost("the server is away", leased=True), StopWaits(2), StopWaits(1)]


def test_a_stop_does_not_wait_long_once_nothing_runs() -> None:
    outage = Outage(Told(), leased=True)
    for now in (0.0, TOLD_AFTER_S + 1):
        outage.goes_on(StoreUnavailable("the server is away"), now)
    assert not outage.hinders_stop(STOP_WAITS_S, 2, has_jobs=False)
    assert outage.hinders_stop(STOP_WAITS_S + 1, 2, has_jobs=False)
    outage.is_over(STOP_WAITS_S + 2)
    outage.goes_on(StoreUnavailable("the server is away"), STOP_WAITS_S + 3)
    assert not outage.hinders_stop(STOP_WAITS_S + 4, 2, has_jobs=False), "it was back meanwhile"


def test_a_stop_waits_for_no_machine_that_fails_and_leases_last_meanwhile() -> None:
    told = Told()
    outage = Outage(told, leased=True)
    for now in (0.0, TOLD_AFTER_S + 1):
        outage.goes_on(OperationFailed("this machine fails: no room for a process"), now)
    for has_jobs in (False, True):
        assert not outage.hinders_stop(STOP_WAITS_S + 1, 2, has_jobs=has_jobs)
    assert told == [StoreLost("this machine fails: no room for a process", leased=False)]
