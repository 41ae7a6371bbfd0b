"""When a supervisor counts as orphaned: what it says of itself, against what the store says of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from queuectl.engine.host import Host
from queuectl.engine.reaper import HELLO_WITHIN_S, Reaper
from queuectl.settings import Settings
from queuectl.store.liveness import hold_lock
from queuectl.store.sqlite import SqliteStore
from tests.builders import a_worker

ORPHANED = {"epoch": 1, "driven": False, "silent": 60.0}
Taken = Callable[[float, dict[str, Any]], bool]


class Line:
    """A connection to a supervisor, with its answer already on it."""

    closed = False

    def __init__(self, state: dict[str, Any]) -> None:
        self._state = state

    def send(self, messages: list[Any]) -> None:
        pass

    def receive(self) -> list[Any]:
        return [["state", self._state]]

    def close(self) -> None:
        pass


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    """One with a living supervisor in it."""
    store = SqliteStore(tmp_path / "queuectl.db")
    row = a_worker(machine=Host(tmp_path).machine)
    store.register(row)
    host = Host(store.folder)
    host.folder(row.id).mkdir(parents=True)
    hold_lock(host.folder(row.id))
    return store


@pytest.fixture
def taken(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> Taken:
    """Whether a reaper takes the supervisor over, at a time and with an answer."""
    host = Host(store.folder)
    reaper = Reaper(store, host, lambda: Settings({}))

    def ask(now: float, state: dict[str, Any]) -> bool:
        monkeypatch.setattr(host, "dial", lambda worker: Line(state))
        assert list(reaper.look({}, now)) == []
        return bool(list(reaper.hear(now, may_adopt=True)))

    return ask


def test_the_undriven_is_taken_at_once(taken: Taken) -> None:
    assert taken(0.0, ORPHANED)


def test_the_driven_is_left_alone(taken: Taken) -> None:
    assert not taken(0.0, {"epoch": 1, "driven": True, "silent": 1.0})


def test_who_has_just_taken_it_in_the_store_has_time_to_tell_it(store: SqliteStore, taken: Taken) -> None:
    (row,) = store.workers()
    store.adopt(row, dispatcher=12)
    assert not taken(0.0, ORPHANED)
    assert not taken(HELLO_WITHIN_S - 0.1, ORPHANED)
    assert taken(HELLO_WITHIN_S + 0.1, ORPHANED), "who took it has died on the way"


def test_every_take_over_has_its_own_time(store: SqliteStore, taken: Taken) -> None:
    for now in (0.0, HELLO_WITHIN_S + 0.1):
        (row,) = store.workers()
        store.adopt(row, dispatcher=12)
        assert not taken(now, ORPHANED)
