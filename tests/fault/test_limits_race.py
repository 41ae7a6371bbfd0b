"""Limits hold while dispatchers die and freeze; limits_chaos.py does the same for as long as one likes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fault.limit_history import Execution, Line, check_units, longest_unused, most_at_once, narrowest
from tests.fault.limits_chaos import Limits, play

SHORT = Limits(seconds=1.5, slots=(4, 4), unit_jobs=30, stock=15, pause_s=0.7)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_no_limit_is_exceeded_and_nothing_stays_stuck(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("postgres_url") if kind == "postgres" else None
    found, units, _ = play(url, tmp_path, 1, SHORT)
    assert found["ran"] > 0
    assert units["ran"] >= SHORT.unit_jobs


def test_a_history_shows_what_was_too_much() -> None:
    """The judge itself."""
    history = [Execution("a", 0, 1, 4), Execution("b", 0, 2, 3), Execution("c", 0, 3, 9), Execution("d", 0, 8, 9)]
    assert most_at_once(history) == 2
    assert narrowest(history, 1) == 1
    assert narrowest(history, 2) == 2
    assert narrowest(history, 4) == float("inf")
    assert longest_unused(history, 2) == 4
    lines = [Line("a", "1", "start", ("0",)), Line("b", "1", "start", ("1", "2")), Line("a", "1", "end", ("0",))]
    assert check_units(lines, {"0": 1, "1": 1, "2": 1}) == 2
    with pytest.raises(AssertionError):
        check_units([*lines, Line("c", "1", "start", ("2",))], {"0": 1, "1": 1, "2": 1})
