"""Requests that are repeated: what has not changed is not sent again, and what was added is not added again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier, BrokenBarrierError
from typing import Any

import pytest

from queuectl.client.facade import Client
from queuectl.domain.job import Job
from tests.web.service import Service

JOBS = "/api/v1/jobs"


# --- ETag and If-None-Match -----------------------------------------------------------------


@pytest.mark.parametrize("path", ["/api/v1/jobs?state=pending", "/api/v1/jobs/a", "/api/v1/queues", "/api/v1/config"])
def test_what_has_not_changed_is_not_sent_again(service: Service, path: str) -> None:
    service.enqueue(id="a", held=True)
    first = service.full.get(path)
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "private, no-cache"
    for known in (tag, f'"other", {tag}', tag.removeprefix("W/"), "*"):
        again = service.full.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert service.full.get(path, headers={"If-None-Match": '"other"'}).content == first.content
    service.enqueue(id="b")
    service.full.post("/api/v1/jobs/a/release")
    service.full.put("/api/v1/config/timeout", json={"value": "1h"})
    changed = service.full.get(path, headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag


def test_a_tag_is_of_what_the_reader_may_see(service: Service) -> None:
    service.enqueue(id="a", held=True, env={"PASSWORD": "hunter2"})
    full, masked = service.full.get(f"{JOBS}/a"), service.read_only.get(f"{JOBS}/a")
    assert full.headers["etag"] != masked.headers["etag"]


def test_an_error_and_an_act_have_no_tag(service: Service) -> None:
    assert "etag" not in service.full.get(f"{JOBS}/none").headers
    assert "etag" not in service.full.post(JOBS, json={"command": "true"}).headers


# --- fields ---------------------------------------------------------------------------------


def test_only_the_wanted_keys_of_a_job_are_sent(service: Service) -> None:
    service.enqueue(id="a", held=True)
    assert service.full.get(f"{JOBS}?fields=id,state").json()["jobs"] == [{"id": "a", "state": "pending"}]
    assert service.full.get(f"{JOBS}?fields=reason&fields=id").json()["jobs"] == [{"reason": "held", "id": "a"}]
    assert set(service.full.get(f"{JOBS}/a?fields=events,id").json()) == {"events", "id"}
    assert service.full.get("/api/v1/dlq?fields=output_tail").json()["jobs"] == []
    wrong = service.full.get(f"{JOBS}?fields=id,stat").json()
    assert (wrong["status"], wrong["hint"]) == (400, "did you mean 'state'?")
    assert "hunter2" not in service.read_only.get(f"{JOBS}?fields=env").text


# --- Idempotency-Key ------------------------------------------------------------------------


def test_the_same_request_with_the_same_key_adds_one_job(service: Service) -> None:
    def add(key: str, **fields: object) -> tuple[int, str, bool]:
        told = {"command": "true", "held": True, **fields}
        answer = service.full.post(JOBS, json=told, headers={"Idempotency-Key": key})
        return answer.status_code, answer.json().get("id", ""), "idempotency-replayed" in answer.headers

    status, job, is_replayed = add("one")
    assert (status, is_replayed) == (201, False)
    assert add("one") == (201, job, True)
    assert add('"one"') == (201, job, True)  # as the draft of the standard spells it
    assert add("two")[1] != job
    service.queue.cancel([job])
    told = {"held": True, "command": "true"}
    assert service.full.post(JOBS, json=told, headers={"Idempotency-Key": "one"}).json()["state"] == "cancelled"
    assert add("one", command="false")[0] == 409
    assert add("own", id="mine")[1:] == ("mine", False)
    assert add("own", id="mine")[1:] == ("mine", True)
    assert service.queue.count() == 3


def test_a_list_is_added_once(service: Service) -> None:
    jobs = [{"command": f"echo {number}", "held": True} for number in range(3)]
    answers = [service.full.post(JOBS, json=jobs, headers={"Idempotency-Key": "k"}).json() for _ in range(2)]
    assert [job["id"] for job in answers[0]] == [job["id"] for job in answers[1]]
    assert service.queue.count() == 3
    lines = {"Idempotency-Key": "k", "Content-Type": "application/x-ndjson"}
    assert service.full.post(JOBS, content=b'{"command": "true"}', headers=lines).status_code == 400


def test_a_key_is_for_one_request(service: Service) -> None:
    told = {"Idempotency-Key": "k"}
    jobs = [{"command": f"echo {number}", "held": True} for number in range(2)]
    assert service.full.post(JOBS, json=jobs, headers=told).status_code == 201
    for other in (jobs[:1], [*jobs, jobs[0]], [{**jobs[0], "priority": 5}, jobs[1]], jobs[0], []):
        answer = service.full.post(JOBS, json=other, headers=told)
        assert (answer.status_code, answer.json().get("code")) == (409, "conflict")
    assert service.queue.count() == 2


def test_a_key_that_is_new_adds_what_is_not_there_yet(service: Service) -> None:
    service.enqueue(id="day-1", command="echo 1", held=True)
    jobs = [{"id": f"day-{day}", "command": f"echo {day}", "held": True} for day in (1, 2)]
    told = {"Idempotency-Key": "k"}
    assert service.full.post(JOBS, json=jobs, headers=told).status_code == 409
    for is_replayed in (False, True):
        answer = service.full.post(f"{JOBS}?on_conflict=ignore", json=jobs, headers=told)
        assert [job["id"] for job in answer.json()] == ["day-1", "day-2"]
        assert ("idempotency-replayed" in answer.headers) is is_replayed


def test_an_empty_list_with_a_key_adds_nothing(service: Service) -> None:
    service.enqueue(id="a", held=True)
    answer = service.full.post(JOBS, json=[], headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.json()) == (201, [])


def test_what_a_unique_key_kept_out_does_not_change_the_request(service: Service) -> None:
    service.enqueue(id="a", held=True, unique_key="u")
    jobs = [{"command": "echo 1", "held": True}, {"command": "echo 2", "held": True, "unique_key": "u"}]
    answers = [service.full.post(JOBS, json=jobs, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert [job["id"] for job in answers[0].json()] == [job["id"] for job in answers[1].json()]
    assert answers[1].json()[1]["id"] == "a"
    service.queue.delete([answers[0].json()[0]["id"], "a"])
    assert service.full.post(JOBS, json=jobs, headers={"Idempotency-Key": "k"}).status_code == 201
    assert service.queue.count() == 2


def test_a_copy_is_made_once(service: Service) -> None:
    service.enqueue(id="a", held=True)
    told = {"Idempotency-Key": "k"}
    first, second = (service.full.post(f"{JOBS}/a/clone", json={"priority": 5}, headers=told) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["id"] == second.json()["id"] != "a"
    assert service.queue.count() == 2


def test_a_key_is_its_tokens_own(service: Service) -> None:
    other = service.full.post("/api/v1/tokens", json={"name": "other", "role": "full"}).json()["token"]
    with service.client(other) as second:
        told = {"command": "true", "held": True}
        ids = {
            who.post(JOBS, json=told, headers={"Idempotency-Key": "k"}).json()["id"] for who in (service.full, second)
        }
    assert len(ids) == 2


def test_a_request_that_is_on_its_way_twice_adds_one_job(service: Service) -> None:
    def add(_: int) -> str:
        with service.client(service.tokens["full"]) as client:
            answer = client.post(JOBS, json={"command": "true", "held": True}, headers={"Idempotency-Key": "k"})
            assert answer.status_code == 201, answer.text
            return str(answer.json()["id"])

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(add, range(24)))) == 1
    assert service.queue.count() == 1


@pytest.mark.parametrize(
    ("jobs", "statuses"),
    [([{"command": "true", "held": True}, {"command": "false", "held": True}], [201, 409]),
     ([{"command": "true", "held": True, "unique_key": "u", "on_conflict": "error"}] * 2, [201, 201])],
    ids=["different", "the same"],
)  # fmt: skip
def test_requests_with_one_key_that_come_at_once_take_turns(
    service: Service, monkeypatch: pytest.MonkeyPatch, jobs: list[dict[str, object]], statuses: list[int]
) -> None:
    both, enqueue = Barrier(2), Client.enqueue

    def slow(self: Client, *given: Any, **more: Any) -> list[Job]:
        with suppress(BrokenBarrierError):  # taking turns, they do not meet
            both.wait(0.5)
        return enqueue(self, *given, **more)

    def add(job: dict[str, object]) -> int:
        with service.client(service.tokens["full"]) as client:
            return client.post(JOBS, json=job, headers={"Idempotency-Key": "k"}).status_code

    monkeypatch.setattr(Client, "enqueue", slow)
    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(add, jobs)) == statuses
    assert service.queue.count() == 1


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, '""'])
def test_a_key_that_is_none_is_refused(service: Service, key: str) -> None:
    answer = service.full.post(JOBS, json={"command": "true"}, headers={"Idempotency-Key": key})
    assert answer.status_code == 400
    assert service.queue.count() == 0
