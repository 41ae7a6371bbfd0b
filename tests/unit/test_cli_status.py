"""Tables of the status."""

from __future__ import annotations

import os

from queuectl.cli.status import worker_table
from queuectl.client.values import WorkerView
from queuectl.client.workers import stopping_first
from queuectl.domain.condition import Condition
from tests.builders import NOON


def a_view(name: str, host: str) -> WorkerView:
    return WorkerView(
        name=name, host=host, pid=1, slots=2, queues=(), started_at=NOON, seen_at=NOON, running=[], stopping=False,
        condition=Condition.DRIVEN, rows=[],
    )  # fmt: skip


def test_hosts_are_told_where_there_are_several() -> None:
    columns, (here, there) = worker_table([a_view("a", "here"), a_view("b", "there")], NOON)
    assert [column.title for column in columns] == ["NAME", "HOST", "SLOTS", "QUEUES", "MEMORY", "UP", "RUNNING"]
    assert (here[:3], there[:3]) == (("a", "here", "0/2"), ("b", "there", "0/2"))
    columns, (alone,) = worker_table([a_view("a", "here")], NOON)
    assert [column.title for column in columns] == ["NAME", "SLOTS", "QUEUES", "MEMORY", "UP", "RUNNING"]
    assert len(alone) == len(columns)


def test_releases_are_told_where_there_are_several() -> None:
    old, new = a_view("a", "here")._replace(version="0.1.0"), a_view("b", "here")._replace(version="0.2.0")
    columns, rows = worker_table([old, new], NOON)
    at = [column.title for column in columns].index("VERSION")
    assert [row[at] for row in rows] == ["0.1.0", "0.2.0"]
    columns, _ = worker_table([new, new], NOON)
    assert "VERSION" not in [column.title for column in columns]


def test_workers_of_other_hosts_are_to_be_stopped_too() -> None:
    here, there = a_view("a", os.uname().nodename), a_view("b", "there")
    assert stopping_first([here]) == "first: queuectl worker stop"
    assert stopping_first([here, there], "queuectl --db x") == "first: queuectl --db x worker stop --all-hosts"
