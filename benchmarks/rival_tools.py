"""What other command-line tools make of the same jobs: jobs/s of a command, each tool as it is meant to be used."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

from benchmarks import bench
from benchmarks.throughput import SLOTS, check_outputs

WARM_AFTER = 10
"""One in so many jobs is run before the measurement begins."""


class NotInstalled(Exception):
    """What is to be measured is not on this machine."""


def tool(name: str) -> str:
    """Where a program is. Raises `NotInstalled`."""
    found = shutil.which(name)
    if found is None:
        raise NotInstalled(name)
    return found


def debian_version(package: str) -> str:
    """The installed version of a Debian package. Raises `NotInstalled`."""
    try:
        words = ["dpkg-query", "--show", "--showformat", "${Version}", package]
        said = subprocess.run(words, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        raise NotInstalled(package) from None
    return f"{package} {said.stdout} (Debian)"


def xargs(_folder: Path, command: str, jobs: int) -> float:
    """The reference: two in flight, nothing kept."""
    return jobs / bench.xargs(["sh", "-c", command], jobs, 2)


def queuectl(_folder: Path, command: str, jobs: int) -> float:
    """Ours: a running worker, every result durable, every output kept."""
    with bench.fresh_store() as client, bench.worker(client, SLOTS):
        bench.run_all(client, command, max(1, jobs // WARM_AFTER))
        took = bench.run_all(client, command, jobs)
        check_outputs(client, b"hello\n" if command.startswith("echo") else b"")
    return jobs / took


def gnu_parallel(folder: Path, command: str, jobs: int) -> float:
    """With a job log and every output in files of its own."""
    words = [tool("parallel"), "--will-cite", f"-j{SLOTS}", "-N0"]
    kept = ["--joblog", str(folder / "joblog"), "--results", str(folder / "results")]
    took = bench.seconds([*words, *kept, command], "".join(f"{number}\n" for number in range(jobs)))
    return jobs / took


def task_spooler(folder: Path, command: str, jobs: int) -> float:
    """All jobs are queued behind some that wait on a FIFO; opening that lets them run."""
    program = tool("tsp")
    gate = folder / "gate"
    os.mkfifo(gate)
    own = {"TS_SOCKET": str(folder / "socket"), "TS_SLOTS": str(SLOTS), "TMPDIR": str(folder), "TS_MAXFINISHED": "9999"}
    environment = {**bench.environment(), **own}

    def spool(*words: str) -> str:
        done = subprocess.run([program, *words], env=environment, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    try:
        for _ in range(SLOTS):
            spool("cat", str(gate))
        for _ in range(jobs):
            spool("sh", "-c", command)
        os.close(os.open(gate, os.O_WRONLY))
        began = time.perf_counter()
        while len(re.findall(r"^\d+ +finished ", spool(), re.MULTILINE)) < SLOTS + jobs:
            if time.perf_counter() - began > bench.GIVE_UP_AFTER_S:
                raise RuntimeError("task-spooler does not come to an end")
            time.sleep(0.02)
        return jobs / (time.perf_counter() - began)
    finally:
        spool("-K")


def nq(folder: Path, command: str, jobs: int) -> float:
    """A folder for each place, since a folder's jobs run one after the other; the first waits on a FIFO."""
    program, gate = tool("nq"), folder / "gate"
    os.mkfifo(gate)
    queues = [{**bench.environment(), "NQDIR": str(folder / str(number))} for number in range(SLOTS)]

    def queue(number: int, *words: str) -> None:
        subprocess.run([program, *words], env=queues[number % SLOTS], check=True, stdout=subprocess.DEVNULL)

    for number in range(SLOTS):
        queue(number, "cat", str(gate))
    for number in range(jobs):
        queue(number, "sh", "-c", command)
    os.close(os.open(gate, os.O_WRONLY))
    began = time.perf_counter()
    for number in range(SLOTS):
        queue(number, "-w")
    return jobs / (time.perf_counter() - began)
