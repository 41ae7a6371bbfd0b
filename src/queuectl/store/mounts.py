"""What a store's file is on: file systems where SQLite is not safe, and files that are mount points themselves.

A mount point may hold any byte but NUL, so the kernel's table is read as bytes.
"""

from __future__ import annotations

import os
import re

from queuectl.domain.errors import StoreUnavailable

MOUNTS = "/proc/self/mountinfo"
"""The kernel's table of mounts; absent on macOS."""

SHARED = frozenset((
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "drvfs", "afs", "ceph", "glusterfs", "lustre", "gpfs", "beegfs",
    "fhgfs", "panfs", "wekafs", "orangefs", "pvfs2", "coda", "ocfs2", "gfs2", "virtiofs", "vboxsf", "vmhgfs", "prl_fs",
    "fakeowner",
))  # fmt: skip
"""Other machines, or a virtual machine's host, can write here without this kernel's locks and shared memory."""

LOCAL_FUSE = frozenset((
    "fuse.fuse-overlayfs", "fuse.gocryptfs", "fuse.encfs", "fuse.cryfs", "fuse.securefs", "fuse.ntfs", "fuse.ntfs-3g",
    "fuse.exfat", "fuse.fuse2fs", "fuse.ext4", "fuse.zfs", "fuse.apfs",
))  # fmt: skip
"""FUSE file systems with their data on this machine. Any other may be a network one."""

TRUST = "on-local-disk"
"""A file of this name in the store's folder says that the FUSE file system is a local one."""


def refuse_unsafe(path: str, folder: str) -> None:
    """Raises `StoreUnavailable` if several processes could damage a store at `path`. `folder` is the store's folder."""
    kind, is_mounted = _under(os.fsencode(path))
    if not (is_mounted or kind in SHARED or _may_be_shared(kind)):
        return
    from shlex import quote

    if is_mounted:
        raise StoreUnavailable(
            f"{path} is a mount point itself: on each side of the mount it would have another -wal, and be damaged",
            f"mount its folder {os.path.dirname(path)} instead of the file",
        )
    if kind in SHARED:
        where = "a Windows drive or a folder of the host" if kind in ("9p", "drvfs") else "a network file system"
        raise StoreUnavailable(
            f"{path} is on {where} ({kind}), where SQLite cannot work safely",
            f"put the store on a local disk, e.g. --db {_local_place()}",
        )
    if not os.path.exists(os.path.join(folder, TRUST)):
        raise StoreUnavailable(
            f"{path} is on a file system that may be a network one ({kind}), where SQLite cannot work safely",
            f"put the store on a local disk, e.g. --db {_local_place()}; or, if this one is local: "
            f"mkdir -p -m 700 {quote(folder)} && touch {quote(os.path.join(folder, TRUST))}",
        )


def _may_be_shared(kind: str) -> bool:
    return (kind == "fuse" or kind.startswith("fuse.")) and kind not in LOCAL_FUSE


def _under(path: bytes) -> tuple[str, bool]:
    """The kind of file system that a path is on, and whether the path itself is a mount point."""
    best, kind = b"", b""
    try:
        with open(MOUNTS, "rb") as mounts:
            lines = mounts.read().split(b"\n")
    except FileNotFoundError:
        return "", False
    for line in lines[:-1]:
        place = line.split(b" ", 5)[4]
        if b"\\" in place:
            place = unescaped(place)
        is_above = path.startswith(place.rstrip(b"/") + b"/") or path == place
        if is_above and len(place) >= len(best):  # of two mounts on one point the later one is visible
            best, kind = place, line.partition(b" - ")[2].partition(b" ")[0]
    return os.fsdecode(kind), best == path


def unescaped(place: bytes) -> bytes:
    """A mount point, of which the kernel's table has blanks and backslashes as octal numbers."""
    return re.sub(rb"\\(\d{3})", lambda code: bytes([int(code[1], 8)]), place)


def _local_place() -> str:
    """A path for a store on a local disk. Home folders are often on a network too."""
    home = os.path.realpath(os.path.expanduser("~"))
    kind, _ = _under(os.fsencode(home))
    if kind in SHARED or _may_be_shared(kind):
        return f"/var/tmp/queuectl-{os.getuid()}/queuectl.db"
    return "~/queuectl.db"
