"""Queues and locks as people set and see them, on each kind of store and over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from queuectl import Client, Conflict, Invalid, NotFound
from queuectl.domain.limits import Rate
from tests.conformance.test_client import AnyClient, anywhere, server  # noqa: F401
from tests.workshop import until


def test_a_queue_keeps_its_limits_until_they_are_lifted(anywhere: AnyClient) -> None:  # noqa: F811
    made = anywhere.set_queue("a/b", concurrency=4, rate="5/15m,even", max_retries=7, timeout="10m")
    assert (made.concurrency, made.rate) == (4, Rate(5, 900.0, True))
    assert anywhere.queue("a/b") == made
    job = anywhere.enqueue(command="true", queue="a/b", backoff_base=3)
    own = anywhere.enqueue(command="true", queue="a/b", max_retries=1)
    other = anywhere.enqueue(command="true")
    assert [(each.spec.max_retries, each.spec.timeout) for each in (job, own, other)] == [(7, 600), (1, 600), (3, None)]
    assert anywhere.clone(job.id, {"queue": "default"}).spec.max_retries == 7
    lifted = anywhere.set_queue("a/b", concurrency="none", rate="none", timeout="none")
    assert (lifted.concurrency, lifted.rate, dict(lifted.defaults)) == (None, None, {"max_retries": 7})
    assert (lifted.running, lifted.waiting, lifted.oldest_due is not None) == (0, 2, True)
    assert [queue.name for queue in anywhere.queues()] == ["a/b", "default"]


def test_bad_limits_are_refused_and_change_nothing(anywhere: AnyClient) -> None:  # noqa: F811
    wrong: dict[str, Any]
    for wrong in ({"concurrency": 0}, {"rate": "10"}, {"max_retries": -1}, {"timeout": 0}, {"concurrency": "x"}, {}):
        with pytest.raises(Invalid):
            anywhere.set_queue("q", **wrong)
    with pytest.raises(NotFound, match="no queue q"):
        anywhere.queue("q")
    with pytest.raises(NotFound, match="no queue q"):
        anywhere.resume_queues("q")
    with pytest.raises(Invalid, match=r"no queue given\nname queues, or say that all are meant"):
        anywhere.pause_queues()
    with pytest.raises(Invalid, match=r"exclude each other\ngive one of them"):
        anywhere.pause_queues("q", all=True)
    with pytest.raises(Invalid, match=r"not 0\nto start none, pause the queue"):
        anywhere.set_queue("q", rate="0/s")
    with pytest.raises(Invalid, match="ended"):
        anywhere.pause_queues("q", until="2001-01-01T00:00:00Z")
    assert anywhere.queues() == []


def test_a_pause_has_a_time_a_reason_and_an_author(anywhere: AnyClient) -> None:  # noqa: F811
    until_then = datetime.now(UTC) + timedelta(hours=1)
    (paused,) = anywhere.pause_queues("video", until=until_then, reason="disk full")
    assert paused.pause is not None
    assert (round(paused.pause.until or 0), paused.pause.reason) == (round(until_then.timestamp()), "disk full")
    assert paused.pause.by is not None
    again = anywhere.pause_queues(["video", "mail"], duration="2h")
    assert [queue.name for queue in again] == ["video", "mail"]
    assert again[0].pause is not None
    assert again[0].pause.since == paused.pause.since
    assert list(anywhere.paused(["video", "none"])) == ["video"]
    assert sorted(anywhere.status().paused) == ["mail", "video"]
    assert [queue.name for queue in anywhere.resume_queues(all=True)] == ["mail", "video"]
    assert anywhere.status().paused == {}
    events = [(deed.kind, (deed.detail or "").partition(" ")[0]) for deed in anywhere.audit(limit=2)]
    assert events == [("QueueResumed", "video"), ("QueueResumed", "mail")]


def test_all_means_the_queues_that_exist(anywhere: AnyClient) -> None:  # noqa: F811
    assert anywhere.pause_queues(all=True) == []
    anywhere.enqueue(command="true", queue="a")
    anywhere.set_queue("b", concurrency=1)
    assert [queue.name for queue in anywhere.pause_queues(all=True)] == ["a", "b"]


def test_a_lock_has_units_and_tells_who_needs_them(anywhere: AnyClient) -> None:  # noqa: F811
    anywhere.enqueue(command="true", id="one", locks=["disk"])
    assert [(lock.name, lock.capacity, lock.is_set, lock.waiting) for lock in anywhere.locks()] == [
        ("disk", 1, False, 1)
    ]
    with pytest.raises(Invalid, match="needs 2 units of lock disk, which has 1"):
        anywhere.enqueue(command="true", locks=["disk=2"])
    with pytest.raises(Invalid, match="needs 2 units of lock disk"):
        anywhere.clone("one", {"locks": ["disk=2"]})
    made = anywhere.set_lock("disk", units=["0", "1"], env="DISKS")
    assert (made.units, made.env) == (("0", "1"), "DISKS")
    anywhere.enqueue(command="true", locks=["disk=2"])
    assert anywhere.lock("disk").waiting == 2
    assert (anywhere.set_lock("disk", 3).env, anywhere.set_lock("disk", env="none").env) == ("DISKS", None)
    with pytest.raises(Conflict, match="held or waited for"):
        anywhere.delete_lock("disk")
    with pytest.raises(NotFound, match="no lock x"):
        anywhere.delete_lock("x")
    with pytest.raises(NotFound, match="no lock x"):
        anywhere.lock("x")
    wrong: dict[str, Any]
    for wrong in ({}, {"capacity": 0}, {"units": []}, {"capacity": 1, "units": ["a"]}, {"env": "QUEUECTL_X"}):
        with pytest.raises(Invalid):
            anywhere.set_lock("x", **wrong)
    anywhere.cancel([job.id for job in anywhere.find()])
    anywhere.delete_lock("disk")
    assert anywhere.locks() == []


def test_limits_hold_and_units_reach_the_command_on_a_live_worker(tmp_path: Path) -> None:
    with Client(tmp_path / "jobs.db") as client:
        client.set_queue("one", concurrency=1)
        client.set_lock("gpu", units=["3", "5"], env="CUDA_VISIBLE_DEVICES")
        client.pause_queues("later", reason="not yet")
        alone = "mkdir busy && sleep 0.05 && rmdir busy"
        jobs = [client.enqueue(command=alone, queue="one", cwd=tmp_path) for _ in range(4)]
        said = client.enqueue(command="echo $CUDA_VISIBLE_DEVICES $QUEUECTL_LOCK_GPU", locks=["gpu=2"])
        held = client.enqueue(command="true", queue="later")
        client.start_worker(4, name="here")
        try:
            assert {job.state for job in client.wait([job.id for job in jobs], timeout="1m")} == {"completed"}
            client.wait(said.id, timeout="1m")
            assert client.output(said.id) == b"3,5 3,5\n"
            assert client.job(held.id).state == "pending"
            client.resume_queues("later")
            client.wait(held.id, timeout="1m")
            client.pause_queues("default")
            blocked = client.enqueue(command="true")
            client.wait(client.enqueue(command="true", queue="one").id, timeout="1m")
            assert client.job(blocked.id).state == "pending"
            client.enqueue(command="sleep 60", id="holder", queue="one", locks=["gpu"])
            (hold,) = until(lambda: client.lock("gpu").holders, "the lock is held")
            assert (hold.job, tuple(hold.units)) == ("holder", ("3",))
            assert client.queue("one").running == 1
        finally:
            client.stop_workers(now=True)
