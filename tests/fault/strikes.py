"""What chaos does to workers: each strike is real, and over by itself or when its `Strikes` are called off."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from random import Random

from queuectl.engine.supervise.process import whole_range
from queuectl.engine.supervise.roster import Sight
from queuectl.engine.supervise.trees import Tree, living
from queuectl.engine.supervise.trees import kill as kill_trees
from queuectl.store.values import WorkerRow
from tests.workshop import Worker, Workshop, clean_environment

LOCKER = """
import sys, time
from queuectl.store.sqlite.connection import sqlite3
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=5)
db.execute("BEGIN IMMEDIATE")
time.sleep(float(sys.argv[2]))
"""

HOLDER = """
import fcntl, os, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
leased = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
fcntl.fcntl(leased, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print(flush=True)
signal.pause()
"""
"""Holds a lease on a file that it does not give up: whoever opens the file waits for the kernel's patience, 45 s."""

OF_A_FOLDER = ("lock", "socket", "journal", "running", "")
"""What of a supervisor's folder gets removed; in the end all of it."""


class Strikes:
    """On one store, in an order and with figures drawn from `chance`."""

    def __init__(self, shop: Workshop, chance: Random, freezes_s: tuple[float, ...]) -> None:
        """`freezes_s`: for how long processes may be frozen."""
        self._shop = shop
        self._chance = chance
        self._freezes_s = freezes_s
        self._frozen: list[tuple[float, int]] = []
        self._helpers: list[subprocess.Popen[bytes]] = []
        self._leased: dict[Path, subprocess.Popen[bytes]] = {}
        self._copies = 0
        self.termed: set[int] = set()
        """Processes of workers that got SIGTERM together with their commands. They are left alone after that."""

    # --- signals ----------------------------------------------------------------------------

    def kill(self, pid: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def freeze(self, pid: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            self._frozen.append((time.monotonic() + self._chance.choice(self._freezes_s), pid))

    def thaw(self, now: float) -> None:
        """Has those go on whose time is over."""
        for due, pid in [entry for entry in self._frozen if entry[0] <= now]:
            self._frozen.remove((due, pid))
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def cut_power(self, worker: Worker) -> None:
        """SIGKILL to all that belongs to a worker, the dispatcher first, which could still tell of the others."""
        rows = self._rows_of(worker)
        trees = self._trees(rows)
        self.kill(worker.pid)
        for row in rows:
            self.kill(row.pid)
        kill_trees(lambda: living(trees))

    def terminate(self, worker: Worker) -> None:
        """SIGTERM to a worker, its supervisors and all their commands, in any order, as a service manager stops it."""
        rows = self._rows_of(worker)
        owned = [worker.pid, *(row.pid for row in rows)]
        if any(pid in owned for _, pid in self._frozen):
            return  # the worker could not hear in time that it was asked to stop too
        self.termed.update(owned)
        pids = [*owned, *living(self._trees(rows))]
        self._chance.shuffle(pids)
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def _rows_of(self, worker: Worker) -> list[WorkerRow]:
        return [row for row in self._shop.supervisors() if row.dispatcher == worker.pid]

    def _trees(self, rows: list[WorkerRow]) -> list[Tree]:
        """All that the supervisors of these rows have started, and what runs just now without its tag too."""
        hosts = self._shop.store.folder / "workers"
        running = [entry.tree(row.tag) for row in rows for entry in Sight(hosts / row.id).running() or ()]
        return [*(Tree(*whole_range(row.tag)) for row in rows), *running]

    # --- files ------------------------------------------------------------------------------

    def lock(self) -> None:
        """A stranger locks the store for a while."""
        seconds = self._chance.choice((0.1, 0.5, 2.0, 5.0))
        words = [sys.executable, "-c", LOCKER, str(self._shop.db), str(seconds)]
        self._helpers.append(subprocess.Popen(words, env=clean_environment(), stderr=subprocess.DEVNULL))

    def unlink(self) -> None:
        """Somebody removes a file of a supervisor's folder, the folder, or all of them."""
        workers = self._shop.store.folder / "workers"
        folders = sorted(workers.glob("*"))
        if not folders:
            return
        gone = self._chance.choice([self._chance.choice(folders) / name for name in OF_A_FOLDER] + [workers])
        if gone.is_dir():
            shutil.rmtree(gone, ignore_errors=True)
        else:
            gone.unlink(missing_ok=True)

    def copy(self) -> None:
        """Copies the project, as `cp -a` does, cleans up in the copy and starts a worker there. What runs in the
        original is none of its business."""
        self._copies += 1
        folder = self._shop.folder
        copy = folder.with_name(f"{folder.name}-copy-{self._copies}")
        subprocess.run(["cp", "-a", str(folder), str(copy)], check=False, stderr=subprocess.DEVNULL)
        db = str(copy / self._shop.db.name)
        for words in (("doctor", "--clean"), ("worker", "start", "--drain", "--queue", "nobody")):
            command = [sys.executable, "-m", "queuectl", "--db", db, *words]
            subprocess.run(command, env=clean_environment(), capture_output=True, check=False, timeout=60)
        shutil.rmtree(copy)

    def leased_file(self) -> Path:
        """A file that nobody can open for now."""
        path = Path("/dev/shm", f"{self._shop.folder.name}-leased-{len(self._leased)}")
        holder = subprocess.Popen([sys.executable, "-S", "-c", HOLDER, str(path)], stdout=subprocess.PIPE)
        self._leased[path] = holder
        assert holder.stdout
        with holder.stdout as told:
            assert told.readline() == b"\n"
        return path

    # --- the end ----------------------------------------------------------------------------

    def call_off(self, *, hung: bool = True) -> None:
        """Lets none of it go on; paths that hang answer if these are called off too."""
        self.thaw(float("inf"))
        leased = list(self._leased.items()) if hung else []
        for helper in (*self._helpers, *(holder for _, holder in leased)):
            helper.kill()
            helper.wait()
        for path, _ in leased:
            path.unlink(missing_ok=True)
