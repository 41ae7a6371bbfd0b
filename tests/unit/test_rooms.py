"""For how many jobs each supervisor of a worker has room."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from queuectl.engine.dispatch.claiming import Claiming, none_ahead
from queuectl.engine.dispatch.pace import Pace
from tests.builders import ManualClock


def a_link(free: int, *, own: bool = True, flights: int = 0) -> Any:
    return SimpleNamespace(
        for_hooks=False,
        free_slots=lambda: free, own=own, flights=range(flights), leaving=False, is_short=lambda: False,
        channel=SimpleNamespace(closed=False), row=SimpleNamespace(slots=free + flights),
    )  # fmt: skip


@pytest.mark.parametrize(("adopted", "rooms"), [(0, [1, 2]), (1, [2]), (2, [1]), (3, []), (4, [])])
def test_adopted_commands_take_slots_of_the_worker_once(adopted: int, rooms: list[int]) -> None:
    links = [a_link(1), a_link(2), a_link(0, own=False, flights=adopted)]
    no_store: Any = None
    crew: Any = SimpleNamespace(links=links)
    assert [room for _, room in Claiming(no_store, crew, Pace(ManualClock()), print)._rooms(none_ahead)] == rooms
