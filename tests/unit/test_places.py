"""How a worker's slots are divided among its supervisors, when their number changes."""

from __future__ import annotations

import pytest

from queuectl.engine.dispatch.crew import places_for
from queuectl.engine.dispatch.link import Place

FOUR = [Place(2, 2, 2), Place(0, 2, 2)]


@pytest.mark.parametrize(
    ("slots", "places"),
    [
        (4, [(0, 2, 2), (2, 2, 2)]),
        (3, [(0, 2, 2), (2, 2, 1)]),
        (1, [(0, 2, 1), (2, 2, 0)]),
        (5, [(0, 2, 2), (2, 2, 2), (4, 4, 1)]),
        (20, [(0, 2, 2), (2, 2, 2), (4, 16, 16)]),
    ],
)
def test_the_first_slots_are_used(slots: int, places: list[Place]) -> None:
    assert places_for(slots, FOUR) == places


def test_a_worker_that_grows_by_one_has_few_supervisors() -> None:
    places = [Place(0, 1, 1)]
    for slots in range(2, 101):
        places = places_for(slots, places)
        assert sum(place.used for place in places) == slots
    assert len(places) <= 8
