"""The same server on a store in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from queuectl.store.values import LEASE_S
from tests.web.service import Service, serving
from tests.web.test_streams import Watcher, job_event
from tests.workshop import open_workshop

OPERATIONS = ("find_jobs", "find_dead", "group_dead", "enqueue", "cancel_jobs", "stats", "audit", "create_token")
"""Those that put what they are given into SQL."""


@pytest.fixture
def place(emptied_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a store whose folder on this machine is the test's."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return emptied_url


@pytest.fixture
def service(place: str) -> Iterator[Service]:
    with serving(place) as running:
        yield running


def test_a_job_goes_its_way_and_whoever_listens_is_told(place: str, tmp_path: Path) -> None:
    with serving(place) as service, open_workshop(tmp_path, place) as shop:
        watcher = Watcher(service, "/api/v1/events?topics=events&topics=snapshot")
        service.enqueue("echo hi; exit 3", id="a", max_retries=0)
        shop.worker()
        watcher.until(job_event("enqueued", "a"))
        watcher.until(job_event("ended", "a"))
        watcher.until(lambda event: event[0] == "snapshot" and event[1]["counts"]["dead"] == 1)
        shop.finished("a")
        assert service.full.get("/api/v1/jobs/a/output").text == "hi\n"
        assert service.full.get("/api/v1/dlq/groups").json()[0]["jobs"] == 1
        assert service.full.get("/api/v1/stats?window=1m").json()["ended"]["failed"] == 1
        assert 'queuectl_jobs{queue="default",state="dead"} 1.0' in service.full.get("/metrics").text
        assert service.full.post("/api/v1/dlq/retry", json={"selector": {"all": True}}).json()["changed"] == 1
        assert service.full.get("/readyz").status_code == 200
        service.queue.pause_queues("p/q@r", reason="no room")
        service.enqueue(id="b", queue="p/q@r", locks=["l/m@n"])
        for path in ("/", "/queues", "/queues/p%2Fq@r", "/locks", "/locks/l%2Fm@n", "/jobs/b"):
            shown = service.full.get(path)
            assert (shown.status_code, "p/q@r" in shown.text or "l/m@n" in shown.text) == (200, True), path
        status = service.full.get("/api/v1/status").json()
        (worker,) = status["workers"]
        at, seen_at = (datetime.fromisoformat(text).timestamp() for text in (status["at"], worker["seen_at"]))
        assert abs(at - seen_at) < LEASE_S
    watcher.end()


@pytest.mark.parametrize("glob", ["[", "[]", "[z-a]", "a{2}", "(", "*\\", "[^", "[[:alpha:]]", "?[*", "\U0001f600*"])
def test_no_pattern_breaks_a_search(service: Service, glob: str) -> None:
    service.enqueue("echo [x]")  # or nothing would be compared
    for path in ("/api/v1/jobs", "/api/v1/dlq", "/api/v1/dlq/groups"):
        assert service.full.get(path, params={"command": glob}).status_code in (200, 400)


def test_operations_that_reach_into_the_database_keep_what_the_document_says(service: Service, fuzz: Any) -> None:
    fuzz.furnish(service)
    tried = [each for each in fuzz.operations(service) if each.definition.raw["operationId"] in OPERATIONS]
    assert len(tried) == len(OPERATIONS)
    for operation in tried:
        fuzz.try_operation(service, operation, 2, 20261122)
