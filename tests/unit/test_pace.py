"""How many claims a worker holds ready."""

import pytest

from queuectl.engine.pace import AHEAD_MAX, Pace


def after(*took_s: float) -> Pace:
    pace = Pace()
    for number, each in enumerate(took_s):
        pace.ended(float(number), each)
    return pace


@pytest.mark.parametrize(
    ("took_s", "slots", "ahead"),
    [((), 8, 0), ((0.1,), 8, 8), ((0.2,), 8, 4), ((30.0,), 8, 0), ((0.001,), 8, AHEAD_MAX), ((-3600.0,), 1, AHEAD_MAX)],
)
def test_what_can_start_within_a_moment_is_held_ready(took_s: tuple[float, ...], slots: int, ahead: int) -> None:
    assert after(*took_s).ahead(slots) == ahead


def test_one_long_pause_does_not_slow_what_comes_after_it() -> None:
    pace = after(0.1, 0.1)
    pace.ended(3600.0, 0.1)
    assert pace.ahead(8) == 8


def test_nothing_is_held_ready_while_all_slots_run_long() -> None:
    pace = after(0.1, 0.1)
    pace.stalled()
    assert pace.ahead(8) == 0
    pace.ended(3.0, 0.1)
    assert pace.ahead(8) == 8


def test_the_average_follows_what_runs_now() -> None:
    assert after(86400.0, *[0.1] * 50).ahead(8) == 5
    assert after(0.001, *[10.0] * 50).ahead(8) == 0
