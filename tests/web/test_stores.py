"""Several stores in one server: each has its pages, its API and its streams; the way in is one for all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from queuectl import Client
from queuectl.client import tokens
from queuectl.domain.errors import Invalid
from queuectl.web.app import end_streams
from queuectl.web.public import parse_public_url
from queuectl.web.serve import open_client
from queuectl.web.stores import parse_also
from tests.web.service import Service, serving
from tests.web.test_serve import served
from tests.web.test_streams import Watcher, job_event

SECOND = "/stores/second"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A server of two stores."""
    also = {"second": partial(open_client, str(tmp_path / "second.db"))}
    with serving(tmp_path / "queuectl.db", also=also) as running:
        yield running


def test_each_store_has_its_own_jobs_settings_and_streams(service: Service) -> None:
    first, second = Watcher(service, "/api/v1/events"), Watcher(service, f"{SECOND}/api/v1/events")
    service.enqueue(id="a", held=True)
    made = service.full.post(f"{SECOND}/api/v1/jobs", json={"command": "true", "id": "b", "held": True})
    assert (made.status_code, made.headers["location"]) == (201, f"{SECOND}/api/v1/jobs/b")
    service.full.put(f"{SECOND}/api/v1/config/timeout", json={"value": "1h"})
    first.until(job_event("enqueued", "a"))
    second.until(job_event("enqueued", "b"))
    assert [job["id"] for job in service.full.get("/api/v1/jobs").json()["jobs"]] == ["a"]
    assert [job["id"] for job in service.full.get(f"{SECOND}/api/v1/jobs").json()["jobs"]] == ["b"]
    assert service.full.get("/api/v1/config").text != service.full.get(f"{SECOND}/api/v1/config").text
    end_streams(service.app)
    assert not [event for event in second.end() if event[1].get("job") == "a"]
    assert not [event for event in first.end() if event[1].get("job") == "b"]


def test_its_pages_lead_to_its_pages_and_to_the_other_stores(service: Service) -> None:
    page = service.full.get(f"{SECOND}/jobs").text
    assert f'href="{SECOND}/queues"' in page
    assert f'data-root="{SECOND}"' in page
    assert "<a href='/'" in page
    assert f"<a href='{SECOND}/' aria-current" in page
    assert 'aria-label="Stores"' in service.full.get("/").text
    for path in ("/nope", "/stores/third/", "/stores/", "/stores"):
        assert service.full.get(path).status_code == 404


def test_the_way_in_is_that_of_the_first_store(service: Service, tmp_path: Path) -> None:
    with closing(open_client(str(tmp_path / "second.db"))) as second:
        own = tokens.create(second.store, "tests", "own", "full")[1]
    with service.client(own) as stranger:
        assert stranger.get(f"{SECOND}/api/v1/jobs").status_code == 401
    assert service.stranger.get(f"{SECOND}/api/v1/jobs").status_code == 401
    assert service.stranger.get(f"{SECOND}/static/app.css").status_code == 200
    led = service.stranger.get(f"{SECOND}/jobs", headers={"Accept": "text/html"})
    assert led.headers["location"] == f"{SECOND}/login?next=%2Fjobs"
    with service.client(None) as browser:
        done = browser.post(f"{SECOND}/login", data={"token": service.tokens["full"], "next": "/jobs"})
        assert (done.headers["location"], "; Path=/;" in done.headers["set-cookie"]) == (f"{SECOND}/jobs", True)
        assert browser.get("/").status_code == 200
        browser.headers["Origin"] = service.url
        assert browser.post(f"{SECOND}/logout").status_code == 303
        assert browser.get("/").status_code == 401
    job = {"command": "true"}
    assert service.read_only.post(f"{SECOND}/api/v1/jobs", json=job).status_code == 403
    many = [{"command": "x" * 100_000, "held": True}] * 15  # more than another body may have
    assert service.full.post(f"{SECOND}/api/v1/jobs", json=many).status_code == 201


def test_a_program_reaches_it_by_its_address(service: Service) -> None:
    with Client.remote(f"{service.url}{SECOND}", service.tokens["full"]) as client:
        client.enqueue(command="true", id="b", held=True)
        assert [job.id for job in client.jobs()] == ["b"]
        assert client.job("b").owner == "token:test-full"


def test_below_a_public_path_it_is_below_that_path(tmp_path: Path) -> None:
    also = {"second": partial(open_client, str(tmp_path / "second.db"))}
    with serving(tmp_path / "q.db", also=also, public=parse_public_url("https://example.org/queue")) as service:
        page = service.full.get(f"/queue{SECOND}/jobs").text
        assert f'href="/queue{SECOND}/queues"' in page
        assert "<a href='/queue/'" in page
        assert service.full.get(f"{SECOND}/jobs").text == page


@pytest.mark.parametrize("text", ["", "second", "=x", "second=", "a/b=x", "main=x"])
def test_what_names_no_store_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="--also"):
        parse_also([text])


def test_the_command_serves_several(tmp_path: Path) -> None:
    open_client(str(tmp_path / "second.db")).close()
    also = ("--also", f"second={tmp_path / 'second.db'}")
    with served(tmp_path, *also) as (_, url, token), Client.remote(f"{url}{SECOND}", token) as client:
        client.enqueue(command="true", held=True)
        assert client.count() == 1
    for wrong, why in ((tmp_path, "is a folder, not a queuectl store"), (tmp_path / "none.db", "none.db")):
        with pytest.raises(AssertionError, match=why), served(tmp_path, "--also", f"second={wrong}"):
            pass
        assert not (tmp_path / "none.db").exists()
