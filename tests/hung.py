"""Paths that hang: a file system whose server has stopped answering, and a file that another process holds a lease on.

The server answers the kernel's greeting and then takes requests without ever answering one, as a FUSE server does
under SIGSTOP or a file server that is away. A process that waits for it cannot be killed until the server is gone.
"""

from __future__ import annotations

import ctypes
import fcntl
import multiprocessing
import os
import signal
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

INIT = 26
"""The kernel's greeting, `FUSE_INIT`."""


def why_none() -> str:
    """Why no file system can be made to hang here; empty where one can."""
    if os.geteuid() != 0:
        return "needs root to mount"
    return "" if os.path.exists("/dev/fuse") else "needs /dev/fuse"


_libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS = 0x20000


def _checked(failed: int, what: str) -> None:
    if failed:
        raise OSError(ctypes.get_errno(), what)


@contextmanager
def mounts_of_our_own() -> Iterator[None]:
    """What this thread mounts meanwhile is seen by what it starts, and by nobody else."""
    outside, here = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC), os.getcwd()
    _checked(_libc.unshare(CLONE_NEWNS), "unshare")
    try:
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        yield
    finally:
        _checked(_libc.setns(outside, CLONE_NEWNS), "setns")
        os.close(outside)
        os.chdir(here)


@contextmanager
def hung_file_system(place: Path) -> Iterator[None]:
    """Mounts one whose requests are never answered; at the end all who wait for it get an error."""
    handle = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={handle},rootmode=40000,user_id=0,group_id=0".encode()
    _checked(_libc.mount(b"hung", os.fsencode(place), b"fuse", 0, options), "mount")
    server = multiprocessing.get_context("fork").Process(target=_take_requests, args=(handle,), daemon=True)
    server.start()
    os.close(handle)
    try:
        yield
    finally:
        assert server.pid
        os.kill(server.pid, signal.SIGKILL)
        server.join()
        subprocess.run(["umount", "-l", str(place)], check=True)


def _take_requests(handle: int) -> None:
    while request := os.read(handle, 1 << 20):
        _, opcode, unique = struct.unpack_from("<IIQ", request)
        if opcode == INIT:
            body = struct.pack("<IIIIHHIIHHI7I", 7, 31, 1 << 16, 0, 12, 9, 1 << 16, 1, 0, 0, 0, *[0] * 7)
            os.write(handle, struct.pack("<IiQ", 16 + len(body), 0, unique) + body)


@contextmanager
def lease_on(path: Path) -> Iterator[None]:
    """Another process holds a write lease on a file: whoever opens it waits (45 s, by default)."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    holder = context.Process(target=_hold, args=(path, theirs), daemon=True)
    holder.start()
    assert ours.recv() == "held"
    try:
        yield
    finally:
        holder.kill()
        holder.join()


def _hold(path: Path, line: Connection) -> None:
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    handle = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    line.send("held")
    line.recv()
