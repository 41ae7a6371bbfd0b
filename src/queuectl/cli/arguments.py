"""Reads options by argparse: the parser of one command, its help, and what is said of words that fit no option."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from types import SimpleNamespace
from typing import NoReturn

from queuectl.cli.command import GLOBAL_OPTIONS, Command
from queuectl.domain.errors import Invalid
from queuectl.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from queuectl.cli.options import Option

HELP_WIDTH_MAX = 80

_WORDS = {
    r"expected (?:one|at least one) argument": "{} needs a value",
    r"expected ([0-9]+) arguments": "{} needs {} values",
    r"ignored explicit argument (.*)": "{} takes no value, not {}",
    r"invalid choice: (.*) \(choose from '?(.*?)'?\)": "{} {} is not one of {}",
}
"""What argparse says of an option, and what we say."""


class _Parser(argparse.ArgumentParser):
    """argparse that raises `Invalid`."""

    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        self.color = False  # Python 3.14 would colour the help regardless of --color

    def error(self, message: str) -> NoReturn:
        for pattern, ours in _WORDS.items():
            if found := re.fullmatch(rf"argument (?:\S+/)?(\S+): {pattern}", message.replace("', '", ", ")):
                message = ours.format(*found.groups())
        quiet = "; for bare ids: --quiet" if message == "--queue needs a value" else ""  # what -q means elsewhere
        raise Invalid(message, f"see: {self.prog} --help{quiet}")


def parse(
    command: Command, words: Sequence[str], after: Sequence[str] | None = None
) -> tuple[SimpleNamespace, list[str]]:
    """The options and other words of a command; `after` are those behind `--`, or None. Raises `Invalid`."""
    parser = build(command)
    args, extras = parser.parse_known_args(_with_values(parser, words))
    typed: list[str] = [*vars(args).pop("words", ()), *extras]
    for extra in extras:
        if extra.startswith("-") and extra != "-":
            hint = _option_hint(parser, command, words, typed, extra, is_parted=after is not None)
            raise Invalid(f"unknown option {extra.partition('=')[0]}", hint)
    return SimpleNamespace(**vars(args)), typed


def _with_values(parser: argparse.ArgumentParser, words: Sequence[str]) -> list[str]:
    """Joins a value that begins with `-`, as in `--sort -id`, to its option, which argparse does not do."""
    known = {flag: action for action in parser._actions for flag in action.option_strings}
    tied: list[str] = []
    for word in words:
        before = known.get(tied[-1]) if tied else None
        if before and before.nargs is None and word[:1] == "-" and word[:2] != "--" and word not in known:
            tied[-1] += f"={word}" if tied[-1].startswith("--") else word
        else:
            tied.append(word)
    return tied


def _option_hint(
    parser: argparse.ArgumentParser, command: Command, words: Sequence[str], typed: Sequence[str], unknown: str,
    is_parted: bool,
) -> str:  # fmt: skip
    """A hint for an unknown option. `typed` are the words that are no known option or its value; `is_parted`: the job's
    command stands behind `--` already."""
    from shlex import join, quote

    from queuectl.cli.familiar import given_options, lines_for, option_meant

    known = [flag for action in parser._actions for flag in action.option_strings if flag.startswith("--")]
    meant = option_meant(unknown.partition("=")[0], known)
    if "KEY=VALUE" in command.words and unknown.startswith("--") and not meant:
        key, equals, value = unknown.removeprefix("--").partition("=")
        if not equals and unknown in words:
            value = next(iter(words[words.index(unknown) + 1 :]), "")
        return f"write it without --: {key}={quote(value) or 'VALUE'}"
    given = [word for word in typed if not word.startswith("-")]
    own = given[: command.least]
    first = next(iter(given[len(own) :]), None)
    is_command = command.takes_command and not set("{:") & set(first or "{")
    if first is not None and is_command and unknown not in words[: words.index(first)]:
        own += given_options(command, words[: words.index(first, words.index(own[-1]) + 1 if own else 0)])
        if re.fullmatch(r"[A-Za-z0-9_./-]+", first):
            return f"put -- before the command: queuectl {join((*command.name.split(), *own))} -- {first} …"
        return f"write: {lines_for(command.name, [first], own)}"
    if meant:
        return f"did you mean {meant!r}?"
    if command.takes_command and not is_parted:
        return f"options of the command itself go after --: queuectl {command.name} -- CMD ARG"
    may_be_name = command.words and not command.takes_command and re.fullmatch(r"-[A-Za-z0-9._:]{2,}", unknown)
    dashed = f"; if it is a name, write: queuectl {command.name} -- {unknown}"
    return f"see: queuectl {command.name} --help{dashed if may_be_name else ''}"


def build(command: Command) -> argparse.ArgumentParser:
    """The parser of one command."""
    parser = _Parser(
        prog=f"queuectl {command.name}", usage=usage_of(command), description=command.description,
        epilog="\n  ".join(["examples:", *command.examples]), formatter_class=_formatter, allow_abbrev=False,
        add_help=False,
    )  # fmt: skip
    fill(parser, command)
    return parser


def fill(parser: argparse.ArgumentParser, command: Command) -> None:
    """Adds the words and options of a command to a parser."""
    if command.words:
        parser.add_argument("words", nargs="*", metavar=command.words, help=argparse.SUPPRESS)
    own = parser.add_argument_group("options")
    for option in command.options:
        _add(own, option)
    everywhere = parser.add_argument_group("everywhere")
    for option in GLOBAL_OPTIONS:
        _add(everywhere, option)


def _add(group: Any, option: Option) -> None:
    group.add_argument(*option.flags, help=option.help, **option.how)


def usage_of(command: Command) -> str:
    """The command's usage line."""
    words = f" {command.words}" if command.words else ""
    tail = " [-- CMD ARG...]" if command.takes_command else ""
    return f"queuectl {command.name}{' [options]' if command.options else ''}{words}{tail}"


class _formatter(argparse.RawDescriptionHelpFormatter):
    """Wraps the description and keeps the examples, in at most 80 columns."""

    def __init__(self, prog: str) -> None:
        import os

        columns = os.environ.get("COLUMNS", "")
        width = int(columns) if columns.isdigit() else HELP_WIDTH_MAX
        super().__init__(prog, max_help_position=30, width=max(40, min(width, HELP_WIDTH_MAX)) - 1)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith("examples:"):
            return super()._fill_text(text, width, indent)
        return argparse.HelpFormatter._fill_text(self, text, width, indent)
