"""What a worker asks its store for now and then, though nobody has told of it. Where it has leases to renew, the answer
to that tells the same (see `Renewed`), and nothing else is asked."""

from __future__ import annotations

from queuectl.engine.dispatch.crew import Crew
from queuectl.engine.dispatch.firing import Firing
from queuectl.engine.dispatch.pace import Beat
from queuectl.engine.dispatch.requests import Requests
from queuectl.engine.dispatch.succession import Succession
from queuectl.engine.lease import RENEWALS_A_TTL
from queuectl.settings import Settings
from queuectl.store.port import WorkStore
from queuectl.store.values import Renewed

CHECK_FILE_EVERY_S = 1.0
CHECK_SERVER_EVERY_S = 10.0
"""How often to ask a server whether it still has the same store, where renewals do not prove it. A store that was
emptied knows nothing of this worker, which its next renewal tells."""


class Polling:
    """Renews leases and polls, every `poll_s` seconds at least."""

    def __init__(
        self, store: WorkStore, settings: Settings, poll_s: float, crew: Crew, succession: Succession, firing: Firing,
        requests: Requests,
    ) -> None:  # fmt: skip
        self._store = store
        self._settings = settings
        self._poll_s = poll_s
        self._check_s = CHECK_SERVER_EVERY_S if store.shared_by_machines else CHECK_FILE_EVERY_S
        self._crew = crew
        self._succession = succession
        self._firing = firing
        self._requests = requests
        self._beat = Beat()
        self._renew_at = 0.0

    def renew(self, now: float) -> None:
        """Renews all leases if that is due. If it fails, the next call tries again."""
        lease_s: float = self._settings["lease-ttl"]
        if now >= self._renew_at and (renewed := self._crew.renew_leases(lease_s)):
            self._renew_at = now + lease_s / RENEWALS_A_TTL
            self._take(renewed, now)

    def _take(self, renewed: Renewed, now: float) -> None:
        """Takes what would have to be asked for before the next renewal."""
        self._settings.renew(renewed.config)
        self._succession.told(renewed.next_expiry_s, now)
        self._firing.told(renewed.scheduled)
        self._crew.workers = renewed.workers
        if renewed.is_same:
            self._beat.restart("store", self._check_s, now)
        if self._beat.next("poll", now) <= self._renew_at:
            self._beat.restart("poll", self._poll_s, now)
            self._requests.poll(renewed)

    def poll(self, now: float) -> None:
        """Asks for settings, jobs and requests if that is due."""
        if self._beat.is_due("poll", self._poll_s, now):
            self._settings.renew(self._store.config())
            self._requests.poll()

    def is_check_due(self, now: float) -> bool:
        """Whether to look if the store is still the same one."""
        return self._beat.is_due("store", self._check_s, now)
