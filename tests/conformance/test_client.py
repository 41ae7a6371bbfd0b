"""What a program can do through `queuectl.Client`, on each kind of store."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from queuectl import (
    Client,
    Conflict,
    Invalid,
    JobState,
    NotFound,
    OperationFailed,
    QueuectlError,
    Selector,
    StoreUnavailable,
)  # fmt: skip
from queuectl.client.actions import ACTIONS
from queuectl.client.here import Here
from queuectl.client.remote.client import RemoteClient
from queuectl.client.tables import Tables
from queuectl.wire.keywords import JobKeys
from queuectl.wire.requests import INPUT_KEYS, parse_request
from tests.web.service import Service, serving
from tests.workshop import PATIENCE_S, clean_environment, until

AnyClient = Client | RemoteClient

GATED = "while [ ! -e {} ]; do sleep 0.02; done"


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where a store can be made."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return str(request.getfixturevalue("emptied_url")) if request.param == "postgres" else str(tmp_path / "jobs.db")


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url, who="me") as client:
        yield client
        client.stop_workers(now=True)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """A server of a store in a file."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with serving(tmp_path / "jobs.db") as running:
        yield running


@pytest.fixture(params=["sqlite", "postgres", "remote"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AnyClient]:
    """A client of each kind of store, and one over HTTP."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    if request.param == "remote":
        server: Service = request.getfixturevalue("server")
        with Client.remote(server.url, server.tokens["full"]) as client:
            yield client
    else:
        url = request.getfixturevalue("emptied_url") if request.param == "postgres" else tmp_path / "jobs.db"
        with Client(url) as client:
            yield client
            client.stop_workers(now=True)


@pytest.fixture
def served(anywhere: AnyClient, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AnyClient]:
    """The same, where the store has a worker."""
    local = anywhere if isinstance(anywhere, Client) else Client(tmp_path / "jobs.db")
    local.start_worker(4, name="here")
    yield anywhere
    local.stop_workers(now=True)
    if local is not anywhere:
        local.close()


def test_an_action_is_rehearsed_without_a_trace(client: Client) -> None:
    client.enqueue(command="true", id="a", unique_key="a")
    client.enqueue(command="true", id="b", held=True)
    client.enqueue(command="true", id="c", depends_on=["a:failed"])
    client.cancel("b")
    before = [client.job(id) for id in "abc"], client.audit()
    for action in ACTIONS:
        rehearsed = client.rehearse(action, ["c", "a", "b", "a", "nix"])
        assert ([client.job(id) for id in "abc"], client.audit()) == before
        assert all(job == client.job(job.id) for job in rehearsed.jobs)
        assert len(rehearsed.jobs) + len(rehearsed.refused) == 4


def test_what_enqueue_would_do_is_rehearsed_without_a_trace(client: Client) -> None:
    client.enqueue(command="true", id="a", unique_key="k")
    before = list(client.jobs()), client.audit(), client.queues()

    def rehearsed(**keys: Any) -> list[str]:
        requests = [parse_request({"command": "true", **keys}, 0.0), parse_request({"command": "echo 2"}, 0.0)]
        return [each.fate.name for each in client.enqueue_each(requests, rehearsed=True)]

    assert rehearsed(id="b", depends_on=["a"], locks=["gpu"], batch="new", queue="new") == ["ADDED", "ADDED"]
    assert rehearsed(unique_key="k") == ["LEFT_OUT", "ADDED"]
    assert rehearsed(unique_key="k", on_conflict="replace") == ["MERGED", "ADDED"]
    for error, keys in ((Conflict, {"id": "a"}), (NotFound, {"depends_on": ["nix"]}), (Invalid, {"locks": ["gpu=2"]})):
        with pytest.raises(error):
            rehearsed(**keys)
    assert (list(client.jobs()), client.audit(), client.queues()) == before
    assert client.enqueue(command="true", queue="new").state is JobState.PENDING


def test_a_job_is_enqueued_runs_is_waited_for_and_read(served: AnyClient) -> None:
    job = served.enqueue(command="echo out; echo err >&2; exit 3", max_retries=0, split_output=True)
    assert (job.owner is not None, job.state) == (True, JobState.PENDING)
    (ended,) = served.wait(job.id, timeout="1m")
    assert (ended.state, ended.exit_code) == (JobState.DEAD, 3)
    assert served.output(job.id, stream=1) == b"out\n"
    assert served.output(job.id, stream=2) == b"err\n"
    assert [dead.id for dead in served.find(Selector(states=(JobState.DEAD,)))] == [job.id]
    assert [each.id for each in served.retry_dead(job.id).jobs] == [job.id]
    served.wait([job.id])
    assert [attempt.exit_code for attempt in served.history(job.id).attempts] == [3, 3]
    assert served.output(job.id, attempt=1, tail=1) == b"out\nerr\n"
    with pytest.raises(NotFound, match="no attempt 7"):
        served.output(job.id, attempt=7)


def test_values_may_be_what_python_has_for_them(anywhere: AnyClient, tmp_path: Path) -> None:
    job = anywhere.enqueue(
        command=("ls", tmp_path), cwd=tmp_path, delay=timedelta(hours=1), timeout=timedelta(seconds=1.5),
        tags=("a", "b"), retry_on=[75], env={"A": "1"},
    )  # fmt: skip
    assert job.command == ("ls", str(tmp_path))
    assert (job.spec.cwd, job.spec.timeout, job.spec.retry_on) == (str(tmp_path), 1.5, (75,))
    assert job.run_at - job.created_at == pytest.approx(3600, abs=1)
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    assert anywhere.enqueue(command="true", run_at=moment).run_at == moment.timestamp()
    local = datetime(2030, 7, 1, 12)
    assert anywhere.enqueue(command="true", run_at=local).run_at == local.timestamp()


def test_every_key_of_the_input_is_a_keyword() -> None:
    assert JobKeys.__annotations__.keys() == set(INPUT_KEYS) - {"base_backoff_seconds", "on_conflict"}


def test_a_unique_key_is_minded_by_the_rule_of_the_call_or_of_the_job(anywhere: AnyClient) -> None:
    first = anywhere.enqueue(command="true", unique_key="k", unique_for="1h", delay=60)
    assert (first.unique_key, first.spec.unique_for) == ("k", 3600)
    assert anywhere.enqueue(command="true", unique_key="k").id == first.id
    with pytest.raises(Conflict, match="unique key 'k' is taken by job"):
        anywhere.enqueue(command="true", unique_key="k", on_conflict="error")
    request = parse_request({"command": "new", "unique_key": "k", "on_conflict": "replace"}, 0)
    same, other = anywhere.enqueue([request, {"command": "true", "unique_key": "k2"}], on_conflict="error")
    assert (same.id, same.command, other.unique_key) == (first.id, "new", "k2")


def test_a_batch_is_looked_at_waited_for_cancelled_and_retried(anywhere: AnyClient) -> None:
    batch = anywhere.batch("b")
    with pytest.raises(NotFound, match="no batch b"):
        batch.status()
    anywhere.enqueue([{"command": "true", "batch": "b", "at_most": 2}, {"command": "true", "batch": "b"}])
    found = batch.status()
    assert (found.total, found.done, found.is_done, found.at_most) == (2, 0, False, 2)
    with pytest.raises(TimeoutError, match="batch b is not done yet: 0 of 2"):
        batch.wait(timeout=0.01)
    assert batch.cancel().failed == 2
    assert batch.wait(timeout=5).is_done
    assert batch.retry().counts[JobState.PENDING] == 2
    assert [each.name for each in anywhere.batches()] == ["b"]
    limited, *_ = anywhere.find(Selector(batches=("b",)))
    anywhere.set([limited.id], {"locks": ["gpu"]})
    assert anywhere.job(limited.id).locks == ("batch:b", "gpu")
    assert anywhere.clone(limited.id, {"batch": "other"}).locks == ("gpu",)
    assert anywhere.clone(limited.id).locks == ("batch:b", "gpu")
    anywhere.delete(anywhere.find(Selector(batches=("b",)))[-1].id)
    assert anywhere.count(Selector(batches=("b",))) == 2


def test_many_are_added_all_or_none(anywhere: AnyClient) -> None:
    request = parse_request({"command": "true", "id": "c", "umask": "0027"}, 0)
    added = anywhere.enqueue([{"command": "true", "id": "a"}, {"command": ["true"], "id": "b"}, request])
    assert [job.id for job in added] == ["a", "b", "c"]
    with pytest.raises(Conflict, match="job a exists"):
        anywhere.enqueue([{"command": "true", "id": "d"}, {"command": "true", "id": "a"}])
    assert anywhere.count(Selector()) == 3
    wrong: list[Any] = ["echo hello", {"command": "true"}]
    for given in wrong:
        with pytest.raises(Invalid, match="many jobs as a list, or one by keywords"):
            anywhere.enqueue(given)
    with pytest.raises(Invalid, match="unknown key 'comand'"):
        anywhere.enqueue(comand="true")  # type: ignore[call-overload]


def test_a_parsed_request_loses_no_key(anywhere: AnyClient) -> None:
    ends = datetime(2090, 1, 1, tzinfo=UTC)
    keys = {"command": "true", "batch": "b", "at_most": 2, "max_fails": "5%", "start_by": ends.isoformat()}
    (job,) = anywhere.enqueue([parse_request(keys, 0)])
    batch = anywhere.batch("b").status()
    assert (job.start_by, batch.at_most, batch.max_fails) == (ends.timestamp(), 2, "5%")


def test_one_id_needs_no_list(anywhere: AnyClient) -> None:
    anywhere.enqueue(command="true", id="a-b")
    assert [job.id for job in anywhere.hold("a-b").jobs] == ["a-b"]
    assert [job.id for job in anywhere.delete("a-b").jobs] == ["a-b"]


def test_waiting_ends_with_any_job_or_with_patience(served: AnyClient, tmp_path: Path) -> None:
    slow = served.enqueue(command=GATED.format(tmp_path / "gate"))
    quick = served.enqueue(command="true")
    assert [job.id for job in served.wait([slow.id, quick.id], any=True)] == [quick.id]
    with pytest.raises(TimeoutError, match=f"not finished yet: {slow.id}"):
        served.wait(slow.id, timeout=timedelta(milliseconds=50))
    (tmp_path / "gate").touch()
    assert len(served.wait([slow.id, quick.id])) == 2


def test_output_is_followed_while_it_is_written(served: AnyClient, tmp_path: Path) -> None:
    job = served.enqueue(command=f"echo one; {GATED.format(tmp_path / 'gate')}; echo two")
    said = b""
    for stream, data in served.follow(job.id, ticks=True):
        assert stream in (0, 1)
        said += data
        if data and said == b"one\n":
            assert served.job(job.id).state is JobState.PROCESSING  # the client is free for other things
            (tmp_path / "gate").touch()
    assert said == b"one\ntwo\n"
    with pytest.raises(NotFound):
        next(served.follow("nobody"))


def test_asyncio_follows_and_may_stop_following(served: AnyClient, tmp_path: Path) -> None:
    async def read() -> bytes:
        job = await asyncio.to_thread(served.enqueue, command="echo one; echo two")
        return b"".join([data async for _, data in served.afollow(job.id)])

    async def stop() -> bytes:
        job = await asyncio.to_thread(served.enqueue, command=f"echo one; {GATED.format(tmp_path / 'gate')}")
        silent = asyncio.ensure_future(anext(served.afollow("silent")))
        pieces = served.afollow(job.id)
        _, first = await anext(pieces)
        await pieces.aclose()
        silent.cancel()
        with pytest.raises(asyncio.CancelledError):
            await silent
        return first

    assert asyncio.run(read()) == b"one\ntwo\n"
    served.enqueue(command="true", id="silent", held=True)
    assert asyncio.run(stop()) == b"one\n"
    (tmp_path / "gate").touch()


def test_many_threads_share_a_client(client: Client) -> None:
    together = threading.Barrier(8)
    stores = []

    def add(number: int) -> str:
        together.wait(PATIENCE_S)
        stores.append(client.store)
        return client.enqueue(command="true", tags=[f"n{number}"]).id

    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(add, range(8)))
    assert len({id(store) for store in stores}) == 8
    assert {job.id for job in client.find(Selector())} == set(ids)


def test_the_connection_of_a_thread_that_has_ended_is_closed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    closed, client = [], Client(url)

    def use() -> None:
        store = client.store

        def close() -> None:
            closed.append(store)
            type(store).close(store)

        monkeypatch.setattr(store, "close", close)

    for _ in range(3):
        thread = threading.Thread(target=use)
        thread.start()
        thread.join()
    assert len(closed) == 2
    client.close()
    assert len(closed) == 3
    with pytest.raises(OperationFailed, match="this client is closed"):
        client.status()


def test_a_forked_process_has_a_connection_of_its_own(url: str, tmp_path: Path) -> None:
    program = """
        import os, sys
        from queuectl import Client
        client = Client(sys.argv[1])
        client.enqueue(command="true", id="before")
        if os.fork() == 0:
            client.enqueue(command="true", id="child")
            client.close()
            sys.exit()
        assert os.wait()[1] == 0
        client.enqueue(command="true", id="after")
        assert [client.job(each).id for each in ("before", "child", "after")]
        client.close()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), url], capture_output=True, text=True,
        env=clean_environment(XDG_STATE_HOME=str(tmp_path)), timeout=PATIENCE_S,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_a_worker_is_started_seen_and_stopped(anywhere: AnyClient) -> None:
    client = anywhere
    assert client.start_worker(2, queues=["a", "b"], name="here", poll="30s", stop_timeout=60) == "here"
    (worker,) = client.workers()
    assert (worker.name, worker.slots, worker.queues) == ("here", 2, ("a", "b"))
    with pytest.raises(Conflict, match="a worker named here is running"):
        client.start_worker(name="here")
    with pytest.raises(Invalid, match="from 1 to"):
        client.start_worker(0)
    with pytest.raises(NotFound, match="no live worker nobody"):
        client.stop_workers("nobody")
    for act in (client.stop_workers, client.restart_workers, client.reload_workers):
        with pytest.raises(Invalid, match="no worker given"):
            act([])
    assert [worker.name for worker in client.stop_workers("her*", timeout="1m")] == ["here"]
    assert client.workers() == []
    client.start_worker(not_queues=["a", "b"], drain=True, name="drains")
    until(lambda: not client.workers(), "it leaves by itself")


def test_a_stop_that_takes_too_long_is_told(served: AnyClient, tmp_path: Path) -> None:
    served.enqueue(command=GATED.format(tmp_path / "gate"), id="slow")
    until(lambda: served.job("slow").started_at)
    with pytest.raises(TimeoutError):
        served.stop_workers(timeout=0.1)
    (tmp_path / "gate").touch()
    served.stop_workers()
    assert served.job("slow").state is JobState.COMPLETED


def test_selections_and_pages_are_the_same_everywhere(anywhere: AnyClient) -> None:
    anywhere.enqueue([{"command": "true", "id": f"n{at}", "tags": ["a" if at % 2 else "b"]} for at in range(30)])
    anywhere.cancel(["n1", "n3"])
    assert [job.id for job in anywhere.find(limit=3)] == ["n0", "n1", "n2"]
    assert [job.id for job in anywhere.find(Selector(), limit=2, newest_first=True)] == ["n29", "n28"]
    assert len(anywhere.find(Selector(tags=("a",), states=(JobState.PENDING,)))) == 13
    assert (anywhere.count(), anywhere.count(Selector(tags=("a",)))) == (30, 15)
    assert anywhere.count(Selector(states=(JobState.CANCELLED,))) == 2
    assert anywhere.count(Selector(states=("cancelled",))) == 2  # type: ignore[arg-type]
    with pytest.raises(Invalid, match="unknown state 'lost'"):
        anywhere.count(Selector(states=("lost",)))  # type: ignore[arg-type]
    assert anywhere.find(Selector(commands=("fals*",))) == []
    (first, reason), *rest = anywhere.each()
    assert (first.id, reason, len(rest)) == ("n0", 'no live worker serves queue "default"', 29)
    assert anywhere.reason(first) == reason


def test_what_could_not_be_changed_is_named(anywhere: AnyClient) -> None:
    anywhere.enqueue([{"command": "true", "id": f"n{at}"} for at in range(230)])
    told: list[int] = []
    changed = anywhere.cancel([f"n{at}" for at in range(240)], told.append)
    assert len(changed.jobs) == 230
    assert {type(error) for error in changed.refused} == {NotFound}
    assert [error.message for error in changed.refused] == [f"no job n{at}" for at in range(230, 240)]
    assert told[-1] == 240
    with pytest.raises(NotFound, match="no job nobody") as refused:
        anywhere.job("nobody")
    assert refused.value.hint == "see the ids with: queuectl list"


def test_a_history_tells_what_happened(served: AnyClient) -> None:
    served.enqueue(command="exit 3", id="a", max_retries=0)
    served.wait("a", timeout="1m")
    served.retry_dead("a")
    served.wait("a", timeout="1m")
    history = served.history("a")
    assert [attempt.number for attempt in history.attempts] == [1, 2]
    assert [note.kind for note in history.notes] == ["Retried"]
    assert (history.job.state, history.job.spec.max_retries, history.job.error) == (JobState.DEAD, 0, "exit code 3")
    figures = served.stats("10m", 10)
    assert sum(figures.ended.values()) == 2
    assert figures.run.measured == 2
    assert [job.id for job in served.purge("a").jobs] == ["a"]
    assert served.count(Selector()) == 0


def test_old_jobs_are_pruned(anywhere: AnyClient) -> None:
    anywhere.enqueue([{"command": "true", "id": f"n{at}", "tags": ["a" if at % 2 else "b"]} for at in range(12)])
    assert anywhere.prune([Selector()]) == 0
    anywhere.cancel([f"n{at}" for at in range(8)])
    told: list[int] = []
    assert anywhere.prune([Selector(tags=("a",))], told.append, limit=3) == 3
    assert anywhere.prune([Selector(tags=("a",)), Selector(tags=("b",))], told.append, limit=4) == 4
    assert (told, anywhere.count(Selector())) == ([3, 1, 4], 5)
    assert anywhere.retention() == []
    anywhere.set_setting("retention-cancelled", "1h")
    (cancelled_before,) = anywhere.retention()
    assert cancelled_before.states == (JobState.CANCELLED,)
    assert anywhere.prune([cancelled_before]) == 0
    anywhere.set_setting("retention-cancelled", "0s")
    assert anywhere.prune(anywhere.retention()) == 1
    with pytest.raises(Invalid, match="pending jobs cannot be pruned"):
        anywhere.prune([Selector(states=(JobState.PENDING,))])
    assert {job.state for job in anywhere.find(Selector())} == {JobState.PENDING}


def test_what_the_jobs_of_a_schedule_depend_on_is_not_pruned(anywhere: AnyClient) -> None:
    for id in ("setup", "other", "setup2"):
        anywhere.enqueue(command="true", id=id, tags=["after"])
    generated = anywhere.enqueue(command="true").id
    anywhere.cancel(["setup", "setup2", "other", generated])
    after = ["setup:any", f"{generated[:6]}:failed", "setup2:failed"]
    anywhere.add_schedule("nightly", {"command": "true", "after": after}, every="1h")
    anywhere.add_schedule("hourly", {"command": "true", "tags": ["after"]}, every="1h")
    assert anywhere.prune([Selector()]) == 1
    assert {job.id for job in anywhere.find(Selector())} == {"setup", "setup2", generated}
    anywhere.set_schedule("nightly", job={"after": ["setup:any"]})
    assert anywhere.prune([Selector()]) == 2


def test_what_cannot_be_meant_is_refused_alike_everywhere(anywhere: AnyClient) -> None:
    anywhere.enqueue(command="true", id="a", held=True)
    refused: list[tuple[Callable[[], object], type[QueuectlError], str]] = [
        (lambda: anywhere.job(""), NotFound, "no job "),
        (lambda: anywhere.job("a/b ?"), NotFound, "no job a/b ?"),
        (lambda: anywhere.set_setting("nonsense", "1"), Invalid, "unknown setting 'nonsense'"),
        (lambda: anywhere.unset_setting("nonsense"), Invalid, "unknown setting 'nonsense'"),
        (lambda: anywhere.enqueue([{"command": "true"}, {"comand": "true"}]), Invalid, "job 2: unknown key 'comand'"),
        (lambda: anywhere.enqueue(command=b"true"), Invalid, "b'true'"),  # type: ignore[arg-type]
        (lambda: anywhere.output("a", stream=3), Invalid, "there is no stream 3"),
        (lambda: next(anywhere.follow("a", stream=3)), Invalid, "there is no stream 3"),
        (lambda: anywhere.find(Selector(), limit=-1), Invalid, "limit must not be below 0"),
    ]
    for ask, kind, message in refused:
        with pytest.raises(kind) as caught:
            ask()
        assert message in caught.value.message
    assert [job.id for job in anywhere.find(Selector())] == ["a"]
    assert anywhere.status(retries=0).next_retries == []


def test_settings_are_seen_and_changed(anywhere: AnyClient) -> None:
    anywhere.set_setting("max_retries", "7")
    anywhere.set_setting("backoff-base", "3")
    settings = anywhere.settings()
    assert (settings["max-retries"], settings["backoff-initial"], settings["timeout"]) == (7, 3.0, None)
    assert (settings.is_default("max-retries"), settings.is_default("timeout")) == (False, True)
    assert anywhere.enqueue(command="true").spec.max_retries == 7
    anywhere.unset_setting("max-retries")
    assert anywhere.settings()["max-retries"] == 3
    with pytest.raises(Invalid, match="max-retries must be a whole number"):
        anywhere.set_setting("max-retries", "many")


def test_the_whole_is_seen_and_workers_are_stopped(served: AnyClient, tmp_path: Path) -> None:
    served.enqueue(command=GATED.format(tmp_path / "gate"), id="runs")
    until(lambda: served.job("runs").started_at)
    served.enqueue(command="true", queue="other", held=True)
    status = served.status()
    assert (status.counts[JobState.PROCESSING], status.queues["other"][JobState.PENDING]) == (1, 1)
    (worker,) = status.workers
    assert (worker.name, worker.slots, worker.queues, [job.id for job in worker.running]) == ("here", 4, (), ["runs"])
    assert served.unserved(["x"]) == []
    with pytest.raises(NotFound, match="no live worker nobody"):
        served.stop_workers("nobody")
    with pytest.raises(TimeoutError, match="not stopped yet: here"):
        served.stop_workers("here", timeout=0.1)
    (tmp_path / "gate").touch()
    served.stop_workers()
    assert served.workers() == []
    assert served.unserved(["x"]) == ["x"]


# --- over HTTP ------------------------------------------------------------------------------


def test_who_has_no_right_token_or_address_is_told(server: Service) -> None:
    with Client.remote(server.url, "wrong") as client, pytest.raises(OperationFailed) as refused:
        client.status()
    assert refused.value.code == "unauthenticated"
    for address in ("localhost:80", "ftp://localhost", "http://", "http://localhost:99999"):
        with pytest.raises(Invalid):
            Client.remote(address, "token")
    with pytest.raises(Invalid, match="token is not valid"):
        Client.remote(server.url, "to\nken")


def test_a_server_that_is_not_there_is_an_unavailable_store(tmp_path: Path) -> None:
    with serving(tmp_path / "jobs.db") as server:
        client = Client.remote(server.url, server.tokens["full"])
        client.status()
    with client:
        with pytest.raises(StoreUnavailable, match=r"no answer from http://127\.0\.0\.1:"):
            client.status()
        with pytest.raises(StoreUnavailable):
            next(client.follow("x"))
    with pytest.raises(OperationFailed, match="this client is closed"):
        client.status()


def test_threads_share_a_remote_client(server: Service) -> None:
    with Client.remote(server.url, server.tokens["full"]) as client, ThreadPoolExecutor(8) as pool:
        jobs = list(pool.map(lambda at: client.enqueue(command="true", tags=[f"n{at}"]), range(40)))
        assert client.count(Selector()) == len({job.id for job in jobs}) == 40


def test_times_without_a_zone_are_those_of_who_asks(server: Service) -> None:
    with Client.remote(server.url, server.tokens["full"]) as client:
        local = datetime(2030, 7, 1, 12)
        assert client.enqueue(command="true", run_at="2030-07-01 12:00").run_at == local.timestamp()
        job = client.enqueue(command="true", run_at="+1h")
        assert job.run_at - job.created_at == pytest.approx(3600, abs=5)


def test_no_method_is_missing_or_other_afar() -> None:
    local = {
        "remote",
        "enqueue_each",
        "enqueue_read",
        "pages",
        "job_pages",
        "dead_pages",
        "rehearse",
        "with_reasons",
        *vars(Here),
        *vars(Tables),
    } - {"close"}
    only_here = {"connection", "orphaned", "tick", "say"}  # what the caller's own process does, or is told
    for name, method in inspect.getmembers(Client, inspect.isfunction):
        if not name.startswith("_") and name not in local:
            afar = inspect.signature(getattr(RemoteClient, name)).parameters
            assert set(inspect.signature(method).parameters) - only_here == set(afar), name


def test_on_conflict_ignore_leaves_out_a_taken_id(anywhere: AnyClient) -> None:
    first = anywhere.enqueue(command="echo first", id="a")
    again = anywhere.enqueue(
        [{"command": "echo again", "id": "a"}, {"command": "x", "id": "b"}, {"command": "y", "id": "b"}],
        on_conflict="ignore",
    )
    assert [(job.id, job.command) for job in again] == [("a", first.command), ("b", "x"), ("b", "x")]
    assert anywhere.enqueue(command="echo", id="a", on_conflict="ignore").command == first.command
    with pytest.raises(Conflict):
        anywhere.enqueue([{"command": "x", "id": "c"}, {"command": "x", "id": "a"}])
    with pytest.raises(Invalid):
        anywhere.enqueue(command="x", on_conflict="sometimes")
    with pytest.raises(Invalid, match="on_conflict replace needs a unique key"):
        anywhere.enqueue(command="x", on_conflict="replace")
    assert anywhere.count() == 2


def test_a_clone_is_the_same_job_with_changes(anywhere: AnyClient) -> None:
    job = anywhere.enqueue(
        command=["echo", "x"], id="a", queue="video", priority=3, tags=["t"], held=True, timeout="2h", cwd="/tmp",
        env={"A": "1", "B": "2"}, backoff_base=3, retry_on=[7], umask="0027", max_retries=9,
        run_at="2020-01-01T00:00:00Z",
    )  # fmt: skip
    same = anywhere.clone("a")
    assert same.id != "a"
    assert (same.command, same.spec, same.queue, same.priority) == (job.command, job.spec, job.queue, job.priority)
    assert (same.tags, same.held, same.run_at, same.state) == (job.tags, job.held, job.run_at, JobState.PENDING)
    other = anywhere.clone(
        "a", {"id": "b", "command": "true", "queue": "q", "priority": 0, "tags": [], "held": False, "delay": "1h",
              "env": {"B": "3"}, "backoff_base": 4, "timeout": timedelta(minutes=1)}
    )  # fmt: skip
    assert (other.id, other.command, other.queue, other.priority, other.tags) == ("b", "true", "q", 0, ())
    assert not other.held
    assert other.run_at - other.created_at == pytest.approx(3600, abs=1)
    env = {**job.spec.env, "B": "3"}
    assert other.spec == job.spec._replace(env=env, backoff_base=4, backoff_initial=4, timeout=60)
    lifted = anywhere.clone("a", {"timeout": None, "retry_on": None, "tags": None, "kill_grace": None})
    assert (lifted.spec, lifted.tags) == (job.spec._replace(timeout=None, retry_on=()), ())
    with pytest.raises(NotFound):
        anywhere.clone("nosuch")
    with pytest.raises(Conflict):
        anywhere.clone("a", {"id": "b"})
    with pytest.raises(Invalid):
        anywhere.clone("a", {"comand": "x"})


def test_a_job_is_named_by_its_id_alone(anywhere: AnyClient) -> None:
    job = anywhere.enqueue(command="true", id="a")
    wrong: Any
    for wrong in (job, [job], [1]):
        for call in (anywhere.cancel, anywhere.delete, anywhere.wait, lambda ids: anywhere.set(ids, {"priority": 1})):
            with pytest.raises(Invalid, match=r"a job is named by its id, a text, not by a value of type (Job|int)"):
                call(wrong)
    for wrong in (job, 1):
        for ask in (
            anywhere.job, anywhere.history, anywhere.output, anywhere.clone, anywhere.explain,
            lambda id: list(anywhere.follow(id)), lambda id: anywhere.move(id, front=True),
        ):  # fmt: skip
            with pytest.raises(Invalid, match=r"a job is named by its id, a text, not by a value of type (Job|int)"):
                ask(wrong)
        with pytest.raises(Invalid):
            anywhere.move("a", before=wrong)
    assert anywhere.job("a").state is JobState.PENDING
    with pytest.raises(Invalid, match="a job must be a"):
        anywhere.enqueue([5])  # type: ignore[list-item]


def test_no_comma_makes_one_value_several(anywhere: AnyClient) -> None:
    anywhere.enqueue([{"command": "true", "queue": queue} for queue in "ab"])
    both = Selector(queues=("a,b",))
    if isinstance(anywhere, Client):
        assert anywhere.find(both) == []
    else:
        with pytest.raises(Invalid, match="a comma separates values: queue 'a,b' would be several"):
            anywhere.find(both)


def test_a_wait_that_is_over_names_only_what_has_not_finished(anywhere: AnyClient) -> None:
    for id in "abc":
        anywhere.enqueue(command="true", id=id)
    anywhere.cancel("b")
    with pytest.raises(TimeoutError, match=r"^not finished yet: a, c$"):
        anywhere.wait(["a", "b", "c"], timeout=0)


def test_no_last_line_is_no_output(anywhere: AnyClient) -> None:
    anywhere.enqueue(command="true", id="a")
    anywhere.cancel("a")
    assert (anywhere.output("a", tail=0), list(anywhere.follow("a", tail=0))) == (b"", [])
    assert anywhere.clone("a", {"id": "b", "state": "pending", "attempts": 0}).id == "b"


def test_a_clone_lacks_variables_that_are_set_to_none(anywhere: AnyClient) -> None:
    first = anywhere.enqueue(command="true", env={"A": "1", "B": "2"})
    other = anywhere.clone(first.id, {"env": {"A": None, "C": "3", "nobodys": None}})
    env = {**first.spec.env, "C": "3"}
    del env["A"]
    assert other.spec == first.spec._replace(env=env)


def test_a_clone_without_the_key_holds_none(anywhere: AnyClient) -> None:
    anywhere.enqueue(command="true", id="keyed", unique_key="k", unique_for="1h")
    with pytest.raises(Conflict):
        anywhere.clone("keyed")
    assert anywhere.clone("keyed", {"unique_key": None}).spec.unique_for is None
    other = anywhere.clone("keyed", {"unique_key": "l"})
    assert (other.unique_key, other.spec.unique_for) == ("l", 3600)


def test_a_clone_expires_as_the_job_does(anywhere: AnyClient) -> None:
    def limits(id: str, **changes: Any) -> tuple[float | None, float | None]:
        job = anywhere.clone(id, changes)
        return job.spec.expires, None if job.start_by is None else job.start_by - job.due_at

    anywhere.enqueue(command="true", id="due", expires="10m", run_at="2020-01-01T00:00:00Z")
    anywhere.enqueue(command="true", id="later", expires="10m", run_at="2040-01-01T00:00:00Z")
    fixed = anywhere.enqueue(command="true", id="fixed", start_by="2040-01-01T00:00:00Z")
    for id in ("due", "later"):
        assert limits(id) == (600, 600)
        assert limits(id, delay="1h") == (600, 600)
        assert limits(id, expires="1h") == (3600, 3600)
        assert anywhere.clone(id, {"start_by": "2041-01-01T00:00:00Z"}).spec.expires is None
    assert anywhere.clone("fixed").start_by == fixed.start_by
    assert limits("fixed", expires="1h") == (3600, 3600)
    anywhere.set(["fixed"], {"start_by": "2020-01-01T00:00:00Z"})
    assert limits("fixed") == (None, None)  # or it could not start at all


def test_tokens_deeds_and_dead_groups_are_alike_here_and_afar(anywhere: AnyClient) -> None:
    token, text = anywhere.create_token("ci")
    assert (token.name, token.role.value) == ("ci", "read-only")
    assert len(text) > 20
    assert "ci" in [each.name for each in anywhere.tokens()]
    with pytest.raises(Conflict):
        anywhere.create_token("ci", "full")
    assert anywhere.revoke_token("ci").id == token.id
    assert "ci" not in [each.name for each in anywhere.tokens()]
    with pytest.raises(NotFound):
        anywhere.revoke_token("ci")
    revoked, created = anywhere.audit(limit=2)
    assert [(deed.kind, deed.detail) for deed in (created, revoked)] == [
        ("TokenCreated", "ci (read-only)"), ("TokenRevoked", "ci (read-only)")
    ]  # fmt: skip
    assert anywhere.audit(limit=1, before=revoked.id) == [created]
    assert anywhere.dead_groups() == []
    anywhere.enqueue([{"command": "exit 3", "queue": queue, "max_retries": 0} for queue in ("a", "a", "b")])
    anywhere.start_worker(drain=True)
    until(lambda: anywhere.count(Selector(states=(JobState.DEAD,))) == 3)
    groups = anywhere.dead_groups()
    assert [(group.queue, group.jobs, group.exit_code, group.error) for group in groups] == [
        ("a", 2, 3, "exit code 3"), ("b", 1, 3, "exit code 3")
    ]  # fmt: skip
    assert anywhere.dead_groups(Selector(queues=("b",)), limit=1, waiting=True) == groups[1:]
    assert groups[0].fault
    assert anywhere.count(Selector(faults=(groups[0].fault,))) == 2


def test_schedules_are_the_same_from_everywhere(anywhere: AnyClient) -> None:
    added = anywhere.add_schedule(
        "nightly", {"command": ["make", "report"], "timeout": "1h"}, cron="0 3 * * *", tz="UTC"
    )
    assert (added.rule_text, added.zone, len(added.next), added.fires) == ("0 3 * * *", "UTC", 5, [])
    assert [each.name for each in anywhere.schedules()] == ["nightly"]
    changed = anywhere.set_schedule("nightly", every="2h", late_max="30m", job={"timeout": None, "queue": "q"})
    assert (changed.every, changed.late_max, changed.job) == ("2h", 1800, {"command": ["make", "report"], "queue": "q"})
    paused = anywhere.pause_schedule("nightly", reason="why").pause
    assert paused is not None
    assert paused.reason == "why"
    assert len(anywhere.resume_schedule("nightly").next) == 5
    run = anywhere.run_schedule("nightly")
    assert anywhere.job(run.id).schedule == run.schedule == "nightly"
    berlin = anywhere.preview_schedule("30 2 * * *", tz="Europe/Berlin", after="2026-03-28T12:00:00Z", count=1)
    assert berlin == [1774746000.0]
    with pytest.raises(Conflict):
        anywhere.add_schedule("nightly", {"command": "x"}, every=60)
    with pytest.raises(Invalid):
        anywhere.preview_schedule("5-1 * * * *")
    assert anywhere.delete_schedule("nightly").name == "nightly"
    with pytest.raises(NotFound):
        anywhere.schedule("nightly")


def test_alerts_and_hooks_are_the_same_from_everywhere(served: AnyClient, tmp_path: Path) -> None:
    told = tmp_path / "told"
    job: JobKeys = {"command": "exit 3", "max_retries": 0, "on_dead": "true"}
    added = served.add_schedule("tick", job, every="1h", alert=f"echo $QUEUECTL_STATE >> {told}", expect_within="30m")
    assert (added.expect_within, added.streak, added.ping) == (1800.0, None, None)
    run = served.run_schedule("tick").id
    until(told.exists, "its run has failed")
    streak = served.schedule("tick").streak
    assert streak is not None
    assert (streak.state, streak.job) == ("failing", run)
    until(lambda: [hook.state for hook in served.history(run).hooks] == ["completed"], "its hook has run")
    assert [job.tags[0] for job in served.find(Selector(hooks=True))] == ["on_dead", "alert"]
    assert [job.id for job in served.find(Selector(schedules=("tick",)))] == [run]
    assert served.set_schedule("tick", alert="none", expect_within="none").streak is None
