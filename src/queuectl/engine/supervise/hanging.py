"""Which paths may hang: those on file systems that another machine or a process answers for.

A system call on such a path may never return, and that cannot be known in advance. So commands that may touch one are
started apart (see starting.py). The kernel's table of mounts says where they are; reading it touches none of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from queuectl.store.mounts import MOUNTS, SHARED, unescaped

CHANGED = 0x2 | 0x8
"""What `poll` says of the open table when mounts have changed: POLLPRI and POLLERR."""
LINKS_MAX = 40
"""As the kernel follows."""


def _may_hang(kind: str) -> bool:
    return kind in SHARED or kind in ("autofs", "fuse", "fuseblk") or kind.startswith("fuse.")


class Mounts:
    """This process's mounts of such kinds, as of the last `refresh`."""

    def __init__(self) -> None:
        try:
            self.handle = os.open(MOUNTS, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            self.handle = -1
        self.generation = 0
        """Grows with each change of the mounts."""
        self.refresh()

    def refresh(self) -> None:
        """Reads the table again."""
        self.generation += 1
        self._places: list[str] = []
        self.any = False
        if self.handle < 0:
            return
        os.lseek(self.handle, 0, os.SEEK_SET)
        table = b""
        while piece := os.read(self.handle, 1 << 16):
            table += piece
        for line in table.split(b"\n")[:-1]:
            place = unescaped(line.split(b" ", 5)[4])
            kind = os.fsdecode(line.partition(b" - ")[2].partition(b" ")[0])
            if _may_hang(kind) and not place.startswith(b"/proc/"):
                self._places.append(os.fsdecode(place).rstrip("/"))
                self.any = True

    def holds(self, path: str) -> bool:
        """Whether a path, taken literally, is on such a mount. Follows no link, so it cannot hang itself."""
        return any(path == place or path.startswith(f"{place}/") for place in self._places)

    def hold_any(self, paths: Iterable[str]) -> bool:
        """Whether one of the paths is on such a mount, with all links followed. Touches none, so it cannot hang."""
        return any(map(self._leads_to_one, paths))

    def _leads_to_one(self, path: str) -> bool:
        place, rest, links = "/", os.path.join(os.getcwd(), path).split("/")[::-1], 0
        while rest:
            name = rest.pop()
            place = os.path.normpath(os.path.join(place, name))  # no link is in it, so .. is what is above
            if self.holds(place):
                return True
            try:
                target = os.readlink(place)
            except OSError:
                continue  # no link
            links += 1
            if links > LINKS_MAX:
                return False
            place = "/" if target.startswith("/") else os.path.dirname(place)
            rest += target.split("/")[::-1]
        return False
