"""Jobs a second through running workers, against xargs."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack

from benchmarks.bench import Setting, environment, fresh_store, run_all, worker, xargs
from queuectl.client.facade import Client
from queuectl.domain.selector import Selector

SLOTS = 8
"""Of a worker whose commands take no time."""


BARE_LOOP = """
import os, sys, tempfile
jobs, at_once = int(sys.argv[1]), int(sys.argv[2])
environment = dict(os.environb)
with tempfile.TemporaryFile() as output:
    actions = [(os.POSIX_SPAWN_DUP2, output.fileno(), number) for number in (1, 2)]
    for started in range(jobs):
        if started >= at_once:
            os.wait4(-1, 0)
        os.posix_spawn("/bin/sh", ["/bin/sh", "-c", "true"], environment, file_actions=actions, setsid=True)
    for _ in range(min(jobs, at_once)):
        os.wait4(-1, 0)
"""
"""What a supervisor cannot do without: a command in its own session, its output in a file, its end."""


def of_true(setting: Setting) -> Sequence[float]:
    """`true`: our jobs/s, and those of the barest loops in Python, ÷ xargs."""
    jobs = int(5000 * setting.scale)
    expected = xargs(["sh", "-c", "true"], jobs, 2)
    with fresh_store() as client, worker(client, SLOTS):
        took = run_all(client, "true", jobs)
    return expected / took, expected / bare_loops(jobs)


def bare_loops(jobs: int) -> float:
    """Seconds that two processes take to start and reap so many `sh -c true`, four at once each."""
    command = [sys.executable, "-I", "-S", "-c", BARE_LOOP, str(jobs // 2), "4"]
    began = time.perf_counter()
    for process in [subprocess.Popen(command, env=environment()) for _ in range(2)]:
        if process.wait():
            raise RuntimeError(f"a bare loop failed with {process.returncode}")
    return time.perf_counter() - began


def of_plain_words(setting: Setting) -> Sequence[float]:
    """`/bin/true`, for which no shell is needed: our jobs/s ÷ xargs with one."""
    return [against_xargs("/bin/true", "/bin/true", int(5000 * setting.scale))]


def against_xargs(command: str, reference: str, jobs: int) -> float:
    """Our jobs/s ÷ those of `xargs -P2 -n1 sh -c reference`."""
    expected = xargs(["sh", "-c", reference], jobs, 2)
    with fresh_store() as client, worker(client, SLOTS):
        return expected / run_all(client, command, jobs)


def with_output(setting: Setting) -> Sequence[float]:
    """`echo hello`, and all outputs are there afterwards: our jobs/s ÷ xargs with `true`."""
    jobs = int(5000 * setting.scale)
    expected = xargs(["sh", "-c", "true"], jobs, 2)
    with fresh_store() as client, worker(client, SLOTS):
        took = run_all(client, "echo hello", jobs)
        check_outputs(client, b"hello\n")
    return [expected / took]


def check_outputs(client: Client, expected: bytes) -> None:
    """Raises `RuntimeError` unless every job has written exactly this."""
    for job in client.find(Selector()):
        written = b"".join(output.head + output.tail for output in client.store.outputs(job, job.starts))
        if written != expected:
            raise RuntimeError(f"job {job.id} wrote {written!r}, not {expected!r}")


def of_sleepers(setting: Setting) -> Sequence[float]:
    """`sleep 0.1` on 16 slots of one worker, and of two: our jobs/s ÷ xargs -P16."""
    jobs = max(32, int(200 * setting.scale))
    expected = xargs(["sh", "-c", "sleep 0.1"], jobs, 16)
    return [expected / with_workers(shares, "sleep 0.1", jobs) for shares in ([16], [8, 8])]


def of_four_workers(setting: Setting) -> Sequence[float]:
    """`true` through four workers of four slots on one file ÷ through one of sixteen."""
    jobs = int(5000 * setting.scale)
    expected = with_workers([16], "true", jobs)
    return [expected / with_workers([4] * 4, "true", jobs)]


def with_workers(slots: Sequence[int], command: str, jobs: int) -> float:
    """Seconds that workers with these slots take together. Raises `RuntimeError` where one found the store locked."""
    with fresh_store() as client:
        with ExitStack() as workers:
            for count in slots:
                workers.enter_context(worker(client, count))
            took = run_all(client, command, jobs)
        for log in client.store.folder.glob("logs/*.log"):
            if "locked" in (text := log.read_text()):
                raise RuntimeError(f"{log.name} says that the store was locked:\n{text}")
        return took
