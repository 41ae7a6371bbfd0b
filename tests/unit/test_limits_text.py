"""Limits and units as text."""

from __future__ import annotations

import pytest

from queuectl.domain.errors import Invalid
from queuectl.domain.limits import Pause, Rate
from queuectl.wire.limits import check_units, check_variable, format_rate, parse_rate, pause_words


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10/s", Rate(10, 1.0)), ("100/h", Rate(100, 3600.0)), ("5/15m", Rate(5, 900.0)), ("1/d", Rate(1, 86400.0)),
        ("10000/m,even", Rate(10_000, 60.0, True)), ("3/0.5s", Rate(3, 0.5)), ("3/90s", Rate(3, 90.0)),
    ],
)  # fmt: skip
def test_a_rate_is_read_and_written_alike(text: str, rate: Rate) -> None:
    assert parse_rate(text, "rate") == rate
    assert parse_rate(format_rate(rate), "rate") == rate
    assert format_rate(rate) == text


@pytest.mark.parametrize(
    "text", ["", "10", "/s", "0/s", "10001/s", "-1/s", "1.5/s", "10/", "10/x", "10/0s", "5/s,odd", "5/s,", 5, None]
)
def test_what_is_not_a_rate_is_refused(text: object) -> None:
    with pytest.raises(Invalid, match="rate"):
        parse_rate(text, "rate")


def test_units_are_named_in_order_and_may_come_twice() -> None:
    assert check_units("0, 1,1", "units") == ("0", "1", "1")
    assert check_units(["GPU-a/1"], "units") == ("GPU-a/1",)
    for wrong in ("", "0,,1", [], 3, ["a b"], ["x"] * 10_001):
        with pytest.raises(Invalid, match="unit"):
            check_units(wrong, "units")


def test_the_variable_of_units_is_not_one_of_queuectls_own() -> None:
    assert check_variable("CUDA_VISIBLE_DEVICES", "env") == "CUDA_VISIBLE_DEVICES"
    for wrong in ("", "1A", "A B", "A=B", "QUEUECTL_JOB_ID", "PATH", "HOME", "LC_ALL"):
        with pytest.raises(Invalid, match="env"):
            check_variable(wrong, "env")


def test_a_pause_says_since_when_by_whom_until_when_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pause_words(Pause(0.0)).startswith("paused since 1970-01-01 ")
    words = pause_words(Pause(0.0, 3600.0, "ann", "disk full"))
    assert " by ann until 1970-01-01 " in words
    assert words.endswith(": disk full")
