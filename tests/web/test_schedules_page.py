"""The pages of schedules, and the API behind them."""

from __future__ import annotations

from tests.web.service import Service


def test_schedules_are_added_shown_and_changed_over_http(service: Service) -> None:
    job = {"command": "make report", "queue": "night"}
    added = service.full.post(
        "/api/v1/schedules", json={"name": "report", "cron": "0 3 * * *", "tz": "UTC", "job": job}
    )
    assert (added.status_code, len(added.json()["next"])) == (201, 5)
    assert service.full.post("/api/v1/schedules", json={"name": "report", "every": "5m", "job": job}).status_code == 409
    for wrong in ({"cron": "5-1 * * * *"}, {"cron": "0 3 * * *", "tz": "Mars/Olympus"}, {"every": "0.5s"}, {}):
        body = {"name": "x", "job": job, **wrong}
        assert service.full.post("/api/v1/schedules", json=body).status_code == 400, wrong
    assert service.full.post("/api/v1/schedules/report/run").json()["queue"] == "night"
    for path in ("/schedules", "/schedules/report"):
        shown = service.full.get(path)
        assert (shown.status_code, "report" in shown.text) == (200, True)
    changed = service.full.patch("/api/v1/schedules/report", json={"every": "1h", "job": {"queue": None}}).json()
    assert (changed["cron"], changed["every"], changed["job"]) == (None, "1h", {"command": "make report"})
    page = service.full.get("/schedules/report").text
    assert 'every 1h, counted from <time class="nowrap"' in page, "all times of a page are in the reader's zone"
    assert (
        service.full.post("/api/v1/schedules/report/pause", json={"reason": "why"}).json()["paused"]["reason"] == "why"
    )
    assert service.full.get("/api/v1/schedules").json()[0]["next"] == []
    assert service.full.delete("/api/v1/schedules/report").status_code == 200
    assert service.full.get("/schedules/report").status_code == 404
    assert service.read_only.post("/api/v1/schedules/report/run").status_code == 403
    preview = {"cron": "30 2 * * *", "tz": "Europe/Berlin", "from_": "2026-03-28T12:00:00Z", "count": "2"}
    times = service.read_only.get("/api/v1/schedule-preview", params=preview).json()
    assert times == ["2026-03-29T01:00:00.000000Z", "2026-03-30T00:30:00.000000Z"]


def test_alerts_are_set_and_lifted_over_http(service: Service) -> None:
    watch = {"alert": "mail <me>", "ping": "https://hc.example/uuid", "expect_within": "1h"}
    body = {"name": "nightly", "every": "1h", "job": {"command": "true"}, **watch}
    added = service.full.post("/api/v1/schedules", json=body).json()
    assert (added["alert"], added["ping"], added["expect_within"]) == ("mail <me>", "https://hc.example/uuid", 3600.0)
    assert (added["streak"], added["late"], added["overdue"]) == (None, False, False)
    page = service.full.get("/schedules/nightly").text
    assert "mail &lt;me&gt;" in page
    assert 'name="expect_within" value="1h"' in page
    assert service.full.patch("/api/v1/schedules/nightly", json={"ping": "nowhere"}).status_code == 400
    assert service.full.patch("/api/v1/schedules/nightly", json={"alert": ""}).status_code == 400
    lifted = service.full.patch("/api/v1/schedules/nightly", json=dict.fromkeys(watch, "none")).json()
    assert {key: lifted[key] for key in watch} == dict.fromkeys(watch)
