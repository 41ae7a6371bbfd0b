"""When a dispatcher's next transaction is due, and what may go before it."""

from __future__ import annotations

from queuectl.domain.job import Job
from queuectl.engine.dispatch.claiming import Claiming
from queuectl.engine.dispatch.crew import Crew
from queuectl.engine.dispatch.link import Flight
from queuectl.engine.dispatch.outage import Outage
from queuectl.engine.dispatch.pace import Pace
from queuectl.engine.dispatch.pending import Pending
from queuectl.engine.dispatch.pressure import Pressure
from queuectl.engine.dispatch.stopping import Stopping

RECORD_START_AFTER_S = 0.1
"""A command that has ended by then needs no transaction for its start."""


def _is_well(flight: Flight) -> bool:
    return flight.result is not None and flight.result.exit_code == 0


class Commits:
    """Times are of a monotonic clock."""

    def __init__(
        self, known: Pending, crew: Crew, claiming: Claiming, stopping: Stopping, pressure: Pressure, pace: Pace,
        outage: Outage, *, syncs_all: bool,
    ) -> None:  # fmt: skip
        self._known = known
        self._crew = crew
        self._claiming = claiming
        self._stopping = stopping
        self._pressure = pressure
        self._pace = pace
        self._outage = outage
        self._syncs_all = syncs_all

    @property
    def is_pending(self) -> bool:
        """Whether there is something for it that need not wait."""
        return self._known.is_pending or self.wants_claims()

    def wants_claims(self) -> bool:
        """Whether there may be something to claim."""
        return self._may_claim() and self._claiming.is_wanted()

    def _may_claim(self) -> bool:
        return not self._stopping.has_begun and self._pressure.waits is None

    def is_due(self, now: float) -> bool:
        """Whether the next transaction is due."""
        return now >= self.not_before() and (self.is_pending or now >= self.starts_due_at())

    def starts_due_at(self) -> float:
        """When the next transaction is due for starts alone; infinite if there are none."""
        return self._known.first_sent_at() + RECORD_START_AFTER_S

    def not_before(self) -> float:
        """The earliest time for it. Idle slots with work waiting do not wait for a full transaction. Neither does the
        last result, since no other can join it.
        """
        is_idle = self._crew.is_idle
        if is_idle and self._known.ended and not self._outage.lasts:
            return 0.0
        hurries = is_idle or (not self._stopping.has_begun and self._claiming.is_starved())
        return self._pace.hurry_not_before if hurries else self._pace.commit_not_before

    def to_follow(self) -> list[Job]:
        """The jobs that have ended, if a claim may give out what they held before their ends are recorded. Where each
        transaction is synced, that would save nothing."""
        ended = self._known.ended
        if not ended or self._syncs_all or self._known.in_doubt or not self._may_claim():
            return []
        if any(flight.job.batch is not None and not _is_well(flight) for _, flight in ended):
            return []  # the rest of that batch may not start any more
        may_follow = self._claiming.may_follow(flight.job for _, flight in ended)
        return [flight.job for _, flight in ended] if may_follow else []
