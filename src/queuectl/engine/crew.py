"""The supervisors that a dispatcher drives: starting, taking over, watching and letting go of them."""

from __future__ import annotations

from dataclasses import dataclass

from queuectl.engine.host import Host, Plan
from queuectl.engine.link import Flight, Link
from queuectl.engine.protocol import Channel
from queuectl.store.port import FIRST_EPOCH, Store, WorkerRow

UNSTARTED_MAX_S = 0.1
"""A claim that could not be started by then is given back."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What a worker serves. No queues: all. `poll` is how often to look at the store without being woken."""

    name: str
    slots: int
    supervisors: int
    version: str
    queues: tuple[str, ...] = ()
    poll: float = 5.0
    drain: bool = False
    stop_timeout: float | None = None


class Crew:
    """Keeps the links and their rows in the store in step."""

    def __init__(self, store: Store, options: Options, host: Host) -> None:
        self._store = store
        self._options = options
        self._host = host
        self.links: list[Link] = []
        self._vacant: list[tuple[int, int]] = []

    def launch_all(self, output_bytes_max: int) -> None:
        """Starts all supervisors and divides the slots among them. Raises `OperationFailed`, `StoreUnavailable`."""
        per, more = divmod(self._options.slots, self._options.supervisors)
        first = 0
        for number in range(self._options.supervisors):
            slots = per + (number < more)
            self.launch(first, slots, output_bytes_max)
            first += slots

    @property
    def is_short(self) -> bool:
        """Whether a supervisor of our own is missing."""
        return bool(self._vacant)

    def replace(self, link: Link) -> None:
        """Has `fill` start another supervisor in the place of a dead one of our own."""
        self._vacant.append((link.first_slot, link.row.slots))

    def fill(self, output_bytes_max: int) -> None:
        """Starts what is missing. Raises `OperationFailed`, `StoreUnavailable`; then it is still missing."""
        while self._vacant:
            self.launch(*self._vacant[0], output_bytes_max)
            del self._vacant[0]

    def launch(self, first_slot: int, slots: int, output_bytes_max: int) -> None:
        """Starts one supervisor and registers it."""
        options, host = self._options, self._host
        plan = Plan(
            name=options.name, store_url=self._store.url, first_slot=first_slot, slots=slots,
            output_bytes_max=output_bytes_max,
        )  # fmt: skip
        launched = host.launch(plan)
        row = WorkerRow(
            id=launched.worker, name=options.name, epoch=FIRST_EPOCH, host=host.name, machine=host.machine,
            pid=launched.pid, dispatcher=host.pid, slots=slots, queues=options.queues, tag=launched.tag_bits,
            version=options.version, started_at=self._store.now(),
        )  # fmt: skip
        link = Link(row, launched.channel, first_slot=first_slot, pid=launched.pid)
        try:
            self._store.register(row)
        except BaseException:
            link.channel.close()
            self.destroy(link)
            raise
        self._add(link)

    def take_over(self, row: WorkerRow, channel: Channel, now: float) -> None:
        """Drives an adopted supervisor, whose row has our epoch. It reports what runs and what has ended."""
        link = Link(row, channel)
        for job in self._store.running(row.id):
            flight = Flight(job=job, sent_at=now)
            link.flights[flight.key] = flight
        self._add(link)

    def _add(self, link: Link) -> None:
        link.hello()
        self.links.append(link)

    def ping(self) -> None:
        for link in self.links:
            link.ping()

    def drop_stale(self, now: float) -> None:
        """Asks back what was sent long ago and has not been started."""
        for link in self.links:
            for flight in link.flights.values():
                if flight.is_unstarted() and now - flight.sent_at > UNSTARTED_MAX_S:
                    link.drop(flight)

    def fallen(self) -> list[Link]:
        """The supervisors whose end of the line is closed: they have left, died, or follow somebody else."""
        return [link for link in self.links if link.channel.closed]

    def is_dead(self, link: Link) -> bool:
        """Whether a supervisor is proven dead: reaped where it is our child, its lock free where it is not."""
        return self._host.has_died(link.pid) if link.pid is not None else not self._store.alive(link.row)

    def forget(self, link: Link) -> None:
        """Lets go of a supervisor, which lives on or not."""
        self.links.remove(link)
        link.channel.close()

    def destroy(self, link: Link) -> None:
        """Ends a supervisor of our own and everything it runs, at once."""
        if link.pid is not None:
            self._host.kill_child(link.pid)
        self._host.kill_commands(link.row)
        self._host.remove(link.row.id)

    def adopted_flights(self) -> int:
        """Commands of adopted supervisors, which take up our slots."""
        return sum(len(link.flights) for link in self.links if not link.own)
