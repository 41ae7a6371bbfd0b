"""Writes `docs/commands.md`, and the table that completion reads, from the tables of commands. Run it with:

python -m tests.docs.commands_page
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from queuectl import program
from queuectl.cli import completing
from queuectl.cli.arguments import usage_of
from queuectl.cli.command import GLOBAL_OPTIONS, GROUPS, Command
from queuectl.cli.commands import commands
from queuectl.cli.contract import document
from queuectl.cli.options import ACT, ENQUEUE, SELECT, Option
from queuectl.cli.topics import SEEN, topics
from queuectl.settings import ALIASES, SETTINGS
from queuectl.wire.requests import INPUT_KEYS

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"

HEAD = """\
# Commands

Generated from the tables of commands (`src/queuectl/cli/table.py`), operations (`src/queuectl/client/operations.py`)
and settings (`src/queuectl/settings.py`) by `python -m tests.docs.commands_page`. A test compares them.

Options may stand anywhere between the command and `--`, those of [all commands](#everywhere) also before the command.
In an option's name `_` and `-` are the same. Durations are `90`, `90s`, `10m`, `1h30m` or `2d`. A generated id may be
shortened to its first 4 or more characters.
"""

JOB = """\
A job's JSON has `command` (a string for the shell, or a list of words) and any of these keys. Most are named like the
options above: {keys}.
"""

TOPICS = """\
## Topics

What scripts can rely on. `queuectl help exit-codes`, `json`, `environment` and `states` print the same; `queuectl help
--json` prints all as one document.
"""

SURROUNDINGS = """\
A command runs in the folder and with the umask of the person who added it. It has its own session and no terminal. Its
input is empty unless `--stdin` names a file.
"""

NOT_PLAYED = {
    "service install": " not-played:systemd",
    "service status": " not-played:systemd",
    "service remove": " not-played:systemd",
    "demo": " not-played:slow",
}
"""Examples that `tests.docs.play` leaves out, see tests/docs/blocks.py."""

SHARED = (("Options of a new job", ENQUEUE), ("Selectors", SELECT), ("Options of acting commands", ACT))
"""Options that several commands take, written once."""


def anchor(name: str) -> str:
    """The link to a heading, as the usual renderers make it."""
    return name.lower().replace(" ", "-")


def cell(text: str) -> str:
    """Text that a table's cell can hold."""
    return text.replace("|", "\\|").replace("*", "\\*")


def spelled(option: Option) -> str:
    """`-f`, `--file FILE`."""
    value = option.how.get("metavar") or ",".join(option.how.get("choices", ()))
    if not isinstance(value, str):
        value = " ".join(value)
    return ", ".join(f"`{flag}`" for flag in option.flags[:-1]) + (
        (", " if len(option.flags) > 1 else "") + f"`{option.flags[-1]}{f' {value}' if value else ''}`"
    )


def options(some: Sequence[Option]) -> Iterator[str]:
    """A table of options."""
    yield "| option | what it does |"
    yield "|---|---|"
    for option in some:
        yield f"| {cell(spelled(option))} | {cell(option.help)} |"


def own_and_shared(command: Command) -> tuple[list[Option], list[str]]:
    """The command's options without shared ones, and the titles of those."""
    own, titles = list(command.options), []
    for title, shared in SHARED:
        if set(map(spelled, shared)) <= set(map(spelled, own)):
            own = [option for option in own if option not in shared]
            titles.append(title)
    return own, titles


def section(command: Command) -> Iterator[str]:
    """All about one command."""
    yield f"### {command.name}"
    yield ""
    yield command.description
    yield ""
    yield "```text"
    yield usage_of(command)
    yield "```"
    yield ""
    own, shared = own_and_shared(command)
    if own:
        yield from options(own)
        yield ""
    if shared:
        yield "Also: " + ", ".join(f"[{title.lower()}](#{anchor(title)})" for title in shared) + "."
        yield ""
    yield "```sh" + NOT_PLAYED.get(command.name, "")
    yield from command.examples
    yield "```"
    yield ""


def settings() -> Iterator[str]:
    """The table of settings."""
    yield "## Settings"
    yield ""
    yield "For `config show`, `config get`, `config set` and `config unset`. In a name `_` and `-` are the same."
    yield ""
    yield "| setting | default | meaning |"
    yield "|---|---|---|"
    for name, row in SETTINGS.items():
        others = "".join(f", `{alias}`" for alias, meant in ALIASES.items() if meant == name)
        yield f"| `{name}`{others} | `{row.default or 'none'}` | {cell(row.help)} |"


def about() -> Iterator[str]:
    """The topics of `queuectl help`."""
    yield TOPICS
    for sections in topics().values():
        for section in sections:
            yield f"### {section.title}"
            yield ""
            yield "| | |"
            yield "|---|---|"
            for word, meaning in section.rows:
                yield f"| `{word}` | {cell(meaning)} |"
            yield ""
            if section.rows is SEEN:
                yield SURROUNDINGS


def page() -> str:
    """The whole page."""
    lines = [HEAD]
    for group in GROUPS:
        members = [command for command in commands().values() if command.group == group]
        lines += [f"**{group}**: " + ", ".join(f"[{row.name}](#{anchor(row.name)})" for row in members), ""]
    lines += ["## Everywhere", "", *options(GLOBAL_OPTIONS), ""]
    for title, shared in SHARED:
        lines += [f"## {title}", "", *options(shared), ""]
        if shared is ENQUEUE:
            lines += [JOB.format(keys=", ".join(f"`{key}`" for key in INPUT_KEYS))]
    for group in GROUPS:
        lines += [f"## {group}", ""]
        for command in commands().values():
            if command.group == group:
                lines += section(command)
    return "\n".join([*lines, *about(), *settings()]) + "\n"


TABLE = Path(program.PACKAGE) / completing.TABLE


def table() -> str:
    """The table that completion reads: a line for each command."""
    told = document()
    commands = {row["name"]: {key: row[key] for key in ("help", "words", "options")} for row in told["commands"]}
    rows = ",\n".join(f"{json.dumps(name)}: {json.dumps(row, ensure_ascii=False)}" for name, row in commands.items())
    return f'{{"options": {json.dumps(told["options"], ensure_ascii=False)}, "commands": {{\n{rows}\n}}}}\n'


if __name__ == "__main__":
    TABLE.write_text(table())
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page())
