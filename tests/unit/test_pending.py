"""Which ends a dispatcher takes for part of a stop of everything; what it keeps of what it is told twice."""

from __future__ import annotations

import signal
import socket
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from queuectl.domain.cause import Cause
from queuectl.domain.job import Spec
from queuectl.engine.channel import Channel
from queuectl.engine.dispatch.inbox import Inbox
from queuectl.engine.dispatch.link import Flight, Link
from queuectl.engine.dispatch.pending import HOLD_S, Pending
from queuectl.engine.protocol import Dropped, End, Started, Stuck, Welcome
from queuectl.engine.signals import TOGETHER_S
from tests.builders import NOON, ManualClock, a_job, a_worker


def a_flight(*, end_sent: Cause | None = None, kill_grace: float = 0.0, **end: Any) -> tuple[Link, Flight]:
    """An execution that has just ended, by SIGTERM unless `end` says more."""
    flight = Flight((1, 1), a_job(spec=Spec(kill_grace=kill_grace)), 0.0)
    flight.end_sent = end_sent
    flight.result = End(1, 1, NOON, NOON, **{"signal": signal.SIGTERM, **end})
    return Link(a_worker(), Mock()), flight


def cause_of(flight: Flight) -> Cause | None:
    assert flight.result is not None
    return flight.result.cause


@pytest.mark.parametrize("end_sent", [None, Cause.CANCEL], ids=["not cancelled", "a cancel is on its way"])
@pytest.mark.parametrize("first", ["the worker", "the command"])
def test_an_end_by_the_signal_of_a_stop_is_given_back(first: str, end_sent: Cause | None) -> None:
    pending = Pending(ManualClock())
    entry = a_flight(end_sent=end_sent)
    if first == "the worker":
        pending.stop_signalled(0.0)
        pending.add_end(*entry, TOGETHER_S - 0.1)
    else:
        pending.add_end(*entry, 0.0)
        assert pending.ended == []
        pending.stop_signalled(HOLD_S - 0.1)
    assert (pending.ended, cause_of(entry[1])) == ([entry], Cause.STOP)


@pytest.mark.parametrize(("after_s", "cause"), [(19.9, Cause.STOP), (20.1, None)])
def test_a_command_may_clean_up_as_long_as_its_grace_before_it_ends(after_s: float, cause: Cause | None) -> None:
    pending = Pending(ManualClock())
    entry = a_flight(kill_grace=20.0)
    pending.stop_signalled(0.0)
    pending.add_end(*entry, after_s)
    pending.release(after_s + HOLD_S)
    assert (pending.ended, cause_of(entry[1])) == ([entry], cause)


def test_an_end_by_a_signal_without_a_stop_is_released_after_a_moment() -> None:
    pending = Pending(ManualClock())
    entry = a_flight()
    pending.add_end(*entry, 0.0)
    pending.release(HOLD_S)
    assert (pending.ended, cause_of(entry[1])) == ([entry], None)


@pytest.mark.parametrize(
    "is_ours", [False, True], ids=["its supervisor was signalled first", "the worker asked for it"]
)
def test_a_stop_that_the_worker_has_yet_to_hear_of_is_waited_for(is_ours: bool) -> None:
    pending = Pending(ManualClock())
    entry = a_flight(cause=Cause.STOP, end_sent=Cause.STOP if is_ours else None)
    pending.add_end(*entry, 0.0)
    assert bool(pending.ended) is is_ours
    pending.stop_signalled(0.1)
    assert (pending.ended, cause_of(entry[1])) == ([entry], Cause.STOP)


@pytest.mark.parametrize("end", [{"cause": Cause.CANCEL}, {"leftover": "sleep (pid 1)"}, {"signal": signal.SIGKILL}])
def test_other_ends_wait_for_no_stop(end: dict[str, Any]) -> None:
    pending = Pending(ManualClock())
    entry = a_flight(end_sent=Cause.CANCEL, **end)
    pending.stop_signalled(0.0)
    pending.add_end(*entry, 0.1)
    assert (pending.ended, cause_of(entry[1])) == ([entry], end.get("cause"))


def test_what_is_told_again_while_the_store_is_away_is_kept_once() -> None:
    near, far = map(Channel, socket.socketpair())
    link = Link(a_worker(), near)
    jobs = [a_job(str(seq))._replace(seq=seq, lease=1) for seq in (1, 2)]
    link.start(jobs, 0.0)
    link.hello()
    pending, crew = Pending(ManualClock()), SimpleNamespace(links=[link])
    stopping = Mock(is_at_once=False)
    inbox = Inbox(crew, pending, Mock(), Mock(), stopping, ManualClock(), Mock())  # type: ignore[arg-type]
    far.send(Started(2, 1, NOON, 7, {}), Stuck(2, 1, "sleep"), Dropped(1, 1))
    far.send(Stuck(2, 1, "sleep"), Dropped(1, 1), Welcome({"epoch": 1}))
    inbox.receive(None)
    (dropped, runs) = link.flights.values()
    assert (pending.returned, pending.stuck) == ([(link, dropped)], [(link, runs)])
    near.close()
    far.close()
