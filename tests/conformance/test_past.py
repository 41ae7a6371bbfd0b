"""What has happened in a store, and what executions have used."""

from __future__ import annotations

import csv
import io
import json
from contextlib import closing
from itertools import chain
from pathlib import Path
from unittest.mock import Mock

import pytest

from queuectl.client import news
from queuectl.client.accounting import COLUMNS, columns_of
from queuectl.client.facade import Client
from queuectl.client.hands import Hands
from queuectl.domain.errors import Invalid, StoreUnavailable
from queuectl.domain.lifecycle import Ended, Started
from queuectl.domain.selector import Selector
from queuectl.store.sqlite.store import SqliteStore
from queuectl.store.values import Change, Grip
from queuectl.wire.requests import parse_request
from tests.builders import HOST, a_grip
from tests.conformance.conftest import StoreFactory
from tests.unit.test_json_everywhere import typed

CPU_S = 0.25


def run(client: Client, grip: Grip, *, code: int) -> None:
    """Runs the first job for 2 s, after it has waited for 3."""
    store = client.store
    now = store.now()
    (job,) = store.claim(grip, HOST, 1, ())
    store.record(grip, [Change(job, Started(now + 3))])
    end = Ended(now + 3, now + 5, exit_code=code, cpu_time=CPU_S, max_rss=1 << 20, output_bytes=7)
    store.record(grip, [Change(job._replace(started_at=now + 3, starts=job.starts + 1), end)])


@pytest.fixture
def client(store_factory: StoreFactory) -> Client:
    client = Client(store_factory(), who="ann")
    documents = [
        {"id": "a", "command": "true", "tags": ["x", "y"], "backoff_initial": 0, "priority": 5},
        {"id": "b", "command": ["echo", 'a "b", c']},
    ]
    client.enqueue([parse_request(each, client.now()) for each in documents])
    return client


def test_a_report_has_a_row_an_execution_or_a_job(client: Client, store_factory: StoreFactory) -> None:
    grip = a_grip(client.store)
    run(client, grip, code=1)
    store_factory.clock.forward(5)
    run(client, grip, code=0)
    rows = [{name: COLUMNS[name](row) for name in COLUMNS} for row in client.report()]
    assert [(row["id"], row["attempt"], row["outcome"]) for row in rows] == [("a", 1, "failed"), ("a", 2, "completed")]
    assert [(row["wait"], row["run"]) for row in rows] == [(3, 2), (None, 2)]
    a, b = ({name: COLUMNS[name](row) for name in COLUMNS} for row in client.report(by_job=True))
    assert (a["attempts"], a["run"], a["cpu_time"], a["max_rss"], a["output_bytes"]) == (2, 4, 2 * CPU_S, 1 << 20, 14)
    assert (a["state"], a["owner"], a["tags"]) == ("completed", "ann", ["x", "y"])
    assert (b["attempts"], b["started_at"], b["run"], b["outcome"]) == (0, None, None, None)
    assert [row.job.id for row in client.report(Selector(queues=("other",)), by_job=True)] == []
    assert len(list(client.report(since=client.now() + 1))) == 1
    with pytest.raises(Invalid, match="unknown column"):
        columns_of("id,colour")


def test_news_are_read_in_pages_without_a_gap(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(news, "PAGE", 3)
    store, grip = client.store, a_grip(client.store)
    with closing(news.Watching(store)) as watching:
        assert list(watching.pages()) == []
        for part in range(3):
            client.enqueue([parse_request({"id": f"p{part}-{n}", "command": "true"}, client.now()) for n in range(8)])
            jobs = store.claim(grip, HOST, 10, ())
            now = store.now()
            store.record(grip, [Change(job, Started(now)) for job in jobs])
            ends = [Change(job._replace(started_at=now, starts=1), Ended(now, now, exit_code=0)) for job in jobs[:-1]]
            store.record(grip, ends)  # all at the same time
            told = [(each.kind, each.job) for page in watching.pages() for each in page]
            assert len(told) == len(set(told))
            assert {job for kind, job in told if kind == "enqueued"} == {f"p{part}-{n}" for n in range(8)}
            assert {job for kind, job in told if kind == "ended"} == {job.id for job in jobs[:-1]}
            assert ("started", jobs[-1].id) in told
            assert list(watching.pages()) == []


@pytest.mark.parametrize("told", ["in pages", "at once"])
def test_an_end_that_is_recorded_long_after_it_happened_is_told_once(
    client: Client, store_factory: StoreFactory, told: str
) -> None:
    store, grip = client.store, a_grip(client.store)

    def kinds(watching: news.Watching) -> list[tuple[str, str | None]]:
        found = chain.from_iterable(watching.pages()) if told == "in pages" else watching.read() or ()
        return [(each.kind, each.job) for each in found]

    store.claim(grip, HOST, 10, ())
    with closing(news.Watching(store)) as watching:
        assert kinds(watching) == []
        began = store.now()
        store_factory.clock.forward(600)  # the worker's connection is gone, or the worker
        assert kinds(watching) == []
        jobs = store.running(grip.worker)
        store.record(grip, [Change(job, Ended(began, began + 1, exit_code=0)) for job in jobs])
        assert sorted(kinds(watching)) == [("ended", "a"), ("ended", "b")]
        store_factory.clock.forward(1)
        assert kinds(watching) == []


def test_an_end_that_could_not_be_read_is_told_later(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    store, grip = client.store, a_grip(client.store)
    jobs = store.claim(grip, HOST, 10, ())
    hands, now = Hands(store), store.now()
    store.record(grip, [Change(job, Ended(now, now, exit_code=0)) for job in jobs])
    with monkeypatch.context() as away:
        away.setattr(store, "ends_of", Mock(side_effect=StoreUnavailable("the store is away", "")))
        with pytest.raises(StoreUnavailable):
            hands.ended()
    assert {end.job for end in hands.ended()} == {job.id for job in jobs}
    assert hands.ended() == []


def test_events_are_the_latest_within_a_time(client: Client, store_factory: StoreFactory) -> None:
    store_factory.clock.forward(100)
    client.hold(["b"])
    run(client, a_grip(client.store), code=0)
    store_factory.clock.forward(10)
    found, is_cut = client.events(1000, 50)
    assert [(each.kind, each.job) for each in found] == [
        ("enqueued", "a"), ("enqueued", "b"), ("Held", "b"), ("ended", "a"),
    ]  # fmt: skip
    assert not is_cut
    assert [each.kind for each in client.events(50, 50)[0]] == ["Held", "ended"]
    few, is_cut = client.events(1000, 1)
    assert [each.kind for each in few] == ["ended"]
    assert is_cut


def test_the_dead_letter_queue_begins_with_the_job_that_died_last(tmp_path: Path) -> None:
    db, file = tmp_path / "jobs.db", tmp_path / "jobs.jsonl"
    died = {
        "late": "2026-11-29T12:00:00Z",
        "unknown": None,
        "early": "2026-11-29T10:00:00Z",
        "last": "2026-11-29T13:00:00Z",
    }
    file.write_text("".join(
        json.dumps({"id": id, "command": "true", "state": "dead", "error": "exit code 1", "finished_at": at}) + "\n"
        for id, at in died.items()
    ))  # fmt: skip
    assert typed(db, f"import {file}")[0] == 0
    assert typed(db, "dlq list --quiet")[1].split() == ["last", "late", "early", "unknown"]
    assert [job["id"] for job in json.loads(typed(db, "dlq list --json")[1])] == ["last", "late", "early", "unknown"]
    assert typed(db, "dlq list --quiet --limit 2")[1].split() == ["last", "late"]
    assert typed(db, "dlq list --quiet unknown early")[1].split() == ["early", "unknown"]


def test_a_report_in_every_form_has_the_same_values(tmp_path: Path) -> None:
    db = tmp_path / "jobs.db"
    with closing(Client(SqliteStore(db))) as client:
        client.enqueue([parse_request({"id": "c", "command": 'a "b",\tc'}, client.now())])
    forms = {}
    for form, separator in (("--csv", ","), ("--tsv", "\t")):
        code, out, err = typed(db, f"report --by-job {form}")
        assert (code, err) == (0, "")
        (forms[form],) = csv.DictReader(io.StringIO(out), delimiter=separator)
    (document,) = json.loads(typed(db, "report --by-job --json")[1])
    assert list(document) == list(forms["--csv"]) == list(COLUMNS)
    assert document["command"] == 'a "b",\tc'
    for given in forms.values():
        assert given == {name: "" if value in (None, []) else str(value) for name, value in document.items()}
    assert typed(db, "report --csv --tsv")[0] == 2
    assert "0 executions" in typed(db, "report")[2]
    assert json.loads(typed(db, "events --json")[1])[0]["event"] == "enqueued"


def test_memory_for_a_report_does_not_grow_with_the_jobs(store_factory: StoreFactory) -> None:
    import tracemalloc

    with closing(Client(store_factory())) as client:
        request = parse_request({"command": "true"}, client.now())
        peaks: list[int] = []
        for _ in range(2):
            client.enqueue([request] * 1500)
            tracemalloc.start()
            assert sum(1 for _ in client.report(by_job=True)) == 1500 * (len(peaks) + 1)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]
