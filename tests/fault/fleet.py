"""A fleet of machines of our own (see machines.py): a database host, and hosts for workers whose clocks disagree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.machines import FAKE_CLOCK, Machine
from tests.server import Server, new_schema, start_server
from tests.workshop import Worker, Workshop, open_workshop

OFF_S = (0.0, -180.0, 240.0) if FAKE_CLOCK else (0.0, 0.0, 0.0)
"""By how much the clocks of the hosts are before the server's."""
SUPERVISOR = "queuectl.engine.supervise.supervisor"


class Fleet:
    """Make it with `open_fleet`. The workshop's own client reaches the server over a socket that nothing cuts."""

    def __init__(self, shop: Workshop, server: Server, database: Machine, hosts: Sequence[Machine]) -> None:
        self.shop = shop
        self.server = server
        self.hosts = hosts
        self._database = database
        self.address = f"{server.url}?schema={shop.address.rpartition('schema=')[2]}"
        self.workers: list[Worker] = []

    def worker(self, host: Machine, count: int, *options: str) -> Worker:
        """Starts a worker on a host, with a state folder of its own."""
        state = str(self.shop.folder / host.name)
        worker = Worker(
            self.address, "--count", str(count), *options, machine=host, XDG_STATE_HOME=state, QUEUECTL_DB=self.address
        )
        self.workers.append(worker)
        return worker

    def cut_off(self, host: Machine) -> None:
        """From now on no packet reaches the host, or comes from it."""
        host.unplug_from(self._database)

    def heal(self, host: Machine) -> None:
        host.plug_into(self._database)

    def log_of(self, host: Machine) -> str:
        """What the workers of a host have logged."""
        return "".join(path.read_text() for path in (self.shop.folder / host.name).glob("**/logs/*.log"))

    def close(self) -> None:
        for host in self.hosts:
            host.halt()
        for worker in self.workers:
            worker.close()


@contextmanager
def open_fleet(folder: Path, off_s: Sequence[float] = OFF_S) -> Iterator[Fleet]:
    """A fleet that is gone at the end."""
    database = Machine("database", 1)
    hosts = [Machine(f"host{number}", 10 + number, off) for number, off in enumerate(off_s, 1)]
    try:
        database.be_switch()
        for host in hosts:
            host.wire_to(database)
        server = start_server(machine=database)
        try:
            with open_workshop(folder, new_schema(server.url_here)) as shop:
                fleet = Fleet(shop, server, database, hosts)
                try:
                    yield fleet
                finally:
                    fleet.close()
        finally:
            server.remove()
    finally:
        for machine in (*hosts, database):
            machine.halt()
