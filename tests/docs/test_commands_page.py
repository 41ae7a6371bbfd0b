"""The reference of the commands is what the table of commands says."""

from __future__ import annotations

from tests.docs import commands_page


def test_the_reference_is_written_from_the_table_of_commands() -> None:
    again = "write it anew with: python -m tests.docs.commands_page"
    assert commands_page.TABLE.read_text() == commands_page.table(), again
    assert commands_page.PAGE.read_text() == commands_page.page(), again


def test_every_value_is_spelled_as_it_is_typed() -> None:
    page = commands_page.page()
    assert "`--replace OLD NEW`" in page
    assert "| `` |" not in page
