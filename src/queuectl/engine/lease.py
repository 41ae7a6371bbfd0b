"""The right to run commands for a limited time, as granted by a store that several machines share.

Another machine may run a job again as soon as the lease of its supervisor has expired. So the supervisor itself ends
what it runs shortly before, whether its dispatcher is away, frozen, or only cannot reach the store. All times are of
this machine's clock that also runs while it is suspended, and are counted from before the lease was asked for.
"""

from __future__ import annotations

from queuectl.clock import boottime
from queuectl.typed import NamedTuple

TERM_BEFORE_S, KILL_BEFORE_S = 5.0, 2.0
"""Seconds before its lease expires when a supervisor asks its commands to end, and when it kills them."""
RENEWALS_A_TTL = 5
LOOK_EVERY_S = 0.5
"""How often a supervisor looks at the clock: a sleep is not shortened by the time that the machine was suspended."""


class Lease(NamedTuple):
    """When commands are asked to end, when they are killed, and when another machine may run their jobs."""

    term_at: float
    kill_at: float
    until: float

    @classmethod
    def granted(cls, asked_at: float, seconds: float) -> Lease:
        """A lease of this many seconds, counted from when the store was asked for it."""
        until = asked_at + seconds
        return cls(term_at=until - TERM_BEFORE_S, kill_at=until - KILL_BEFORE_S, until=until)

    def is_near(self) -> bool:
        """Whether it is so near its end that every command is asked to end."""
        return boottime() >= self.term_at

    def is_over(self) -> bool:
        """Whether another machine may have the jobs now."""
        return boottime() >= self.until


class Fence:
    """A supervisor's view of its lease. Without one, nothing has to end."""

    def __init__(self) -> None:
        self._lease: Lease | None = None

    def hold(self, lease: Lease) -> None:
        """A new lease, or a longer one."""
        self._lease = lease

    @property
    def watched(self) -> bool:
        """Whether there is a lease that may run out."""
        return self._lease is not None

    def is_near(self) -> bool:
        """The same; never without a lease."""
        return self._lease is not None and self._lease.is_near()

    def kill_in_s(self) -> float:
        """Seconds until every command has to be killed; 0 without a lease."""
        return 0.0 if self._lease is None else max(0.0, self._lease.kill_at - boottime())
