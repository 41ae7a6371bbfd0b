"""`python -m benchmarks.rival_kills [NAME...] [--watch 150]`: what is left of other queues once all of them is killed.

Some jobs run and others wait, until a file is made. Then every process of the queue and of its server gets SIGKILL, but
the commands that it runs; the file is made; server and consumer start again. What starts within `--watch` seconds was
kept. Takes up to that long for each queue.
"""

from __future__ import annotations

import argparse
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks import postgres_rivals, rival_queues
from benchmarks.postgres import AS_SHIPPED
from benchmarks.rival_runs import Queue, Site, redis
from benchmarks.rival_tools import NotInstalled
from queuectl import ids
from tests.server import free_port, start_server

JOBS = 100
SETTLED_S = 5.0
MARK = "RIVAL_KILLS"
COMMAND = "printf . >> marks; while test ! -e open; do sleep 0.1; done"
TASK = """
import asyncio, os

URL = os.environ["DATABASE_URL"]

async def nothing(*_, **__):
    with open("marks", "a") as marks:
        marks.write(".")
    while not os.path.exists("open"):
        await asyncio.sleep(0.1)
"""
NODE_TASK = """
const fs = require("fs")

const connectionString = process.env.DATABASE_URL

async function nothing() {
  fs.appendFileSync("marks", ".")
  while (!fs.existsSync("open")) await new Promise((then) => setTimeout(then, 100))
}
"""
QUIET_TASK = rival_queues.TASK.replace('    os.write(MARKS, b".")\n', "")


class Subject(NamedTuple):
    """A queue, and what it needs: a context in which its server runs and that may be entered again."""

    queue: Queue
    given: str
    more: list[str]
    server: Callable[[], AbstractContextManager[dict[str, str]]]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rival_kills")
    parser.add_argument("names", nargs="*", metavar="NAME", help="beginnings of packages (default: all)")
    parser.add_argument("--watch", type=float, default=150.0, help="seconds after the restart")
    arguments = parser.parse_args()
    for queue in [*rival_queues.ALL, *(rival.queue for rival in postgres_rivals.RIVALS)]:
        if arguments.names and not queue.version.startswith(tuple(arguments.names)):
            continue
        with tempfile.TemporaryDirectory(prefix="queuectl-rival-") as folder, ExitStack() as end:
            os.environ[MARK] = ids.random_id(12)  # all processes from here on have it
            try:
                print(f"{queue.version}: {probe(subject_of(queue, Path(folder), end), Path(folder), arguments.watch)}")
            except NotInstalled:
                print(f"{queue.version}: not installed")


def subject_of(queue: Queue, folder: Path, end: ExitStack) -> Subject:
    """A queue with its server, which `end` removes."""
    if queue is rival_queues.HUEY:
        return Subject(queue, QUIET_TASK, [COMMAND], no_server)
    if queue in rival_queues.ALL:
        port = free_port()
        return Subject(queue, QUIET_TASK, [COMMAND], lambda: on_redis(folder, port))
    server = start_server(AS_SHIPPED)
    end.callback(server.remove)
    server.stop()

    @contextmanager
    def on_postgres() -> Iterator[dict[str, str]]:
        server.start()
        try:
            yield postgres_rivals.variables(server.url)
        finally:
            server.stop(signal.SIGKILL)

    return Subject(queue, TASK if queue.file.endswith(".py") else NODE_TASK, [], on_postgres)


@contextmanager
def no_server() -> Iterator[dict[str, str]]:
    yield {}


@contextmanager
def on_redis(folder: Path, port: int) -> Iterator[dict[str, str]]:
    with redis(folder, port) as url:
        yield {"REDIS_URL": url}


def probe(subject: Subject, folder: Path, watch_s: float) -> str:
    """What was kept, as a sentence."""
    with subject.server() as own:
        site = Site(subject.queue, folder, subject.given, own)
        with site.consuming():
            site.fill(JOBS, *subject.more)
            ran = settled(site.marks)
            kill_all()
            went_on = len(commands())
            (folder / "open").touch()
            while commands():
                time.sleep(0.1)
    site.marks.write_text("")
    with subject.server(), site.consuming():
        began = time.monotonic()
        times: list[float] = []
        while time.monotonic() - began < watch_s and len(times) < JOBS:
            times += [time.monotonic() - began] * (site.marks.stat().st_size - len(times))
            time.sleep(0.1)
    when = f", the last after {times[-1]:.0f} s" if times else ""
    return (
        f"{ran} ran and {JOBS - ran} waited; {went_on} commands ran on; "
        f"after the restart {len(times)} of {JOBS} started within {watch_s:g} s{when}"
    )


def settled(marks: Path) -> int:
    """How many jobs have started, once none is added for a while."""
    seen, since = 0, time.monotonic()
    while not seen or time.monotonic() - since < SETTLED_S:
        if (now := marks.stat().st_size) != seen:
            seen, since = now, time.monotonic()
        time.sleep(0.1)
    return seen


def kill_all() -> None:
    """Kills all marked processes but commands, until there are none."""
    while found := [pid for pid, words in marked() if COMMAND not in words and not words.startswith("sleep\0")]:
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


def commands() -> list[int]:
    """The commands of jobs that run."""
    return [pid for pid, words in marked() if words.startswith("sh\0") and COMMAND in words]


def marked() -> Iterator[tuple[int, str]]:
    """The processes started since the mark was set, with their command lines."""
    mark = f"{MARK}={os.environ[MARK]}\0".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes():
                yield int(folder.name), (folder / "cmdline").read_text()
        except OSError:
            continue


if __name__ == "__main__":
    main()
