"""What a program can do through `queuectl.Client`, on each kind of store."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from queuectl import Client, Conflict, Invalid, JobState, NotFound, OperationFailed, Selector, wire
from queuectl.library import JobKeys
from tests.workshop import clean_environment, until

GATED = "while [ ! -e {} ]; do sleep 0.02; done"


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where a store can be made."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return str(request.getfixturevalue("postgres_url")) if request.param == "postgres" else str(tmp_path / "jobs.db")


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url, who="me") as client:
        yield client
        client.stop_workers(now=True)


@pytest.fixture
def served(client: Client) -> Client:
    """The client of a store that has a worker."""
    client.start_worker(4, name="here")
    return client


def test_a_job_is_enqueued_runs_is_waited_for_and_read(served: Client) -> None:
    job = served.enqueue(command="echo out; echo err >&2; exit 3", max_retries=0, split_output=True)
    assert (job.owner, job.state) == ("me", JobState.PENDING)
    (ended,) = served.wait(job.id, timeout="1m")
    assert (ended.state, ended.exit_code) == (JobState.DEAD, 3)
    assert served.output(job.id, stream=1) == b"out\n"
    assert served.output(job.id, stream=2) == b"err\n"
    assert [dead.id for dead in served.find(Selector(states=(JobState.DEAD,)))] == [job.id]
    assert [each.id for each in served.retry_dead(job.id).jobs] == [job.id]
    served.wait([job.id])
    assert served.job(job.id).starts == 2
    assert served.output(job.id, attempt=1, tail=1) == b"out\nerr\n"
    with pytest.raises(NotFound, match="no attempt 7"):
        served.output(job.id, attempt=7)


def test_values_may_be_what_python_has_for_them(client: Client, tmp_path: Path) -> None:
    job = client.enqueue(
        command=("ls", tmp_path), cwd=tmp_path, delay=timedelta(hours=1), timeout=timedelta(seconds=1.5),
        tags=("a", "b"), retry_on=[75], env={"A": "1"},
    )  # fmt: skip
    assert job.command == ("ls", str(tmp_path))
    assert (job.spec.cwd, job.spec.timeout, job.spec.retry_on) == (str(tmp_path), 1.5, (75,))
    assert job.run_at - job.created_at == pytest.approx(3600, abs=1)
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    assert client.enqueue(command="true", run_at=moment).run_at == moment.timestamp()
    local = datetime(2030, 7, 1, 12)
    assert client.enqueue(command="true", run_at=local).run_at == local.timestamp()


def test_every_key_of_the_input_is_a_keyword() -> None:
    assert JobKeys.__annotations__.keys() == set(wire.INPUT_KEYS) - {"base_backoff_seconds"}


def test_many_are_added_all_or_none(client: Client) -> None:
    request = wire.parse_request({"command": "true", "id": "c"}, 0)
    added = client.enqueue([{"command": "true", "id": "a"}, {"command": ["true"], "id": "b"}, request])
    assert [job.id for job in added] == ["a", "b", "c"]
    with pytest.raises(Conflict, match="job a exists"):
        client.enqueue([{"command": "true", "id": "d"}, {"command": "true", "id": "a"}])
    assert client.count(Selector()) == 3
    wrong: list[Any] = ["echo hello", {"command": "true"}]
    for given in wrong:
        with pytest.raises(Invalid, match="many jobs as a list, or one by keywords"):
            client.enqueue(given)
    with pytest.raises(Invalid, match="unknown key 'comand'"):
        client.enqueue(comand="true")  # type: ignore[call-overload]


def test_one_id_needs_no_list(client: Client) -> None:
    client.enqueue(command="true", id="a-b")
    assert [job.id for job in client.hold("a-b").jobs] == ["a-b"]
    assert [job.id for job in client.delete("a-b").jobs] == ["a-b"]


def test_waiting_ends_with_any_job_or_with_patience(served: Client, tmp_path: Path) -> None:
    slow = served.enqueue(command=GATED.format(tmp_path / "gate"))
    quick = served.enqueue(command="true")
    assert [job.id for job in served.wait([slow.id, quick.id], any=True)] == [quick.id]
    with pytest.raises(TimeoutError):
        served.wait(slow.id, timeout=timedelta(milliseconds=50))
    (tmp_path / "gate").touch()
    assert len(served.wait([slow.id, quick.id])) == 2


def test_output_is_followed_while_it_is_written(served: Client, tmp_path: Path) -> None:
    job = served.enqueue(command=f"echo one; {GATED.format(tmp_path / 'gate')}; echo two")
    said = b""
    for stream, data in served.follow(job.id, ticks=True):
        assert stream in (0, 1)
        said += data
        if said == b"one\n":
            assert served.job(job.id).state is JobState.PROCESSING  # the client is free for other things
            (tmp_path / "gate").touch()
    assert said == b"one\ntwo\n"
    with pytest.raises(NotFound):
        next(served.follow("nobody"))


def test_asyncio_follows_and_may_stop_following(served: Client, tmp_path: Path) -> None:
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
        together.wait(20)
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
        env=clean_environment(XDG_STATE_HOME=str(tmp_path)), timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_a_worker_is_started_seen_and_stopped(client: Client) -> None:
    assert client.start_worker(2, queues=["a", "b"], name="here", poll="30s", stop_timeout=60) == "here"
    (worker,) = client.workers()
    assert (worker.name, worker.slots, worker.queues) == ("here", 2, ("a", "b"))
    with pytest.raises(Conflict, match="a worker named here is running"):
        client.start_worker(name="here")
    with pytest.raises(Invalid, match="from 1 to"):
        client.start_worker(0)
    with pytest.raises(NotFound, match="no live worker nobody"):
        client.stop_workers("nobody")
    assert [worker.name for worker in client.stop_workers("her*", timeout="1m")] == ["here"]
    assert client.workers() == []
    client.start_worker(drain=True, name="drains")
    until(lambda: not client.workers(), "it leaves by itself")


def test_a_stop_that_takes_too_long_is_told(served: Client, tmp_path: Path) -> None:
    served.enqueue(command=GATED.format(tmp_path / "gate"), id="slow")
    until(lambda: served.job("slow").started_at)
    with pytest.raises(TimeoutError):
        served.stop_workers(timeout=0.1)
    (tmp_path / "gate").touch()
    served.stop_workers()
    assert served.job("slow").state is JobState.COMPLETED
