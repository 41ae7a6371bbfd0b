"""All commands: those with a module of their own and the plain ones. Help, completion and tests come from here."""

from __future__ import annotations

from functools import cache

from queuectl.cli import plain
from queuectl.cli.command import Command
from queuectl.cli.table import OWN


@cache
def commands() -> dict[str, Command]:
    """All commands by name, those of one noun together."""
    rows = [*OWN.values(), *plain.commands()]
    nouns = list(dict.fromkeys(row.name.partition(" ")[0] for row in rows))
    return {row.name: row for row in sorted(rows, key=lambda row: nouns.index(row.name.partition(" ")[0]))}
