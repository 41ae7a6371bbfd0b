"""The REST API: what each operation does, over a real connection to a real store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from queuectl import places
from queuectl.client.facade import Client
from queuectl.client.operations import OPERATIONS
from queuectl.client.schemas import COMPONENTS
from queuectl.domain.job import Job
from queuectl.domain.lifecycle import Ended
from queuectl.domain.selector import Selector
from queuectl.settings import SETTINGS
from queuectl.store.values import Change
from queuectl.web import serve
from queuectl.wire.jobs import job_to_json
from tests.builders import a_grip, a_job
from tests.web.service import Service
from tests.workshop import open_workshop, until


def test_a_job_over_http_is_the_job_of_the_command_line(service: Service) -> None:
    made = service.enqueue("echo hi", id="job1", tags=["x"], env={"A": "1"}, max_retries=2)
    assert made == job_to_json(service.queue.job("job1"), 'no live worker serves queue "default"')
    assert made["owner"] == "token:test-full"
    assert list(COMPONENTS["Job"]["properties"]) != []
    assert set(COMPONENTS["Job"]["properties"]) == set(job_to_json(a_job()))


def test_a_list_is_added_whole_or_not_at_all(service: Service) -> None:
    answer = service.full.post("/api/v1/jobs", json=[{"command": "true", "id": "a"}, {"command": "true", "id": "b"}])
    assert answer.status_code == 201
    assert [job["id"] for job in answer.json()] == ["a", "b"]
    answer = service.full.post("/api/v1/jobs", json=[{"command": "true", "id": "c"}, {"comand": "true"}])
    assert answer.status_code == 400
    assert answer.json()["detail"] == "job 2: unknown key 'comand'"
    assert answer.json()["hint"] == "did you mean 'command'?"
    answer = service.full.post("/api/v1/jobs", json=[{"command": "true", "id": "c"}, {"command": "true", "id": "a"}])
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert service.full.get("/api/v1/jobs/c").status_code == 404


def test_jobs_may_come_one_a_line(service: Service) -> None:
    lines = b'{"command": "true", "id": "a"}\n\n{"command": ["echo", "b"]}\n'
    answer = service.full.post("/api/v1/jobs", content=lines, headers={"Content-Type": "application/x-ndjson"})
    assert [job["command"] for job in answer.json()] == ["true", ["echo", "b"]]
    for body, detail in (
        (b'{"command": "true"}\n\n{', "the body line 3: the job is not valid JSON"),
        (b'{"command": "true"}\n\n{"comand": "true"}', "the body line 3: unknown key 'comand'"),
        (b'{"command": "true", "id": "c"}\n{"command": "true", "id": "c"}', "the body line 2: id c comes twice"),
        (b'\n{"command": "true", "id": "a"}', "the body line 2: job a exists already"),
    ):
        answer = service.full.post("/api/v1/jobs", content=body, headers={"Content-Type": "application/x-ndjson"})
        assert answer.json()["detail"].startswith(detail)
    assert service.full.get("/api/v1/jobs/c").status_code == 404


def test_a_job_is_read_as_strictly_as_on_the_command_line(service: Service) -> None:
    for body, detail in (
        (b'{"command": "true", "command": "false"}', "key 'command' comes twice"),
        (b'{"command": "true", "id": "\\ud800"}', 'id "\\ud800" is not valid'),
        (b'{"command": "true", "env": {"\\ud800": "x"}}', "env has a variable whose name holds bytes"),
        (b'{"command": "\xff"}', "the body is not UTF-8 text"),
        (b"[" * 100_000, "the body is nested too deeply"),
    ):
        answer = service.full.post("/api/v1/jobs", content=body, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["detail"].startswith(detail)) == (400, True), answer.text


def test_pages_lead_through_all_jobs_without_one_twice(service: Service) -> None:
    service.full.post("/api/v1/jobs", json=[{"command": "true", "id": f"job{number}"} for number in range(7)])
    seen, cursor = [], None
    while True:
        query = {"limit": 3} | ({"cursor": cursor} if cursor else {})
        page = service.full.get("/api/v1/jobs", params=query).json()
        assert page["count"] == 7
        seen += [job["id"] for job in page["jobs"]]
        if not (cursor := page["next"]):
            break
    assert seen == [f"job{number}" for number in reversed(range(7))]
    first = service.full.get("/api/v1/jobs", params={"limit": 2, "oldest_first": "true"}).json()
    assert [job["id"] for job in first["jobs"]] == ["job0", "job1"]


def test_filters_mean_what_they_mean_on_the_command_line(service: Service) -> None:
    service.enqueue("ffmpeg a.mov", id="a", queue="video", tags=["x"])
    service.enqueue("ffmpeg b.mov", id="b", queue="video", held=True)
    service.enqueue("echo", id="c", tags=["x", "y"])
    service.queue.cancel(["c"])

    def found(**query: object) -> list[str]:
        page = service.full.get("/api/v1/jobs", params=query).json()  # type: ignore[arg-type]
        return [job["id"] for job in page["jobs"]]

    assert found(queue="video") == ["b", "a"]
    assert found(tag="x") == ["c", "a"]
    assert found(command="ffmpeg ?.mov", tag="x") == ["a"]
    assert found(state=["pending", "cancelled"], owner="token:test-full") == ["c", "b", "a"]
    assert found(state="pending,cancelled") == ["c", "b", "a"]
    assert found(error="CANCEL") == ["c"]
    assert found(older_than="1h") == []
    assert found(exit_code=3) == []


@pytest.mark.parametrize(
    ("query", "detail"),
    [("state=ded", "unknown state 'ded'"), ("limit=0", "limit must be"), ("limit=1&limit=2", "limit is given 2 times"),
     ("cursor=x", "cursor must be"), ("older_than=soon", "is not a duration"),
     ("exit_code=256", "'256' is not an exit code"), ("queu=x", "unknown parameter 'queu'"),
     ("oldest_first=1", "must be true or false"), ("tag=%00", "NUL"),
     ("command=" + "a" * 5000, "selects by too much")],
)  # fmt: skip
def test_a_wrong_query_is_refused_by_name(service: Service, query: str, detail: str) -> None:
    answer = service.full.get(f"/api/v1/jobs?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert detail in answer.json()["detail"]


def test_one_job_is_acted_on_and_answered_as_it_is_then(service: Service) -> None:
    service.enqueue(id="a")
    for verb, key, value in (("hold", "held", True), ("release", "held", False), ("cancel", "state", "cancelled"),
                             ("retry", "state", "pending")):  # fmt: skip
        answer = service.full.post(f"/api/v1/jobs/a/{verb}")
        assert (answer.status_code, answer.json()[key]) == (200, value)
    service.full.post("/api/v1/jobs/a/cancel")
    refused = service.full.post("/api/v1/jobs/a/cancel")
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert service.full.post("/api/v1/jobs/b/cancel").status_code == 404
    shown = service.full.get("/api/v1/jobs/a").json()
    assert [(event["event"], event["by"]) for event in shown["events"]][1:] == [
        (what, "token:test-full") for what in ("held", "released", "cancelled", "retried", "cancelled")
    ]
    assert service.full.delete("/api/v1/jobs/a").status_code == 204
    assert service.full.delete("/api/v1/jobs/a").status_code == 404


def test_a_whole_filter_is_counted_first_and_then_acted_on(service: Service) -> None:
    jobs = [{"command": "true", "id": f"job{number}", "queue": "a" if number % 2 else "b"} for number in range(1200)]
    service.full.post("/api/v1/jobs", json=jobs)
    selection = {"selector": {"queue": ["a"]}}
    dry = service.full.post("/api/v1/jobs/cancel", json={**selection, "dry_run": True}).json()
    assert (dry["matched"], dry["changed"], dry["dry_run"]) == (600, 0, True)
    done = service.full.post("/api/v1/jobs/cancel", json=selection).json()
    assert (done["matched"], done["changed"], len(done["jobs"])) == (600, 600, 600)
    again = service.full.post("/api/v1/jobs/cancel", json=selection).json()
    assert (again["matched"], again["changed"]) == (0, 0)  # what is cancelled is no longer meant
    counts = service.full.get("/api/v1/status").json()["counts"]
    assert (counts["pending"], counts["cancelled"]) == (600, 600)


def test_a_selector_is_acted_on_slice_by_slice(service: Service) -> None:
    service.full.post("/api/v1/jobs", json=[{"command": "true", "held": True} for _ in range(1200)])
    matched: list[tuple[int, int]] = []
    cursor = None
    while not matched or cursor:
        body = {"selector": {"all": True}, "limit": 550, "cursor": cursor}
        done = service.full.post("/api/v1/jobs/cancel", json=body).json()
        matched.append((done["matched"], done["changed"]))
        cursor = done["next"]
    assert matched == [(550, 550), (550, 550), (100, 100)]
    again = {"selector": {"state": ["cancelled"]}, "limit": 1, "dry_run": True}
    assert service.full.post("/api/v1/jobs/retry", json=again).json()["matched"] == 1


def test_ids_are_acted_on_and_what_is_refused_is_told(service: Service) -> None:
    service.enqueue(id="a")
    service.enqueue(id="b", held=True)
    done = service.full.post("/api/v1/jobs/delete", json={"ids": ["a", "nix"]}).json()
    assert (done["matched"], done["changed"], [job["id"] for job in done["jobs"]]) == (2, 1, ["a"])
    assert [(refused["code"], refused["status"]) for refused in done["refused"]] == [("not_found", 404)]
    held = service.full.post("/api/v1/jobs/hold", json={"selector": {"all": True}}).json()
    assert held["matched"] == 0  # it is held already


def test_jobs_that_were_acted_on_and_exported_ones_have_their_reasons(service: Service) -> None:
    service.enqueue(id="a")
    held = service.full.post("/api/v1/jobs/hold", json={"ids": ["a"]}).json()
    exported = service.full.get("/export/jobs.json").json()
    assert [job["reason"] for job in (*held["jobs"], *exported)] == ["held", "held"]
    assert exported == service.full.get("/api/v1/jobs").json()["jobs"]


@pytest.mark.parametrize(
    "body",
    [{}, {"ids": []}, {"ids": ["a"], "selector": {"all": True}}, {"selector": {}}, {"selector": {"all": False}},
     {"selector": {"stat": ["dead"]}}, {"selector": []}, {"ids": [1]}, {"ids": ["a"], "dry_run": "yes"},
     {"ids": ["a"], "limit": 1}, {"selector": {"all": True}, "limit": 0}, {"selector": {"all": True}, "cursor": "x"},
     {"idz": ["a"]}, [], "all"],
)  # fmt: skip
def test_an_act_that_does_not_say_on_what_touches_nothing(service: Service, body: object) -> None:
    service.enqueue(id="a")
    assert service.full.post("/api/v1/jobs/delete", json=body).status_code == 400
    assert service.full.get("/api/v1/jobs/a").status_code == 200


def test_dead_jobs_are_listed_grouped_and_retried(service: Service) -> None:
    with open_workshop(service.queue.store.folder.parent) as shop:
        for number in range(3):
            service.enqueue(f"echo oops; exit {2 + number % 2}", id=f"job{number}", max_retries=0)
        shop.worker()
        shop.finished("job0", "job1", "job2")
    page = service.full.get("/api/v1/dlq").json()
    newest = page["jobs"][0]
    assert (newest["id"], newest["output_tail"], newest["error"]) == ("job2", "oops\n", "exit code 2")
    first, second = service.full.get("/api/v1/dlq/groups").json()
    assert [(group["jobs"], group["exit_code"]) for group in (first, second)] == [(2, 2), (1, 3)]
    done = service.full.post("/api/v1/dlq/retry", json={"selector": first["selector"]}).json()
    assert sorted(job["id"] for job in done["jobs"]) == ["job0", "job2"]
    assert service.full.post("/api/v1/dlq/purge", json={"selector": {"all": True}}).json()["changed"] == 1
    refused = service.full.post("/api/v1/dlq/retry", json={"ids": ["job0"]}).json()
    assert refused["refused"][0]["detail"] == "job job0 is pending, not dead"


def test_output_is_read_whole_in_parts_and_by_its_tail(service: Service) -> None:
    with open_workshop(service.queue.store.folder.parent) as shop:
        service.enqueue("printf 'one\\ntwo\\nthree\\n'", id="a")
        service.enqueue("true", id="silent")
        shop.worker()
        shop.finished("a")
        shop.finished("silent")

    def read(headers: dict[str, str] | None = None, **query: object) -> tuple[int, bytes]:
        answer = service.full.get("/api/v1/jobs/a/output", params=query, headers=headers)  # type: ignore[arg-type]
        return answer.status_code, answer.content

    assert read() == (200, b"one\ntwo\nthree\n")
    assert read(tail=1) == (200, b"three\n")
    assert read({"Range": "bytes=4-6"}) == (206, b"two")
    assert read({"Range": "bytes=-6"}) == (206, b"three\n")
    assert read({"Range": "bytes=8-"}) == (206, b"three\n")
    assert read({"Range": "bytes=14-"})[0] == 416
    assert read({"Range": "bytes=-0"})[0] == 416
    assert read({"Range": "lines=1-2"}) == (200, b"one\ntwo\nthree\n")
    assert read(attempt=2)[0] == 404
    assert read(stream="stdin")[0] == 400
    end_of_nothing = service.full.get("/api/v1/jobs/silent/output", headers={"Range": "bytes=-6"})
    assert (end_of_nothing.status_code, end_of_nothing.content) == (200, b"")
    saved = service.full.get("/api/v1/jobs/a/output?download=true")
    assert saved.headers["content-disposition"] == 'attachment; filename="a.log"'


def test_workers_are_listed_and_stopped(service: Service) -> None:
    with open_workshop(service.queue.store.folder.parent) as shop:
        worker = shop.worker(2, "--name", "night", "--queue", "video")
        (shown,) = service.full.get("/api/v1/workers").json()
        assert (shown["name"], shown["slots"], shown["queues"], shown["busy"]) == ("night", 2, ["video"], 0)
        assert shown["seen_at"] >= shown["started_at"]
        assert service.full.post("/api/v1/workers/stop", json={"names": ["day"]}).status_code == 404
        asked = service.full.post("/api/v1/workers/stop", json={"names": ["nig*"]})
        assert (asked.status_code, [each["name"] for each in asked.json()]) == (202, ["night"])
        assert worker.wait() == 0
    assert service.full.get("/api/v1/workers").json() == []
    (deed,) = [each for each in service.full.get("/api/v1/audit").json() if each["event"] == "workers_stopped"]
    assert (deed["by"], deed["detail"]) == ("token:test-full", "graceful: night")


def test_queues_are_shown_with_who_serves_them(service: Service) -> None:
    service.enqueue(queue="a/b")
    (queue,) = service.full.get("/api/v1/queues").json()
    assert (queue["name"], queue["counts"]["pending"], queue["workers"]) == ("a/b", 1, 0)
    assert service.full.get("/api/v1/queues/a/b").json() == queue
    assert service.full.get("/api/v1/queues/nix").status_code == 404


def test_a_page_of_a_queue_looks_no_further_than_for_what_waits(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among a million jobs of other queues a look for more takes a tenth of a second."""
    looked: list[tuple[str, ...]] = []
    page = Client.page

    def noted(client: Client, selector: Selector, limit: int) -> list[Job]:
        looked.append(selector.queues)
        return page(client, selector, limit)

    monkeypatch.setattr(Client, "page", noted)
    service.queue.set_queue("idle", concurrency=1)
    for queue, delay in (("due", "0s"), ("later", "1h")):
        service.enqueue(queue=queue, delay=delay)
    for queue in ("idle", "due", "later"):
        assert service.full.get(f"/queues/{queue}").status_code == 200
    assert [queues for (queues,) in looked] == ["idle", "due", "later", "later"]


def test_settings_are_changed_and_put_back(service: Service) -> None:
    assert [each["name"] for each in service.full.get("/api/v1/config").json()] == list(SETTINGS)
    changed = service.full.put("/api/v1/config/max_retries", json={"value": 7}).json()
    assert (changed["name"], changed["value"], changed["set"]) == ("max-retries", 7, True)
    assert service.full.put("/api/v1/config/timeout", json={"value": "soon"}).status_code == 400
    assert service.full.put("/api/v1/config/nix", json={"value": "1"}).status_code == 404
    assert service.enqueue(id="a")["max_retries"] == 7
    assert service.full.delete("/api/v1/config/max-retries").json()["set"] is False
    told = [(each["event"], each["detail"]) for each in service.full.get("/api/v1/audit?limit=2").json()]
    assert told == [("setting_unset", "max-retries"), ("setting_changed", "max-retries=7")]


def test_tokens_are_made_listed_and_revoked(service: Service) -> None:
    made = service.full.post("/api/v1/tokens", json={"name": "monitor"}).json()
    assert (made["role"], made["created_by"]) == ("read-only", "token:test-full")
    with service.client(made["token"]) as monitor:
        assert monitor.get("/metrics").status_code == 200
    assert service.full.post("/api/v1/tokens", json={"name": "monitor"}).status_code == 409
    assert service.full.post("/api/v1/tokens", json={"name": "x", "role": "root"}).status_code == 400
    names = [token["name"] for token in service.full.get("/api/v1/tokens").json()]
    assert names == ["test-full", "test-read-only", "monitor"]
    assert service.full.delete("/api/v1/tokens/monitor").status_code == 204
    assert service.full.delete("/api/v1/tokens/monitor").status_code == 404


def test_deletions_are_remembered_after_the_job_is_gone(service: Service) -> None:
    service.enqueue(id="a")
    service.full.delete("/api/v1/jobs/a")
    latest = service.full.get("/api/v1/audit").json()[0]
    assert (latest["event"], latest["detail"], latest["by"]) == ("deleted", "1: a", "token:test-full")


def test_jobs_are_pruned_as_the_settings_say_or_as_selected(service: Service) -> None:
    for number in range(3):
        service.enqueue(id=f"n{number}", tags=["x"] if number else [])
    service.queue.cancel(["n0", "n1"])
    assert service.full.post("/api/v1/jobs/prune").json() == {"pruned": 0}
    assert service.full.post("/api/v1/jobs/prune", json={"selector": {"tag": ["x"]}}).json() == {"pruned": 1}
    assert service.full.post("/api/v1/jobs/prune", json={"selector": {}}).status_code == 400
    service.queue.set_setting("retention-cancelled", "0s")
    assert service.full.post("/api/v1/jobs/prune", json={"limit": 5}).json() == {"pruned": 1}
    assert service.full.get("/api/v1/audit").json()[0]["detail"] == "1 finished"


def test_hooks_are_pruned_with_jobs_of_their_state(service: Service) -> None:
    prune = "/api/v1/jobs/prune"
    store, now = service.queue.store, service.queue.now()
    grip = a_grip(store, "w")
    for _ in range(2):
        service.enqueue(on_dead="tell", max_retries=0)
    for job in store.claim(grip, "h", 2, ()):
        store.record(grip, [Change(job=job, event=Ended(started_at=now, finished_at=now, exit_code=1))])
    service.queue.cancel([hook.id for hook in service.queue.find(Selector(hooks=True))])
    assert service.full.post(prune, json={"selector": {"state": ["cancelled"], "hooks": False}}).json() == {"pruned": 0}
    assert service.full.post(prune, json={"selector": {"hooks": True}, "limit": 1}).json() == {"pruned": 1}
    assert service.full.post(prune, json={"selector": {"state": ["cancelled"]}}).json() == {"pruned": 1}


def test_a_worker_is_started_under_any_name_that_a_queue_can_have(service: Service) -> None:
    queues = ["--x", "-h", "a/b"]
    answer = service.full.post("/api/v1/workers", json={"count": 2, "queues": queues, "name": "here"})
    assert (answer.status_code, answer.json()) == (201, {"name": "here", "slots": 2})
    (worker,) = service.full.get("/api/v1/workers").json()
    assert (worker["name"], worker["queues"]) == ("here", queues)
    latest = service.full.get("/api/v1/audit").json()[0]
    assert (latest["event"], latest["detail"]) == ("workers_started", "here: 2 slots")
    assert service.full.post("/api/v1/workers", json={"name": "here"}).status_code == 409
    for wrong in ({"queues": ["a" * 200_000]}, {"queues": ["a b"]}, {"name": "n" * 200_000}, {"name": "--help"}):
        assert service.full.post("/api/v1/workers", json=wrong).status_code == 400, wrong
    for act in ("stop", "restart", "reload"):
        assert service.full.post(f"/api/v1/workers/{act}", json={"names": []}).status_code == 400
    service.queue.ask_to_stop(["here"])
    until(lambda: not service.queue.workers(), "it leaves")


def test_figures_tell_what_has_ended(service: Service) -> None:
    with open_workshop(service.queue.store.folder.parent) as shop:
        for number in range(3):
            service.enqueue("exit 1" if number else "true", id=f"job{number}", max_retries=0)
        shop.worker()
        shop.finished("job0", "job1", "job2")
    found = service.full.get("/api/v1/stats", params={"window": "1m", "stretches": 4}).json()
    assert (found["ended"]["completed"], found["ended"]["failed"]) == (1, 2)
    assert sum(part["failed"] for part in found["series"]) == 2
    assert len(found["series"]) == 4
    assert found["failure_rate"] == 0.6667
    assert found["run"]["measured"] == found["wait"]["measured"] == 3
    assert 0 <= found["run"]["p50"] <= found["run"]["max"]
    assert service.full.get("/api/v1/stats?window=100d").status_code == 400


def test_every_operation_is_in_the_document_with_a_name_of_its_own(service: Service) -> None:
    document = service.full.get("/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    listed = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert listed == {(operation.method, operation.path) for operation in OPERATIONS.values()}


def test_a_key_that_comes_twice_is_refused_in_every_body(service: Service) -> None:
    service.enqueue(id="a", held=True)
    for method, path, key in (
        ("POST", "jobs", "command"), ("POST", "jobs/a/clone", "id"), ("PATCH", "jobs/a", "queue"),
        ("PUT", "config/timeout", "value"),
    ):  # fmt: skip
        body = f'{{"{key}": "1h", "{key}": "2h"}}'
        told = service.full.request(
            method, f"/api/v1/{path}", content=body, headers={"Content-Type": "application/json"}
        )
        assert (told.status_code, told.json()["detail"]) == (400, f"key '{key}' comes twice")


def test_a_wrong_path_or_method_is_a_problem_like_any_other(service: Service) -> None:
    for answer, status in ((service.full.get("/api/v1/nix"), 404), (service.full.patch("/api/v1/jobs"), 405)):
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert json.loads(answer.content)["status"] == status
    assert sorted(service.full.patch("/api/v1/jobs").headers["allow"].split(", ")) == ["GET", "HEAD", "POST"]


def test_a_store_that_is_gone_is_not_made_by_the_server_and_lets_nobody_in(service: Service) -> None:
    service.enqueue(id="a")
    places.reset_store(service.db)
    for method, path in (("GET", "status"), ("POST", "jobs")):
        answer = service.full.request(method, f"/api/v1/{path}", json={"command": "true"})
        assert (answer.status_code, answer.json()["code"]) == (503, "store_lost")
    assert not Path(service.db).exists()
    places.open_store(service.db).close()  # as a worker does that goes on
    assert service.full.get("/api/v1/status").status_code == 401


def test_a_token_of_a_store_that_was_replaced_lets_nobody_into_the_new_one(service: Service) -> None:
    assert service.full.get("/api/v1/jobs").status_code == 200
    places.reset_store(service.db)
    places.open_store(service.db).close()
    assert service.full.post("/api/v1/jobs", json={"command": "true"}).status_code == 401
    again = Client(places.open_store(service.db))
    assert again.count() == 0
    again.close()


def test_a_locked_store_is_told_and_can_be_tried_again(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(serve, "STORE_PATIENCE_S", 0.3)
    service: Service = request.getfixturevalue("service")
    service.queue.store.wait_at_most(0)
    with service.queue.store.transaction():
        answer = service.full.post("/api/v1/jobs", json={"command": "true"})
    assert (answer.status_code, answer.json()["code"]) == (503, "store_busy")
    assert answer.headers["retry-after"] == "1"
    assert service.enqueue()["state"] == "pending"


def test_a_gate_that_opens_by_itself_tells_when_in_the_browsers_zone(service: Service) -> None:
    service.enqueue("true", id="later", delay="5h", queue="paused")
    service.full.post("/api/v1/queues/pause", json={"names": ["paused"], "duration": "9h"})
    gates = service.full.get("/api/v1/jobs/later/explanation").json()["gates"]
    page = service.full.get("/jobs/later", headers={"Accept": "text/html"}).text
    for gate in gates[:2]:
        second = f"{gate['opens_at'][:19]}Z"
        assert second in gate["text"]
        assert f'<time class="nowrap" datetime="{gate["opens_at"]}" data-local>{second}</time> (in ' in page


def test_jobs_after_others_over_http(service: Service) -> None:
    service.enqueue("true", id="a")
    made = service.enqueue("true", id="b", after=["a:any"])
    assert (made["state"], made["depends_on"], made["reason"]) == ("blocked", ["a:any"], "waits for job a")
    answer = service.full.post("/api/v1/jobs", json={"command": "true", "depends_on": ["nix"]})
    assert (answer.status_code, answer.json()["detail"]) == (404, "no job nix")
    found = service.full.get("/api/v1/jobs/b/graph").json()
    assert [job["id"] for job in found["jobs"]] == ["a", "b"]
    assert found["links"] == [{"job": "b", "on": "a:any", "parent": "a", "met": None, "why": None}]
    assert service.full.get("/api/v1/jobs/b/explanation").json()["reason_code"] == "blocked"
    service.full.post("/api/v1/jobs/a/cancel")
    assert service.queue.job("b").state == "pending"
    for path, body in (("/jobs/a/retry?cascade=true", None), ("/jobs/retry", {"ids": ["a"], "cascade": True})):
        answer = service.full.post(f"/api/v1{path}", json=body) if body else service.full.post(f"/api/v1{path}")
        assert (answer.status_code, service.queue.job("b").state) == (200, "blocked"), answer.text


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("workers", {"name": "a b"}), ("workers", {"queues": ["a"], "not_queues": ["b"]}), ("workers", {"poll": 0}),
        ("queues/pause", {"names": ["q"], "duration": "1h", "until": "2099-01-01T00:00:00Z"}),
        ("queues/pause", {"names": ["q"], "all": True}), ("queues/pause", {}),
    ],
)  # fmt: skip
def test_refusals_over_http_name_no_options(service: Service, path: str, body: dict[str, Any]) -> None:
    answer = service.full.post(f"/api/v1/{path}", json=body)
    assert answer.status_code == 400
    assert "--" not in answer.text


def test_adding_a_job_documents_that_what_it_depends_on_may_be_unknown() -> None:
    assert 404 in OPERATIONS["enqueue"].fails


def test_a_body_where_none_is_taken_is_refused(service: Service) -> None:
    service.enqueue(id="a", held=True)
    answer = service.full.post("/api/v1/jobs/a/retry", json={"cascade": True})
    assert (answer.status_code, answer.json()["hint"]) == (400, "cascade is a parameter of the query")
    for method, path in (("POST", "jobs/a/cancel"), ("DELETE", "jobs/a")):
        assert service.full.request(method, f"/api/v1/{path}", content=b"\xff").status_code == 400
    assert service.queue.job("a").state == "pending"
    assert service.full.post("/api/v1/jobs/a/cancel", json={}).status_code == 200


def test_hooks_and_the_jobs_of_a_schedule_are_selected_over_http(service: Service) -> None:
    service.full.post("/api/v1/schedules", json={"name": "tick", "every": "1h", "job": {"command": "true"}})
    run = service.full.post("/api/v1/schedules/tick/run").json()["id"]
    service.full.post("/api/v1/jobs", json={"command": "true"})
    found = service.full.get("/api/v1/jobs", params={"schedule": "tick"}).json()["jobs"]
    assert [job["id"] for job in found] == [run]
    assert service.full.get("/api/v1/jobs", params={"hooks": "true"}).json()["jobs"] == []
    assert service.full.get("/api/v1/jobs", params={"hooks": "maybe"}).status_code == 400
    chosen = {"selector": {"schedule": ["tick"], "hooks": False}, "dry_run": True}
    assert service.full.post("/api/v1/jobs/hold", json=chosen).json()["matched"] == 1
