"""The dashboard on 1,000,000 jobs, of which 100,000 failed in 1,000 groups.

    python -m benchmarks.web_pages [--seconds 60] [--postgres]
    python -m benchmarks.web_pages --left-open 3600

Prints, and keeps in `results/`: the milliseconds until the first bytes of each page, the bytes that a browser takes
until it has painted one, and a worker's throughput with ten dashboards open ÷ alone. The second: what ten dashboards
and the page of a job that prints a line a second hold more after so many seconds beside a worker without a pause.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
from playwright.sync_api import Browser

from benchmarks import table
from benchmarks.bench import MODULE, SCRIPT, environment, fresh_store, worker
from benchmarks.postgres import AS_SHIPPED
from benchmarks.scale import some_id
from benchmarks.stores import COUNT, opened, prepared
from benchmarks.throughput import SLOTS
from benchmarks.web import jobs_a_second, memory_mib, server, w1_s
from queuectl.client.facade import Client
from queuectl.store.sqlite.connection import connect
from queuectl.web.serve import open_client
from queuectl.wire.requests import JobRequest
from tests.server import new_schema, start_server
from tests.web.browser.conftest import chromium, running_browser

WAITING, FINISHED, GROUPS, FAILED_OF = 400_000, 600_000, 1000, 6
ASKED = 15
PAGES = (
    "/", "/?range=30d", "/jobs", "/jobs?text=row", "/jobs?sort=took", "/failures", "/dlq", "/dlq?text=row",
    "/schedules", "/queues", "/queues/import", "/locks", "/batches", "/workers", "/enqueue", "/settings", "/access",
    "/api",
)  # fmt: skip
FURNISH = (
    "UPDATE jobs SET queue = 'later' WHERE state = 'pending'",
    f"UPDATE jobs SET state = 'dead', queue = 'import', exit_code = 1, error = 'exit code 1', attempts = 4, "
    f"command = 'import --part ' || (seq / {FAILED_OF} % {GROUPS}), last_line = 'row ' || seq || ' is broken', "
    f"fault = printf('%012x', seq / {FAILED_OF} % {GROUPS}) WHERE state = 'completed' AND seq % {FAILED_OF} = 0",
    f"UPDATE attempts SET outcome = 'failed', exit_code = 1, error = 'exit code 1' WHERE job % {FAILED_OF} = 0",
    "UPDATE jobs SET finished_at = finished_at - seq % 86400 WHERE finished_at IS NOT NULL",
    "UPDATE attempts SET started_at = started_at - job % 86400, finished_at = finished_at - job % 86400",
    "DELETE FROM counts", COUNT,
)  # fmt: skip
"""Parts what `prepared` has made: failures in groups, and ends over a day."""


def furnished(folder: Path) -> Path:
    """The store."""
    path = prepared(folder, waiting=WAITING, finished=FINISHED)
    db = connect(str(path), 10.0)
    try:
        db.execute("BEGIN")
        for text in FURNISH:
            db.execute(text)
        db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        db.close()
    return path


@contextmanager
def working(client: Client, slots: int) -> Iterator[None]:
    """A worker that leaves alone what waits in the store."""
    words = ["--queue", "default", "--count", str(slots)]
    worker = subprocess.Popen(
        [*MODULE, "--db", client.store.url, "--quiet", "worker", "start", *words],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment(),
    )  # fmt: skip
    try:
        assert worker.stdout
        worker.stdout.readline()
        yield
    finally:
        worker.terminate()
        worker.communicate(timeout=60)


def first_bytes(url: str, token: str, pages: list[str]) -> dict[str, list[float]]:
    """Of each page the milliseconds until its first bytes: the first time, the median, and the most."""
    found = {}
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60) as asking:
        for page in pages:
            took = []
            for _ in range(ASKED):
                began = time.perf_counter()
                with asking.stream("GET", page) as answer:
                    took.append((time.perf_counter() - began) * 1000)
                    answer.raise_for_status()
                    answer.read()
            found[page] = [round(each, 1) for each in (took[0], statistics.median(took), max(took))]
    return found


def first_paint(browser: Browser, url: str, token: str, pages: list[str]) -> dict[str, float]:
    """Of each page the bytes that a browser takes which has none of its files."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{url}/login?{urlencode({'token': token})}")
    network = context.new_cdp_session(page)
    network.send("Network.enable")
    network.send("Network.setCacheDisabled", {"cacheDisabled": True})
    transferred: list[float] = []
    network.on("Network.loadingFinished", lambda event: transferred.append(event["encodedDataLength"]))
    found = {}
    for each in pages:
        transferred.clear()
        page.goto(url + each, wait_until="load")
        page.wait_for_timeout(500)
        found[each] = sum(transferred)
    context.close()
    return found


@contextmanager
def watched(url: str, token: str, with_browser: bool, *more: str) -> Iterator[dict[str, Any]]:
    """Ten dashboards, each in a browser of its own; or ten that hear and ask as those do, and draw nothing.

    Gives what they have told once they are closed.
    """
    words = [url, token, "browser" if with_browser else "bare", *more]
    watching = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.web_watching", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    told: dict[str, Any] = {}
    try:
        time.sleep(15)
        yield told
        assert watching.poll() is None, "the dashboards have ended"
    finally:
        said, _ = watching.communicate()
        told |= json.loads(said or "{}")


def measured(client: Client, seconds: float, job: str) -> dict[str, Any]:
    """All figures of one store."""
    pages = [*PAGES, f"/jobs/{job}"]
    with server(client) as (process, url, token):
        with working(client, SLOTS):
            found: dict[str, Any] = {"first_bytes_ms": first_bytes(url, token, pages)}
        with running_browser(chromium() or "") as browser:
            found["first_paint_bytes"] = first_paint(browser, url, token, pages)
        print(json.dumps(found, indent=1), flush=True)
        with working(client, SLOTS):
            w1_s(client)
            for name, with_browser in (("bare", False), ("browsers", True)):
                before = jobs_a_second(client, seconds / 2)
                with watched(url, token, with_browser) as told:
                    beside = jobs_a_second(client, seconds)
                after = jobs_a_second(client, seconds / 2)
                alone = statistics.mean([before, after])
                found[name] = {
                    "w1_alone": [round(before), round(after)], "w1_beside": round(beside),
                    "ratio": round(beside / alone, 3), "server_mib": memory_mib(process.pid), **told,
                }  # fmt: skip
                print(json.dumps(found[name]), flush=True)
    return found


def left_open(seconds: float) -> dict[str, Any]:
    """How pages fare that are left open."""
    memory: list[float] = []
    with fresh_store() as client, worker(client, SLOTS), server(client) as (process, url, token):
        talks = JobRequest(command="while sleep 1; do date; done", columns={"priority": 1})
        (talking,) = client.enqueue([talks])
        with watched(url, token, True, f"/jobs/{talking.id}") as told:
            rate = jobs_a_second(client, seconds, lambda: memory.append(memory_mib(process.pid)))
        client.cancel(talking.id)
    return {"seconds": seconds, "w1_beside": round(rate), "server_mib": memory[:: max(1, len(memory) // 12)], **told}


def main() -> None:
    """Measures, prints, keeps."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.web_pages")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--left-open", type=float, metavar="SECONDS")
    arguments = parser.parse_args()
    if arguments.left_open:
        found = left_open(arguments.left_open)
        print(json.dumps(found, indent=1))
        keep("left-open", found)
        return
    with tempfile.TemporaryDirectory(prefix="queuectl-bench-") as folder:
        path, found = furnished(Path(folder)), {}
        job = some_id(path)
        if arguments.postgres:
            running = start_server(AS_SHIPPED)
            try:
                url = new_schema(running.url)
                subprocess.run([SCRIPT, "--db", str(path), "copy", "--to", url], check=True, env=environment())
                client = open_client(url)
                found |= measured(client, arguments.seconds, job)
                client.close()
            finally:
                running.remove()
        else:
            with opened(path) as client:
                found |= measured(client, arguments.seconds, job)
    if arguments.seconds >= 30:
        keep("pages-postgres" if arguments.postgres else "pages", found)


def keep(kind: str, found: dict[str, Any]) -> None:
    """Writes figures into `results/`."""
    name = f"web-{time.strftime('%Y-%m-%d-%H%M', time.gmtime())}-{kind}.json"
    (table.RESULTS / name).write_text(json.dumps({"machine": table.machine()} | found, indent=1) + "\n")


if __name__ == "__main__":
    main()
