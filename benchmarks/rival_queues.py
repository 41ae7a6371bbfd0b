"""What Python job queues make of the same jobs, each with a task that calls `subprocess.run` and keeps the output.

They live in a virtual environment of their own, made at first use in the user's cache. A run is measured from the
first mark that a task leaves behind to the last one, so neither enqueueing nor starting up counts.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

from benchmarks.bench import GIVE_UP_AFTER_S, environment
from benchmarks.rival_tools import NotInstalled, tool
from benchmarks.throughput import SLOTS

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "queuectl-benchmarks"
STOP_WITHIN_S = 20.0

TASK = """
import os, subprocess

URL = os.environ.get("REDIS_URL", "")
MARKS = os.open("marks", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def run(command):
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    os.write(MARKS, b".")
    return [done.returncode, done.stdout]
"""


class Queue(NamedTuple):
    """A Python job queue: its package, its consumer's command line, and its part of the module `app`.

    `app.fill(jobs, command)` enqueues.
    """

    package: str
    consumer: Sequence[str]
    needs_redis: bool
    app: str


HUEY = Queue(
    package="huey",
    consumer=["huey_consumer", "app.huey", "-w", str(SLOTS), "-k", "process", "-q"],
    needs_redis=False,
    app="""
from huey import SqliteHuey

huey = SqliteHuey(filename="huey.db", fsync=True)
task = huey.task()(run)

def fill(jobs, command):
    for _ in range(jobs):
        task(command)
""",
)

DRAMATIQ = Queue(
    package="dramatiq[redis]",
    consumer=["dramatiq", "app", "--processes", "2", "--threads", str(SLOTS // 2)],
    needs_redis=True,
    app="""
import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

broker = RedisBroker(url=URL)
broker.add_middleware(Results(backend=RedisBackend(url=URL)))
dramatiq.set_broker(broker)
task = dramatiq.actor(run, store_results=True)

def fill(jobs, command):
    for _ in range(jobs):
        task.send(command)
""",
)

CELERY = Queue(
    package="celery[redis]",
    consumer=["celery", "-A", "app", "worker", "-c", str(SLOTS), "-l", "ERROR"],
    needs_redis=True,
    app="""
from celery import Celery

app = Celery("app", broker=URL, backend=URL)
task = app.task(run)

def fill(jobs, command):
    for _ in range(jobs):
        task.delay(command)
""",
)

RQ = Queue(
    package="rq",
    consumer=["rq", "worker-pool", "-n", str(SLOTS), "-q"],
    needs_redis=True,
    app="""
from redis import Redis
from rq import Queue

def fill(jobs, command):
    if jobs:
        from app import run  # by the name under which a worker finds it
        queue = Queue(connection=Redis.from_url(URL))
        queue.enqueue_many([Queue.prepare_data(run, (command,)) for _ in range(jobs)])
""",
)


@cache
def installed(package: str) -> Path:
    """The folder of programs of an environment that has the package. Raises `NotInstalled`."""
    programs = CACHE / package.partition("[")[0] / "bin"
    ready = programs / "ready"
    try:
        if not ready.exists():
            subprocess.run([sys.executable, "-m", "venv", programs.parent], check=True, capture_output=True)
            pip = [str(programs / "pip"), "install", "--quiet", "--disable-pip-version-check", package]
            subprocess.run(pip, check=True, capture_output=True)
            ready.touch()
    except (OSError, subprocess.CalledProcessError):
        raise NotInstalled(package) from None
    return programs


def measure(queue: Queue, folder: Path, command: str, jobs: int) -> float:
    """Jobs/s of a command through a queue's consumer."""
    programs = installed(queue.package)
    (folder / "app.py").write_text(TASK + queue.app)
    (folder / "marks").touch()
    if not queue.needs_redis:
        return consume(queue, programs, folder, {}, command, jobs)
    with redis(folder) as url:
        return consume(queue, programs, folder, {"REDIS_URL": url}, command, jobs)


def consume(queue: Queue, programs: Path, folder: Path, extra: dict[str, str], command: str, jobs: int) -> float:
    """Enqueues all, then starts the consumer and watches the marks."""
    own = {**environment(), "PYTHONPATH": str(folder), "PATH": f"{programs}:{os.environ['PATH']}", **extra}
    fill = f"import app; app.fill({jobs}, {command!r})"
    subprocess.run([programs / "python", "-c", fill], cwd=folder, env=own, check=True, capture_output=True)
    with running([str(programs / queue.consumer[0]), *queue.consumer[1:]], folder, own):
        return rate(folder / "marks", jobs)


def rate(marks: Path, jobs: int, until_recorded: Callable[[], None] = lambda: None) -> float:
    """Jobs/s between the first mark and the last, or the moment when the ends of all are on record."""
    began, first = time.perf_counter(), 0
    deadline = began + GIVE_UP_AFTER_S
    while (done := marks.stat().st_size) < jobs:
        if done and not first:
            began, first = time.perf_counter(), done
        if time.perf_counter() > deadline:
            raise RuntimeError(f"only {done} of {jobs} jobs are done")
        time.sleep(0.005)
    until_recorded()
    return (jobs - first) / (time.perf_counter() - began)


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """The URL of a Redis of our own, with the settings it is shipped with."""
    program = tool("redis-server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with running([program, "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder)], folder, environment()):
        deadline = time.monotonic() + STOP_WITHIN_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def running(command: Sequence[str], folder: Path, own: dict[str, str]) -> Iterator[None]:
    """A process that is ended afterwards, with all it has started."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=folder, env=own, stdout=quiet, stderr=quiet, start_new_session=True)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(process.pid, 9)
        except ProcessLookupError:
            pass
        process.wait()


huey = partial(measure, HUEY)
dramatiq = partial(measure, DRAMATIQ)
celery = partial(measure, CELERY)
rq = partial(measure, RQ)
