"""What people can do with a queue, through the one `Client`."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from queuectl.client.actions import CANCEL, RETRY
from queuectl.client.facade import Client
from queuectl.client.remote import jobs as remote_jobs
from queuectl.client.remote.connection import RemoteConnection
from queuectl.domain.errors import Conflict, Invalid, NotFound
from queuectl.domain.job import Job, JobState
from queuectl.domain.lifecycle import Started
from queuectl.domain.selector import Selector
from queuectl.environment import is_captured
from queuectl.factory import JobFactory
from queuectl.settings import Settings
from queuectl.store.sqlite.store import SqliteStore
from queuectl.store.values import Change, WorkerRow
from queuectl.wire.requests import JobRequest, parse_request
from tests.builders import HOST, NOON, ManualClock, a_grip, a_worker, claim_one, finish, record_one


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: ManualClock) -> Iterator[Client]:
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    client = Client(SqliteStore(tmp_path / "queuectl.db", clock), who="me")
    yield client
    client.close()


def enqueue(client: Client, **keys: Any) -> Job:
    (job,) = client.enqueue([parse_request({"command": "true", **keys}, client.store.now())])
    return client.job(job.id)


@contextmanager
def a_live_worker(client: Client, row: WorkerRow) -> Iterator[None]:
    """A registered supervisor whose lock is held."""
    file = client.store.folder / "workers" / row.id / "lock"
    file.parent.mkdir(parents=True)
    client.store.register(row)
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def kill(client: Client, *ids: str) -> None:
    """Makes jobs dead: each is claimed and fails."""
    grip = a_grip(client.store, f"w~{ids[0]}")
    for _ in ids:
        finish(client.store, grip, claim_one(client.store, grip), exit_code=3)


# --- enqueue --------------------------------------------------------------------------------


def test_a_job_without_an_id_gets_one_with_unique_prefixes(client: Client) -> None:
    job = enqueue(client)
    assert job.generated_id
    assert client.job(job.id[:6]) == job


def test_a_job_is_due_now_or_when_it_was_asked_for(client: Client) -> None:
    assert enqueue(client).run_at == NOON
    assert enqueue(client, delay="10m").run_at == NOON + 600
    assert enqueue(client, run_at="2030-01-01T00:00:00Z").run_at == 1893456000


def test_what_surrounds_the_one_who_enqueues_is_captured(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/some/bin")
    monkeypatch.setenv("LC_TIME", "C")
    monkeypatch.setenv("EDITOR", "ed")
    monkeypatch.setenv("TRACEPARENT", "00-1-2-01")
    before = os.umask(0o027)
    try:
        job = enqueue(client, env={"MORE": "x", "LC_TIME": "de"})
    finally:
        os.umask(before)
    assert (job.spec.cwd, job.spec.umask, job.owner) == (str(tmp_path / "project"), 0o027, "me")
    known = {"PATH": "/some/bin", "LC_TIME": "de", "MORE": "x", "TRACEPARENT": "00-1-2-01"}
    assert {name: job.spec.env.get(name) for name in known} == known
    assert "EDITOR" not in job.spec.env


def test_all_variables_or_none_are_captured_where_the_setting_says_so(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDITOR", "ed")
    monkeypatch.setenv("QUEUECTL_DB", "elsewhere")
    client.set_setting("env-capture", "*")
    job = enqueue(client)
    assert job.spec.env["EDITOR"] == "ed"
    assert "QUEUECTL_DB" not in job.spec.env
    client.set_setting("env-capture", "")
    monkeypatch.delenv("TRACEPARENT", raising=False)
    assert enqueue(client).spec.env == {}


@pytest.mark.parametrize("pattern", ["", "*", "LC_*", "L?_*", "*_ALL", "LC_ALL", "[KL]C_ALL", "lc_*", "LC_**", "**"])
def test_a_pattern_captures_what_a_shell_would_match(pattern: str) -> None:
    for name in ("LC_ALL", "LC_", "LCX", "KC_ALL", "lc_all"):
        assert is_captured(name, [pattern, "TZ"]) == fnmatchcase(name, pattern)


def test_an_environment_that_is_not_utf8_is_kept(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ODD", os.fsdecode(b"\xff\xfe"))
    assert os.fsencode(enqueue(client).spec.env["LC_ODD"]) == b"\xff\xfe"


def test_relative_paths_are_those_of_the_one_who_enqueues(client: Client, tmp_path: Path) -> None:
    spec = enqueue(client, cwd="sub/..", stdin="in.txt", output_path="~/out.txt").spec
    assert spec.cwd == str(tmp_path / "project")
    assert spec.stdin == str(tmp_path / "project" / "in.txt")
    assert spec.output_path == os.path.expanduser("~/out.txt")


def test_the_settings_of_this_moment_are_the_jobs_for_good(client: Client) -> None:
    client.set_setting("max_retries", "7")
    client.set_setting("timeout", "90s")
    job = enqueue(client)
    client.set_setting("max-retries", "1")
    client.unset_setting("timeout")
    assert (client.job(job.id).spec.max_retries, client.job(job.id).spec.timeout) == (7, 90)
    assert (enqueue(client).spec.max_retries, enqueue(client).spec.timeout) == (1, None)


def test_the_first_delay_follows_the_base_unless_somebody_set_it(client: Client) -> None:
    assert enqueue(client, backoff_base=5).spec.backoff_initial == 5
    assert enqueue(client, backoff_base=5, base_backoff_seconds=1).spec.backoff_initial == 1
    client.set_setting("backoff-initial", "backoff-base")
    assert enqueue(client, backoff_base=5).spec.backoff_initial == 5
    client.set_setting("backoff-initial", "3")
    assert enqueue(client, backoff_base=5).spec.backoff_initial == 3


def test_a_setting_that_does_not_exist_or_fit_is_refused(client: Client) -> None:
    with pytest.raises(Invalid, match="unknown setting 'max-retry'"):
        client.set_setting("max-retry", "3")
    with pytest.raises(Invalid, match="max-retries must be a whole number"):
        client.set_setting("max-retries", "many")
    assert client.store.config() == {}


def test_many_jobs_are_added_all_or_none(client: Client) -> None:
    requests = [parse_request({"command": "true", "id": id}, NOON) for id in ("a", "b", "a")]
    with pytest.raises(Conflict, match="id a comes twice"):
        client.enqueue(requests)
    assert client.find(Selector()) == []


# --- act ------------------------------------------------------------------------------------


def test_acting_on_several_jobs_does_what_it_can_and_names_the_rest(client: Client) -> None:
    enqueue(client, id="a")
    enqueue(client, id="b")
    client.cancel(["a"])
    told: list[int] = []
    changed = client.cancel(["a", "nobody", "b"], told.append)
    assert [job.id for job in changed.jobs] == ["b"]
    assert [type(error) for error in changed.refused] == [Conflict, NotFound]
    assert told == [3]


def test_only_dead_jobs_leave_the_dead_letter_queue(client: Client) -> None:
    enqueue(client, id="a", max_retries=0)
    kill(client, "a")
    enqueue(client, id="b")
    for act in (client.retry_dead, client.purge):
        changed = act(["b", "nobody"])
        assert not changed.jobs
        assert [error.exit_code for error in changed.refused] == [4, 3]
    (job,) = client.retry_dead(["a", "b"]).jobs
    assert (job.id, job.state, job.attempts) == ("a", JobState.PENDING, 0)
    assert [note.kind for note in client.history("a").notes] == ["Retried"]
    assert client.count(Selector()) == 2


def test_purging_deletes_dead_jobs(client: Client) -> None:
    enqueue(client, id="a", max_retries=0)
    enqueue(client, id="b", max_retries=0)
    kill(client, "a", "b")
    assert [job.id for job in client.purge(["b"]).jobs] == ["b"]
    assert [job.id for job in client.find(Selector())] == ["a"]


def test_retention_prunes_what_is_older_than_its_setting(client: Client, clock: ManualClock) -> None:
    assert client.retention() == []
    client.set_setting("retention-cancelled", "1h")
    for id in ("old", "new"):
        enqueue(client, id=id)
        client.cancel([id])
        clock.forward(3000)
    assert client.prune(client.retention()) == 1
    assert [job.id for job in client.find(Selector())] == ["new"]


def test_what_a_selection_may_match_comes_from_the_table_of_states() -> None:
    assert JobState.PROCESSING not in RETRY.states
    assert set(CANCEL.states) == {"blocked", "pending", "processing", "failed"}


# --- look -----------------------------------------------------------------------------------


def test_the_status_counts_by_state_and_queue(client: Client) -> None:
    enqueue(client, id="a")
    enqueue(client, queue="x")
    enqueue(client, queue="x", held=True)
    client.cancel(["a"])
    status = client.status()
    assert {state: number for state, number in status.counts.items() if number} == {"pending": 2, "cancelled": 1}
    assert set(status.counts) == set(JobState)
    assert status.queues["x"][JobState.PENDING] == 2
    assert (status.oldest_due, status.at, status.url) == (NOON, NOON, client.store.url)


def test_only_workers_whose_lock_is_held_are_shown(client: Client) -> None:
    client.store.register(a_worker("gone~1"))
    with a_live_worker(client, a_worker("box~1", slots=2)), a_live_worker(client, a_worker("box~2", slots=3)):
        (worker,) = client.workers()
        assert (worker.name, worker.slots, len(worker.rows)) == ("box", 5, 2)
    assert client.workers() == []


def test_what_is_held_ready_is_in_no_slot(client: Client) -> None:
    for _ in range(3):
        enqueue(client)
    row = a_worker("box~1", slots=1)
    with a_live_worker(client, row):
        claims = client.store.claim(row.grip, HOST, 3, ())
        assert len(claims) == 3
        record_one(client.store, row.grip, Change(job=claims[1], event=Started(at=client.store.now())))
        (worker,) = client.workers()
        assert [job.id for job in worker.running] == [claims[1].id]


def test_a_queue_is_served_by_workers_of_it_or_all_but_others(client: Client) -> None:
    assert client.unserved(["a", "b", "a"]) == ["a", "b"]
    with a_live_worker(client, a_worker("box~1", queues=("a",))):
        assert client.unserved(["a", "b"]) == ["b"]
        with a_live_worker(client, a_worker("rest~1", dispatcher=12, not_queues=("b",))):
            assert client.unserved(["a", "b", "c"]) == ["b"]
        with a_live_worker(client, a_worker("all~1", dispatcher=12)):
            assert client.unserved(["a", "b"]) == []


def test_a_waiting_job_knows_why(client: Client) -> None:
    first, second = enqueue(client), enqueue(client)
    assert client.reason(first) == 'no live worker serves queue "default"'
    row = a_worker("box~1", slots=1)
    with a_live_worker(client, row):
        assert client.reason(first) == "next in line"
        client.store.claim(row.grip, HOST, 1, ())
        third = enqueue(client)
        assert client.reason(client.job(first.id)) is None
        assert client.reason(second) == "next in line"
        assert client.reason(third) == "the only slot busy, 2nd in line"


# --- stop -----------------------------------------------------------------------------------


def test_a_stop_concerns_the_workers_alive_now_or_those_named(client: Client) -> None:
    assert client.ask_to_stop(None) == []
    with a_live_worker(client, a_worker("box~1")), a_live_worker(client, a_worker("other~1", dispatcher=12)):
        with pytest.raises(NotFound, match="no live worker nobody"):
            client.ask_to_stop(["nobody"])
        with pytest.raises(Invalid, match="no worker given"):
            client.ask_to_stop([])
        assert [worker.name for worker in client.ask_to_stop(["bo*"], now=True)] == ["box"]
        assert {worker.name: worker.stopping for worker in client.workers()} == {"box": True, "other": False}
        asked = client.ask_to_stop(None)
        assert len(client.still_there(asked)) == 2
    assert client.still_there(asked) == []
    told = client.store.asked_of(["box~1", "other~1"])
    assert {worker: stop for worker, (stop, _) in told.items()} == {"box~1": "graceful", "other~1": "graceful"}


def test_threads_that_enqueue_at_once_leave_the_umask_alone() -> None:
    before, interval = os.umask(0o022), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            factories = list(threads.map(lambda _: JobFactory(Settings({}), NOON, "me"), range(4000)))
        seen = {factory.job(JobRequest(command="true")).spec.umask for factory in factories}
        assert (seen, os.umask(0o022)) == ({0o022}, 0o022)
    finally:
        sys.setswitchinterval(interval)
        os.umask(before)


def test_prune_over_http_takes_both_jobs_and_hooks_where_a_selector_means_both() -> None:
    asked: list[bool | None] = []

    def call(operation: object, *, selector: dict[str, Any], limit: int) -> dict[str, int]:
        asked.append(selector["hooks"])
        return {"pruned": 2}

    line = cast(RemoteConnection, SimpleNamespace(call=call))
    of_retention = Selector(states=(JobState.DEAD,), hooks=None)
    assert remote_jobs.prune(line, [of_retention, Selector(), Selector(hooks=True)], None, None) == 8
    assert asked == [False, True, False, True]
