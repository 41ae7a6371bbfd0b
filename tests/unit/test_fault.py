"""Which failures are alike, and what their output said last."""

from __future__ import annotations

import pytest

from queuectl.domain.fault import fault, folded, folded_command, folded_error
from queuectl.wire.words import last_line


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("/usr/bin/python3 /app/import.py --file /data/1/x.csv", "/usr/bin/python3 /app/import.py --file …"),
        ("at 2026-11-29T05:10:03.25Z job k6kw9zrk2k of user-17", "at … job … of user-…"),
        ("x 550e8400-e29b-41d4-a716-446655440000 0xffee", "x … …"),
        ("a  word\tof interconnected things", "a word of interconnected things"),
        ("convert ~/a/b.png ../x/y.png", "convert … …"),
        ("", ""),
    ],
)
def test_what_differs_is_folded_away_but_for_the_program(text: str, left: str) -> None:
    assert folded_command(text) == left
    assert folded(text) == left.replace("/usr/bin/python3", "…")


def test_the_last_line_may_differ_from_its_first_word_on() -> None:
    assert fault("q", "a", "exit code 1", "17 files") == fault("q", "a", "exit code 1", "18 files")
    assert fault("q", "a", "exit code 1", "17 files") != fault("q", "a", "exit code 1", "17 folders")
    assert fault("q", "a", "exit code 1", None) != fault("q", "a", "exit code 2", None)


@pytest.mark.parametrize(
    ("error", "left"),
    [
        ("exit code 75", "exit code 75"),
        ("killed by signal 9", "killed by signal 9"),
        ("timed out after 1.5s", "timed out after 1.5s"),
        ("exit code 137: the OOM killer ended 3 processes", "exit code 137: the OOM killer ended … processes"),
        ("memory limit 4g exceeded (4.1g)", "memory limit …g exceeded (…g)"),
        ("/srv/17/in: no such folder", "…: no such folder"),
    ],
)
def test_an_error_is_folded_but_for_its_status(error: str, left: str) -> None:
    assert folded_error(error) == left


def test_amounts_and_paths_of_an_error_do_not_tell_failures_apart() -> None:
    assert fault("q", "a", "memory limit 4g exceeded (4.1g)", None) == fault(
        "q", "a", "memory limit 4g exceeded (4.3g)", None
    )


@pytest.mark.parametrize(
    ("output", "line"),
    [
        (b"", None),
        (b"\n \n\x1b[0m\n", None),
        (b"one\ntwo\n\n", "two"),
        (b"10%\r20%\r\x1b[31m30%\x1b[0m\r\n", "30%"),
        (b"a\tb\x07\xff", "a b\ufffd"),
        (b"x" * 9000, "x" * 300),
    ],
)
def test_the_last_line_is_the_one_that_says_anything(output: bytes, line: str | None) -> None:
    assert last_line(output) == line
