"""Machines of our own on one switch, as far as the kernel can make them: each has its own network, processes, host
name and clock offset, and shares only the disk. Needs root; `why_none` says why where they cannot be made.

A machine is a set of namespaces, held by its first process; that process killed, the machine is gone at once with all
that runs on it. The switch is a bridge on the first machine. A plug that is pulled there loses every packet in
silence, as a network that is cut does; no connection is closed.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SWITCH = "switch"
SWITCH_MAC = "02:00:00:00:00:01"
"""Given, for else a bridge takes one of its ports' addresses, and another when that port goes: the rest of the network
would not find it for a while."""
NETWORK = "10.77.0"
FAKE_CLOCK = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
"""A library (Debian: libfaketime) that shows a process and its children another time of day."""
MEMORY = """
exec 9<"${TMPDIR:-/tmp}"
mount -t tmpfs none /dev/shm
case ${TMPDIR:-} in /dev/shm/*) mkdir -p "$TMPDIR"; mount --no-canonicalize --bind /proc/self/fd/9 "$TMPDIR" ;; esac
exec 9<&-
"""
"""Gives a machine memory of its own. Only temporary files are shared, as if they were on the disk."""
INIT = f"trap '' CHLD; hostname $0; {MEMORY} ip link set lo up; echo up; exec sleep infinity"
"""The first process of a machine, whose name it gets: it reaps what is left to it by taking no notice."""


class Machine:
    """One machine. `off_s`: how far its clock is before everybody else's."""

    def __init__(self, name: str, number: int, off_s: float = 0.0) -> None:
        self.name = name
        self.address = f"{NETWORK}.{number}"
        self._off_s = off_s
        self._port = f"port{number}"
        words = ["unshare", "--net", "--uts", "--pid", "--mount", "--fork", "--mount-proc", "--kill-child"]
        self._holder = subprocess.Popen(
            [*words, "sh", "-c", INIT, name], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self._holder.stdout is not None
        assert self._holder.stderr is not None
        if self._holder.stdout.readline() != "up\n":
            refusal = self._holder.stderr.read().strip()
            self._holder.wait()
            self._close()
            raise PermissionError(refusal or "the namespaces cannot be made")
        (self._init,) = children_of(self._holder.pid)
        self._namespace = os.readlink(f"/proc/{self._init}/ns/pid")

    def words(self) -> list[str]:
        """What stands before a command that is to run on this machine."""
        enter = ["nsenter", "--target", str(self._init), "--net", "--uts", "--pid", "--mount", "--"]
        if not self._off_s:
            return enter
        clock = (f"LD_PRELOAD={FAKE_CLOCK}", f"FAKETIME={self._off_s:+g}", "FAKETIME_DONT_FAKE_MONOTONIC=1")
        return [*enter, "env", *clock]

    def _ip(self, *words: str) -> None:
        """Changes this machine's network. (The other end of a cable is named by a pid as it is outside.)"""
        enter = ["nsenter", "--target", str(self._init), "--net", "--"]
        done = subprocess.run([*enter, "ip", *words], capture_output=True, text=True)
        if done.returncode != 0:
            raise PermissionError(done.stderr.strip())

    def be_switch(self) -> None:
        """Makes this machine's network the one that others are plugged into."""
        self._ip("link", "add", SWITCH, "address", SWITCH_MAC, "type", "bridge")
        self._ip("addr", "add", f"{self.address}/24", "dev", SWITCH)
        self._ip("link", "set", SWITCH, "up")

    def wire_to(self, switch: Machine) -> None:
        """Lays a cable to the switch, and plugs it in."""
        switch._ip("link", "add", self._port, "type", "veth", "peer", "name", "eth0", "netns", str(self._init))
        self._ip("addr", "add", f"{self.address}/24", "dev", "eth0")
        self._ip("link", "set", "eth0", "up")
        switch._ip("link", "set", self._port, "up")
        self.plug_into(switch)

    def plug_into(self, switch: Machine) -> None:
        switch._ip("link", "set", self._port, "master", SWITCH)

    def unplug_from(self, switch: Machine) -> None:
        """From now on every packet from and to this machine is lost."""
        switch._ip("link", "set", self._port, "nomaster")

    def processes(self, pattern: str) -> list[int]:
        """The processes of this machine whose command line matches, by the pids they have outside."""
        return [pid for pid in pids_in(self._namespace) if re.search(pattern, command_line(pid))]

    def halt(self) -> None:
        """Loses power: everything that runs on it is gone at once."""
        if self._holder.poll() is None:
            os.kill(self._init, signal.SIGKILL)
            self._holder.wait()
        self._close()

    def _close(self) -> None:
        for pipe in (self._holder.stdout, self._holder.stderr):
            if pipe is not None:
                pipe.close()


def why_none() -> str | None:
    """Why no machines can be made here; none where they can. Only making some tells."""
    made: list[Machine] = []
    try:
        for number in (1, 2):
            made.append(Machine(f"probe{number}", number))
        made[0].be_switch()
        made[1].wire_to(made[0])
        made[1].unplug_from(made[0])
    except (PermissionError, FileNotFoundError) as refusal:
        return str(refusal)
    finally:
        for machine in made:
            machine.halt()
    return None


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def pids_in(namespace: str) -> list[int]:
    """All processes of a PID namespace."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.readlink(f"/proc/{name}/ns/pid") == namespace:
                    found.append(int(name))
            except OSError:
                continue  # it has just gone
    return found


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def inner_process(outer: subprocess.Popen[Any], words: Sequence[str]) -> int:
    """The pid of what `nsenter` runs, where a command was begun with a machine's `words`."""
    if not words:
        return outer.pid
    deadline = time.monotonic() + 10
    while not (found := children_of(outer.pid)):
        assert time.monotonic() < deadline, "nothing was started on the machine"
        time.sleep(0.005)
    return found[0]
