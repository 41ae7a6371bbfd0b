"""What people ask of a worker while it runs: to stop, to cancel jobs, to take other options, to restart."""

from __future__ import annotations

from queuectl.domain.cause import Cause
from queuectl.engine import happenings
from queuectl.engine.dispatch.claiming import Claiming
from queuectl.engine.dispatch.crew import Crew
from queuectl.engine.dispatch.stopping import Stopping
from queuectl.settings import Settings
from queuectl.store.port import WorkStore
from queuectl.store.values import REFUSED, Renewed
from queuectl.typed import Any
from queuectl.wire.workers import RELOAD, RESTART, WorkerOptions


class MustRestart(Exception):
    """Somebody asked for a restart, and the installed release has shown that it can serve the store."""

    def __init__(self, options: WorkerOptions) -> None:
        super().__init__()
        self.options = options


class Requests:
    """Looks for requests in the store, and does what they ask for."""

    def __init__(
        self, store: WorkStore, crew: Crew, claiming: Claiming, stopping: Stopping, settings: Settings,
        observe: happenings.Observer,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._store = store
        self._crew = crew
        self._claiming = claiming
        self._stopping = stopping
        self._observe = observe
        self.unanswered = False
        """Whether there may be some, or the store failed while one was looked for."""

    def look_again(self) -> None:
        """There may be new jobs, and requests, which are answered once the jobs have been claimed."""
        self._claiming.look_again()
        self.unanswered = True

    def poll(self, renewed: Renewed | None = None) -> None:
        """The same where nobody has told of any, or of none but those that a renewal has told of."""
        self._claiming.poll(None if renewed is None else renewed.claimable)
        if renewed is None or renewed.asked or self._crew.has_flights:
            self.unanswered = True

    def answer(self) -> None:
        """Does what is asked for now. Raises `StoreUnavailable`, and `MustRestart`."""
        self.unanswered = True
        own = [link.row.id for link in self._crew.links if link.own]
        asked_of = self._store.asked_of(own)
        found = asked_of.values()
        for how in {stop for stop, _ in found if stop}:
            self._stopping.begin(how, "worker stop")
        self._tell_of_stop([id for id in own if id not in asked_of or asked_of[id][0] is None])
        for link in self._crew.links:
            asked = set(self._store.cancel_requests(link.row.id)) if link.flights else ()
            for flight in link.flights.values():
                if flight.job.seq in asked and flight.result is None:
                    link.end(flight, Cause.CANCEL)
        self._give_back_limited()
        wanted: dict[str, Any] = {}
        for _, options in found:
            wanted |= options
        wanted.pop(REFUSED, None)  # an answer of ours
        if wanted and self._stopping.has_begun:
            self._refuse(wanted, "it is stopping")
        elif wanted:
            self._take(wanted)
        self.unanswered = False

    def _tell_of_stop(self, untold: list[str]) -> None:
        """Notes in the store that a stop has begun which nobody asked for there, as after a signal: until its commands
        have ended, others must not count on this worker. `untold`: the supervisors for which the store knows of none.
        """
        if untold and self._stopping.has_begun and self._stopping.begun and self._crew.has_flights:
            self._store.request_stop(untold, self._stopping.begun.how)

    def _give_back_limited(self) -> None:
        """Gives back what waits for a slot though its queue has got a limit since: nothing limited is held ahead."""
        if any(link.waiting() for link in self._crew.links):
            limited = self._store.limited()
            for link in self._crew.links:
                link.drop_ahead(limited)

    def _take(self, wanted: dict[str, Any]) -> None:
        """Goes on with other options, other settings, or another release. What runs is not touched."""
        now = self._crew.options
        options = now._replace(
            slots=int(wanted.get("slots", now.slots)), queues=tuple(wanted.get("queues", now.queues)),
            not_queues=tuple(wanted.get("not_queues", now.not_queues)),
        )  # fmt: skip
        refused = None
        if wanted.get(RESTART):
            refused = self._restart(options)
        elif wanted.get(RELOAD):
            refused = self._reload()
        self._crew.go_on_with(options, wanted, refused)
        if options != now:
            self._claiming.look_again()
            self._observe(happenings.WorkerSet(slots=options.slots, served=options.served))

    def _refuse(self, wanted: dict[str, Any], why: str) -> None:
        """Answers without taking anything."""
        with self._store.transaction():
            for link in self._crew.links:
                if link.own and not (link.leaving or link.for_hooks):
                    self._store.take_options(link.grip, link.row.slots, self._crew.options.served, wanted, why)

    def _restart(self, options: WorkerOptions) -> str:
        """Raises `MustRestart` if the installed release can go on; returns why it cannot."""
        why = self._crew.why_no_restart(options)
        if why is None:
            self._crew.renew_leases(self._settings["lease-ttl"])  # the next process has all of it
            self._observe(happenings.Restarting(running=sum(link.running() for link in self._crew.links)))
            raise MustRestart(options)
        self._observe(happenings.Refused(what=RESTART, why=why))
        return why

    def _reload(self) -> str | None:
        """Reads again what is not in memory for good; returns why it cannot."""
        self._settings.renew(self._store.config())
        why = self._crew.why_no_secrets()
        self._observe(happenings.Reloaded() if why is None else happenings.Refused(what=RELOAD, why=why))
        return why
