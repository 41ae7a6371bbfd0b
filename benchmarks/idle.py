"""What an idle worker costs, how fast it wakes up, and how fast a command of ours starts."""

from __future__ import annotations

import os
import random
import select
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.bench import SCRIPT, Setting, alternating, fresh_store, worker
from queuectl.client.facade import Client
from queuectl.store.port import Store
from queuectl.wire.requests import JobRequest

PAUSE_S = (0.02, 0.06)
"""Between two wake-ups: random, so that no polling interval can hide in it."""
SETTLE_S = 1.0
GIVE_UP_AFTER_S = 10.0


def wake_up(setting: Setting) -> Sequence[float]:
    """Milliseconds from the commit of an enqueue until its command runs: p50 and p99."""
    with fresh_store() as client, worker(client, 4):
        took = wake_ups(client, max(20, int(200 * setting.scale)))
    percentiles = statistics.quantiles(took, n=100, method="inclusive")
    return percentiles[49], percentiles[98]


def wake_ups(client: Client, samples: int) -> Sequence[float]:
    """Milliseconds that so many wake-ups of a running worker take."""
    with tempfile.TemporaryDirectory(prefix="queuectl-bench-") as folder:
        fifo = Path(folder) / "fifo"
        os.mkfifo(fifo)
        reader = os.open(fifo, os.O_RDWR)  # for writing too: an end that nobody holds would read as its end
        try:
            time.sleep(SETTLE_S)
            return [one_wake_up(client, f"echo > {fifo}", reader) for _ in range(samples)]
        finally:
            os.close(reader)


def one_wake_up(client: Client, command: str, reader: int) -> float:
    """Milliseconds until a command, once committed, has written a byte that is read here."""
    time.sleep(random.uniform(*PAUSE_S))
    client.enqueue([JobRequest(command=command)])
    committed = time.perf_counter()
    if not select.select([reader], [], [], GIVE_UP_AFTER_S)[0]:
        raise RuntimeError(f"the command was not started within {GIVE_UP_AFTER_S:g} s")
    took = (time.perf_counter() - committed) * 1000
    os.read(reader, 1)
    return took


def enqueue_process(setting: Setting) -> Sequence[float]:
    """Wall time of one `queuectl enqueue` ÷ a Python that imports what it cannot do without."""
    with fresh_store() as client:
        ours = [SCRIPT, "--db", client.store.url, "enqueue", "--", "true"]
        reference = [SCRIPT.removesuffix("queuectl") + "python", "-c", "import sqlite3, json"]
        expected, took = alternating([reference, ours], max(5, int(20 * setting.scale)))
    return [took / expected]


def footprint(setting: Setting) -> Sequence[float]:
    """An idle worker's CPU in percent of a core, and its memory in MB (PSS), with its supervisors."""
    watched_s = max(2.0, 30 * setting.scale)
    with fresh_store() as client, worker(client, 4) as process:
        time.sleep(SETTLE_S)
        pids = [process.pid, *supervisors(client.store)]
        before = sum(map(cpu_s, pids))
        time.sleep(watched_s)
        used = sum(map(cpu_s, pids)) - before
        return 100 * used / watched_s, sum(map(pss_mb, pids))


def supervisors(store: Store) -> list[int]:
    """The pids of a store's supervisors."""
    return [row.pid for row in store.workers()]


def cpu_s(pid: int) -> float:
    """CPU seconds a process has used, exact to the nanosecond."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def pss_mb(pid: int) -> float:
    """A process's memory, pages shared by n processes counted as an n-th."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"the kernel tells no PSS of {pid}")
