"""What supervisors say, and what follows from it for their executions."""

from __future__ import annotations

from collections.abc import Set

from queuectl.clock import Clock
from queuectl.domain.cause import Cause
from queuectl.engine import happenings
from queuectl.engine.channel import Channel
from queuectl.engine.dispatch.claiming import Claiming
from queuectl.engine.dispatch.crew import Crew
from queuectl.engine.dispatch.link import Link
from queuectl.engine.dispatch.pace import Pace
from queuectl.engine.dispatch.pending import Pending
from queuectl.engine.dispatch.report import LEASE_NOT_RENEWED
from queuectl.engine.dispatch.stopping import Stopping
from queuectl.engine.protocol import (
    Dropped,
    End,
    Ended,
    Message,
    Progress,
    Short,
    Started,
    State,
    Stuck,
    Tells,
    Welcome,
)


class Inbox:
    """Passes on what it hears: to flights, to what is to be recorded, to the pace, and to `Claiming`."""

    def __init__(
        self, crew: Crew, known: Pending, pace: Pace, claiming: Claiming, stopping: Stopping, clock: Clock,
        observe: happenings.Observer,
    ) -> None:  # fmt: skip
        self._crew = crew
        self._known = known
        self._pace = pace
        self._claiming = claiming
        self._stopping = stopping
        self._clock = clock
        self._observe = observe

    def receive(self, heard: Set[Channel] | None) -> None:
        """Takes all that has arrived, and sends what could not be sent before. `heard`: the connections over which
        something has come; None: all may have something."""
        for link in self._crew.links:
            if heard is None or link.channel in heard:
                for message in link.channel.receive():
                    self._take(link, message)
            link.channel.flush()

    def _take(self, link: Link, message: Message) -> None:
        match message:
            case Ended():
                self._take_end(link, message)
            case Started():
                self._take_start(link, message)
            case Dropped(seq, lease):
                if flight := link.flights.get((seq, lease)):
                    self._known.add_return(link, flight)
                    self._pace.stalled()
            case Stuck(seq, lease, what):
                self._known.add_stuck(link, (seq, lease), what)
            case Tells(seq, lease, place):
                if flight := link.flights.get((seq, lease)):
                    flight.telling = place
            case Progress(seq, lease, text):
                self._known.add_progress(link, (seq, lease), text)
            case Short(seq, lease):
                link.take_shortage((seq, lease))
            case State():
                link.asked_at = None
            case Welcome():
                self._take_welcome(link)

    def _take_start(self, link: Link, told: Started) -> None:
        flight = self._known.add_start(link, told)
        if flight is not None and self._stopping.is_at_once:
            link.end(flight, Cause.STOP)

    def _take_end(self, link: Link, told: Ended) -> None:
        end = End.of(*told)
        flight = link.flights.get(end.key)
        if flight is None:
            link.recorded([end.key])  # its job moved on, or it was recorded before a take-over
        elif flight.result is None:
            in_time = end.cause == Cause.STOP and link.lease is not None and link.lease.is_near()
            link.take_end(flight, end._replace(note=end.note or LEASE_NOT_RENEWED) if in_time else end)
            now = self._clock.monotonic()
            self._known.add_end(link, flight, now)
            if in_time:
                self._observe(happenings.EndedInTime(job=flight.job))
            self._pace.ended(now, end.finished_at - end.started_at)
            self._claiming.vacated(flight.job)

    def _take_welcome(self, link: Link) -> None:
        """The supervisor has told all that it knows. What it does not know was never sent, or never ran."""
        flights = link.flights.values()
        if not link.own:
            self._observe(
                happenings.TakenOver(worker=link.row.id, running=sum(each.pid is not None for each in flights))
            )
        for each in flights:
            if each.key in link.in_doubt and each.may_wait():
                self._known.add_return(link, each)
