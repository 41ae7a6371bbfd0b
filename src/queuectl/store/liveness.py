"""Who is alive on this machine, by more than one sign.

A supervisor holds a lock on its lock file exactly as long as it lives: the kernel frees the lock when the process ends
for any reason, and keeps it while the process is only frozen. A held lock proves life. A free or missing lock proves
nothing by itself, since files can be removed, copied and restored under a running process: then the process is checked
too.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from functools import cache

from queuectl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from queuectl.store.values import WorkerRow

LOCK_NAME = "lock"
DRIVER_LOCK_NAME = "driver"
"""In the same folder, the lock of the dispatcher that drives the supervisor."""
UNABLE_FOLDER = "unable"
"""In a store's folder: the notes of workers that cannot start any command."""


def workers_folder(below: Path) -> Path:
    """Where all supervisors of a store have their folders."""
    return below / "workers"


def supervisor_folder(below: Path, worker: str) -> Path:
    """Where a supervisor keeps its lock, socket, journal and slots."""
    return workers_folder(below) / worker


def hold_lock(folder: Path, name: str = LOCK_NAME, holder: str = "") -> int:
    """Takes the lock from any former holder, until the returned descriptor is closed. Commands do not inherit it.

    The file gets its name once it is locked, so a running supervisor's lock never looks free. It keeps the name of its
    `holder`, unless the disk is full.
    """
    taken = folder / f"{name}.{os.getpid()}"
    lock = os.open(taken, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with suppress(OSError):
        os.write(lock, holder.encode())
    os.rename(taken, folder / name)
    return lock


def last_holder(folder: Path, name: str = LOCK_NAME) -> str | None:
    """Who holds this folder's lock, or held it last; None if nobody has said so, or it cannot be read."""
    try:
        return (folder / name).read_text() or None
    except OSError:
        return None


def is_held(folder: Path, name: str = LOCK_NAME) -> bool | None:
    """Whether a process holds this folder's lock; None if there is no lock file. Never makes the file."""
    try:
        lock = os.open(folder / name, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def lives(folder: Path, row: WorkerRow) -> bool | None:
    """Whether a supervisor lives, by its lock and its process.

    None if that cannot be checked from here: the lock is missing, and the pid belongs to another machine or PID
    namespace.
    """
    held = is_held(folder)
    if held:
        return True
    if row.machine == machine_id():
        return is_supervisor(row.pid, row.id)
    return held


def is_supervisor(pid: int, worker: str) -> bool:
    """Whether this process is that supervisor, and has not ended.

    A supervisor's command line names its folder. When it ends, its command line is emptied before its lock is freed.
    """
    try:
        with open(f"/proc/{pid}/cmdline", "rb", buffering=0) as file:
            words = file.read().split(b"\0")
    except OSError:
        return False
    return any(os.path.basename(word) == os.fsencode(worker) for word in words)


def remove_folder(folder: Path) -> None:
    """Removes a supervisor's folder and its files. Another process may be doing the same."""
    with suppress(FileNotFoundError):
        for name in os.listdir(folder):
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()


# --- this machine -----------------------------------------------------------------------------


@cache
def machine_id() -> str:
    """The boot and PID namespace in which a pid means one process (the boot id alone is equal in all containers)."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            boot = file.read().strip()
        return f"{boot}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return os.uname().nodename


def is_this_boot(machine: str) -> bool:
    """Whether a machine's id belongs to this boot of this kernel, in any PID namespace."""
    return machine.partition("/")[0] == machine_id().partition("/")[0]
