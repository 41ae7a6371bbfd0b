"""A store that cannot be used (or no room for a supervisor): told once when it lasts, and once when it is over."""

from __future__ import annotations

from queuectl.domain.errors import OperationFailed, StoreUnavailable
from queuectl.engine import happenings

TOLD_AFTER_S = 1.0


class Outage:
    """Times are of a monotonic clock, in seconds."""

    def __init__(self, observe: happenings.Observer, *, leased: bool) -> None:
        self._observe = observe
        self._leased = leased
        self._since: float | None = None
        self._told = self._is_of_store = False
        self._signals_left: int | None = None

    @property
    def lasts(self) -> bool:
        """Whether the store, or the machine, failed when it was last tried."""
        return self._since is not None

    def goes_on(self, error: StoreUnavailable | OperationFailed, now: float) -> None:
        """The store, or the machine, has failed just now."""
        self._is_of_store = isinstance(error, StoreUnavailable)
        if self._since is None:
            self._since = now
        if not self._told and now - self._since > TOLD_AFTER_S:
            self._told = True
            self._observe(happenings.StoreLost(why=error.message, leased=self._leased and self._is_of_store))

    def is_longer_than(self, patience_s: float, now: float) -> bool:
        """Whether the store has been away for more than that."""
        return self._is_of_store and self._since is not None and now - self._since > patience_s

    def hinders_stop(self, now: float, signals_left: int) -> None:
        """A worker that was told to stop waits for the store. So many signals more, and it leaves without."""
        if self.is_longer_than(TOLD_AFTER_S, now) and signals_left != self._signals_left:
            self._signals_left = signals_left
            self._observe(happenings.StopWaits(signals_left))

    def is_over(self, now: float) -> None:
        """The store has answered just now."""
        if self._told and self._since is not None:
            self._observe(happenings.StoreBack(after=now - self._since))
        self._since, self._told, self._signals_left = None, False, None
