"""Selections as text: lists with commas, and errors that name a key as it was typed."""

from __future__ import annotations

import pytest

from queuectl.domain.errors import Invalid
from queuectl.domain.job import JobState, Outcome
from queuectl.domain.selector import Selector
from queuectl.wire.selections import LISTS, parse_selection
from queuectl.wire.times import parse_time


def test_a_text_may_list_several_values_where_none_holds_a_comma() -> None:
    found = parse_selection(
        {"state": ["dead,failed"], "queue": ["a, b", "c"], "tag": ["x,y"], "owner": ["me,you"], "exit_code": ["1,2"]}, 0
    )
    assert found == Selector(
        states=(JobState.DEAD, JobState.FAILED), queues=("a", "b", "c"), tags=("x", "y"), owners=("me", "you"),
        exit_codes=(1, 2),
    )  # fmt: skip


def test_a_comma_in_a_glob_or_an_error_is_taken_literally() -> None:
    found = parse_selection({"command": ["rsync a,*"], "error": ["x,"]}, 0)
    assert (found.commands, found.errors) == (("rsync a,*",), ("x,",))


@pytest.mark.parametrize("key", sorted(LISTS - {"state", "exit_code", "outcome"}))
def test_an_empty_value_selects_no_more_than_it_says(key: str) -> None:
    for text in ("", ",", " , "):
        assert parse_selection({key: [text]}, 0) != Selector()


def test_a_key_is_named_as_it_was_typed() -> None:
    with pytest.raises(Invalid, match="--older-than 'x' is not a duration"):
        parse_selection({"older_than": ["x"]}, 0, lambda key: f"--{key.replace('_', '-')}")
    with pytest.raises(Invalid, match="older_than 'x' is not a duration"):
        parse_selection({"older_than": ["x"]}, 0)


def test_ends_are_bounded_by_times_or_by_how_long_ago() -> None:
    now = parse_time("2026-11-29T12:00:00Z", 0)
    found = parse_selection({"ended_after": ["1h"], "ended_before": ["2026-11-29T11:30:00Z"], "outcome": ["lost"]}, now)
    assert (found.ended_after, found.ended_before) == (now - 3600, now - 1800)
    assert found.outcomes == (Outcome.LOST,)
    of_day = parse_selection({"ended_after": ["00:01"]}, now).ended_after
    assert of_day is not None
    assert now - 86400 <= of_day <= now
    with pytest.raises(Invalid, match="ended_after is given twice"):
        parse_selection({"ended_after": ["1h", "2h"]}, now)
    with pytest.raises(Invalid, match="unknown outcome 'fialed'"):
        parse_selection({"outcome": ["fialed"]}, now)
