"""The journal has room for all that can end before the store takes anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from queuectl.domain.cause import Cause
from queuectl.engine.protocol import End, Kept, encode
from queuectl.engine.supervise.execution import SIGNS_MAX, cut
from queuectl.engine.supervise.journal import RESERVE_BYTES, Journal, read_journal
from queuectl.engine.supervise.trees import names_of


def the_largest() -> str:
    """A result with as much in it as can be, but for inline output."""
    outputs: dict[str, Kept] = {
        "1": {"path": "/" + "ä" * 2047, "size": 1 << 62},
        "2": {"path": "workers/w~abcdef/slot-4095.err-1", "size": 9},
    }
    error, leftover = cut("\u20ac" * 130_000), names_of(range(1 << 40, (1 << 40) + 99))
    return encode(End(1 << 62, 1 << 62, 1.0, 2.0, None, 9, Cause.TIMEOUT, error, outputs, leftover).told())


@pytest.mark.parametrize("slots", [1, 4, 600, 4096])
def test_every_slot_can_be_busy_and_every_result_is_kept(tmp_path: Path, slots: int) -> None:
    journal = Journal(tmp_path / "journal", slots)
    largest = the_largest()
    assert len(largest.encode()) < RESERVE_BYTES
    for running in reversed(range(slots)):
        assert journal.spare(running) > 0
        journal.append(largest)
    assert len(read_journal(tmp_path / "journal")) == slots


def test_what_went_wrong_is_told_in_a_line(tmp_path: Path) -> None:
    told = cut("x" * 130_000)
    assert len(told) == SIGNS_MAX
    assert told.endswith("x…")


def test_of_many_processes_the_first_few_are_named() -> None:
    assert names_of([]) == ""
    assert names_of({1 << 40, 1 << 41}) == f"pid {1 << 40}, pid {1 << 41}"
    assert names_of(range(1 << 40, (1 << 40) + 2010)).endswith(", and 2,000 more")
