"""How much this machine, or the container that the worker is in, has to do, how much memory it has left, and which of
its faults pass."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from queuectl.domain.errors import OperationFailed
from queuectl.engine.supervise import process

FAULTS = process.SHORTAGES | process.DISK_SHORTAGES | {errno.EACCES, errno.EIO, errno.ENOTDIR, errno.EROFS}
"""Errors of system calls that pass, or that somebody has to mend: no reason for a worker to end."""


class Faults:
    """A context that raises `OperationFailed` in place of such an error. Entered in every step, so it does no more."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, OSError) and error.errno in FAULTS:
            raise OperationFailed(f"this machine fails: {error}") from error


PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")
V2 = "memory.max", "memory.current", "inactive_file"
V1 = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
"""Where a cgroup tells its limit and its use, and what of that can be given up at once; in each version of cgroups."""


def load() -> float:
    """The load average of the last minute; 0 where nobody keeps one."""
    try:
        return os.getloadavg()[0]
    except OSError:
        return 0.0


def free_memory(proc: Path = PROC, cgroups: Path = CGROUPS) -> int | None:
    """The bytes that can be had without swapping: of the machine, or of the tightest cgroup that this process is in.
    None where neither can be read."""
    return min((*_of_machine(proc), *_of_cgroups(proc, cgroups)), default=None)


def _of_machine(proc: Path) -> Iterator[int]:
    for line in _lines(proc / "meminfo"):
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) * 1024


def _of_cgroups(proc: Path, cgroups: Path) -> Iterator[int]:
    for line in _lines(proc / "self" / "cgroup"):
        _, controllers, path = line.split(":", 2)
        if not controllers:
            base, names = cgroups, V2
        elif "memory" in controllers.split(","):
            base, names = cgroups / "memory", V1
        else:
            continue
        folder = base / path.lstrip("/")
        for each in (folder, *folder.parents):
            yield from _left(each, *names)
            if each == base:
                break


def _left(folder: Path, limit: str, used: str, idle: str) -> Iterator[int]:
    """What a cgroup's limit leaves, if it has one."""
    limits, uses = _lines(folder / limit), _lines(folder / used)
    if limits and uses and limits[0].isdigit():
        given_up = sum(int(line.split()[1]) for line in _lines(folder / "memory.stat") if line.startswith(f"{idle} "))
        yield max(0, int(limits[0]) - int(uses[0]) + given_up)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
