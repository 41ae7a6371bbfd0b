"""A worker that starts nothing while its machine has too much to do, or too little memory left."""

from __future__ import annotations

from queuectl.engine import happenings
from queuectl.engine.dispatch.crew import Crew
from queuectl.engine.dispatch.host import Host
from queuectl.store.port import WorkStore
from queuectl.wire.words import size
from queuectl.wire.workers import WorkerOptions


def why_not(options: WorkerOptions, load: float, free: int | None) -> str | None:
    """Why a worker with these options starts nothing; None if it may."""
    if options.max_load is not None and load >= options.max_load:
        return f"host load {load:.1f}, at most {options.max_load:g}"
    if options.min_free_memory is not None and free is not None and free < options.min_free_memory:
        return f"free memory {size(free)}, at least {size(options.min_free_memory)}"
    return None


class Pressure:
    """Whether the worker waits for its machine. It ends no command."""

    def __init__(self, store: WorkStore, crew: Crew, host: Host, observe: happenings.Observer) -> None:
        self._store = store
        self._crew = crew
        self._host = host
        self._observe = observe
        self._told: str | None = None
        self.waits: str | None = None
        """Why it starts nothing for now."""

    def allows(self) -> bool:
        """Whether something may be claimed now. Only the next look each second ends a wait."""
        if self.waits is None:
            self._look()
        return self.waits is None

    def attend(self) -> None:
        """The look each second; tells people when a wait begins and ends. Raises `StoreUnavailable`."""
        self._look()
        if (self._told is None) != (self.waits is None):
            self._store.note_waits([link.row.id for link in self._crew.links if link.own], self.waits)
            self._told = self.waits

    def _look(self) -> None:
        options = self._crew.options
        if options.max_load is None and options.min_free_memory is None:
            return
        memory = None if options.min_free_memory is None else self._host.free_memory()
        before, self.waits = self.waits, why_not(options, self._host.load(), memory)
        if (before is None) == (self.waits is None):
            return
        self._observe(happenings.MachineBusy(why=self.waits) if self.waits else happenings.MachineFree())
        if self.waits:
            self._crew.ask_back()
