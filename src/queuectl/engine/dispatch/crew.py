"""The supervisors that a dispatcher drives: starting, taking over, watching and letting go of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import queuectl
from queuectl.clock import boottime
from queuectl.domain.errors import Invalid, OperationFailed
from queuectl.domain.job import HOOKS
from queuectl.domain.lifecycle import GivenBack
from queuectl.engine import happenings
from queuectl.engine.channel import Channel
from queuectl.engine.dispatch.host import Host, Plan
from queuectl.engine.dispatch.link import Flight, Link, Place
from queuectl.engine.dispatch.relay import Relay
from queuectl.engine.dispatch.secrets import Secrets
from queuectl.engine.dispatch.unable import NO_ROOM, Ability
from queuectl.engine.lease import Lease
from queuectl.settings import Settings
from queuectl.store.port import WorkStore
from queuectl.store.values import FIRST_EPOCH, Change, Renewed, Superseded, WorkerRow
from queuectl.typed import Any
from queuectl.wire.workers import SLOTS_MAX, WorkerOptions

UNSTARTED_MAX_S = 0.2
"""A claim that could not be started by then is given back, at the next look of each second."""


def places_for(slots: int, places: Sequence[Place]) -> list[Place]:
    """These places, and a new one if needed, with exactly `slots` slots in use. A new place has at least as many slots
    as all before it, so that there are never many supervisors.
    """
    found, left, end = [], slots, 0
    for place in sorted(places):
        found.append(place._replace(used=min(place.all, left)))
        left, end = left - found[-1].used, place.first + place.all
    return [*found, Place(end, min(max(left, end), SLOTS_MAX), left)] if left else found


class Crew:
    """Keeps the links and their rows in the store in step."""

    def __init__(self, store: WorkStore, options: WorkerOptions, host: Host, observe: happenings.Observer) -> None:
        """Raises `Invalid` if the file of secrets cannot be used."""
        self._store = store
        self.options = options
        self._host = host
        self._secrets = Secrets(options.secrets)
        self._secrets.check()
        self.links: list[Link] = []
        self._vacant: list[Place] = []
        self.workers = 1.0  # how many the store has, as far as is known
        unable = host.describe(options, store.now())
        self.ability = Ability(host.below, unable, observe)
        self._relay = Relay(store.relay, store.folder) if store.relay is not None else None

    def launch_all(self, settings: Settings) -> None:
        """Starts all supervisors and divides the slots among them. Raises `OperationFailed`, `StoreUnavailable`."""
        per, more = divmod(self.options.slots, self.options.supervisors)
        first = 0
        for number in range(self.options.supervisors):
            slots = per + (number < more)
            self.launch(Place(first, slots, slots), settings)
            first += slots

    @property
    def is_short(self) -> bool:
        """Whether a supervisor of our own is missing."""
        return bool(self._vacant)

    def go_on_with(self, options: WorkerOptions, asked: Mapping[str, Any], refused: str | None = None) -> None:
        """Takes other slots and queues, on record first, as was `asked`, with why something else was `refused`. What
        runs is not touched; `fill` starts what is missing, and supervisors that have no slots any more are dismissed.
        Raises `StoreUnavailable`."""
        own = [link for link in self.links if link.own and not (link.leaving or link.for_hooks)]
        places = places_for(options.slots, [*(link.place for link in own), *self._vacant])
        used = {place.first: place.used for place in places}
        with self._store.transaction():
            for link in own:
                self._store.take_options(link.grip, used[link.place.first], options.served, asked, refused)
        for link in own:
            link.row = link.row._replace(queues=options.queues, not_queues=options.not_queues)
            link.use(used[link.place.first])
        theirs = {link.place.first for link in own}
        self._vacant = [place for place in places if place.used and place.first not in theirs]
        self.options = options

    @property
    def for_hooks(self) -> Link | None:
        """The supervisor that runs hooks, if there is one."""
        return next((link for link in self.links if link.for_hooks and not (link.leaving or link.channel.closed)), None)

    def launch_for_hooks(self, settings: Settings) -> None:
        """Starts the supervisor that runs hooks, which is no slot of the worker. Raises `OperationFailed`,
        `StoreUnavailable`."""
        self.launch(Place(SLOTS_MAX, 1, 0), settings, for_hooks=True)

    def replace(self, link: Link) -> None:
        """Has `fill` start another supervisor in the place of a dead one of our own."""
        if link.place.used:
            self._vacant.append(link.place)

    def fill(self, settings: Settings) -> None:
        """Starts what is missing. Raises `OperationFailed`, `StoreUnavailable`; then it is still missing."""
        while self._vacant:
            try:
                self.launch(self._vacant[0], settings)
            except OperationFailed as error:
                self.ability.lost(error.message)
                raise
            del self._vacant[0]
            self.ability.regained()

    def launch(self, place: Place, settings: Settings, *, for_hooks: bool = False) -> None:
        """Starts one supervisor and registers it."""
        options, host = self.options, self._host
        plan = Plan(
            name=options.name, access=self._store.access, first_slot=place.first, slots=place.all,
            output_bytes_max=settings["output-max"],
        )  # fmt: skip
        launched = host.launch(plan)
        row = WorkerRow(
            id=launched.worker, name=options.name, epoch=FIRST_EPOCH, host=host.name, machine=host.machine,
            pid=launched.pid, dispatcher=host.pid, slots=place.used,
            queues=(HOOKS,) if for_hooks else options.queues, tag=launched.tag_bits,
            not_queues=() if for_hooks else options.not_queues, version=queuectl.__version__,
            started_at=self._store.now(), limits="cgroup" if host.groups else "look",
        )  # fmt: skip
        link = Link(row, launched.channel, place=place, pid=launched.pid, secrets=self._secrets, for_hooks=for_hooks)
        lease = Lease.granted(boottime(), settings["lease-ttl"])
        self._host.drive(row.id)  # who finds its row must be able to tell whose it is, whatever becomes of us
        try:
            self._store.register(row, settings["lease-ttl"])
        except BaseException:
            self._host.let_go(row.id)
            link.channel.close()
            self.destroy(link)
            raise
        self._add(link, lease)
        if place.used < place.all and not for_hooks:
            link.use(place.used)

    def take_over(self, row: WorkerRow, channel: Channel, lease: Lease, now: float) -> None:
        """Drives an adopted supervisor, whose row has our epoch. It reports what runs and what has ended."""
        link = Link(row, channel)
        for job in self._store.running(row.id):
            key = job.seq, job.lease
            link.flights[key] = Flight(key, job, now)
        self._add(link, lease)

    def _add(self, link: Link, lease: Lease) -> None:
        self._host.drive(link.row.id)
        link.hello()
        if self._store.shared_by_machines:
            link.lend(lease)
        self.links.append(link)

    def renew_leases(self, lease_s: float) -> Renewed | None:
        """Renews all leases, where there are any. Raises `StoreUnavailable`."""
        links = [link for link in self.links if not link.channel.closed and not link.dismissed]
        if not self._store.shared_by_machines or not links:
            return None
        lease = Lease.granted(boottime(), lease_s)
        renewed = self._store.renew([link.grip for link in links], lease_s)
        for link in links:
            link.lend(lease)
        return renewed

    def lapsed(self) -> list[Link]:
        """The supervisors whose lease has expired and that no other worker of this machine drives. Another machine may
        have their jobs. They ended their commands before that.
        """
        over = [link for link in self.links if link.lease and link.lease.is_over()]
        for link in over:
            link.channel.receive()  # whoever took it here has it hang up on us
        return [link for link in over if not link.channel.closed]

    def give_back_unknown(self) -> None:
        """A transaction may have been committed though we were told that it failed: what we do not know of was
        claimed by it, and never sent."""
        for link in self.links:
            unknown = [job for job in self._store.running(link.row.id) if (job.seq, job.lease) not in link.flights]
            if unknown:
                self._store.record(link.grip, [Change(job=job, event=GivenBack()) for job in unknown])

    def why_no_restart(self, options: WorkerOptions) -> str | None:
        """Why the installed release cannot go on in this worker's place; None if it can."""
        return self._host.why_no_restart(self._store.address, options)

    def why_no_secrets(self) -> str | None:
        """Why the file of secrets cannot be used; None if it can."""
        try:
            self._secrets.check()
        except Invalid as error:
            return error.message
        return None

    def attend(self, now: float) -> None:
        """Does what is due once a second."""
        for link in self.links:
            self._host.drive(link.row.id)
        self._drop_stale(now)
        self._look_for_room()
        if self._relay is not None:
            self._relay.pass_on(self.links)

    def _look_for_room(self) -> None:
        """Reports when all supervisors of our own wait for room on the machine, and when that is over."""
        own = [link for link in self.links if link.own and not link.for_hooks]
        if own and all(link.is_short() for link in own):
            self.ability.lost(NO_ROOM)
        elif own and not self._vacant:
            self.ability.regained()

    def _drop_stale(self, now: float) -> None:
        """Asks back what was sent long ago and has not been started."""
        for link in self.links:
            for flight in link.flights.values():
                is_late = flight.is_unstarted() and now - flight.sent_at > UNSTARTED_MAX_S
                if is_late and not flight.is_returned and flight.key != link.short_of_room_for:
                    link.drop(flight)

    def ask_back(self) -> None:
        """Asks for all back that has not started."""
        for link in self.links:
            for flight in link.flights.values():
                if flight.may_wait():
                    link.drop(flight)

    def dismiss(self, link: Link) -> None:
        """Lets a supervisor leave, which runs nothing. An earlier try may have succeeded, though we were told that it
        failed. Raises `Superseded`."""
        again, link.dismissed = link.dismissed, True
        try:
            self._store.deregister(link.grip)
        except Superseded:
            if not again or any(row.id == link.row.id for row in self._store.workers()):
                raise
        link.leave()

    def fallen(self) -> list[Link]:
        """The supervisors whose end of the line is closed: they have left, died, or follow somebody else."""
        return [link for link in self.links if link.channel.closed]

    def is_dead(self, link: Link) -> bool:
        """Whether a supervisor is proven dead: reaped where it is our child, its lock free where it is not."""
        return self._host.has_died(link.pid) if link.pid is not None else not self._store.alive(link.row)

    def only_stuck(self) -> list[Link]:
        """The supervisors that still run something, if nothing of it can be ended; otherwise an empty list."""
        busy = [link for link in self.links if link.flights]
        return busy if all(each.stuck and each.result is None for of in busy for each in of.flights.values()) else []

    def processes(self) -> set[int]:
        """The supervisors, and their commands: if a supervisor dies, how these have ended is for us to find out."""
        commands = {flight.pid for link in self.links for flight in link.flights.values()}
        return {pid for pid in {link.pid for link in self.links} | commands if pid is not None}

    def forget(self, link: Link) -> None:
        """Lets go of a supervisor, whether it lives on or not."""
        self.links.remove(link)
        link.channel.close()
        self._host.let_go(link.row.id)

    def kill(self, link: Link) -> None:
        """Ends a supervisor of our own and everything it runs, at once. Its folder tells what it had ended before."""
        if link.pid is not None:
            self._host.kill_child(link.pid)
        self._host.end_commands(link.row)

    def destroy(self, link: Link) -> None:
        """Ends a supervisor as `kill` does, and removes its folder."""
        self.kill(link)
        self._host.remove(link.row.id)

    @property
    def has_flights(self) -> bool:
        """Whether any job is in hand, even one that only has to be recorded."""
        return any(link.flights for link in self.links)

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs or is about to."""
        return all(link.is_idle() for link in self.links)
