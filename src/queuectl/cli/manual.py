"""Manual pages, written from the table of commands: queuectl(1) and one a command. A wheel holds them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from queuectl import __version__
from queuectl.cli import arguments, parser, topics
from queuectl.cli.command import GLOBAL_OPTIONS, GROUPS, Command
from queuectl.cli.commands import commands
from queuectl.cli.options import Option


def pages() -> dict[str, str]:
    """The text of each page by its name."""
    found = {"queuectl": _overview()}
    for command in commands().values():
        found[_page(command)] = _of(command)
    return {f"{name}.1": "\n".join(lines) + "\n" for name, lines in found.items()}


def write(folder: str) -> None:
    """Writes every page into a folder."""
    for name, text in pages().items():
        Path(folder, name).write_text(text)


def _page(command: Command) -> str:
    return f"queuectl-{command.name.replace(' ', '-')}"


def _overview() -> list[str]:
    lines = _head("queuectl", "a durable background job queue for shell commands")
    lines += [".SH SYNOPSIS", r".B queuectl", r".I COMMAND", "[options]"]
    lines += [".SH DESCRIPTION", "Without a command: queuectl status. Start here: queuectl demo."]
    for title in GROUPS:
        lines.append(f".SH {_text(title).upper()}")
        for command in commands().values():
            if command.group == title:
                lines += _entry(f"queuectl {command.name}", command.help)
    lines += [".SH OPTIONS EVERYWHERE", *_options(GLOBAL_OPTIONS)]
    for sections in topics.topics().values():
        for section in sections:
            lines.append(f".SH {_text(section.title).upper()}")
            for word, meaning in section.rows:
                lines += _entry(word, meaning)
    return lines


def _of(command: Command) -> list[str]:
    lines = _head(_page(command), command.help)
    lines += [".SH SYNOPSIS", f".B {_text(arguments.usage_of(command))}"]
    lines += [".SH DESCRIPTION", _text(command.description)]
    if command.options:
        lines += [".SH OPTIONS", *_options(command.options)]
    lines += [".SH OPTIONS EVERYWHERE", *_options(GLOBAL_OPTIONS), ".SH EXAMPLES", ".nf"]
    lines += [_text(example) for example in command.examples]
    noun = command.name.partition(" ")[0]
    near = [_page(each) for name, each in commands().items() if name.partition(" ")[0] == noun and each != command]
    return [*lines, ".fi", ".SH SEE ALSO", ", ".join(f"{_text(page)}(1)" for page in ["queuectl", *near])]


def _head(name: str, meaning: str) -> list[str]:
    title = _text(name).upper()
    return [
        f'.TH "{title}" 1 "" "queuectl {__version__}" "queuectl"', ".nh",
        ".SH NAME", rf"{_text(name)} \- {_text(meaning)}",
    ]  # fmt: skip


def _options(options: Iterable[Option]) -> Iterator[str]:
    for option in options:
        yield from _entry(parser.spelled(option), option.help)


def _entry(term: str, meaning: str) -> list[str]:
    return [".TP", f".B {_text(term)}", _text(meaning)]


def _text(text: str) -> str:
    """Text that roff takes as it is."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq").replace("\n", " ")
    return rf"\&{escaped}" if escaped[:1] in (".", "'") else escaped
