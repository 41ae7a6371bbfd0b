"""The journal has room for all that can end before the store takes anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from queuectl.engine.protocol import Order, encode
from queuectl.engine.supervise.execution import SIGNS_MAX, result
from queuectl.engine.supervise.journal import RESERVE_BYTES, Journal, read_journal
from queuectl.engine.supervise.trees import names_of

ORDER = Order(seq=1 << 62, lease=1 << 62, number=1, job_id="", queue="", spec=0, command="", timeout=None, kill_grace=0)


def the_largest() -> str:
    """A result with as much in it as can be, but for inline output."""
    outputs = {
        1: {"path": "/" + "ä" * 2047, "size": 1 << 62},
        2: {"path": "workers/w~abcdef/slot-4095.err-1", "size": 9},
    }
    known = {"exit_code": None, "signal": 9, "cause": "timeout", "outputs": outputs}
    return encode(
        result(ORDER, 1.0, 2.0, **known, error="\u20ac" * 130_000, leftover=names_of(range(1 << 40, (1 << 40) + 99)))
    )


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
    told = result(ORDER, 1.0, 2.0, error="x" * 130_000)["error"]
    assert len(told) == SIGNS_MAX
    assert told.endswith("x…")


def test_of_many_processes_the_first_few_are_named() -> None:
    assert names_of([]) == ""
    assert names_of({1 << 40, 1 << 41}) == f"pid {1 << 40}, pid {1 << 41}"
    assert names_of(range(1 << 40, (1 << 40) + 2010)).endswith(", and 2,000 more")
