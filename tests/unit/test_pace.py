"""How many claims a worker holds ready."""

from __future__ import annotations

import pytest

from queuectl.engine.dispatch.pace import AHEAD_MAX, GAP_MAX_S, Pace
from tests.builders import ManualClock


def after(clock: ManualClock, *took_s: float) -> Pace:
    """The pace once these have ended, the last one just now."""
    pace = Pace(clock)
    for each in took_s:
        pace.ended(clock.monotonic(), each)
    return pace


@pytest.mark.parametrize(
    ("took_s", "slots", "ahead"),
    [((), 8, 0), ((0.1,), 8, 8), ((0.2,), 8, 4), ((30.0,), 8, 0), ((0.001,), 8, AHEAD_MAX), ((-3600.0,), 1, AHEAD_MAX)],
)
def test_what_can_start_within_a_moment_is_held_ready(took_s: tuple[float, ...], slots: int, ahead: int) -> None:
    assert after(ManualClock(), *took_s).ahead(slots) == ahead


def test_nothing_is_held_ready_after_a_pause_until_a_command_ends() -> None:
    clock = ManualClock()
    pace = after(clock, 0.1, 0.1)
    clock.forward(GAP_MAX_S + 0.01)
    assert pace.ahead(8) == 0
    pace.ended(clock.monotonic(), 0.1)
    assert pace.ahead(8) == 8


def test_nothing_is_held_ready_while_all_slots_run_long() -> None:
    clock = ManualClock()
    pace = after(clock, 0.1, 0.1)
    pace.stalled()
    assert pace.ahead(8) == 0
    pace.ended(clock.monotonic(), 0.1)
    assert pace.ahead(8) == 8


def test_the_average_follows_what_runs_now() -> None:
    assert after(ManualClock(), 86400.0, *[0.1] * 50).ahead(8) == 5
    assert after(ManualClock(), 0.001, *[10.0] * 50).ahead(8) == 0
