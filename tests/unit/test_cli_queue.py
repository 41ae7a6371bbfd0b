"""`queue` and `lock` for people: what they print, and their exit codes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from queuectl.client.facade import Client
from queuectl.client.locks import LOCK
from queuectl.client.queues import QUEUE
from queuectl.domain.limits import Queue
from queuectl.store.sqlite.store import SqliteStore
from tests.builders import HOST, a_grip, a_job
from tests.unit.test_json_everywhere import typed


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "queuectl.db"


def test_a_queue_shows_its_limits_and_its_pause(db: Path) -> None:
    assert typed(db, "queue set video concurrency=4 rate=100/h,even max_retries=5")[:2] == (
        0,
        "video: concurrency=4, rate=100/h,even, max-retries=5\n",
    )
    code, out, err = typed(db, "queue pause video --reason full --for 1h")
    assert re.fullmatch(r"video is paused since \S+ \S+ by \S+ until \S+ \S+: full\n", out), (code, err)
    assert err == "there are no jobs in it\n"
    titles, line = typed(db, "queue list")[1].splitlines()
    assert titles.split() == ["QUEUE", "RUNNING", "RATE", "WAITING", "OLDEST", "PAUSED"]
    assert line.split()[:4] == ["video", "0/4", "100/h,even", "0"]
    assert line.endswith(": full")
    told = typed(db, "enqueue --queue video -- true")[2]
    assert re.match(r"queue video is paused since .* by .* until .*: full; resume it with: queuectl --db", told)
    assert re.search(r"^Paused   video since .*: full$", typed(db, "status")[1], re.MULTILINE)
    assert "paused       since " in typed(db, "queue show video")[1]
    assert typed(db, "queue resume video") == (0, "resumed video\n", "")
    assert typed(db, "queue set video concurrency=none rate=none max-retries=none")[1] == "video: no limits\n"


def test_a_pause_of_a_queue_that_nothing_else_names_is_told(db: Path) -> None:
    only = "there are no jobs in it, and only this pause names it"
    assert typed(db, "queue pause vidoe")[2] == f"{only}\n"
    typed(db, "enqueue --queue video -- true")
    code, _, said = typed(db, "queue pause vidoe")
    assert (code, said) == (0, f"{only}; did you mean 'video'?\n")
    assert typed(db, "queue pause video")[2] == ""


def test_a_pause_of_all_queues_makes_no_store(db: Path) -> None:
    assert typed(db, "queue pause --all")[0] == 5
    assert not db.exists()
    assert typed(db, "queue pause video")[0] == 0
    assert typed(db, "queue pause --all")[0] == 0


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("queue set q on-dead=http://", 2), ("enqueue --on-success http:// -- true", 2),
        ("schedule add s --every 5m --alert http:// -- true", 2),
        ("schedule add s --every 5m --ping http:// -- true", 2),
        ("schedule add s --every 5m --on-failure http:// -- true", 2),
        ("queue set q rate=0/s", 2), ("queue set q concurrency=0", 2), ("queue set q foo=1", 2), ("queue set q x", 2),
        ("queue set a_b! rate=1/s", 2), ("queue pause", 2), ("queue pause q --all", 2), ("queue pause q --for x", 2),
        ("queue pause q --for 1h --until 18:00", 2), ("queue resume q", 3), ("queue show q", 3),
        ("lock set l", 2), ("lock set l 0", 2), ("lock set l 1 units=a", 2), ("lock set l units=,", 2),
        ("lock set l units=none", 2),
        ("lock set l 1 env=QUEUECTL_X", 2), ("lock set l env=PATH", 2), ("lock set l 1 env=LD_PRELOAD", 2),
        ("lock set l 1 2", 2), ("lock show l", 3),
        ("lock delete l", 3),
        ("lock delete used", 4), ("enqueue --lock used=2 -- true", 2),
    ],
)  # fmt: skip
def test_a_bad_value_is_2_an_unknown_name_3_and_a_lock_in_use_4(db: Path, line: str, code: int) -> None:
    assert typed(db, "enqueue --id a --lock used -- true")[0] == 0
    assert typed(db, line)[0] == code, line


def test_a_lock_that_gets_too_small_for_a_job_says_so(db: Path) -> None:
    typed(db, "lock set gpu units=x,y")
    assert typed(db, "enqueue --lock gpu=3 -- true")[2].endswith("lock set gpu units=x,y,…\n")
    typed(db, "enqueue --lock gpu=2 -- true")
    code, out, err = typed(db, "lock set gpu 1")
    assert (code, out) == (0, "gpu: 1 unit\n")
    assert err.splitlines(keepends=True)[1] == "a job waits for 2 units of lock gpu, and does not start with fewer\n"
    assert typed(db, "lock set gpu 2") == (0, "gpu: 2 units\n", "")


def test_units_that_lose_their_names_are_told(db: Path) -> None:
    typed(db, "lock set gpu units=x,y")
    lost = "its units are numbered from 0 now; their names were x,y\n"
    assert typed(db, "lock set gpu 4") == (0, "gpu: 4 units\n", lost)
    assert typed(db, "lock set gpu 2") == (0, "gpu: 2 units\n", "")


def test_a_lowered_limit_shows_how_far_it_is_exceeded(db: Path) -> None:
    store = SqliteStore(db)
    store.insert([a_job(id, at=store.now(), queue="q", locks=("gpu",) * (id == "a")) for id in "abc"])
    store.claim(a_grip(store), HOST, 3, ())
    store.set_queue(Queue("q", concurrency=2))
    client = Client(store)
    assert (client.queue("q").running, client.queue("q").concurrency) == (3, 2)
    assert "  3/2 " in typed(db, "queue list")[1]
    assert QUEUE.value(QUEUE.json(client.queue("q"))) == client.queue("q")
    (lock,) = client.locks()
    assert (lock.held, lock.holders[0].job, lock.holders[0].units) == (1, "a", ("0",))
    assert LOCK.json(LOCK.value(LOCK.json(lock))) == LOCK.json(lock)
    assert re.search(r"held by +a \(\d+s\): 0", typed(db, "lock show gpu")[1])
    assert re.search(r"gpu +1/1 +0 +a \(\d+s\)", typed(db, "lock list")[1])
    client.close()
