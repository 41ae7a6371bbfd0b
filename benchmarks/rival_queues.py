"""What Python job queues make of the same jobs, each with a task that calls `subprocess.run` and keeps the output."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.rival_runs import Queue, Site, redis
from benchmarks.throughput import SLOTS
from tests.server import free_port

PROCESSES = 2
THREADS = str(SLOTS // PROCESSES)

TASK = """
import os, subprocess

URL = os.environ.get("REDIS_URL", "")
MARKS = os.open("marks", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def run(command):
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    os.write(MARKS, b".")
    return [done.returncode, done.stdout]
"""
"""What stands before each program: `app.fill(jobs, command)` adds jobs that call `run(command)`."""

HUEY = Queue(
    packages=["huey==3.5.4"],
    consumer=["huey_consumer", "app.huey", "-w", str(SLOTS), "-k", "thread", "-q"],
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
    packages=["dramatiq[redis]==2.2.1"],
    consumer=["dramatiq", "app", "--processes", str(PROCESSES), "--threads", THREADS],
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
    packages=["celery[redis]==5.7.0"],
    consumer=["celery", "-A", "app", "worker", "-c", str(SLOTS), "-l", "ERROR"],
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
    packages=["rq==3.0.0"],
    consumer=["rq", "worker-pool", "-n", str(SLOTS), "-q"],
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

SAQ = Queue(
    packages=["saq[redis]==0.26.4", "typing-extensions==4.16.0"],  # which it imports, but does not ask for
    consumer=["saq", "app.settings", "--workers", str(PROCESSES), "-q"],
    app=f"""
import asyncio
from saq import Queue

queue = Queue.from_url(URL)

async def task(_context, *, command):
    return await asyncio.to_thread(run, command)

settings = {{"queue": queue, "functions": [task], "concurrency": {THREADS}}}

async def enqueue(jobs, command):
    for _ in range(jobs):
        await queue.enqueue("task", command=command, timeout=3600)  # by default 10 s
    await queue.disconnect()

def fill(jobs, command):
    asyncio.run(enqueue(jobs, command))
""",
)

TASKIQ = Queue(
    packages=["taskiq-redis==1.2.4", "taskiq==0.13.0"],
    consumer=[
        "taskiq",
        "worker",
        "app:broker",
        "--workers",
        str(PROCESSES),
        "--max-async-tasks",
        THREADS,
        "--log-level",
        "ERROR",
    ],
    app="""
import asyncio
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

broker = RedisStreamBroker(URL).with_result_backend(RedisAsyncResultBackend(URL))
task = broker.task(task_name="task")(run)

async def enqueue(jobs, command):
    await broker.startup()
    for _ in range(jobs):
        await task.kiq(command)
    await broker.shutdown()

def fill(jobs, command):
    asyncio.run(enqueue(jobs, command))
""",
)

ALL = (HUEY, DRAMATIQ, CELERY, SAQ, TASKIQ, RQ)


def measure(queue: Queue, folder: Path, command: str, jobs: int) -> float:
    """Jobs/s of a command through a queue's consumer, which starts once all are added."""
    with ready(queue, folder, TASK) as site:
        site.fill(jobs, command)
        with site.consuming():
            return site.rate(jobs)


@contextmanager
def ready(queue: Queue, folder: Path, given: str) -> Iterator[Site]:
    """A queue, and the Redis that it needs."""
    if queue is HUEY:
        yield Site(queue, folder, given, {})
    else:
        with redis(folder, free_port()) as url:
            yield Site(queue, folder, given, {"REDIS_URL": url})
