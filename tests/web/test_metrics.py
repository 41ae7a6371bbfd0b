"""Metrics are read when they are asked for, and what `contrib/` asks of them exists."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parsed_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from queuectl.client.facade import Client
from queuectl.client.metrics import METRICS, OPENMETRICS, PLAIN, EndCounter, Format, negotiated, read, text
from queuectl.store.sqlite.store import SqliteStore
from tests.builders import NOON, ManualClock, a_grip, a_job, claim_one, finish
from tests.web.service import Service

CONTRIB = Path(__file__).parents[2] / "contrib"
NAME = re.compile(r"\bqueuectl_[a-z_]+\b")


def samples(exposition: str) -> dict[str, dict[tuple[str, ...], float]]:
    """The values by metric and label values."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def test_a_scrape_tells_how_the_queue_stands(service: Service) -> None:
    service.enqueue(queue="video")
    service.queue.set_queue("video", concurrency=3)
    service.queue.pause_queues("video")
    service.queue.set_lock("gpu", 4)
    service.enqueue(held=True, locks=["gpu=2"])
    answer = service.read_only.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = samples(answer.text)
    assert found["queuectl_jobs"][("video", "pending")] == 1
    assert (found["queuectl_queue_concurrency"], found["queuectl_queue_paused"]) == (
        {("video",): 3},
        {("default",): 0, ("video",): 1},
    )
    locks = [found[f"queuectl_lock_{name}"][("gpu",)] for name in ("capacity", "held", "waiting")]
    assert locks == [4, 0, 1]
    assert found["queuectl_workers"] == {(): 0}
    assert found["queuectl_oldest_waiting_seconds"][()] >= 0


def test_executions_are_counted_once_however_often_one_asks(tmp_path: Path) -> None:
    clock = ManualClock()
    store = SqliteStore(tmp_path / "queuectl.db", clock)
    client, counter = Client(store, "tests"), EndCounter(Client(store))
    grip = a_grip(store)
    for number in range(6):
        store.insert([a_job(f"job{number}", at=clock.at)])
        finish(store, grip, claim_one(store, grip), exit_code=number % 2)
        clock.forward(2)
        read(client, counter)
    clock.forward(60)
    for _ in range(2):
        found = samples(text(read(client, counter)).decode())
        executions = found["queuectl_executions_total"]
        assert (executions[("completed",)], executions[("failed",)]) == (3, 3)
    assert clock.at > NOON
    store.close()


def test_every_metric_is_given_out_and_described(service: Service) -> None:
    answer = service.full.get("/metrics").text
    described = {family.name: family.documentation for family in text_string_to_metric_families(answer)}
    assert described == {row.name: row.help for row in METRICS.values()}


def test_no_name_or_label_is_one_that_promtool_refuses(service: Service) -> None:
    """The rules of `promtool check metrics` that a metric of ours could break."""
    for row in METRICS.values():
        assert ("quantile" in row.labels) == (row.kind == "summary"), row
        assert row.sample.endswith("_total") == (row.kind == "counter"), row
        assert not {"le", "job", "instance"} & set(row.labels), row
        assert row.help, row
    kinds = re.findall(r"^# TYPE (\w+) (\w+)$", service.full.get("/metrics").text, re.MULTILINE)
    assert dict(kinds) == {row.sample: row.kind for row in METRICS.values()}


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", PLAIN), ("*/*", PLAIN), ("text/plain", PLAIN), ("text/plain;version=1.0.0", PLAIN),
        ("application/openmetrics-text", OPENMETRICS), ("application/openmetrics-text; version=99.0.0", OPENMETRICS),
        ("application/openmetrics-text; version=x; q=nonsense", OPENMETRICS),
        ("application/openmetrics-text;q=0", PLAIN), ("text/plain, application/openmetrics-text;q=0.5", PLAIN),
        ("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version="
         "0.0.1;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2", OPENMETRICS),
    ],
)  # fmt: skip
def test_the_format_is_the_one_asked_for(accept: str, form: Format) -> None:
    assert negotiated(accept) is form


def test_openmetrics_is_served_on_request(service: Service) -> None:
    service.enqueue()
    asked = {"Accept": "application/openmetrics-text; version=1.0.0, text/plain; q=0.5"}
    answer = service.full.get("/metrics", headers=asked)
    assert answer.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    families = {family.name: family.type for family in _strictly_parsed(answer.text)}
    assert families == {row.name: row.kind for row in METRICS.values()}


def test_no_alert_measures_a_change_of_the_jobs_by_delta_or_increase() -> None:
    """They miss what a series holds in its first sample, and give fractions."""
    expressions = re.findall(r"^ *expr: (.+)$", (CONTRIB / "alerts.yml").read_text(), re.MULTILINE)
    assert not [each for each in expressions if re.search(r"(delta|increase|rate)\(queuectl_jobs", each)]
    (dead,) = [each for each in expressions if 'state="dead"' in each]
    assert "offset 15m) or queuectl_jobs" in dead


def _strictly_parsed(exposition: str) -> list[Any]:
    return list(parsed_openmetrics(exposition))  # type: ignore[no-untyped-call]


def known() -> set[str]:
    return {row.sample for row in METRICS.values()}


def test_the_dashboard_for_grafana_asks_for_metrics_there_are() -> None:
    dashboard: dict[str, Any] = json.loads((CONTRIB / "grafana-dashboard.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    names = set(NAME.findall("\n".join(asked)))
    assert len(names) >= 7
    assert names <= known()


def test_the_alert_rules_ask_for_metrics_there_are() -> None:
    rules = (CONTRIB / "alerts.yml").read_text()
    asked = re.findall(r"^ *expr: (.+)$", rules, re.MULTILINE)
    assert len(asked) >= 5
    assert all(set(NAME.findall(expression)) <= known() for expression in asked)
    labels = {label for row in METRICS.values() for label in row.labels}
    used = {label for expression in asked for label in re.findall(r"[{,]\s*(\w+)\s*[=!]", expression)}
    assert used <= labels | {"job"}
