"""Every command explains itself, and every command line the documentation shows exists."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from queuectl.cli import arguments, parser
from queuectl.cli.command import GROUPS
from queuectl.cli.commands import commands
from queuectl.domain.errors import Invalid

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
SHOWN = re.compile(r"(?:^\$ |^|`)queuectl ((?:--db \S+ )?[a-z][a-z-]*(?: [a-z]+)?)", re.MULTILINE)


@pytest.mark.parametrize("name", commands())
def test_a_command_has_help_with_examples(name: str) -> None:
    command = commands()[name]
    text = arguments.build(command).format_help()
    assert command.group in GROUPS
    assert 1 <= len(command.examples) <= 4
    assert command.help
    assert command.description.endswith(".")
    assert "examples:" in text
    assert all(f"queuectl {name}" in example for example in command.examples)
    assert all(len(line) <= 80 for line in text.splitlines())


@pytest.mark.parametrize("name", commands())
def test_a_command_has_its_function(name: str) -> None:
    module, _, function = commands()[name].target.partition(":")
    assert callable(getattr(import_module(f".{module}", "queuectl.cli"), function))


def test_the_overview_names_every_command_and_fits_a_terminal() -> None:
    text = parser.overview()
    assert all(re.search(rf"^  {name} ", text, re.MULTILINE) for name in commands())
    assert all(len(line) <= 80 for line in text.splitlines())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_the_documentation_exist(page: Path) -> None:
    text = re.sub(r"`{3}\w*", "\n", page.read_text())
    for shown in SHOWN.findall(text):
        words = re.sub(r"^--db \S+ ", "", shown).split()
        if words[0] == "help":
            continue
        groups = {name.partition(" ")[0] for name in commands() if " " in name}
        try:
            command, _ = parser.find_command(words if words[0] in groups else words[:1])
        except Invalid as error:
            raise AssertionError(f"{page.name}: queuectl {shown}: {error.message}") from None
        assert command is not None
