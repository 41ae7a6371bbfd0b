"""Control groups (cgroup v2) of commands with a memory limit, where the worker has been given a part of the tree.

Given is what systemd marks as delegated (`Delegate=yes`), and the root of a container's own tree. Nothing else is
touched, though root could: the tree belongs to whoever manages it. When an execution needs more than its limit and
nothing can be reclaimed, the kernel ends all that is in its group at once.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress

WORKERS_OWN = "queuectl-worker"
"""The group of the worker itself: one that passes a controller on must have no processes."""
PREFIX = "queuectl-"
LEFT_AFTER_S = 60.0


class Group:
    """The control group of one execution."""

    def __init__(self, path: str) -> None:
        self._path = path

    @classmethod
    def made(cls, base: str, name: str, memory_max: int) -> Group | None:
        """A group below `base` with this limit; None where the kernel does not take it."""
        group = cls(f"{base}/{PREFIX}{name}")
        try:
            os.mkdir(group._path)
            for file, text in (("memory.max", memory_max), ("memory.oom.group", 1), ("memory.swap.max", 0)):
                with suppress(FileNotFoundError):  # a kernel without swap
                    _write(f"{group._path}/{file}", str(text))
            effective = _read(f"{group._path}/memory.max").strip()
        except OSError:
            effective = ""
        if effective.isdigit() and int(effective) <= memory_max:
            return group
        group.remove()
        return None

    def enter(self) -> None:
        """Puts the calling process into it. Raises `OSError`."""
        _write(f"{self._path}/cgroup.procs", "0")

    def was_full(self) -> bool:
        """Whether the kernel ended it for its limit."""
        try:
            lines = [line.split() for line in _read(f"{self._path}/memory.events").splitlines()]
        except OSError:
            return False
        counts = {name: int(number) for name, number in lines}
        return bool(counts.get("oom") and counts.get("oom_kill"))

    def peak(self) -> int | None:
        """The most memory that was charged to it, in bytes; None where the kernel does not tell (before Linux 5.19)."""
        try:
            return int(_read(f"{self._path}/memory.peak"))
        except (OSError, ValueError):
            return None

    def remove(self) -> bool:
        """Whether it is gone. It is not while something lives in it that the command left behind."""
        try:
            os.rmdir(self._path)
        except FileNotFoundError:
            pass
        except OSError:
            return False
        return True


def remove_empty(base: str) -> None:
    """Removes what supervisors that died have left. A new group may still be empty because its command is about to
    enter it."""
    for name in os.listdir(base):
        path = f"{base}/{name}"
        if name.startswith(PREFIX) and name != WORKERS_OWN and os.stat(path).st_mtime < time.time() - LEFT_AFTER_S:
            Group(path).remove()


def base() -> str | None:
    """Where groups of commands can be made; None where none has been given to this process.

    A worker calls it before it starts anything: it may move itself into a group of its own there.
    """
    try:
        mount, own = _own()
        for folder in (own, os.path.dirname(own)):
            if _is_given(folder, own, mount) and _passes_memory_on(folder, folder == own):
                remove_empty(folder)
                return folder
    except (OSError, ValueError):
        pass  # no cgroup v2, or one that is not for us
    return None


def _own() -> tuple[str, str]:
    """Where the tree is mounted, and this process's group in it. Raises `ValueError` where there is none."""
    paths = [line[3:] for line in _read("/proc/self/cgroup").splitlines() if line.startswith("0::/")]
    for line in _read("/proc/self/mountinfo").splitlines():
        fields, _, kind = line.partition(" - ")
        root, mount = fields.split()[3:5]
        above = root.rstrip("/")
        if paths and kind.startswith("cgroup2 ") and f"{paths[0]}/".startswith(f"{above}/"):
            return mount, (mount + paths[0].removeprefix(above)).rstrip("/")
    raise ValueError


def _is_given(folder: str, own: str, mount: str) -> bool:
    if not (os.access(folder, os.W_OK) and os.access(f"{folder}/cgroup.procs", os.W_OK)):
        return False
    is_ours = folder == own or os.path.basename(own) == WORKERS_OWN
    return (folder == mount and is_ours) or _is_marked(folder)


def _is_marked(folder: str) -> bool:
    """Whether systemd says that it has delegated the group."""
    for name in ("user.delegate", "trusted.delegate"):
        with suppress(OSError):
            if os.getxattr(folder, name) == b"1":
                return True
    return False


def _passes_memory_on(folder: str, is_own: bool) -> bool:
    """Whether groups below it can have memory limits, now or from now on."""
    if "memory" not in _read(f"{folder}/cgroup.controllers").split():
        return False
    try:
        _write(f"{folder}/cgroup.subtree_control", "+memory")
    except OSError:
        pids = _read(f"{folder}/cgroup.procs").split()
        if not is_own or not (_is_marked(folder) or set(pids) <= _family()):
            return False
        with suppress(FileExistsError):
            os.mkdir(f"{folder}/{WORKERS_OWN}")
        for pid in pids:
            with suppress(ProcessLookupError):
                _write(f"{folder}/{WORKERS_OWN}/cgroup.procs", pid)
        _write(f"{folder}/cgroup.subtree_control", "+memory")
    return True


def _family() -> set[str]:
    """This process and its ancestors."""
    pid, found = str(os.getpid()), set[str]()
    while pid != "0":
        found.add(pid)
        pid = _read(f"/proc/{pid}/stat").rpartition(") ")[2].split()[1]
    return found


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()


def _write(path: str, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(handle, text.encode())
    finally:
        os.close(handle)
