"""Only words that are near are proposed, or what other tools call the same thing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl.cli import familiar
from queuectl.cli.command import GLOBAL_OPTIONS
from queuectl.cli.commands import commands
from queuectl.domain.job import JobState
from queuectl.domain.likeness import KEYS, STATES, distance, near
from queuectl.wire.requests import INPUT_KEYS

OPTIONS = sorted({option.flags[-1] for row in commands().values() for option in (*row.options, *GLOBAL_OPTIONS)})


@pytest.mark.parametrize(
    ("one", "other", "far"),
    [("", "", 0), ("", "abc", 3), ("list", "list", 0), ("lst", "list", 1), ("lsit", "list", 1), ("wroker", "worker", 1),
     ("cancle", "cancel", 1), ("kitten", "sitting", 3), ("newer-than", "older-than", 3)],
)  # fmt: skip
def test_a_slip_is_a_letter_more_less_changed_or_swapped(one: str, other: str, far: int) -> None:
    assert distance(one, other) == distance(other, one) == far


@given(st.text("ab", max_size=6), st.text("ab", max_size=6))
def test_the_distance_of_words_is_zero_for_equal_ones_alone(one: str, other: str) -> None:
    assert (distance(one, other) == 0) == (one == other)
    assert distance(one, other) <= max(len(one), len(other))


@pytest.mark.parametrize("typed", ["--crowd", "--newer-than", "--xyzzy", "--x", "-z"])
def test_what_is_like_no_option_brings_no_proposal(typed: str) -> None:
    assert familiar.option_meant(typed, OPTIONS) is None


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("--sate", "--state"), ("--prio", "--priority"), ("--retries", "--max-retries"), ("--maxretries", "--max-retries"),
     ("--group", "--queue"), ("--workdir", "--cwd"), ("-C", "--cwd"), ("--when", "--at"), ("--timout", "--timeout")],
)  # fmt: skip
def test_an_option_is_found_by_typo_prefix_or_other_name(typed: str, meant: str) -> None:
    assert familiar.option_meant(typed, OPTIONS) == meant


def test_other_tools_words_lead_to_words_there_are() -> None:
    assert set(STATES.values()) <= set(JobState)
    assert not set(STATES) & set(JobState)
    assert set(KEYS.values()) <= set(INPUT_KEYS)
    assert not set(KEYS) & set(INPUT_KEYS)
    assert set(familiar.OPTIONS.values()) <= set(OPTIONS)


@pytest.mark.parametrize(
    ("word", "meant"), [("running", "processing"), ("queued", "pending"), ("done", "completed"), ("dedd", "dead")]
)
def test_a_state_is_found_by_another_tools_name(word: str, meant: str) -> None:
    assert near(word, list(JobState), STATES) == meant


def test_of_two_words_that_begin_alike_none_is_proposed() -> None:
    assert near("backoff", ["backoff-base", "backoff-max"]) is None
    assert near("nothing", []) is None


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["make clean && rm -rf build"], "queuectl enqueue -c 'make clean && rm -rf build'"),
        (["echo `id`"], "queuectl enqueue -c 'echo `id`'"),
        (["it's"], """queuectl enqueue -c 'it'"'"'s'"""),
        (["make clean"], "queuectl enqueue -- make clean, or -c 'make clean'"),
        (["echo", "a; rm b"], """queuectl enqueue -- echo 'a; rm b', or -c 'echo '"'"'a; rm b'"'"''"""),
        (["x" * 500 + ";"], "queuectl enqueue -- CMD ARG, or -c 'CMD ARG'"),
        (["a;\nb"], "queuectl enqueue -- CMD ARG, or -c 'CMD ARG'"),
    ],
)
def test_a_proposed_line_hands_over_the_words_and_does_nothing_else(words: list[str], line: str) -> None:
    assert familiar.lines_for("enqueue", words) == line
