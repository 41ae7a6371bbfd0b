"""What is told of a store or a machine that fails."""

from __future__ import annotations

from queuectl.domain.errors import OperationFailed, StoreUnavailable
from queuectl.engine.dispatch.outage import TOLD_AFTER_S, Outage
from queuectl.engine.happenings import Happening, StopWaits, StoreLost


class Told(list[Happening]):
    def __call__(self, *happened: Happening) -> None:
        self.extend(happened)


def test_a_stop_waits_for_a_store_that_is_away() -> None:
    told = Told()
    outage = Outage(told, leased=True)
    outage.hinders_stop(0.0, 2)
    assert told == []
    for now in (0.0, TOLD_AFTER_S + 1):
        outage.goes_on(StoreUnavailable("the server is away"), now)
    for signals_left in (2, 2, 1, 1):
        outage.hinders_stop(TOLD_AFTER_S + 1, signals_left)
    assert told == [StoreLost("the server is away", leased=True), StopWaits(2), StopWaits(1)]


def test_an_outage_is_as_long_as_the_store_is_away() -> None:
    outage = Outage(Told(), leased=True)
    assert not outage.is_longer_than(5.0, 6.0)
    outage.goes_on(StoreUnavailable("the server is away"), 0.0)
    assert not outage.is_longer_than(5.0, 5.0)
    assert outage.is_longer_than(5.0, 5.5)
    outage.is_over(6.0)
    outage.goes_on(StoreUnavailable("the server is away"), 7.0)
    assert not outage.is_longer_than(5.0, 8.0), "it was back meanwhile"


def test_a_stop_waits_for_no_machine_that_fails_and_leases_last_meanwhile() -> None:
    told = Told()
    outage = Outage(told, leased=True)
    for now in (0.0, TOLD_AFTER_S + 1):
        outage.goes_on(OperationFailed("this machine fails: no room for a process"), now)
    outage.hinders_stop(TOLD_AFTER_S + 2, 2)
    assert not outage.is_longer_than(0.0, TOLD_AFTER_S + 2)
    assert told == [StoreLost("this machine fails: no room for a process", leased=False)]
