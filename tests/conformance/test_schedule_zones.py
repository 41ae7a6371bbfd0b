"""Schedules in a time zone that the machine has no rules for, on each kind of store."""

from __future__ import annotations

import time
from datetime import tzinfo
from pathlib import Path
from typing import Any

import pytest

from queuectl import zones
from queuectl.client import schedules
from queuectl.client.findings import of_schedules
from queuectl.client.schedule_views import view
from queuectl.domain.errors import Invalid
from queuectl.domain.selector import ALL_JOBS
from queuectl.engine.dispatch.firing import ASK_EVERY_S, Firing
from queuectl.engine.dispatch.recounting import ZONES_EVERY_S
from queuectl.engine.happenings import Happening, ZoneUnknown
from queuectl.store.port import Store
from tests.builders import ManualClock
from tests.unit.test_json_everywhere import typed

ZONE = "Europe/Berlin"


class Idle:
    """What a worker has beside, with nothing to do: it forbids nothing."""

    has_begun = False
    commit_not_before = 0.0

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


@pytest.fixture
def lacking(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Zones that this machine has no rules for."""
    names, known = set[str](), zones.zone

    def zone(name: str) -> tzinfo:
        if name in names:
            raise zones.NoZoneData("no time zone data on this machine")
        return known(name)

    monkeypatch.setattr(zones, "zone", zone)
    monkeypatch.setattr(zones, "forget", lambda: None)
    return names


def add(store: Store) -> None:
    schedules.add(store, "ada", "tick", {"command": "true"}, cron="* * * * *", tz=ZONE)


def test_a_schedule_is_fired_once_the_rules_of_its_zone_are_there(
    store: Store, clock: ManualClock, lacking: set[str]
) -> None:
    add(store)
    heard: list[Happening] = []
    idle: Any = Idle()
    firing = Firing(store, idle, clock, idle, idle, idle, lambda *happened: heard.extend(happened))

    def work(seconds: float) -> None:
        for _ in range(round(seconds / ASK_EVERY_S)):
            clock.forward(ASK_EVERY_S)
            firing.go_on(clock.monotonic())

    lacking.add(ZONE)
    work(3 * ZONES_EVERY_S)
    assert heard == [ZoneUnknown(ZONE)]
    assert store.find(ALL_JOBS) == []
    lacking.clear()
    work(ZONES_EVERY_S + 60)
    assert len(store.find(ALL_JOBS)) == 1  # it has not ended, so later fires are skipped


def test_a_schedule_is_shown_where_its_zone_has_no_rules(store: Store, clock: ManualClock, lacking: set[str]) -> None:
    add(store)
    lacking.add(ZONE)
    clock.forward(125)
    shown = view(store, "ada", "tick")
    assert (shown.overdue, len(shown.next)) == (True, 1)
    (found,) = of_schedules(store)
    assert found.code == "schedule_late"
    assert found.fix == f"this machine has no rules for time zone {ZONE}: update tzdata where workers run"


def test_an_interval_is_shown_where_the_local_zone_has_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typed(tmp_path / "jobs.db", "schedule add tick --every 1d -- true")
    monkeypatch.setenv("TZ", "JST-9")
    time.tzset()
    try:
        code, shown, _ = typed(tmp_path / "jobs.db", "schedule show tick")
    finally:
        monkeypatch.undo()
        time.tzset()
    assert code == 0
    assert "+0900" in shown


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("localtime", "another time zone on each machine; name the zone"),
        ("posixrules", "another time zone on each machine; name the zone"),
        ("posix/Europe/Berlin", "not every machine has a time zone 'posix/Europe/Berlin'; write 'Europe/Berlin'"),
        ("right/Europe/Berlin", "not every machine has a time zone 'right/Europe/Berlin'; write 'Europe/Berlin'"),
    ],
)
def test_a_zone_means_the_same_on_each_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, told: str
) -> None:
    db = tmp_path / "jobs.db"
    for line in (f"add tick --cron @daily --tz {name} -- true", f"preview @daily --tz {name}"):
        code, _, said = typed(db, f"schedule {line}")
        assert (code, told in said) == (2, True), said
    assert not zones.is_named(name)
    monkeypatch.setenv("TZ", name)
    with pytest.raises(Invalid, match="not the name of a time zone"):
        zones.local()


def test_the_machines_zone_has_its_usual_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("", "posix/", "right/"):
        monkeypatch.setenv("TZ", f":/usr/share/zoneinfo/{folder}{ZONE}")
        assert zones.local() == ZONE
