"""How far the stop of a worker has got."""

from __future__ import annotations

from math import inf

from queuectl.clock import Clock
from queuectl.domain.cause import Cause
from queuectl.engine import happenings
from queuectl.engine.dispatch.crew import Crew
from queuectl.engine.dispatch.outage import Outage
from queuectl.typed import NamedTuple

GRACEFUL, NOW = "graceful", "now"
IDLE_WAITS_S = 5.0
"""How long the stop of a worker without a job in hand waits for a store that is away."""


class Begun(NamedTuple):
    """A stop that has begun."""

    how: str
    why: str


class Stopping:
    """No stop, a graceful one, or one at once; it never goes back."""

    def __init__(
        self, crew: Crew, timeout_s: float | None, clock: Clock, observe: happenings.Observer, before: Begun | None
    ) -> None:
        """A graceful stop becomes one at once after `timeout_s`; None: never. `before`: a stop of before the store was
        opened again, which waits until its commands are taken over."""
        self._crew = crew
        self._timeout_s = timeout_s
        self._clock = clock
        self._observe = observe
        self.begun = before
        self._at_once_from = inf
        self.has_begun = False
        """Whether the worker claims nothing more and starts no supervisor."""

    @property
    def is_at_once(self) -> bool:
        """Whether it also ends what runs."""
        return self.has_begun and self.begun is not None and self.begun.how == NOW

    def signalled(self, name: str) -> None:
        """The first signal stops gracefully, the next one at once."""
        for link in self._crew.links:
            link.signalled()
        if self.begun is not None and not self.has_begun:
            self.begun = Begun(NOW, name)
        else:
            self.begin(NOW if self.has_begun else GRACEFUL, name)

    def begin(self, how: str, why: str) -> None:
        """Drops what has not started; `now` also ends what runs. The dispatcher then finishes by itself."""
        if self.has_begun and self.begun is not None and self.begun.how in (NOW, how):
            return
        self.begun, self.has_begun = Begun(how, why), True
        if how == GRACEFUL and self._timeout_s is not None:
            self._at_once_from = self._clock.monotonic() + self._timeout_s
        running = sum(link.running() for link in self._crew.links)
        self._observe(happenings.WorkerStopping(why=why, how=how, running=running))
        for link in self._crew.links:
            for flight in link.flights.values():
                if flight.may_wait():
                    link.drop(flight)
                elif how == NOW and flight.result is None:
                    link.end(flight, Cause.STOP)

    def go_on(self, *, expects_commands: bool) -> None:
        """Goes on with a stop of before, unless commands are still to be taken over."""
        if self.begun is not None and not self.has_begun and not expects_commands:
            self.begin(*self.begun)

    def why_leave(self, outage: Outage, now: float, signal: str | None = None) -> str | None:
        """Why the worker leaves without its store, which is away: this signal is the third one, or it has no job in
        hand, so that all that is left is to tell the store so. None where it has a store, or waits for it."""
        if signal is not None:
            return signal if self.is_at_once and outage.lasts else None
        if self.begun is not None and self._crew.has_flights:
            outage.hinders_stop(now, 1 if self.is_at_once else 2)
        elif self.begun is not None and outage.is_longer_than(IDLE_WAITS_S, now):
            return self.begun.why
        return None

    def check_timeout(self, now: float) -> None:
        """A graceful stop that has taken too long becomes one at once."""
        if now >= self._at_once_from:
            self.begin(NOW, "stop timeout")
