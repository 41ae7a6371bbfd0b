"""Tables are aligned, fit where they must, and never send a job's control signs to the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl.cli.render import Cell, Column, Table, cut, paint, visible, width_of
from queuectl.wire.words import age, counted, peak, plain, size

COLUMNS = (Column("ID"), Column("N", right=True), Column("COMMAND", least=10))


def table(
    columns: Sequence[Column], rows: Iterable[Sequence[str | Cell]], *, width: int | None = None, colour: bool = False
) -> list[str]:
    """The lines of a table that comes in one part."""
    return [line for lines in Table(columns, width=width, colour=colour).rows(rows) for line in lines]


def test_columns_are_as_wide_as_their_widest_text() -> None:
    assert table(COLUMNS, [("a", "1", "true"), ("long-id", "10", "false")]) == [
        "ID        N  COMMAND",
        "a         1  true",
        "long-id  10  false",
    ]


def test_a_pipe_gets_everything() -> None:
    assert table(COLUMNS, [("a", "1", "x" * 500)])[1].endswith("x" * 500)


def test_on_a_terminal_only_columns_that_may_give_way_are_cut() -> None:
    lines = table(COLUMNS, [("an-id-that-is-long", "1", "x" * 500)], width=40)
    assert lines[1].startswith("an-id-that-is-long")
    assert lines[1].endswith("…")
    assert all(width_of(line) <= 40 for line in lines)


def test_columns_shrink_to_their_least_before_any_goes_below_it() -> None:
    columns = (Column("A", least=10), Column("B", least=6))
    assert table(columns, [("x" * 50, "y" * 50)], width=18)[1] == "x" * 9 + "…  yyyyy…"
    assert table(columns, [("x" * 50, "y" * 50)], width=14)[1] == "xxxxx…  yyyyy…"
    assert table(columns, [("x" * 50, "y" * 50)], width=1)[1] == "xxxx…  yyyy…"


def test_a_wrapped_column_continues_below_itself() -> None:
    columns = (Column("NAME"), Column("MEANING", least=8, wrap=True))
    assert table(columns, [("a", "one two three")], width=15) == ["NAME  MEANING", "a     one two", "      three"]


def test_colours_take_no_room() -> None:
    plain = table(COLUMNS, [(Cell("a", "red"), "1", "true")])
    coloured = table(COLUMNS, [(Cell("a", "red"), "1", "true")], colour=True)
    assert "\x1b[31ma\x1b[0m" in coloured[1]
    assert coloured[1].replace("\x1b[31m", "").replace("\x1b[0m", "") == plain[1]
    assert paint("a", "red", False) == "a"


def test_wide_signs_count_twice() -> None:
    assert width_of("日本") == 4
    assert cut("日本語", 5) == "日本…"
    assert width_of("e\u0301") == 1


def test_a_commands_words_are_plain_without_colours_titles_and_movements() -> None:
    assert plain("\x1b[1;31mred\x1b[0m \x1b]0;title\x07a\x1b[2Kb\x1b]8;;http://x\x1b\\link\x1b(B") == "red ablink"


@given(st.text(), st.integers(1, 30))
def test_what_is_cut_fits(text: str, width: int) -> None:
    assert width_of(cut(visible(text), width)) <= width


@given(st.text())
def test_what_is_visible_is_one_harmless_line(text: str) -> None:
    assert visible(text).isprintable()


@given(st.lists(st.tuples(st.text(max_size=30), st.text(max_size=5), st.text(max_size=80)), max_size=5))
def test_a_table_has_a_line_a_row(rows: list[tuple[str, str, str]]) -> None:
    assert len(table(COLUMNS, rows, width=60)) == 1 + len(rows)


@pytest.mark.parametrize(
    ("count", "text"), [(None, ""), (0, "0 B"), (1536, "1.5 KiB"), (10 << 20, "10 MiB"), (3 << 30, "3.0 GiB")]
)
def test_sizes_are_in_binary_units(count: int | None, text: str) -> None:
    assert size(count) == text


def test_numbers_of_things() -> None:
    assert counted(1, "job") == "1 job"
    assert counted(1234, "job") == "1,234 jobs"
    assert age(0.4) == "0s"
    assert age(75.9) == "1m15s"


def test_memory_below_what_the_kernel_tells_is_small() -> None:
    assert [peak(99 << 20, 0.1), peak(17 << 20, 0.1), peak(1 << 20, 0.1)] == ["99 MiB", "≤ 17 MiB", "1.0 MiB"]
    assert [peak(None, 0.1), peak(None, None)] == ["< 16 MiB", ""]
