"""What may keep a due job from starting, decided without a store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from queuectl.domain.limits import (
    Candidate,
    Choice,
    Lock,
    Pause,
    Rate,
    Request,
    Reservation,
    Supply,
    Wanted,
    Window,
    choose,
    numbered,
    rate_room,
    requests_of,
    variables,
)
from tests.builders import NOON


def due(seq: int, **fields: Any) -> Candidate:
    usual = {"priority": 0, "due_at": NOON, "suspect": False, "state": "pending", "queue": "q", "locks": None}
    return Candidate(**{"seq": seq, "expires": False, **usual, **fields})


def chosen(*jobs: Candidate, limit: int = 9, free: Mapping[str, int] | None = None, **more: Any) -> Choice:
    wanted = Wanted(limit, more.pop("suspects", limit), ahead=more.pop("ahead", False))
    units, reserved = free or {}, more.get("reserved", ())
    return choose(
        jobs, wanted, more.get("rooms", {}), lambda name: Supply(numbered(units.get(name, 1)), reserved),
        lambda locks: requests_of(locks.split()),
    )  # fmt: skip


def test_requests_are_read_as_they_are_spelled() -> None:
    assert requests_of(("gpu=2", "db")) == (Request("gpu", 2), Request("db", 1))
    assert [str(each) for each in requests_of(("gpu=2", "db"))] == ["gpu=2", "db"]


def test_units_are_free_in_their_order_and_as_often_as_they_stand() -> None:
    lock = Lock("gpu", ("a", "b", "b", "c"))
    assert lock.free([]) == ["a", "b", "b", "c"]
    assert lock.free(["b", "c"]) == ["a", "b"]
    assert lock.free(["b", "b", "gone"]) == ["a"], "no more are held than there are"


def test_a_command_learns_its_units_by_the_locks_name() -> None:
    assert variables((Lock("gpu-0.a"), ["1", "2"])) == {"QUEUECTL_LOCK_GPU_0_A": "1,2"}
    assert variables((Lock("gpu", env="CUDA"), ["1"])) == {"QUEUECTL_LOCK_GPU": "1", "CUDA": "1"}
    alike = (Lock("gpu-a", env="CUDA"), ["1"]), (Lock("gpu_a"), ["0", "1"]), (Lock("b", env="CUDA"), ["7"])
    assert variables(*alike) == {"QUEUECTL_LOCK_GPU_A": "1,0,1", "QUEUECTL_LOCK_B": "7", "CUDA": "1,7"}


@pytest.mark.parametrize(
    ("rate", "window", "room"),
    [
        (Rate(3, 10), Window(0, None, None), (3, None)),
        (Rate(3, 10), Window(2, None, NOON), (1, None)),
        (Rate(3, 10), Window(3, NOON - 4, NOON), (0, NOON + 6)),
        (Rate(3, 10), Window(5, NOON - 2, NOON), (0, NOON + 8)),
        (Rate(3, 10), Window(3, None, NOON), (0, None)),
        (Rate(5, 10, even=True), Window(0, None, None), (1, None)),
        (Rate(5, 10, even=True), Window(1, None, NOON - 1), (0, NOON + 1)),
        (Rate(5, 10, even=True), Window(1, None, NOON - 2), (1, None)),
        (Rate(5, 10, even=True), Window(5, NOON - 8, NOON - 5), (0, NOON + 2)),
    ],
)
def test_a_rate_leaves_room_or_tells_when(rate: Rate, window: Window, room: tuple[int, float | None]) -> None:
    assert rate_room(rate, window, NOON) == room


def test_a_pause_lasts_until_its_time() -> None:
    assert Pause(NOON).lasts(NOON + 1e9)
    assert Pause(NOON, until=NOON + 1).lasts(NOON)
    assert not Pause(NOON, until=NOON + 1).lasts(NOON + 1)


def test_a_claim_takes_what_fits_in_order() -> None:
    choice = chosen(due(1), due(2, queue="full"), due(3), due(4), limit=3, rooms={"full": 0})
    assert list(choice.taken) == [1, 3, 4]
    assert choice.is_held_up
    choice = chosen(due(1, queue="two"), due(2, queue="two"), due(3, queue="two"), rooms={"two": 2})
    assert list(choice.taken) == [1, 2]


def test_suspects_beyond_their_number_are_passed_over() -> None:
    choice = chosen(due(1, suspect=True), due(2, suspect=True), due(3), suspects=1)
    assert list(choice.taken) == [1, 3]


def test_units_are_all_or_nothing() -> None:
    choice = chosen(due(1, locks="x y"), due(2, locks="y"), due(3, locks="x"), due(4, locks="z=2"), free={"z": 1})
    assert choice.units == {1: {"x": ["0"], "y": ["0"]}}
    assert [job.seq for job in choice.parked] == [2, 3, 4]
    assert {locks: job.seq for locks, job in choice.closed_lines.items()} == {"y": 2, "x": 3, "z=2": 4}


def test_behind_the_first_that_does_not_fit_its_line_is_closed() -> None:
    choice = chosen(due(1, locks="x=2"), due(2, locks="x"), due(3, locks="x=2", parked=True), due(4), free={"x": 1})
    assert list(choice.taken) == [2, 4]
    assert [job.seq for job in choice.parked] == [1]


def test_reservations_bind_only_those_behind_them() -> None:
    reserved = [Reservation((0, NOON, 5), 2)]
    assert list(chosen(due(4, locks="x"), free={"x": 2}, reserved=reserved).taken) == [4]
    assert list(chosen(due(5, locks="x=2"), free={"x": 2}, reserved=reserved).taken) == [5]
    assert list(chosen(due(6, locks="x"), free={"x": 2}, reserved=reserved).taken) == []
    assert list(chosen(due(6, locks="x"), free={"x": 3}, reserved=reserved).taken) == [6]


def test_a_reservation_ends_with_its_job() -> None:
    reserved = [Reservation((0, NOON, 5), 2)]
    choice = chosen(due(5, locks="x=2"), due(6, locks="x"), free={"x": 3}, reserved=reserved)
    assert choice.units == {5: {"x": ["0", "1"]}, 6: {"x": ["2"]}}


@pytest.mark.parametrize("gated", [{"queue": "limited"}, {"locks": "x"}, {"expires": True}])
def test_nothing_at_or_behind_a_gate_is_taken_ahead(gated: dict[str, Any]) -> None:
    choice = chosen(due(1), due(2, **gated), due(3), rooms={"limited": 5}, ahead=True)
    assert list(choice.taken) == [1]
