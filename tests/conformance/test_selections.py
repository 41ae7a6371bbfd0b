"""Acts on selections of any size: each job once, and as the lifecycle says. Every store keeps these facts."""

from __future__ import annotations

import io
import tracemalloc
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from queuectl.cli.console import Screen
from queuectl.cli.main import execute
from queuectl.client import looking, selecting
from queuectl.client.actions import ACTIONS, CANCEL, DELETE, HOLD, PURGE_DEAD, RELEASE, RETRY, RETRY_DEAD, Action
from queuectl.client.facade import Client
from queuectl.domain.job import Job, JobState
from queuectl.domain.lifecycle import CancelRequested, Event, Held, Released, Retried, apply
from queuectl.domain.selector import ALL_JOBS, Selector
from queuectl.store.port import Store
from queuectl.store.shared import alike, rows
from queuectl.store.sqlite.store import SqliteStore
from tests.builders import NOON, ManualClock, a_grip, a_job, claim_one, finish

KINDS: tuple[dict[str, Any], ...] = (
    {}, {"run_at": NOON + 500}, {"held": True}, {"held": True, "run_at": NOON + 500}, {"locks": ("gpu",)},
    {"priority": 5, "queue": "other"},
)  # fmt: skip
"""What jobs may be like before they have run."""
ENDS: tuple[dict[str, Any], ...] = ({"exit_code": 0}, {"exit_code": 3}, {"signal": 9}, {"error": "no such program"})


@pytest.fixture
def crowd(store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Jobs in every state, twice each; more than one of a kind is already many."""
    monkeypatch.setattr(alike, "FEW", 1)
    grip = a_grip(store)
    for end in ENDS * 2:
        for max_retries in (0, 3):
            store.insert([a_job(f"j{store.latest()}", spec=a_job().spec._replace(max_retries=max_retries))])
            finish(store, grip, claim_one(store, grip), **end)
    for number in range(2):
        store.insert([a_job(f"running{number}")])
        claim_one(store, grip)
    store.insert([a_job(f"new{at}-{number}", **kind) for number in range(2) for at, kind in enumerate(KINDS)])
    store.insert([a_job("cancelled1"), a_job("cancelled2")])
    store.change(["cancelled1", "cancelled2"], CancelRequested(), "me")
    clock.forward(100)
    return store


@pytest.mark.parametrize(
    "event", [CancelRequested(), Retried(), Held(), Released()], ids=lambda event: type(event).__name__
)
def test_many_jobs_change_as_the_lifecycle_says_of_each(crowd: Store, event: Event) -> None:
    """By one statement for all that change in the same way."""
    before = crowd.find(ALL_JOBS)
    assert {job.state for job in before} == {*JobState} - {JobState.BLOCKED}
    results = crowd.change([job.seq for job in before], event, "you")
    changed = {job.seq: job for job in results if isinstance(job, Job)}
    now = crowd.now()
    for job in before:
        (found,) = crowd.at([job.seq])
        if job.seq in changed:
            assert found == changed[job.seq] == apply(job, event, now), job.id
            assert row_of(crowd, found) == (rows.is_ready(found, now), found.due_at)
            assert crowd.notes(found)[-1][1:3] == (type(event).__name__, "you")
        else:
            assert found == job
    assert crowd.counts() == Counter((job.queue, job.state) for job in crowd.find(ALL_JOBS))


def row_of(store: Store, job: Job) -> tuple[bool, float]:
    """What claims go by."""
    (row,) = store._select("SELECT ready, due_at FROM {schema}.jobs WHERE seq = ?", [job.seq])  # type: ignore[attr-defined]
    return bool(row[0]), row[1]


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: f"{action.done}-{len(action.states)}")
def test_an_act_on_all_visits_each_job_once(crowd: Store, action: Action, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selecting, "BATCH", 3)
    client = Client(crowd, "me")
    among = action.among(ALL_JOBS)
    assert among
    selected = client.selected(among, action.concerns)
    expected = [job.seq for job in crowd.find(among)]
    assert selected.count() == len(expected)
    crowd.insert([a_job("later"), a_job("later-held", held=True)])
    visited, changed = list[int](), list[str]()
    for seqs in selected.batches():
        visited += seqs
        done = client.act(action, seqs)
        assert not done.refused
        changed += [job.id for job in done.jobs]
    assert visited == expected
    assert len(changed) == len(set(changed)) == len(expected)


def test_only_dead_jobs_are_retried_and_purged_from_the_dead_letter_queue(crowd: Store) -> None:
    client, everything = Client(crowd, "me"), [job.seq for job in crowd.find(ALL_JOBS)]
    dead = [job.id for job in crowd.find(Selector(states=(JobState.DEAD,)))]
    retried = client.act(RETRY_DEAD, everything)
    assert [job.id for job in retried.jobs] == dead
    assert len(retried.refused) == len(everything) - len(dead)
    assert all("not dead" in error.message for error in retried.refused)
    assert not client.act(PURGE_DEAD, everything).jobs


def test_a_job_that_is_gone_is_left_out_of_a_batch(crowd: Store) -> None:
    client = Client(crowd, "me")
    first, second = [job.seq for job in crowd.find(Selector(states=(JobState.PENDING,)), limit=2)]
    client.act(DELETE, [first])
    for action in (HOLD, RELEASE, CANCEL, RETRY):
        done = client.act(action, [first, second])
        assert ([job.seq for job in done.jobs], done.refused) == ([second], [])


def test_memory_does_not_grow_with_the_selection(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listing, cancelling and deleting: four times as many jobs take as much at their peak."""
    monkeypatch.setattr(selecting, "BATCH", 20)
    monkeypatch.setattr(looking, "PAGE", 20)
    client = Client(store, "me")

    def peak(jobs: int) -> int:
        store.insert(a_job(f"{jobs}-{number}") for number in range(jobs))
        among = CANCEL.among(ALL_JOBS)
        assert among
        tracemalloc.start()
        try:
            for _ in client.pages():
                pass
            for action, selector in ((CANCEL, among), (DELETE, ALL_JOBS)):
                for seqs in client.selected(selector).batches():
                    client.act(action, seqs)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(20)
    few, many = peak(100), peak(400)
    assert many < 2 * few, "kept jobs alone would take several times as much"


class Unread(io.StringIO):
    """What is printed into a pipe that nobody reads any more."""

    def writelines(self, lines: Any) -> None:
        raise BrokenPipeError


@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_an_act_whose_output_nobody_reads_goes_on_unless_it_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException] | None
) -> None:
    monkeypatch.setattr(selecting, "BATCH", 2)
    with closing(SqliteStore(tmp_path / "queuectl.db")) as store:
        store.insert(a_job(f"{number}", at=0.0) for number in range(9))
        change, begun = SqliteStore.change, list[int]()

        def interrupted(self: Any, *words: Any) -> Any:
            begun.append(1)
            if error and len(begun) == 3:
                raise error
            return change(self, *words)

        monkeypatch.setattr(SqliteStore, "change", interrupted)
        err = io.StringIO()
        out = io.StringIO() if error else Unread()
        screen = Screen(out, err, terminal=False, width=None, height=None, answer=None, progress=False)
        execute(["--db", store.path, "cancel", "--all"], screen)
        left = store.count(Selector(states=(JobState.PENDING,)))
        assert left == (5 if error else 0)
        assert err.getvalue() == ("cancelled 4 of 9 jobs; to go on, give the command again\n" if error else "")
