"""What reaches the disk, and when: a worker's system calls on its file, told by strace.

Each sync takes longer here by `DELAY_US`, so that whoever does not wait for one is seen to go on before it has ended.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from queuectl.domain.job import JobState
from queuectl.domain.selector import Selector
from tests.needs import lacks
from tests.workshop import Workshop, clean_environment, until

DELAY_US = 100_000
SYNCS, WAITS = "fsync,fdatasync", "epoll_wait,epoll_pwait,select,pselect6,poll,ppoll"
WRITES = "pwrite64,pwritev,write,writev"
CALL = re.compile(r"(?P<name>\w+)\((?P<given>.*)\)\s+= (?P<came>-?\d+)")
ENDED = re.compile(r'\[\\"ended\\",\{\\"seq\\":(\d+),\\"lease\\":(\d+)')
RECORDED = re.compile(r'\[\\"recorded\\",\[((?:\[\d+,\d+\],?)+)\]')
KEY = re.compile(r"\[(\d+),(\d+)\]")
BESIDES = 10
"""Syncs of a worker for other things than jobs: it comes, it goes, and SQLite moves its log into the file."""


class Call(NamedTuple):
    """A system call that matters here: `write` and `sync` of the log; `wait`; results that a supervisor tells
    (`ended`), and those that it is told to forget (`recorded`), by seq and lease; `told`: lines on standard output."""

    kind: str
    keys: frozenset[tuple[str, str]] = frozenset()


@pytest.fixture
def strace(tmp_path: Path) -> Strace:
    try:
        subprocess.run(["strace", "-o", "/dev/null", "true"], check=True, capture_output=True)
    except FileNotFoundError:
        lacks("strace", "apt-get install strace")
    except subprocess.CalledProcessError as error:
        lacks(f"the right to trace processes ({error.stderr.decode().strip()})", "allow ptrace")
    return Strace(tmp_path / "calls")


class Strace:
    """Watches one process. It writes what a call has returned before that process goes on."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def words(self, delay_us: int = DELAY_US) -> Sequence[str]:
        """What starts a program that is watched, and whose syncs take so much longer."""
        calls = f"trace={WRITES},{SYNCS},{WAITS},sendto,recvfrom"
        inject = [f"--inject={SYNCS}:delay_enter={delay_us}"] if delay_us else []
        return ["strace", "-D", "-y", "-s", "1000000", "-o", str(self._file), "-e", calls, *inject]

    def calls(self) -> list[Call]:
        """Those that have returned so far."""
        text = self._file.read_text(errors="replace")
        whole = text[: text.rfind("\n") + 1]
        return [call for line in whole.splitlines() if (call := _understood(line))]


def _understood(line: str) -> Call | None:
    found = CALL.match(line)
    if found is None:
        return None
    name, given, came = found.groups()
    if name in WAITS.split(","):
        return Call("wait")
    if int(came) < 0:
        return None
    if "-wal>" in given[:500]:
        return Call("sync" if name in SYNCS.split(",") else "write")
    if name == "recvfrom":
        return Call("ended", frozenset(ENDED.findall(given)))
    if name == "sendto":
        return Call("recorded", frozenset(key for keys in RECORDED.findall(given) for key in KEY.findall(keys)))
    return Call("told") if name == "write" and given.startswith("1<") else None


def synced(calls: Sequence[Call]) -> dict[tuple[str, str], bool]:
    """Of each result that has come: whether it can be on the disk, written and synced since."""
    found: dict[tuple[str, str], bool] = {}
    written: set[tuple[str, str]] = set()
    for call in calls:
        if call.kind == "ended":
            found |= dict.fromkeys(call.keys, False)
        elif call.kind == "write":
            written.update(found)
        elif call.kind == "sync":
            found |= dict.fromkeys(written, True)
    return found


def count(calls: Sequence[Call], kind: str) -> int:
    return sum(call.kind == kind for call in calls)


def unsynced_at(kind: str, calls: Sequence[Call]) -> list[int]:
    """Where a call of this kind comes after a write to the log that no sync has followed."""
    dirty, found = False, []
    for at, call in enumerate(calls):
        if call.kind in ("write", "sync"):
            dirty = call.kind == "write"
        elif call.kind == kind and dirty:
            found.append(at)
    return found


def test_no_result_is_acknowledged_or_seen_before_its_sync(shop: Workshop, strace: Strace) -> None:
    worker = shop.worker(3, under=strace.words())
    commands = ["true", "echo said", "exit 3", "sleep 0.3"] * 5
    ids = shop.enqueue_all([{"command": command, "max_retries": 0} for command in commands])
    seen: dict[str, JobState] = {}

    def all_seen() -> bool:
        now = {job.id: job for job in shop.client.find(Selector()) if job.finished and job.id not in seen}
        there = synced(strace.calls()) if now else {}
        for job in now.values():
            assert there.get((str(job.seq), str(job.lease))), f"{job.command} is {job.state} before it is on the disk"
            seen[job.id] = job.state
        return seen.keys() == set(ids)

    until(all_seen)
    assert worker.stop() == 0
    calls = strace.calls()
    forgotten = set[tuple[str, str]]()
    for at, call in enumerate(calls):
        if call.kind == "recorded" and call.keys:
            there = synced(calls[:at])
            early = [key for key in call.keys & there.keys() if not there[key]]  # a claim given back has no result
            assert not early, f"{early} may be forgotten, and are not on the disk"
            forgotten |= call.keys & there.keys()
    assert len(forgotten) == len(ids)
    assert count(calls, "sync") <= 2 * len(ids) + BESIDES


def test_a_worker_never_rests_on_writes_that_are_not_synced(shop: Workshop, strace: Strace) -> None:
    worker = shop.worker(2, under=strace.words(0))
    shop.finished(*shop.enqueue_all([{"command": "sleep 0.1"}] * 6))
    assert worker.stop() == 0
    calls = strace.calls()
    assert count(calls, "write")
    assert count(calls, "wait") > 6
    assert unsynced_at("wait", calls) == []


def test_results_that_come_together_share_a_sync(shop: Workshop, strace: Strace) -> None:
    together, gate = 16, shop.folder / "gate"
    os.mkfifo(gate)
    worker = shop.worker(together, under=strace.words())
    ids = shop.enqueue_all([{"command": f": < {gate}"}] * together)
    shop.started(*ids)
    before = len(strace.calls())
    os.close(os.open(gate, os.O_WRONLY))
    shop.finished(*ids)
    after = strace.calls()[before:]
    assert 1 <= count(after, "sync") <= together // 2
    assert worker.stop() == 0


def test_an_id_is_printed_after_the_sync(tmp_path: Path, strace: Strace) -> None:
    for number in range(2):  # the first makes the store
        words = [*strace.words(0), sys.executable, "-m", "queuectl", "enqueue", "--id", str(number), "--", "true"]
        run = subprocess.run(
            words, env=clean_environment(QUEUECTL_DB=str(tmp_path / "queuectl.db")), capture_output=True, text=True
        )
        assert run.stdout == f"enqueued {number}\n"
        calls = until(lambda: [*strace.calls()] if count(strace.calls(), "told") else [])
        assert count(calls, "write")
        assert unsynced_at("told", calls) == []
