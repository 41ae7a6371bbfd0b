"""What becomes of supervisors that have died, that nobody drives, or whose lease has run out.

Those of this worker are replaced. Those of others are taken over or settled, as the reaper finds them.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from math import inf

from queuectl.engine import happenings
from queuectl.engine.dispatch.claiming import Claiming
from queuectl.engine.dispatch.crew import Crew
from queuectl.engine.dispatch.host import Host
from queuectl.engine.dispatch.link import Link
from queuectl.engine.dispatch.pace import Beat
from queuectl.engine.dispatch.pending import Pending
from queuectl.engine.dispatch.reaper import LOOK_EVERY_S, Adopted, Frozen, Reaper, Settled
from queuectl.engine.dispatch.stopping import Stopping
from queuectl.settings import Settings
from queuectl.store.port import WorkStore
from queuectl.store.values import LEASE_MIN_S, Superseded

PINGS_A_TTL = 5
OVERSLEPT_S = 1.5
"""A worker that last heard others longer ago than this was frozen itself, and they may have been too."""


class Succession:
    """Keeps jobs from being left with a supervisor that is gone."""

    def __init__(
        self, store: WorkStore, host: Host, crew: Crew, known: Pending, claiming: Claiming, stopping: Stopping,
        settings: Callable[[], Settings], wards: Set[str] | None, observe: happenings.Observer,
    ) -> None:  # fmt: skip
        """`wards`: see `Reaper`."""
        self._store = store
        self._host = host
        self._crew = crew
        self._known = known
        self._claiming = claiming
        self._stopping = stopping
        self._settings = settings
        self._reaper = Reaper(store, host, settings, wards)
        self._observe = observe
        self._beat = Beat()
        self._has_looked = False
        self._heard_at = 0.0
        self._quiet_until = 0.0
        """No lease of others runs out before this. Without leases: infinite while there are no others."""

    @property
    def is_waiting(self) -> bool:
        """Whether a supervisor that was asked has yet to answer."""
        return bool(self._reaper.inquiries)

    def expects_news(self, now: float) -> bool:
        """Whether another worker's supervisor is about to be taken over or found dead."""
        return self._reaper.expects_news(now)

    def forget(self, *links: Link) -> None:
        """Lets go of supervisors, and of what they have told."""
        for link in links:
            self._crew.forget(link)
            self._known.forget(link)

    def close(self) -> None:
        """Lets go of all supervisors, and of those that were asked and have not answered."""
        self.forget(*self._crew.links)
        for inquiry in self._reaper.inquiries.values():
            inquiry.channel.close()

    def ping(self, now: float) -> None:
        """Tells every supervisor that this dispatcher lives, and asks those that have something to do for the same."""
        if self._beat.is_due("ping", self._settings()["lease-ttl"] / PINGS_A_TTL, now):
            for link in self._crew.links:
                link.ping(now)

    def check_closed_links(self) -> None:
        """Replaces supervisors that have died, and calls back those that live. Raises `Superseded` where one follows
        somebody else now."""
        for link in self._crew.fallen():
            if self._crew.is_dead(link):
                self._replace_dead(link)
            elif not link.leaving:
                self._check(link)
                if not link.leaving and (channel := self._host.dial(link.row.id)):
                    link.go_on_over(channel)

    def _check(self, link: Link) -> None:
        """Raises `Superseded` if somebody else drives a supervisor now. One that the store was asked to forget, and has
        forgotten, may leave."""
        if not self._store.holds(link.grip):
            if not link.dismissed or any(row.id == link.row.id for row in self._store.workers()):
                raise Superseded(f"worker {link.row.id} is driven by another process now")
            link.leave()

    def _replace_dead(self, link: Link) -> None:
        """A supervisor is dead: it left as told, or its jobs are settled and another one takes its place."""
        if link.leaving:
            self.forget(link)
            self._host.remove(link.row.id)
            return
        settled = self._reaper.settle(link.row, lambda: self._host.testify(link.flights.values()))
        self._observe(happenings.SupervisorDied(worker=link.row.id))
        self.forget(link)
        if settled:
            self._tell(settled)
        if link.own and not self._stopping.has_begun:
            self._crew.replace(link)

    def replace_lapsed(self) -> bool:
        """Replaces supervisors whose lease has run out; whether there were any."""
        lapsed = self._crew.lapsed()
        for link in lapsed:
            self._observe(happenings.LeaseLost(worker=link.row.id))
            if link.own:
                self._crew.kill(link)
                self._reaper.fenced.add(link.row.id)
                if not self._stopping.has_begun:
                    self._crew.replace(link)
            self.forget(link)
        return bool(lapsed)

    def hear_others(self, now: float) -> bool:
        """Takes over supervisors that nobody drives, and ends frozen ones; whether any was taken over."""
        self._excuse_all_if_asleep(now)
        found = [*self._frozen(now), *self._reaper.hear(now, may_adopt=not self._stopping.has_begun)]
        for each in found:
            if isinstance(each, Adopted):
                self._crew.take_over(each.row, each.channel, each.lease, now)
            else:
                self._observe(happenings.SupervisorFrozen(worker=each.row.id))
        return any(isinstance(each, Adopted) for each in found)

    def _excuse_all_if_asleep(self, now: float) -> None:
        """Time that this process did not see is nobody's silence."""
        if now - self._heard_at > OVERSLEPT_S:
            for link in self._crew.links:
                link.excuse(now)
            for inquiry in self._reaper.inquiries.values():
                inquiry.since = now
        self._heard_at = now

    def _frozen(self, now: float) -> list[Frozen]:
        """Those of our own that have not answered for long; ends them."""
        found: list[Frozen] = []
        for link in self._crew.links:
            if link.asked_at is not None and self._reaper.is_silent(link.row, link.asked_at, now):
                link.asked_at = None
                found += self._reaper.end_frozen(link.row)
        return found

    def told(self, next_expiry_s: float | None, now: float) -> None:
        """A renewal tells when the first lease of others runs out. None that is given later runs out before the
        shortest there can be has passed."""
        self._quiet_until = now + min(LEASE_MIN_S, LEASE_MIN_S if next_expiry_s is None else next_expiry_s)

    def others_committed(self) -> None:
        """Somebody has written to the store: there may be another worker."""
        if not self._store.shared_by_machines:
            self._quiet_until = 0.0

    def look_for_others(self, now: float) -> None:
        """Settles dead supervisors of others, and asks the living ones whether anybody drives them."""
        if self._reaper.fenced or (not self._stopping.has_begun and self._beat.is_due("others", LOOK_EVERY_S, now)):
            if self._is_quiet(now):
                return
            self._has_looked = True
            for settled in self._reaper.look({link.row.id for link in self._crew.links}, now):
                self._tell(settled)
            if not self._store.shared_by_machines:
                self._quiet_until = inf if self._reaper.is_alone else 0.0

    def _is_quiet(self, now: float) -> bool:
        """Whether a look at the store would find nothing. Before the first one nobody knows who else is there."""
        settled = self._has_looked and not self._reaper.has_unsettled
        return settled and now < self._quiet_until and not self._host.has_others()

    def _tell(self, settled: Settled) -> None:
        self._claiming.look_again()
        self._observe(*settled.happenings())
