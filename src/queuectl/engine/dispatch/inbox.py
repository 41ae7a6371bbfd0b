"""What supervisors say, and what follows from it for their executions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from queuectl.clock import Clock
from queuectl.engine import happenings
from queuectl.engine.dispatch.crew import Crew
from queuectl.engine.dispatch.link import Link
from queuectl.engine.dispatch.pace import Pace
from queuectl.engine.dispatch.pending import Pending
from queuectl.engine.dispatch.stopping import Stopping
from queuectl.engine.protocol import Message

NOT_TOLD = (None, None)
"""What a command used, where its supervisor is of 0.1.0."""


class Inbox:
    """Passes on what it hears: to flights, to what is to be recorded, and to the pace."""

    def __init__(
        self, crew: Crew, known: Pending, pace: Pace, stopping: Stopping, clock: Clock, observe: happenings.Observer
    ) -> None:
        self._crew = crew
        self._known = known
        self._pace = pace
        self._stopping = stopping
        self._clock = clock
        self._observe = observe

    def receive(self) -> None:
        """Takes all that has arrived, and sends what could not be sent before."""
        for link in self._crew.links:
            for message in link.channel.receive():
                self._take(link, message)
            link.channel.flush()

    def _take(self, link: Link, message: Message) -> None:
        kind, *words = message
        match kind:
            case "ended":
                self._take_end(link, *words)
            case "started":
                self._take_start(link, *words)
            case "dropped":
                if flight := link.flights.get((words[0], words[1])):
                    self._known.returned.append((link, flight))
                    self._pace.stalled()
            case "stuck":
                self._known.add_stuck(link, (words[0], words[1]), words[2])
            case "short":
                link.take_shortage((words[0], words[1]))
            case "welcome":
                self._take_welcome(link)
            case _:
                pass  # a word of a newer protocol that needs no answer

    def _take_start(self, link: Link, *words: Any) -> None:
        flight = self._known.add_start(link, *words)
        if flight is not None and self._stopping.is_at_once:
            link.end(flight, "stop")

    def _take_end(self, link: Link, result: dict[str, Any], used: Sequence[float | int | None] = NOT_TOLD) -> None:
        key = result["seq"], result["lease"]
        flight = link.flights.get(key)
        if flight is None:
            link.recorded([key])  # its job moved on, or it was recorded before a take-over
        elif flight.result is None:
            link.take_end(flight, {**result, "cpu_time": used[0], "max_rss": used[1]})
            now = self._clock.monotonic()
            self._known.add_end(link, flight, now)
            self._pace.ended(now, result["finished_at"] - result["started_at"])

    def _take_welcome(self, link: Link) -> None:
        """A taken-over supervisor has told all that it knows. What it does not know was claimed, but never sent."""
        if not link.own:
            flights = link.flights.values()
            self._observe(
                happenings.TakenOver(worker=link.row.id, running=sum(each.pid is not None for each in flights))
            )
            self._known.returned += [(link, each) for each in flights if each.may_wait()]
