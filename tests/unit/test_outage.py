"""What is told of a store or a machine that fails."""

from __future__ import annotations

from queuectl.domain.errors import OperationFailed, StoreUnavailable
from queuectl.engine.dispatch.outage import TOLD_AFTER_S, Outage
from queuectl.engine.happenings import Happening, StopWaits, StoreLost


def test_a_stop_waits_for_a_store_that_is_away() -> None:
    told: list[Happening] = []
    outage = Outage(lambda *happened: told.extend(happened), leased=True)
    outage.hinders_stop(is_told=False)
    assert told == []
    for now in (0.0, TOLD_AFTER_S + 1):
        outage.goes_on(StoreUnavailable("the server is away"), now)
    outage.hinders_stop(is_told=False)
    outage.hinders_stop(is_told=True)
    assert told == [StoreLost("the server is away", leased=True), StopWaits()]


def test_a_stop_waits_for_no_machine_that_fails_and_leases_last_meanwhile() -> None:
    told: list[Happening] = []
    outage = Outage(lambda *happened: told.extend(happened), leased=True)
    for now in (0.0, TOLD_AFTER_S + 1):
        outage.goes_on(OperationFailed("this machine fails: no room for a process"), now)
    outage.hinders_stop(is_told=False)
    assert told == [StoreLost("this machine fails: no room for a process", leased=False)]
