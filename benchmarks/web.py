"""The server under load, beside a worker that runs as fast as it can: `python -m benchmarks.web [--seconds 60]`.

Prints, and keeps in `results/`: the worker's throughput beside a loaded server ÷ alone; answers and errors; the
server's memory; how soon it ends with everybody connected; and a list of 1,000,000 jobs ÷ one of 1,000.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from benchmarks import table
from benchmarks.bench import MODULE, completed, environment, fresh_store, worker
from benchmarks.scale import busy_worker
from benchmarks.stores import opened, prepared
from benchmarks.throughput import SLOTS
from queuectl.client.facade import Client
from queuectl.wire.requests import JobRequest

LISTENERS, RATE = 100, 200
JOBS = 5000
FEW, MANY = 1000, 1_000_000
LISTS = 200
PAGES = (
    "/api/v1/jobs?limit=50", "/api/v1/jobs?limit=50&state=pending", "/api/v1/jobs?limit=50&state=completed",
    "/api/v1/jobs?limit=50&queue=default", "/api/v1/status",
)  # fmt: skip


@contextmanager
def server(client: Client) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """A running server, its address and token."""
    command = [*MODULE, "--db", client.store.url, "--json", "serve", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment())
    try:
        assert process.stdout
        said = ""
        while not said.endswith("}\n"):
            said += process.stdout.readline()
        place = json.loads(said)
        yield process, place["url"], place["login"].partition("token=")[2]
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def jobs_a_second(client: Client, seconds: float, look: Callable[[], object] = lambda: None) -> float:
    """Runs W1 again and again for so long, and looks at something after each run."""
    rates, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        rates.append(JOBS / w1_s(client))
        look()
    return statistics.mean(rates)


def w1_s(client: Client) -> float:
    """Seconds from the moment the jobs are committed until the last result is recorded."""
    wanted = completed(client) + JOBS
    client.enqueue([JobRequest(command="true")] * JOBS)
    began = time.perf_counter()
    while completed(client) < wanted:
        time.sleep(0.01)
    return time.perf_counter() - began


def memory_mib(pid: int) -> float:
    """What a process keeps in memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
    return round(kib / 1024, 1)


def under_load(seconds: float) -> dict[str, Any]:
    """W1 alone, then beside the loaded server."""
    with fresh_store() as client, worker(client, SLOTS):
        w1_s(client)
        alone = jobs_a_second(client, seconds / 3)
        with server(client) as (process, url, token):
            address, port = url.removeprefix("http://").split(":")
            words = [address, port, token, str(LISTENERS), str(RATE), str(seconds)]
            load = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.web_load", *words], stdout=subprocess.PIPE, text=True
            )
            time.sleep(2)
            w1_s(client)
            memory = [memory_mib(process.pid)]
            beside = jobs_a_second(client, max(1.0, seconds - 15), lambda: memory.append(memory_mib(process.pid)))
            assert load.stdout
            load.stdout.readline()  # it has sent its last request; its streams are open
            cpu = sum(float(value) for value in Path(f"/proc/{process.pid}/stat").read_text().split()[13:15]) / 100
            asked_at = time.monotonic()
            process.send_signal(signal.SIGTERM)
            code = process.wait(30)
            ended_s = time.monotonic() - asked_at
            said, _ = load.communicate(timeout=30)
        after = jobs_a_second(client, seconds / 3)
    met = json.loads(said)
    return {
        "w1_alone": round(alone), "w1_beside": round(beside), "w1_after": round(after),
        "ratio": round(beside / statistics.mean([alone, after]), 3), "memory_mib": memory,
        "server_cpu_s": cpu, "sigterm_s": round(ended_s, 3), "exit_code": code, **met,
    }  # fmt: skip


def lists() -> dict[str, Any]:
    """The time of a page of jobs among many ÷ among few, for each kind of page."""
    took: dict[int, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="queuectl-bench-") as folder:
        for jobs in (FEW, MANY):
            path = prepared(Path(folder), waiting=jobs // 2, finished=jobs // 2)
            with busy_worker(path), opened(path) as client, server(client) as (_, url, token):
                took[jobs] = [_median(url, token, page) for page in PAGES]
    ratios = {page: round(many / few, 2) for page, many, few in zip(PAGES, took[MANY], took[FEW], strict=True)}
    return {"ratios": ratios, "ms": {str(jobs): [round(each * 1000, 2) for each in took[jobs]] for jobs in took}}


def _median(url: str, token: str, page: str) -> float:
    times = []
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}) as asking:
        for _ in range(LISTS):
            began = time.perf_counter()
            asking.get(page).raise_for_status()
            times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> None:
    """Measures, prints, keeps."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.web")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--only", choices=["load", "lists"])
    arguments = parser.parse_args()
    measured: dict[str, Any] = {"machine": table.machine()}
    if arguments.only != "lists":
        measured["load"] = under_load(arguments.seconds)
        print(json.dumps(measured["load"], indent=1), flush=True)
    if arguments.only != "load":
        measured["lists"] = lists()
        print(json.dumps(measured["lists"], indent=1))
    if arguments.seconds >= 60:
        date = time.strftime("%Y-%m-%d-%H%M", time.gmtime())
        name = f"web-{date}{'-' + arguments.only if arguments.only else ''}.json"
        (table.RESULTS / name).write_text(json.dumps(measured, indent=1) + "\n")


if __name__ == "__main__":
    main()
