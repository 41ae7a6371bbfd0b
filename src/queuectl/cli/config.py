"""`config …`: the settings, which are stored with the queue."""

from __future__ import annotations

from queuectl.cli.call import Call
from queuectl.cli.render import Cell, Column
from queuectl.client.documents import setting_text, setting_to_json
from queuectl.settings import SETTINGS, Settings, canonical

COLUMNS = (
    Column("NAME"), Column("VALUE", least=12, wrap=True), Column("DEFAULT", least=12, wrap=True),
    Column("MEANING", least=28, wrap=True),
)  # fmt: skip


def show(call: Call) -> int:
    """Every setting with its value, default and meaning."""
    with call.client() as client:
        settings = client.settings()
    if call.console.as_json:
        call.console.json([setting_to_json(settings, name) for name in SETTINGS])
    elif call.console.quiet:
        call.console.lines(f"{name} = {setting_text(settings, name)}" for name in SETTINGS)
    else:
        call.console.table(
            COLUMNS, [(name, _cell(settings, name), settings.default(name), row.help) for name, row in SETTINGS.items()]
        )
    return 0


def get(call: Call) -> int:
    """One setting's value."""
    name = canonical(call.words[0])
    with call.client() as client:
        settings = client.settings()
    if call.console.as_json:
        call.console.json(setting_to_json(settings, name))
    else:
        call.console.print(setting_text(settings, name))
    return 0


def set_value(call: Call) -> int:
    """Changes a setting."""
    name, value = call.words
    with call.client() as client:
        client.set_setting(name, value)
        return _changed(call, client.settings(), canonical(name))


def unset(call: Call) -> int:
    """Restores a setting's default."""
    name = canonical(call.words[0])
    with call.client() as client:
        client.unset_setting(name)
        return _changed(call, client.settings(), name)


def _changed(call: Call, settings: Settings, name: str) -> int:
    if call.console.as_json:
        call.console.json(setting_to_json(settings, name))
    else:
        call.console.print(f"{name} = {setting_text(settings, name)}")
    return 0


def _cell(settings: Settings, name: str) -> Cell:
    """A setting's value, highlighted unless it is the default."""
    return Cell(setting_text(settings, name), "" if settings.is_default(name) else "bold")
