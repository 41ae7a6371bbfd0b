"""Makes the pictures in docs/screenshots: `python -m tests.web.browser.screenshots`.

A throw-away store with made-up work, one worker, a real server, a headless Chromium.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, expect

from queuectl.domain.job import JobState
from queuectl.store.sqlite.connection import connect
from tests.web.browser.conftest import chromium, login, running_browser
from tests.web.service import Service, serving
from tests.workshop import Worker, until

FOLDER = Path(__file__).parents[3] / "docs" / "screenshots"
expect.set_options(timeout=60_000)
BYTES_MAX = 150_000
DESK, PHONE = {"width": 1120, "height": 720}, {"width": 375, "height": 640}

SHOTS: tuple[tuple[str, str, dict[str, int], str], ...] = (
    ("overview", "/", DESK, "light"),
    ("overview-dark", "/", DESK, "dark"),
    ("jobs", "/jobs", DESK, "light"),
    ("job", "/jobs/encode-holiday", {"width": 1120, "height": 520}, "light"),
    ("queue", "/queues/video", DESK, "light"),
    ("failures", "/failures", DESK, "light"),
    ("console", "/jobs", DESK, "dark"),
    ("phone", "/jobs", PHONE, "light"),
)
"""Name, page, size, colours."""

ENCODE = (
    "i=0; while [ $i -lt 600 ]; do i=$((i+1)); "
    r"""printf '\033[32mframe=%5d\033[0m fps=24 q=28.0 size=%7dkB time=00:%02d:%02d \033[1mspeed=1.02x\033[0m\n' """
    "$i $((i*11)) $((i/60)) $((i%60)); sleep 0.5; done"
)


def fill(server: Service, folder: str) -> None:
    """Work of many kinds."""
    small = [
        {"command": f"sleep 0.{number % 4}; echo page {number}", "queue": "build", "tags": ["web"]}
        for number in range(400)
    ]
    flaky = [
        {"command": f"./check --page {number}; sleep 0.1; exit 1", "queue": "build", "max_retries": 0}
        for number in range(30)
    ]
    mails = [
        {"command": "send-newsletter --batch 7", "shell": "/bin/sh", "queue": "mail", "max_retries": 0}
        for _ in range(12)
    ]
    for jobs in (small, flaky, mails):
        assert server.full.post("/api/v1/jobs", json=jobs).status_code == 201
    server.queue.set_queue("video", concurrency=1, rate="100/h")
    video = {"queue": "video", "tags": ["media"], "locks": ["gpu"], "timeout": "2h", "cwd": folder}
    server.enqueue(ENCODE, id="encode-holiday", priority=5, **video)
    for name in ("beach", "garden", "party"):
        server.enqueue(f"ffmpeg -i {name}.mov -c:v libx264 {name}.mp4", id=f"encode-{name}", **video)
    server.enqueue("echo connecting; exit 75", id="sync-mirror", queue="sync", backoff_initial="20m", tags=["nightly"])
    server.enqueue(["rsync", "-a", "nas:/photos", "/backup"], id="backup", queue="sync", delay="6h", tags=["nightly"])
    server.enqueue("make report | mail -s report me", id="report", queue="reports", delay="2h")
    server.enqueue(["./migrate.sh", "--all"], id="migrate", queue="db", held=True)
    server.enqueue("echo start; sleep 30", id="stuck-import", queue="db", timeout="1s", max_retries=0)


EARLIER = "(seq * 7919 % 600) * (seq * 7919 % 600) / 100"
"""Seconds: over the last hour, more of it lately."""
TIMES = ("created_at", "run_at", "due_at", "started_at", "finished_at")
SPREAD = (
    f"UPDATE attempts SET started_at = started_at - shift, finished_at = finished_at - shift "
    f"FROM (SELECT seq, {EARLIER} AS shift FROM jobs WHERE finished_at IS NOT NULL) AS ended WHERE job = ended.seq",
    "UPDATE jobs SET queue = 'video' WHERE seq % 7 = 0 AND state = 'completed'",
    f"UPDATE jobs SET {', '.join(f'{name} = {name} - {EARLIER}' for name in TIMES)} WHERE finished_at IS NOT NULL",
    "DELETE FROM counts", "INSERT INTO counts SELECT queue, state, count(*) FROM jobs GROUP BY queue, state",
)  # fmt: skip


def spread(db: str) -> None:
    """Has what has ended just now have ended over the last hour."""
    with closing(connect(db, 10.0)) as connection:
        for text in ("BEGIN", *SPREAD, "COMMIT"):
            connection.execute(text)


@contextmanager
def place() -> Iterator[Path]:
    """A folder for the store and the work, with a short path where this user may make one: pictures show it."""
    short = Path("/srv/media")
    if not os.access(short.parent, os.W_OK) or short.exists():
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
        return
    short.mkdir()
    try:
        yield short
    finally:
        shutil.rmtree(short)


def picture(browser: Browser, server: Service, shot: tuple[str, str, dict[str, int], str]) -> None:
    """One page as it looks."""
    name, path, size, colours = shot
    options: dict[str, Any] = {"viewport": size, "color_scheme": colours}
    context = browser.new_context(**options)
    page = context.new_page()
    page.goto(login(server, path))
    expect(page.locator("#live")).to_have_text("live")
    if name == "console":
        page.keyboard.press("c")
        expect(page.locator("#line")).to_be_focused()
        for line in (
            """enqueue {"id":"job1","command":"echo 'Hello World'"}""",
            "run -- echo 'as in a terminal'",
            "dlq list --group",
        ):
            page.locator("#line").fill(line)
            page.keyboard.press("Enter")
            expect(page.locator("#send")).to_be_visible()
    time.sleep(1.5)  # charts and output settle
    target = FOLDER / f"{name}.png"
    page.screenshot(path=target)
    context.close()
    weight = target.stat().st_size
    print(f"{target.relative_to(FOLDER.parents[1])}  {weight:,} bytes")
    assert weight < BYTES_MAX, f"{name} weighs {weight:,} bytes"


def main() -> int:
    """All of them."""
    path = chromium()
    if path is None:
        print("there is no Chromium here", file=sys.stderr)
        return 1
    FOLDER.mkdir(exist_ok=True)
    with place() as folder, serving(folder / "queuectl.db") as server, running_browser(path) as browser:
        fill(server, str(folder))
        worker = Worker(server.db, "--count", "4", "--name", "night")
        try:
            until(lambda: server.queue.job("stuck-import").finished, "the work has mostly been done")
            until(lambda: server.queue.store.counts().get(("build", JobState.PENDING), 0) == 0, "nothing small waits")
            spread(server.db)
            for shot in SHOTS:
                picture(browser, server, shot)
        finally:
            server.queue.ask_to_stop(None, now=True)
            worker.wait()
            worker.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
