"""Which ends are the work of the kernel's OOM killer: a SIGKILL that nobody here has sent.

Certain is only what the kernel's log says, which often root alone may read. Otherwise a count of such ends on the whole
machine is the evidence, and what is said of the end says no more than that.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

from queuectl.clock import boottime
from queuectl.engine.supervise import process
from queuectl.engine.supervise.execution import Run

KILLED = frozenset({(None, int(signal.SIGKILL)), (128 + signal.SIGKILL, None)})
"""Ends by SIGKILL of a command, or of what a shell ran last."""
LOOK_EVERY_S = 10.0
SLACK_S = 5.0
"""The kernel's log has a clock of its own."""
RECORD_BYTES_MAX = 8192


class OomKiller:
    """What the kernel tells of it, at a look now and then while commands run."""

    def __init__(self) -> None:
        now = time.monotonic()
        self._look_at = now + LOOK_EVERY_S
        self._before = self._last = now, ends()

    def look(self, now: float) -> None:
        """Keeps the count of a moment ago: between the kernel's deed and the end of a process some time may pass. What
        was counted before a time in which nothing ran says nothing of what runs now."""
        if now >= self._look_at:
            has_paused = now >= self._look_at + LOOK_EVERY_S
            self._look_at = now + LOOK_EVERY_S
            last, self._last = self._last, (now, ends())
            self._before = self._last if has_paused else last

    def verdict(self, run: Run, now: float) -> str | None:
        """What is to be said of a command that has ended by SIGKILL, and has not been reaped; None if nothing. Each end
        that the kernel counts explains one."""
        (since, before), after = self._before, ends()
        count = after - before
        if count <= 0:
            return None
        self._before, self._last = [(at, min(seen + 1, after)) for at, seen in (self._before, self._last)]
        host, killed = (
            f"host {os.uname().nodename}",
            "killed by signal 9" if run.exit and run.exit[1] else "exit code 137",
        )
        if line := named(run.pid, now - (boottime() - run.tree.since) - SLACK_S):
            where = "its control group" if b"emory cgroup out of memory" in line else host
            return f"{killed}: by the kernel's OOM killer, as {where} had no memory left"
        several = "one process" if count == 1 else f"{count} processes"
        ended = f"which ended {several} on {host} in the last {now - since:.0f} s"
        return f"{killed}: probably by the kernel's OOM killer, {ended}"


def ends() -> int:
    """How many processes the OOM killer has ended since the machine started, in control groups too; 0 where it is not
    told."""
    _, found, rest = process.content("/proc/vmstat").partition(b"\noom_kill ")
    return int(rest.split(None, 1)[0]) if found else 0


def named(pid: int, since: float) -> bytes:
    """The line of the kernel's log that says so of a process; empty where there is none, or it may not be read."""
    with suppress(OSError):
        handle = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            while True:
                with suppress(BrokenPipeError):  # older records were overwritten meanwhile
                    record = os.read(handle, RECORD_BYTES_MAX)
                    if is_named(record, pid, process.content(f"/proc/{pid}/comm").strip(), since):
                        return record
        except BlockingIOError:
            pass  # that was all
        finally:
            os.close(handle)
    return b""


def is_named(record: bytes, pid: int, comm: bytes, since: float) -> bool:
    """Whether a record of /dev/kmsg says that this process was ended, not before `since` of `time.monotonic`. In a
    container pids may be others, so the name has to be right as well."""
    head, _, text = record.partition(b";")
    words = head.split(b",")
    if len(words) < 3 or not words[2].isdigit() or int(words[2]) / 1e6 < since:
        return False
    return b"ut of memory: Killed process %d (%s)" % (pid, comm) in text
