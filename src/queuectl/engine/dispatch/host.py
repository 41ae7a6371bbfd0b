"""The machine as a dispatcher sees it: supervisors' processes, doors, journals and folders.

Everything a dispatcher does to the world outside its store goes through one `Host`, so that a simulation can
stand in for the machine.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from queuectl import environment, ids, program
from queuectl.domain.errors import OperationFailed
from queuectl.engine.channel import Channel, dial
from queuectl.engine.dispatch import machine
from queuectl.engine.dispatch.link import Flight
from queuectl.engine.dispatch.report import Witness, witness_of
from queuectl.engine.dispatch.unable import Unable
from queuectl.engine.protocol import JOURNAL_NAME, End, Key
from queuectl.engine.stamp import FolderStamp
from queuectl.engine.supervise import cgroups, process
from queuectl.engine.supervise.capabilities import Lack, missing, pidfd
from queuectl.engine.supervise.config import Config
from queuectl.engine.supervise.journal import read_journal
from queuectl.engine.supervise.roster import Sight
from queuectl.engine.supervise.trees import Tree, kill, living, names_of, see
from queuectl.store.liveness import (
    DRIVER_LOCK_NAME,
    hold_lock,
    is_held,
    is_supervisor,
    is_this_boot,
    last_holder,
    machine_id,
    supervisor_folder,
    workers_folder,
)
from queuectl.store.passfile import PASSFILE_NAME, Access
from queuectl.store.values import WorkerRow
from queuectl.typed import NamedTuple
from queuectl.wire.workers import WorkerOptions

LEFT_AFTER_S = 60.0
ERRORS_NAME = "errors"
"""What a supervisor says before it dies of a fault of its own."""


class Plan(NamedTuple):
    """What a supervisor is started with."""

    name: str
    access: Access
    first_slot: int
    slots: int
    output_bytes_max: int


class Launched(NamedTuple):
    """A supervisor that has just come up. `tag_bits` mark its commands."""

    worker: str
    pid: int
    tag_bits: int
    channel: Channel


class Running(NamedTuple):
    """An execution as its machine shows it: the pids that live, and whether it was to be ended and could not be."""

    processes: list[int]
    stuck: bool


class Host:
    """This machine. `below` is the store's folder."""

    groups: str | None = None
    """Where control groups of commands can be made."""

    def __init__(self, below: Path) -> None:
        self.below = below
        self.name = os.uname().nodename
        self.machine = machine_id()
        self.pid = os.getpid()
        self._children = process.Children()
        self._workers = str(workers_folder(below))
        self._driven: dict[str, int] = {}
        self._sights: dict[str, Sight] = {}
        self._stamps: dict[str, FolderStamp] = {}
        self._all = FolderStamp(self._workers)
        self._is_alone = False

    def describe(self, options: WorkerOptions, at: float) -> Unable:
        """This process as a worker that cannot start commands, but for why."""
        began = process.began(self.pid)
        return Unable(
            options.name, self.name, self.machine, self.pid, began, at, options.queues, "", options.not_queues
        )

    def lacks(self) -> list[Lack]:
        """What this platform does not have."""
        return missing()

    def load(self) -> float:
        """The load average of the last minute."""
        return machine.load()

    def free_memory(self) -> int | None:
        """The bytes of memory that commands can have; None if that is unknown."""
        return machine.free_memory()

    def prepare(self) -> None:
        """Makes this process the one to which a dead supervisor's children come. Finds a place for control groups."""
        process.become_subreaper()
        self.groups = cgroups.base()

    def folder(self, worker: str) -> Path:
        """Where a supervisor keeps its lock, socket, journal and slots."""
        return supervisor_folder(self.below, worker)

    def launch(self, plan: Plan) -> Launched:
        """Starts a supervisor and connects to it. Raises `OperationFailed`."""
        worker = f"{plan.name}~{ids.random_id(6)}"
        bits = ids.tag_bits()
        folder = self.folder(worker)
        try:
            folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.mkdir(mode=0o700)
            pid = _spawn(folder, self.below, bits, plan, self.groups)
            return Launched(worker=worker, pid=pid, tag_bits=bits, channel=dial(folder))
        except OSError as error:
            self.remove(worker)
            raise _not_started(error.strerror or str(error), self.below) from error
        except BaseException:
            self.remove(worker)
            raise

    def has(self, worker: str) -> bool:
        """Whether a supervisor lives, or has lived, on this machine."""
        return self.folder(worker).exists()

    def dial(self, worker: str) -> Channel | None:
        """A connection to a supervisor; None if nobody listens."""
        try:
            return dial(self.folder(worker))
        except OSError:
            return None

    def drive(self, worker: str) -> None:
        """Has other PID namespaces see that a dispatcher of this supervisor lives, and keeps in sight what it runs.
        Said again and again, since somebody may remove its folder, and it makes that again."""
        if worker not in self._sights:
            self._sights[worker] = Sight(self.folder(worker))
            self._stamps[worker] = FolderStamp(f"{self._workers}/{worker}")
        if self._stamps[worker].is_unchanged():
            return
        is_seen = self._sights[worker].hold()
        held = self._driven.get(worker)
        if held is not None and os.path.exists(f"{self._workers}/{worker}/{DRIVER_LOCK_NAME}"):
            if not is_seen:
                self._stamps[worker].forget()
            return
        self._stamps[worker].forget()
        with suppress(OSError):  # its folder was removed, or the disk is full: then they cannot tell
            self._driven[worker] = hold_lock(
                self.folder(worker), DRIVER_LOCK_NAME, f"{self.pid} {process.began(self.pid)}"
            )
            if held is not None:
                os.close(held)

    def let_go(self, worker: str) -> None:
        """Ends `drive`."""
        if (lock := self._driven.pop(worker, None)) is not None:
            os.close(lock)
        if (sight := self._sights.pop(worker, None)) is not None:
            sight.close()
            del self._stamps[worker]
        self._is_alone = False

    def _sight(self, worker: str) -> Sight:
        return self._sights.get(worker) or Sight(self.folder(worker))

    def is_driven(self, worker: str) -> bool:
        """Whether a process that drives a supervisor lives, of whatever PID namespace."""
        return bool(is_held(self.folder(worker), DRIVER_LOCK_NAME))

    def last_driver(self, worker: str) -> str | None:
        """Which process drives a supervisor, or did so last: more than its pid, which others get too. None if that is
        not known."""
        return last_holder(self.folder(worker), DRIVER_LOCK_NAME)

    def has_died(self, pid: int) -> bool:
        """Whether a child has ended; it is reaped then. Only this proves a supervisor dead, never a closed socket."""
        try:
            return os.waitpid(pid, os.WNOHANG)[0] == pid
        except ChildProcessError:
            return True

    def kill_child(self, pid: int) -> None:
        """Ends a supervisor of our own, and reaps it."""
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    def kill(self, row: WorkerRow) -> None:
        """Ends a supervisor that does not answer; the caller has just seen that it holds its lock."""
        with suppress(ProcessLookupError), pidfd(row.pid) as deliver:
            if is_supervisor(row.pid, row.id):
                deliver(signal.SIGKILL)

    def is_awake(self, pid: int) -> bool:
        """Whether a process of this machine lives and is not suspended."""
        return process.state_of(pid) not in process.ENDED | process.SUSPENDED

    def last_words(self, worker: str) -> str:
        """What a dead supervisor said before it died of a fault of its own; empty where it was killed, or left."""
        try:
            lines = (self.folder(worker) / ERRORS_NAME).read_text(errors="replace").strip().splitlines()
        except OSError:
            return ""
        where = next((line.strip() for line in reversed(lines) if line.startswith("  File ")), "")
        return f"{lines[-1]} ({where})" if where else lines[-1] if lines else ""

    def end_commands(self, row: WorkerRow) -> dict[Key, str]:
        """Ends what belongs to a dead supervisor's unended executions, and nothing that a command left behind when it
        ended by itself. Of those that could not be ended: what lives on."""
        entries = self._sight(row.id).unended()
        if entries is None:
            kill(lambda: living([Tree(*process.whole_range(row.tag))]))
            return {}
        trees = {entry.key: entry.tree(row.tag) for entry in entries}
        if not kill(lambda: living(trees.values())):
            return {}
        rest = {key: living([tree]) for key, tree in trees.items()}
        return {key: f"could not be ended: {names_of(found)}" for key, found in rest.items() if found}

    def runs(self, row: WorkerRow) -> list[Running]:
        """The executions of a supervisor that have not ended, each with what lives of it."""
        entries = self._sight(row.id).unended()
        if entries is None:
            return [Running(list(living([Tree(*process.whole_range(row.tag))])), stuck=False)]
        return [Running(list(living([entry.tree(row.tag)])), entry.stuck) for entry in entries]

    def has_rest(self, row: WorkerRow) -> bool:
        """Whether the dispatcher of a dead supervisor lives, or anything of what it ran."""
        return self._has_dispatcher(row) or bool(living(self._sight(row.id).trees(row.tag)))

    def _has_dispatcher(self, row: WorkerRow) -> bool:
        """By its lock, since its pid may be another process's: containers that follow each other have the same pids,
        and often the same id of their PID namespace. By its pid where the lock was removed."""
        is_locked = is_held(self.folder(row.id), DRIVER_LOCK_NAME)
        return see(row.dispatcher) is not None if is_locked is None else is_locked

    def has_restarted(self, row: WorkerRow, one_machine: bool) -> bool:
        """Whether this machine was started again since the supervisor was, where that was on it."""
        return (one_machine or row.host == self.name) and not is_this_boot(row.machine)

    def why_no_restart(self, address: str, options: WorkerOptions) -> str | None:
        """Why the installed release cannot go on in this process, with this store and options; None if it can."""
        from queuectl.engine.dispatch.release import why_unfit  # as for `remove`

        return why_unfit(address, options)

    def reap_strays(self, but: set[int]) -> None:
        """Reaps children that came to us as their parents died."""
        process.reap_strays(self._children, but)

    def journal(self, worker: str) -> list[End]:
        """The unrecorded results of a dead supervisor."""
        return read_journal(self.folder(worker) / JOURNAL_NAME)

    def testify(self, flights: Iterable[Flight]) -> Witness:
        """What is known of the commands of a supervisor that has just died, before what is left of them is ended."""
        return witness_of(flights, self.below)

    def left_folders(self) -> list[str]:
        """The folders of supervisors that are dead, and neither driven here nor of today's starting ones. The store may
        know them still."""
        return [name for name in self._others() if _is_left(self.folder(name))]

    def has_others(self) -> bool:
        """Whether this machine has supervisors, living or dead, that are not driven here."""
        if not (self._all.is_unchanged() and self._is_alone):
            self._is_alone = not self._others()
        return not self._is_alone

    def _others(self) -> list[str]:
        try:
            return [name for name in os.listdir(self._workers) if name not in self._driven]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def remove(self, worker: str) -> None:
        """Removes a dead supervisor's folder."""
        from shutil import rmtree  # a worker that waits for jobs takes no memory for this

        rmtree(self.folder(worker), ignore_errors=True)


def _not_started(reason: str, below: Path) -> OperationFailed:
    hint = f"is {below} writable, with free space?"
    for needed in (sys.executable, program.FILE):
        try:
            os.stat(needed)
        except OSError as error:
            gone = isinstance(error, FileNotFoundError)
            reason = f"{needed} is gone" if gone else f"{needed} cannot be read: {error.strerror}"
            hint = "stop this worker, and start it again from where queuectl is now"
            break
    return OperationFailed(f"the supervisor did not start: {reason}", hint)


def _is_left(folder: Path) -> bool:
    """Whether nobody lives in a folder that is not quite new (a supervisor takes its lock a moment later)."""
    try:
        age_s = time.time() - folder.stat().st_mtime
    except FileNotFoundError:
        return False  # somebody else was faster
    return age_s > LEFT_AFTER_S and not is_held(folder)


def _spawn(folder: Path, below: Path, bits: int, plan: Plan, groups: str | None) -> int:
    config = Config(
        below=str(below), folder=str(folder), bits=bits, first_slot=plan.first_slot, slots=plan.slots,
        output_bytes_max=plan.output_bytes_max, groups=groups,
    )  # fmt: skip
    words = [sys.executable, "-I", "-S", "-c", program.part("engine.supervise.supervisor"), *config.words()]
    # No argument, since those are there for all to see, and no secret, since commands may write it into their output.
    surroundings = {**environment.given(), "QUEUECTL_DB": plan.access.by_way_of(folder / PASSFILE_NAME)}
    reader, writer = os.pipe()
    try:
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, str(folder / ERRORS_NAME), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, writer, 3),
        ]
        pid = process.spawn_session(sys.executable, words, surroundings, actions)
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    try:
        if os.read(reader, 1) != b"\n":
            os.waitpid(pid, 0)
            said = (folder / ERRORS_NAME).read_text(errors="replace").strip().rpartition("\n")[2]
            raise _not_started(said or "it said nothing", below)  # as on a full disk, which has no room for its words
        return pid
    finally:
        os.close(reader)
