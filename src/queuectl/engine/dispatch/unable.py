"""Workers that cannot start any command, told where commands on their machine see it.

A worker is known by its supervisors. One that has lost them and cannot start others (its interpreter is gone, the
machine is full) is in no row of the store. So it leaves a note in the store's folder, and listens there to be stopped.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from queuectl.engine import happenings
from queuectl.engine.supervise import process
from queuectl.store.liveness import UNABLE_FOLDER, machine_id
from queuectl.typed import NamedTuple

NO_ROOM = "the machine has no process, memory, descriptor or disk space left for another command"


class Unable(NamedTuple):
    """A worker that cannot start commands: which process that is, and why it cannot."""

    name: str
    host: str
    machine: str
    pid: int
    began: int | None
    started_at: float
    queues: tuple[str, ...]
    why: str
    not_queues: tuple[str, ...] = ()


class Notes:
    """The notes of a store's folder."""

    def __init__(self, below: Path) -> None:
        self._folder = below / UNABLE_FOLDER

    def write(self, note: Unable) -> None:
        """Leaves a worker's note, or does without where there is no room for it."""
        path = self._folder / note.name
        with suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.with_suffix(".new").write_text(json.dumps(note))
            os.replace(path.with_suffix(".new"), path)

    def remove(self, name: str) -> None:
        """Removes a worker's note, and a request to stop that it was left."""
        for path in (self._folder / name, self._stop(name)):
            with suppress(OSError):
                path.unlink()

    def living(self) -> list[Unable]:
        """The notes of workers that live, on this machine."""
        found = []
        for path in sorted(self._folder.glob("*")) if self._folder.is_dir() else ():
            with suppress(OSError, ValueError, TypeError):
                note = Unable(*json.loads(path.read_text()))
                note = note._replace(queues=tuple(note.queues), not_queues=tuple(note.not_queues))
                if note.machine == machine_id() and process.began(note.pid) == note.began:
                    found.append(note)
        return found

    def ask_to_stop(self, name: str, how: str) -> None:
        """Asks a worker to stop that the store cannot ask."""
        with suppress(OSError):
            self._stop(name).write_text(how)

    def stop_wanted(self, name: str) -> str | None:
        """How the worker is to stop: graceful or now; None if nobody has asked."""
        try:
            return self._stop(name).read_text() or None
        except OSError:
            return None

    def _stop(self, name: str) -> Path:
        return self._folder / f"{name}.stop"


class Ability:
    """Whether a worker can start commands; tells when that changes."""

    def __init__(self, below: Path, worker: Unable, observe: happenings.Observer) -> None:
        """`worker` is its note, but for why it cannot."""
        self._notes = Notes(below)
        self._worker = worker
        self._observe = observe
        self._why: str | None = None

    def lost(self, why: str) -> None:
        """The worker cannot start any command now, for this reason."""
        if why != self._why:
            self._notes.write(self._worker._replace(why=why))
            self._observe(happenings.CannotStart(why=why))
            self._why = why

    def regained(self) -> None:
        """The worker can start commands, or leaves."""
        if self._why is not None:
            self._notes.remove(self._worker.name)
            self._why = None

    def stop_wanted(self) -> str | None:
        """How the worker is to stop, where it could not be asked through the store; None if nobody has asked."""
        return None if self._why is None else self._notes.stop_wanted(self._worker.name)
