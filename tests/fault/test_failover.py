"""A primary that dies and a standby that takes its place: with a synchronous one nothing is lost."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from queuectl.client.doctor import examine
from queuectl.client.facade import Client
from queuectl.domain.errors import QueuectlError
from queuectl.domain.job import JobState
from queuectl.store.postgres.store import PostgresStore
from queuectl.wire.requests import parse_request
from tests.fault.history import check, diary_command
from tests.server import Server, new_schema, start_server
from tests.workshop import Workshop, open_workshop, until


@pytest.fixture
def pair() -> Iterator[tuple[Server, Server]]:
    """A primary and its standby, which follows asynchronously."""
    primary = start_server()
    try:
        standby = start_server(primary=primary)
        yield primary, standby
        standby.remove()
    finally:
        primary.remove()


def of_both(primary: Server, standby: Server) -> str:
    """The address of whichever of the two takes writes."""
    hosts = ",".join(f"{server.host}:{server.port}" for server in (primary, standby))
    return f"postgresql://postgres@{hosts}/postgres?target_session_attrs=read-write"


def test_failover_to_a_synchronous_standby_loses_nothing(pair: tuple[Server, Server], tmp_path: Path) -> None:
    primary, standby = pair
    primary.commit_with_standbys()
    diary, gate = tmp_path / "diary", tmp_path / "gate"
    with open_workshop(tmp_path, new_schema(of_both(primary, standby))) as shop:
        worker = shop.worker(4)
        long = shop.enqueue(diary_command(diary, f"while [ ! -e {gate} ]; do sleep 0.05; done"))
        shop.started(long)
        acknowledged: list[str] = []
        enqueuing = threading.Thread(target=_enqueue_until_refused, args=(tmp_path, shop, diary, acknowledged))
        enqueuing.start()
        until(lambda: len(acknowledged) > 100)
        primary.stop(signal.SIGKILL)
        enqueuing.join()
        standby.promote()
        gate.touch()
        until(lambda: _answers(shop), "the store is there again")
        done = shop.finished(long, *acknowledged)
        assert {job.state for job in done} == {JobState.COMPLETED}
        assert {job.lost for job in done} == {0}
        assert shop.job(long).starts == 1, "what ran was not ended"
        assert shop.finished(shop.enqueue("true"))[0].state is JobState.COMPLETED
        assert worker.process.poll() is None
        check(shop, diary, [long, *acknowledged])


def _enqueue_until_refused(folder: Path, shop: Workshop, diary: Path, acknowledged: list[str]) -> None:
    """Adds jobs one by one, over a connection of its own, until the server is gone."""
    client = Client(PostgresStore(shop.address, folder))
    try:
        while True:
            document = {"command": diary_command(diary, "true")}
            acknowledged += [job.id for job in client.enqueue([parse_request(document, time.time())])]
    except QueuectlError:
        client.close()


def _answers(shop: Workshop) -> bool:
    try:
        shop.store.config()
    except QueuectlError:
        return False
    return True


def test_the_doctor_warns_of_an_asynchronous_standby_alone(pair: tuple[Server, Server]) -> None:
    primary, _ = pair
    url = new_schema(primary.url)
    warned = [finding for finding in examine(url) if "asynchronous" in finding.message]
    assert len(warned) == 1
    assert "fencing" in warned[0].message
    assert "synchronous_standby_names" in warned[0].fix
    primary.commit_with_standbys()
    assert not [finding for finding in examine(url) if "asynchronous" in finding.message]
