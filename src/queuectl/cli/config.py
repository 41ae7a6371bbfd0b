"""`config show`: the settings that are kept in the store."""

from __future__ import annotations

from queuectl.cli.call import Call
from queuectl.cli.render import Cell, Column
from queuectl.client import config
from queuectl.client.documents import SETTING

COLUMNS = (
    Column("NAME"), Column("VALUE", least=12, wrap=True), Column("DEFAULT", least=12, wrap=True),
    Column("MEANING", least=28, wrap=True),
)  # fmt: skip


def show(call: Call) -> int:
    """Every setting with its value, default and meaning; values that were set are highlighted."""
    with call.client() as client:
        found = client.do(config.SETTINGS_ALL)
    if call.console.as_json:
        call.console.json(list(map(SETTING.json, found)))
    elif call.console.quiet:
        call.console.lines(f"{each.name} = {each.text}" for each in found)
    else:
        rows = [(each.name, Cell(each.text, "bold" if each.set else ""), each.default, each.help) for each in found]
        call.console.table(COLUMNS, rows)
    return 0
