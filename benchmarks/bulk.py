"""What adding many jobs at once costs, in time and in memory, and what others notice of it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any, NamedTuple

from benchmarks.bench import MODULE, Setting, environment, fresh_store
from queuectl.client.facade import Client
from queuectl.store.shared import rows
from queuectl.store.sqlite.connection import connect

MANY = 1_000_000


class Took(NamedTuple):
    """What a process took: seconds, and megabytes at its peak."""

    seconds: float
    peak_mb: float
    code: int


def lines_of_json(count: int) -> Iterator[str]:
    return (f'{{"command": "echo {number}"}}\n' for number in range(count))


def of_file(setting: Setting) -> Sequence[float]:
    """Jobs/s of `enqueue --file` ÷ rows/s of `executemany` of the same rows into the same schema; MB at its peak."""
    return _against_rows(lines_of_json(_count(setting)), _count(setting), ["--file"], [])


def of_each_line(setting: Setting) -> Sequence[float]:
    """The same for `enqueue --each-line` of a command of three words."""
    lines = (f"photo{number}.jpg\n" for number in range(_count(setting)))
    return _against_rows(lines, _count(setting), ["--each-line"], ["--", "convert", "{}", "{.}.png"])


def _count(setting: Setting) -> int:
    return int(MANY * setting.scale)


def _against_rows(lines: Iterable[str], count: int, option: Sequence[str], rest: Sequence[str]) -> Sequence[float]:
    with fresh_store() as client, written(lines) as file:
        took = process(["--db", client.store.url, "--quiet", "enqueue", *option, file.name, *rest])
        specs, job_rows = rows_of(client.store.url)
    if len(job_rows) != count:
        raise RuntimeError(f"{len(job_rows)} of {count} jobs were enqueued")
    return [insertion(specs, job_rows) / took.seconds, took.peak_mb]


def of_a_bad_line(setting: Setting) -> Sequence[float]:
    """The longest wait, in ms, of one who adds a job every 10 ms while a file is read whose last line is bad."""
    with fresh_store() as client, written([*lines_of_json(_count(setting)), "bad\n"]) as file:
        words = [*MODULE, "--db", client.store.url, "--quiet", "enqueue", "--file", file.name]
        reading = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment())
        longest, others = _longest_wait(client, reading)
        if reading.returncode != 2 or sum(client.store.counts().values()) != others:
            raise RuntimeError("the file with a bad line was not refused as a whole")
    return [longest * 1000]


def _longest_wait(client: Client, meanwhile: subprocess.Popen[bytes]) -> tuple[float, int]:
    """The longest time that adding a job took while a process ran, and how many were added."""
    from queuectl.wire.requests import JobRequest

    longest, added = 0.0, 0
    while meanwhile.poll() is None:
        began = time.perf_counter()
        client.enqueue([JobRequest(command="true")])
        longest, added = max(longest, time.perf_counter() - began), added + 1
        time.sleep(0.01)
    return longest, added


@contextmanager
def written(lines: Iterable[str]) -> Iterator[IO[str]]:
    """A file with these lines."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.writelines(lines)
        file.flush()
        yield file


PEAK = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, code)
"""
"""Runs a command from a small process: a child counts the memory of the one that it is forked from."""


def process(words: Sequence[str]) -> Took:
    """Runs queuectl."""
    began = time.perf_counter()
    command = [sys.executable, "-c", PEAK, *MODULE, *words]
    told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment()).stdout
    peak_mb, code = told.split()
    return Took(time.perf_counter() - began, float(peak_mb), int(code))


def rows_of(path: str) -> tuple[list[Any], list[Any]]:
    """The specs and the jobs of a store, as they were inserted."""
    db = connect(path, 10.0)
    try:
        specs = db.execute("SELECT id, body FROM specs").fetchall()
        return specs, db.execute(f"SELECT {', '.join(rows.BORN)} FROM jobs ORDER BY seq").fetchall()
    finally:
        db.close()


def insertion(specs: list[Any], job_rows: list[Any]) -> float:
    """Seconds that one durable transaction with these rows takes in a fresh store."""
    with fresh_store() as client:
        db = connect(client.store.url, 10.0)
        try:
            began = time.perf_counter()
            db.execute("BEGIN")
            db.executemany("INSERT INTO specs (id, body) VALUES (?, ?)", specs)
            marks = ", ".join("?" * len(rows.BORN))
            db.executemany(f"INSERT INTO jobs ({', '.join(rows.BORN)}) VALUES ({marks})", job_rows)
            db.execute("COMMIT")
            return time.perf_counter() - began
        finally:
            db.close()
