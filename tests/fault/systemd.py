"""The worker's unit under a real systemd, as PID 1 of namespaces of its own; needs root and systemd.

    python -m tests.fault.systemd

Only the worker's unit and five empty targets are there, so nothing of this machine is touched.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.workshop import clean_environment, until

GROUPS = Path("/sys/fs/cgroup")
IS_UNIFIED = (GROUPS / "cgroup.controllers").exists()
"""Whether this machine has cgroup v2 alone. Only there systemd hears that the kernel ended a process to free memory,
so only there the drill puts OOMPolicy to the test."""
TARGETS = ("default", "sysinit", "basic", "shutdown", "multi-user")
UNIT = "queuectl-worker.service"
QUICK = "[Service]\nWatchdogSec=3\nTimeoutStopSec=2\n"

BOOT = """
mount --make-rprivate /
mount -t tmpfs tmpfs /run
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    umount /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup
else
    umount -R /sys/fs/cgroup
    mount -t tmpfs -o mode=755 groups /sys/fs/cgroup
    mkdir /sys/fs/cgroup/systemd
    mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
    mkdir /sys/fs/cgroup/memory
    mount -t cgroup -o memory cgroup /sys/fs/cgroup/memory
fi
exec env -i container=test SYSTEMD_UNIT_PATH={units} SYSTEMD_PROC_CMDLINE=" " PATH=/usr/bin:/bin \
    /lib/systemd/systemd --system --unit=default.target --log-target=console
"""

GREEDY = """
group=/sys/fs/cgroup/memory/{name}
if mkdir $group; then echo 64M > $group/memory.limit_in_bytes; echo $$ > $group/cgroup.procs; fi
exec {python} -c 'b"x" * (1 << 30)'
"""
"""A command that takes more than it may have: as the kernel's first kind of control groups says, where `--memory-max`
makes none, or as those of the second kind do."""


class Systemd:
    """A booted systemd."""

    def __init__(self, folder: Path, units: Path) -> None:
        self.group = (GROUPS if IS_UNIFIED else GROUPS / "systemd") / f"test-{os.getpid()}"
        self.group.mkdir(exist_ok=True)
        self._log = (folder / "systemd.log").open("ab")
        boot = (
            f"echo $$ > {self.group}/cgroup.procs; exec unshare --fork --kill-child=KILL --pid --mount --uts --ipc "
            + ('--cgroup --mount-proc sh -c "$BOOT"')
        )
        self._outer = subprocess.Popen(
            ["sh", "-c", boot], stdout=self._log, stderr=self._log, start_new_session=True,
            env={**os.environ, "BOOT": BOOT.format(units=units)},
        )  # fmt: skip
        self.pid = until(self._inner, "systemd to start")
        until(lambda: self.run("systemctl", "is-active", "default.target").returncode == 0, "systemd to have booted")

    def _inner(self) -> int:
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children").read_text().split()
        return int(children[0]) if children else 0

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        there = ["nsenter", "-t", str(self.pid), "-p", "-m", "-C", "-i", "-u", *words]
        return subprocess.run(there, capture_output=True, text=True, check=False, env=clean_environment())

    def main_pid(self) -> int:
        """The worker's, as this systemd counts; 0 if there is none."""
        return int(self.show("MainPID"))

    def state(self) -> str:
        return self.show("ActiveState")

    def show(self, name: str) -> str:
        """A property of the worker's unit."""
        return self.run("systemctl", "show", f"--property={name}", "--value", UNIT).stdout.strip()

    def signal_worker(self, signum: int) -> None:
        assert self.run("kill", f"-{int(signum)}", str(self.main_pid())).returncode == 0

    def power_off(self) -> None:
        """As by pulling the plug."""
        os.kill(self.pid, signal.SIGKILL)
        self._outer.wait()
        self._log.close()
        for group in sorted(self.group.rglob("*"), reverse=True):
            if group.is_dir():
                group.rmdir()
        self.group.rmdir()


class Drill:
    """Runs jobs beside what systemd does."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.db, self.units = folder, folder / "jobs.db", folder / "units"
        self.units.mkdir()
        for target in TARGETS:
            (self.units / f"{target}.target").write_text(f"[Unit]\nDescription={target}\n")
        text = self.queuectl("service", "print", "--system", "--count", "2")
        (self.units / UNIT).write_text(text)
        (self.units / f"{UNIT}.d").mkdir()
        (self.units / f"{UNIT}.d" / "quick.conf").write_text(QUICK)

    def queuectl(self, *words: str) -> str:
        command = [sys.executable, "-m", "queuectl", "--db", str(self.db), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=clean_environment()).stdout

    def job(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.queuectl("--json", "list", job_id))[0]
        return found

    def started(self, job_id: str, seconds: float) -> None:
        """Adds a job and returns once it runs."""
        self.queuectl("enqueue", "--id", job_id, "-c", f"echo run >> {self.folder}/{job_id}; env; sleep {seconds}")
        until(lambda: self.job(job_id)["state"] == "processing" and self.job(job_id)["started_at"], f"{job_id} to run")

    def completed(self, job_id: str) -> int:
        """How often its command was started, once it has completed."""
        until(lambda: self.job(job_id)["state"] == "completed", f"{job_id} to complete")
        return len((self.folder / job_id).read_text().split())


@contextmanager
def booted(drill: Drill) -> Iterator[Systemd]:
    system = Systemd(drill.folder, drill.units)
    try:
        yield system
    finally:
        system.power_off()


def drilled(drill: Drill, say: Callable[[str], None]) -> None:
    with booted(drill) as system:
        began = time.monotonic()
        assert system.run("systemctl", "start", UNIT).returncode == 0
        assert json.loads(drill.queuectl("--json", "worker", "list")), "systemctl start returned before it served"
        say(f"start: serves when systemctl returns, after {time.monotonic() - began:.1f} s")

        drill.started("restart", 4)
        was, began = system.main_pid(), time.monotonic()
        assert system.run("systemctl", "restart", UNIT).returncode == 0
        assert system.main_pid() != was
        say(f"restart: back after {time.monotonic() - began:.1f} s, with a command running")
        assert drill.completed("restart") == 1
        say("restart: the command ran once")
        assert "NOTIFY_SOCKET" not in drill.queuectl("logs", "restart")
        say("a command does not know systemd's socket")

        drill.started("in-place", 4)
        was = system.main_pid()
        assert system.run("systemctl", "reload", UNIT).returncode == 0
        drill.queuectl("worker", "restart")
        assert system.main_pid() == was
        assert system.state() == "active"
        assert drill.completed("in-place") == 1
        say("reload, worker restart: the same process for systemd, the command ran once")

        drill.started("crash", 4)
        was = system.main_pid()
        system.signal_worker(signal.SIGKILL)
        until(lambda: system.main_pid() not in (0, was), "systemd to start it again")
        assert drill.completed("crash") == 1
        say("crash: started again, the command ran once")

        drill.started("freeze", 8)
        was = system.main_pid()
        system.signal_worker(signal.SIGSTOP)
        until(lambda: system.main_pid() not in (0, was), "the watchdog to bite")
        assert drill.completed("freeze") == 1
        say("freeze: the watchdog ended it, it was started again, the command ran once")

        drill.started("beside", 4)
        was, group = system.main_pid(), f"{drill.folder.name}-oom"
        greedy = GREEDY.format(name=group, python=sys.executable)
        drill.queuectl("enqueue", "--id", "oom", "--max-retries", "0", "--memory-max", "512m", "-c", greedy)
        until(lambda: drill.job("oom")["state"] == "dead", "the kernel to end a command")
        system.run("rmdir", f"/sys/fs/cgroup/memory/{group}")
        say(f"out of memory: {drill.job('oom')['error']}")
        assert (system.main_pid(), system.state()) == (was, "active")
        assert drill.completed("beside") == 1
        say("out of memory: the worker went on, the other command ran once")
        assert system.show("OOMPolicy") == "continue"
        if not IS_UNIFIED:
            say("out of memory: systemd hears of it only with cgroup v2, which this machine has not")

        drill.started("stop", 6)
        assert system.run("systemctl", "stop", UNIT).returncode == 0
        assert system.state() == "inactive"
        assert drill.job("stop")["state"] == "completed", "the stop did not wait for the command"
        say("stop: waited for the command, far beyond TimeoutStopSec")

        assert system.run("systemctl", "start", UNIT).returncode == 0
        drill.started("reboot", 5)
    say("power off with a command running")
    with booted(drill) as system:
        assert system.run("systemctl", "start", UNIT).returncode == 0
        assert drill.completed("reboot") == 2
        say("reboot: the command that was lost with the machine ran again")


def main(words: Sequence[str]) -> int:
    for need in ("/lib/systemd/systemd", shutil.which("nsenter"), shutil.which("unshare")):
        if not need or not os.path.exists(need) or os.getuid() != 0:
            print("needs root, systemd, nsenter and unshare")
            return 2
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        try:
            drilled(Drill(Path(name)), lambda text: print(text, flush=True))
        except BaseException:
            print((Path(name) / "systemd.log").read_text()[-4000:])
            raise
    print("all as promised")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
