"""When a worker looks for supervisors that nobody drives, and what it does about its own that say nothing."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from queuectl.engine.channel import Channel
from queuectl.engine.dispatch.host import Host
from queuectl.engine.dispatch.link import Link
from queuectl.engine.dispatch.reaper import FROZEN_AFTER_S, LOOK_EVERY_S
from queuectl.engine.dispatch.succession import Succession
from queuectl.engine.happenings import SupervisorFrozen
from queuectl.settings import Settings
from queuectl.store.liveness import hold_lock
from queuectl.store.sqlite.store import SqliteStore
from queuectl.store.values import WorkerRow
from tests.builders import a_job, a_worker

LEASE_S = 2.0
"""Shorter than any supervisor has to answer."""


class Watched(SqliteStore):
    """Counts how often the supervisors are read."""

    looks = 0

    def suspects(self, machine: str, also: Sequence[str]) -> list[WorkerRow]:
        self.looks += 1
        return super().suspects(machine, also)


class Alone:
    """A worker without supervisors, whose time is set by hand."""

    def __init__(self, folder: Path) -> None:
        self.store = Watched(folder / "queuectl.db")
        self.host = Host(self.store.folder)
        self.links: list[Link] = []
        self.told: list[object] = []
        self.now = 100.0
        crew: Any = SimpleNamespace(links=self.links)
        settings = Settings({"lease-ttl": str(LEASE_S)})
        self.succession = Succession(
            self.store, self.host, crew, Mock(), Mock(), Mock(has_begun=False), lambda: settings, None,
            lambda *happenings: self.told.extend(happenings),
        )  # fmt: skip

    def looks(self, times: int = 3) -> int:
        """How often it has read the supervisors, in so many turns."""
        before = self.store.looks
        for _ in range(times):
            self.now += LOOK_EVERY_S
            if self.store.changed():
                self.succession.others_committed()
            self.succession.look_for_others(self.now)
        return self.store.looks - before


@pytest.fixture
def alone(tmp_path: Path) -> Alone:
    return Alone(tmp_path)


def test_who_is_alone_in_a_file_looks_again_when_others_have_written(alone: Alone, tmp_path: Path) -> None:
    alone.looks()
    assert alone.looks() == 0
    SqliteStore(tmp_path / "queuectl.db").set_config("poll", "3s")
    assert alone.looks() == 1


def test_who_is_not_alone_looks_each_time(alone: Alone) -> None:
    row = a_worker(machine=alone.host.machine)
    alone.store.register(row)
    alone.host.folder(row.id).mkdir(parents=True)
    hold_lock(alone.host.folder(row.id))
    alone.looks()
    assert alone.looks() == 3


def test_a_folder_that_was_left_is_looked_at_though_nobody_has_written(alone: Alone) -> None:
    alone.looks()
    alone.host.folder("gone~1").mkdir(parents=True)
    assert alone.looks() == 3


@pytest.fixture
def silent(alone: Alone) -> Iterator[Alone]:
    """With a supervisor of its own that has been asked and says nothing."""
    row = a_worker(machine=alone.host.machine, dispatcher=os.getpid())
    alone.store.register(row)
    alone.host.folder(row.id).mkdir(parents=True)
    hold_lock(alone.host.folder(row.id))
    near, far = map(Channel, socket.socketpair())
    link = Link(row, near)
    link.start([a_job()], alone.now)
    link.ping(alone.now)
    alone.links.append(link)
    yield alone
    near.close()
    far.close()


def hear(alone: Alone, until: float) -> list[object]:
    """What it has told by then."""
    while alone.now < until:
        alone.now += 1.0
        alone.succession.hear_others(alone.now)
    return alone.told


def test_a_supervisor_that_does_not_answer_its_own_dispatcher_is_ended_once(silent: Alone) -> None:
    began = silent.now
    assert hear(silent, began + FROZEN_AFTER_S) == []
    expected = [SupervisorFrozen(worker=silent.links[0].row.id)]
    assert hear(silent, began + FROZEN_AFTER_S + 2) == expected
    assert hear(silent, began + 3 * FROZEN_AFTER_S) == expected


def test_time_that_a_worker_did_not_see_is_no_silence(silent: Alone) -> None:
    hear(silent, silent.now + 1)
    silent.now += 10 * FROZEN_AFTER_S  # suspended
    assert hear(silent, silent.now + FROZEN_AFTER_S) == []
