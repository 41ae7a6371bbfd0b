"""What people see of jobs, queues and times."""

from __future__ import annotations

import io
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from string import Formatter
from typing import get_args

import pytest

from queuectl.cli.console import Console, Screen
from queuectl.cli.progress import Progress
from queuectl.cli.render import Column, Table, cut_middle, width_of
from queuectl.client import facts
from queuectl.client.documents import STATUS, busy, seen_counts
from queuectl.client.facade import Client
from queuectl.client.values import Status, WorkerView
from queuectl.client.workers import line_of
from queuectl.domain.condition import Condition
from queuectl.domain.job import Job, JobState, seen_state
from queuectl.engine import happenings
from queuectl.engine.log import SENTENCES, sentence
from queuectl.store.sqlite.store import SqliteStore
from queuectl.wire import words
from queuectl.wire.workers import check_name, default_name
from tests.builders import HOST, NOON, a_job, a_worker, in_state


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def running(**what: object) -> Job:
    return in_state(JobState.PROCESSING, started_at=NOON, **what)


def test_tries_count_the_running_attempt() -> None:
    assert facts.tries(running(attempts=0)) == "1/4"
    assert facts.tries(running(attempts=2)) == "3/4"
    assert facts.tries(in_state(JobState.PROCESSING, started_at=None, attempts=0)) == "0/4"
    assert facts.tries(in_state(JobState.FAILED, attempts=1)) == "1/4"


def test_a_claimed_job_whose_command_has_not_begun_is_starting() -> None:
    assert seen_state(in_state(JobState.PROCESSING, started_at=None)) == "starting"
    assert seen_state(running()) == "processing"
    assert seen_state(a_job()) == "pending"


def test_processing_agrees_with_the_slots_that_are_busy(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "queuectl.db")
    worker = a_worker(slots=3)
    store.register(worker)
    store.insert([a_job(f"job{number}", at=0.0, queue="video") for number in range(14)])
    store.claim(worker.grip, HOST, 14, ())
    rows = store.workers()
    jobs = store.running(rows[0].id)
    store.close()
    view = WorkerView(
        name="w", host="h", pid=1, slots=3, queues=(), started_at=NOON, seen_at=NOON, running=jobs[:3],
        starting=jobs[3:], stopping=False, condition=Condition.DRIVEN, rows=rows,
    )  # fmt: skip
    counts = {**dict.fromkeys(JobState, 0), JobState.PROCESSING: 14}
    found = Status(
        url="u", at=NOON, workers=[view], counts=counts, queues={"video": counts}, oldest_due=None, next_retries=[]
    )
    for seen in (seen_counts(found), seen_counts(found, "video")):
        assert (seen["processing"], seen["starting"]) == (busy(found.workers), 11) == (3, 11)
    document = STATUS.json(found)
    assert (document["counts"]["processing"], document["starting"]) == (14, 11)


def test_a_client_tells_what_a_worker_runs_from_what_it_will_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteStore(tmp_path / "queuectl.db")
    worker = a_worker(slots=2)
    store.register(worker)
    store.insert([a_job(f"job{number}", at=0.0) for number in range(5)])
    store.claim(worker.grip, HOST, 5, ())
    monkeypatch.setattr(store, "alive", lambda row: True)
    (view,) = Client(store, "tests").workers()
    store.close()
    assert (len(view.running), len(view.starting)) == (2, 3)


def test_one_job_is_next_in_line_over_all_queues_of_a_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SqliteStore(tmp_path / "queuectl.db")
    store.register(a_worker(slots=4))
    store.insert([a_job(f"job{number}", at=0.0, queue=f"q{number % 3}") for number in range(6)])
    monkeypatch.setattr(store, "alive", lambda row: True)
    monkeypatch.setattr("queuectl.engine.dispatch.condition.condition_of", lambda row, folder: Condition.DRIVEN)
    client = Client(store, "tests")
    places = ["next in line", "2nd in line", "3rd in line", "4th in line", "5th in line", "6th in line"]
    assert client.reasons(client.find()) == places
    store.close()


def test_queues_that_not_all_workers_share_are_lines_of_their_own() -> None:
    def serving(*queues: str) -> WorkerView:
        return WorkerView(
            name="w", host="h", pid=1, slots=1, queues=queues, started_at=NOON, seen_at=NOON, running=[], rows=[],
            stopping=False, condition=Condition.DRIVEN,
        )  # fmt: skip

    waiting = {"a", "b", "c"}
    assert line_of([serving()], "a", waiting) == ["a", "b", "c"]
    assert line_of([serving(), serving("a", "b")], "a", waiting) == ["a", "b"]
    assert line_of([serving("a"), serving("a", "b")], "a", waiting) == ["a"]


def test_what_a_listing_says_is_short_whatever_the_state() -> None:
    reason = 'no live worker serves queue "default"'
    assert facts.info(a_job(), reason, NOON) == "no live worker"
    assert facts.info(a_job(state=JobState.FAILED, error="exit code 4"), reason, NOON) == "no live worker: exit code 4"


def test_queues_are_sorted_as_people_count() -> None:
    assert sorted(["q10", "q2", "q1", "a", "q", "q1b"], key=words.natural) == ["a", "q", "q1", "q1b", "q2", "q10"]


@pytest.mark.usefixtures("berlin")
def test_a_time_for_people_is_in_their_zone_and_names_its_offset() -> None:
    assert words.local_time(NOON) == "2027-01-15 09:00:00+01:00"
    scheduled = a_job(run_at=NOON + 3600)
    told = facts.reason_words(scheduled, "scheduled for 2027-01-15T09:00:00Z", NOON)
    assert told == "scheduled for 2027-01-15 10:00:00+01:00 (in 1h)"
    assert facts.reason_words(scheduled, "held", NOON) == "held"


@pytest.mark.usefixtures("berlin")
def test_a_line_of_a_workers_log_is_shown_in_the_readers_zone() -> None:
    assert words.local_log("2027-01-15T08:00:00.250000Z a started: date +%FT%TZ\n") == (
        "2027-01-15 09:00:00+01:00 a started: date +%FT%TZ\n"
    )
    for line in ("Traceback (most recent call last):\n", "\n", "2027Z x\n", "9999Z\n"):
        assert words.local_log(line) == line


def test_every_event_of_a_worker_is_told_by_its_own_fields() -> None:
    assert set(get_args(happenings.Happening)) == set(SENTENCES)
    for kind, said in SENTENCES.items():
        fields = [field for _, field, _, _ in Formatter().parse(said) if field] if isinstance(said, str) else []
        assert {field.split(".")[1] for field in fields} <= set(kind._fields), kind


def test_no_sentence_of_a_workers_log_has_a_time_of_its_own() -> None:
    assert sentence(happenings.DrainWaits(until=NOON, after=7200)) == "nothing to run for 2h"


def test_what_never_ran_was_not_given_back_after_some_time() -> None:
    assert sentence(happenings.JobEnded(a_job("a"))) == "a given back"
    again = a_job("a")._replace(state=JobState.FAILED, attempts=1, error="exit code 3", next_retry_at=NOON)
    assert sentence(happenings.JobEnded(again)) == "a given back"
    assert (
        sentence(happenings.JobEnded(a_job("a")._replace(started_at=NOON, finished_at=NOON + 2)))
        == "a given back after 2s"
    )


def test_names_are_cut_in_their_middle() -> None:
    assert cut_middle("short", 10) == "short"
    assert cut_middle("a" * 60 + "-x7k2", 20) == "a" * 10 + "…" + "aaaa-x7k2"
    name = "n" * 63 + "-x7k2"
    table = Table((Column("NAME", least=20, middle=True), Column("N")), width=40, colour=False)
    [titles], [line] = table.rows([(name, "1")])
    assert line.startswith("nnnn")
    assert "-x7k2" in line
    assert max(width_of(titles), width_of(line)) <= 40


@pytest.mark.parametrize("host", ["h" * 64, "h" * 63 + ".example.org", "under_score", "_x", "ünïcode", ""])
def test_a_workers_own_name_is_one_that_commands_take(host: str) -> None:
    name = default_name(host, "x7k2")
    assert check_name(name) == name
    assert name.endswith("-x7k2")


def test_long_progress_tells_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(0, 4)
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    err = io.StringIO()
    show = Progress(err, "read", None, 80)
    show(1000)
    show(2000, 8000)
    assert err.getvalue().split("\r")[1:] == [
        "read 1,000  250/s ", "read 2,000 of about 8,000  [=====               ] 25%  250/s  24s left ",
    ]  # fmt: skip
    whole = Progress(err, "enqueued", 100, 80)
    whole(50)
    assert err.getvalue().endswith("enqueued 50 of 100  [==========          ] 50%  12/s  4s left ")


def test_progress_needs_no_escape_sequence() -> None:
    err = io.StringIO()
    screen = Screen(
        out=io.StringIO(), err=err, terminal=True, width=80, height=24, answer=None, progress=True,
    )  # fmt: skip
    console = Console(screen)
    show = console.progress("deleted", 2000)
    assert show is not None
    show(1000)
    console.progress_done()
    assert err.getvalue() == "\rdeleted 1,000 of 2,000 \r" + " " * 23 + "\r"
    assert "\x1b" not in err.getvalue()
    assert Console(screen, as_json=True).progress("deleted") is None
