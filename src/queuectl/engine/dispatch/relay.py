"""Running output for readers on other machines: passed on once a second, and only while somebody asks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from queuectl.engine.dispatch.link import Flight, Link
from queuectl.engine.protocol import Key
from queuectl.engine.supervise.output import is_untouchable, read_on
from queuectl.store.port import OutputRelay


class Relay:
    """Remembers how much of which running output has been passed on. Small jobs end before anybody asks."""

    def __init__(self, store_side: OutputRelay, folder: Path) -> None:
        self._store_side = store_side
        self._folder = folder
        self._passed: dict[tuple[Key, int], int] = {}

    def pass_on(self, links: Iterable[Link]) -> None:
        """Passes on what was written since the last call. A new request begins at the start of the output."""
        passed: dict[tuple[Key, int], int] = {}
        for link in links:
            running = {each.job.seq: each for each in link.flights.values() if each.files and each.result is None}
            wanted = self._store_side.wanted(link.row.id) if running else []
            for seq in running.keys() & set(wanted):
                for at, path in enumerate(running[seq].files):
                    if is_untouchable(path):
                        continue
                    passed[running[seq].key, at] = self._pass_stream(link, running[seq], at, path)
        self._passed = passed

    def _pass_stream(self, link: Link, flight: Flight, at: int, path: str) -> int:
        start = self._passed.get((flight.key, at), 0)
        data, stop = read_on(self._folder / path, start)
        if data:
            self._store_side.append(link.grip, flight.job, at + 1, start, stop, data)
        return stop
