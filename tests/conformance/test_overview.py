"""What `top` shows."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from pathlib import Path

import pytest

from queuectl.cli.top import rows
from queuectl.client.facade import Client
from queuectl.domain.lifecycle import CancelRequested, Ended, Started
from queuectl.places import open_store
from queuectl.store.values import Change
from queuectl.wire.requests import parse_request
from tests.builders import HOST, a_grip
from tests.conformance.conftest import StoreFactory
from tests.unit.test_json_everywhere import typed
from tests.workshop import PATIENCE_S, clean_environment, until


def test_an_overview_says_what_runs_waits_and_failed(store_factory: StoreFactory) -> None:
    client = Client(store_factory())
    store, now = client.store, client.now()
    documents = [
        {"id": "fails", "command": "false", "max_retries": 0, "priority": 9},
        {"id": "runs", "command": "sleep 9", "priority": 8},
        {"id": "waits", "command": "true"}, {"id": "later", "command": "true", "delay": "1h"},
        {"id": "held", "command": "true", "held": True}, {"id": "paused", "command": "true", "queue": "other"},
    ]  # fmt: skip
    client.enqueue([parse_request(each, now) for each in documents])
    client.pause_queues(["other"], reason="full")
    grip = a_grip(store)
    fails, runs = store.claim(grip, HOST, 2, ())
    store.record(grip, [Change(fails, Ended(now, now, exit_code=3)), Change(runs, Started(now))])
    found = client.overview()
    assert [job.id for job in found.running] == ["runs"]
    assert [(each.job, each.error, each.number) for each in found.failures] == [("fails", "exit code 3", 1)]
    why = dict(found.waiting)
    assert why.pop("in line for a slot", None) or why.pop("no worker")  # on SQLite a worker lives by its lock
    assert why == {"scheduled for later": 1, "held": 1, "queue paused": 1}
    assert found.waiting_seen == 4
    for width, height in ((80, 24), (200, 60), (40, 8)):
        shown = rows(found, width, height)
        assert len(shown) <= height
    text = "\n".join("".join(piece for piece, _ in row.line) for row in rows(found, 80, 24))
    assert "1 dead" in text
    assert "paused since" in text
    assert [row.job for row in rows(found, 80, 24) if row.job] == ["runs", "fails"]


@pytest.mark.parametrize("height", range(1, 24))
def test_with_few_lines_running_jobs_outlast_failures_and_these_outlast_figures(tmp_path: Path, height: int) -> None:
    client = Client(open_store(str(tmp_path / "jobs.db")))
    now, grip = client.now(), a_grip(client.store)
    client.enqueue([parse_request({"command": "true", "queue": name, "max_retries": 0}, now) for name in "abcdefghij"])
    client.pause_queues(["j"])
    *fail, a, b, c = client.store.claim(grip, HOST, 7, ())
    ends = [Change(job, Ended(now, now, exit_code=3)) for job in fail]
    client.store.record(grip, [*ends, *(Change(job, Started(now)) for job in (a, b, c))])
    found = client.overview()
    shown = rows(found, 40, height)
    assert len(shown) <= height
    texts = ["".join(piece for piece, _ in row.line) for row in shown]
    jobs = [row.job for row in shown if row.job]
    running, failed = (
        [job for job in jobs if job in (a.id, b.id, c.id)],
        [job for job in jobs if job not in (a.id, b.id, c.id)],
    )
    assert len(running) == min(3, max(0, height - 2))
    assert bool(failed) == (height >= 8)
    assert len(failed) <= 4
    assert ("QUEUES" in texts) == (height >= 20)
    assert not any("more" in text for text in texts if "QUEUES" not in texts)
    client.close()


def test_once_prints_it_and_json_tells_it(tmp_path: Path) -> None:
    db = tmp_path / "jobs.db"
    assert typed(db, "enqueue --id a -- true")[0] == 0
    code, out, _ = typed(db, "top --once")
    assert code == 0
    assert "1 pending" in out
    assert "no worker" in out
    assert json.loads(typed(db, "top --json")[1])["waiting"] == {"no worker": 1}
    assert typed(db, "top")[0] == 2


def test_as_json_a_running_job_says_that_it_is_being_cancelled(tmp_path: Path) -> None:
    db = tmp_path / "jobs.db"
    client = Client(open_store(str(db)))
    client.enqueue([parse_request({"command": "true", "id": "a"}, client.now())])
    client.store.claim(a_grip(client.store), HOST, 1, ())
    client.store.change(["a"], CancelRequested(), "me")
    client.close()
    assert json.loads(typed(db, "top --json")[1])["running"][0]["reason"] == "being cancelled"


class Screen:
    """`top` on a terminal of its own, 80 by 24."""

    def __init__(self, db: Path, *words: str, **variables: str) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        command = [sys.executable, "-m", "queuectl", "--db", str(db), "top", *words]
        env = clean_environment(**{"TERM": "xterm-256color", **variables})
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True
        )
        os.close(theirs)
        self.drawn = b""

    def shows(self, text: bytes) -> bool:
        while select.select([self._ours], [], [], 0)[0]:
            try:
                self.drawn += os.read(self._ours, 65536)
            except OSError:  # the program has ended
                break
        return text in self.drawn

    def press(self, keys: bytes) -> None:
        os.write(self._ours, keys)

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)


def test_keys_act_on_the_selected_job(tmp_path: Path) -> None:
    db = tmp_path / "jobs.db"
    assert typed(db, "enqueue --id runs --queue q -- true")[0] == 0
    with_store = Client(open_store(str(db)))
    grip = a_grip(with_store.store)
    (job,) = with_store.store.claim(grip, HOST, 1, ())
    with_store.store.record(grip, [Change(job, Started(with_store.now()))])
    with Screen(db) as screen:
        until(lambda: screen.shows(b"q quit"), "top to draw")
        screen.press(b"p")
        until(lambda: screen.shows(b"select a job first"), "top to want a job")
        screen.press(b"jp")
        until(lambda: "q" in {queue.name for queue in with_store.queues() if queue.pause}, "the queue to be paused")
        screen.press(b"q")
        assert screen.process.wait(PATIENCE_S) == 0
    with_store.close()


COLOUR = re.compile(rb"\x1b\[[\d;]*3[1-6]m")


@pytest.mark.parametrize(
    ("words", "variables", "coloured"),
    [
        ((), {}, True),
        ((), {"NO_COLOR": "1"}, False),
        (("--color", "never"), {}, False),
        (("--color", "always"), {"NO_COLOR": "1"}, True),
        ((), {"TERM": "vt100"}, False),
    ],
)
def test_colours_are_drawn_where_they_are_wanted(
    tmp_path: Path, words: Sequence[str], variables: dict[str, str], coloured: bool
) -> None:
    db = tmp_path / "jobs.db"
    assert typed(db, "enqueue -- true")[0] == 0
    with Screen(db, *words, **variables) as screen:
        until(lambda: screen.shows(b"q quit"), "top to draw")
        screen.press(b"q")
        assert screen.process.wait(PATIENCE_S) == 0
        assert (COLOUR.search(screen.drawn) is not None) == coloured


@pytest.mark.parametrize("kind", ["dumb", "", "nosuchterminal"])
def test_a_terminal_that_nobody_can_draw_on_is_refused(tmp_path: Path, kind: str) -> None:
    db = tmp_path / "jobs.db"
    assert typed(db, "enqueue -- true")[0] == 0
    with Screen(db, TERM=kind) as screen:
        until(lambda: screen.shows(b"top --once"), "top to name the other form")
        assert screen.process.wait(PATIENCE_S) == 2
        assert screen.drawn.startswith(f"queuectl: TERM={kind} is ".encode())
