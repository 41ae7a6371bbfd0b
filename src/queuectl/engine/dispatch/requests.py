"""What people ask of a worker while it runs: to stop, to cancel jobs, to take other options."""

from __future__ import annotations

from typing import Any

from queuectl.domain.cause import Cause
from queuectl.engine import happenings
from queuectl.engine.dispatch.claiming import Claiming
from queuectl.engine.dispatch.crew import Crew
from queuectl.engine.dispatch.stopping import Stopping
from queuectl.store.port import WorkStore


class Requests:
    """Looks for requests in the store, and does what they ask for."""

    def __init__(
        self, store: WorkStore, crew: Crew, claiming: Claiming, stopping: Stopping, observe: happenings.Observer
    ) -> None:
        self._store = store
        self._crew = crew
        self._claiming = claiming
        self._stopping = stopping
        self._observe = observe
        self.unanswered = False
        """Whether the store failed while one was looked for."""

    def answer(self) -> None:
        """Does what is asked for now. Raises `StoreUnavailable`."""
        self.unanswered = True
        self._claiming.look_again()
        own = [link.row.id for link in self._crew.links if link.own]
        found = self._store.asked_of(own).values()
        for how in {stop for stop, _ in found if stop}:
            self._stopping.begin(how, "worker stop")
        for link in self._crew.links:
            asked = set(self._store.cancel_requests(link.row.id)) if link.flights else ()
            for flight in link.flights.values():
                if flight.job.seq in asked and flight.result is None:
                    link.end(flight, Cause.CANCEL)
        self._give_back_limited()
        wanted: dict[str, Any] = {}
        for _, options in found:
            wanted |= options
        if wanted and not self._stopping.has_begun:
            self._take(wanted)
        self.unanswered = False

    def _give_back_limited(self) -> None:
        """Gives back what waits for a slot though its queue has got a limit since: nothing limited is held ahead."""
        if any(link.waiting() for link in self._crew.links):
            limited = self._store.limited()
            for link in self._crew.links:
                link.drop_ahead(limited)

    def _take(self, wanted: dict[str, Any]) -> None:
        """Goes on with other options. What runs is not touched."""
        now = self._crew.options
        options = now._replace(
            slots=int(wanted.get("slots", now.slots)), queues=tuple(wanted.get("queues", now.queues)),
            not_queues=tuple(wanted.get("not_queues", now.not_queues)),
        )  # fmt: skip
        self._crew.go_on_with(options)
        self._observe(happenings.WorkerSet(slots=options.slots, served=options.served))
