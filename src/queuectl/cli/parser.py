"""Parses a command line: finds the command in the table, and builds the parser of this command alone.

Options may stand anywhere before `--`, global ones also before the command. In an option's name `_` and `-` are the
same.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from queuectl.cli.command import GLOBAL_OPTIONS, GROUPS, Command
from queuectl.cli.table import OWN
from queuectl.domain.errors import Invalid

if TYPE_CHECKING:
    from queuectl.cli.options import Option

WITH_VALUE = frozenset({"--db", "--color"})
"""Global options whose value is the next word."""

HELP_WIDTH_MAX = 80

NEVER_PROPOSED = frozenset({"reset"})
"""Commands that are never proposed for an unknown word."""


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
        raise Invalid(message, f"see: {self.prog} --help")


def split_words(argv: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """The words before the first `--` (option names with dashes), and those after it or None."""
    words = list(argv)
    after: list[str] | None = None
    if "--" in words:
        at = words.index("--")
        words, after = words[:at], words[at + 1 :]
    return [_with_dashes(word) for word in words], after


def _with_dashes(word: str) -> str:
    if not word.startswith("--"):
        return word
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value


def after_help(words: Sequence[str]) -> list[str] | None:
    """The words of `queuectl help …` but `help`, which options may precede; None for other commands."""
    at = _next_word(words, 0)
    if at is None or words[at] != "help":
        return None
    return [*words[:at], *words[at + 1 :]]


def find_command(words: Sequence[str]) -> tuple[Command | str | None, list[str]]:
    """The command (or a group's name, or None if there are only options) and all other words."""
    rest = list(words)
    at = _next_word(rest, 0)
    if at is None:
        return None, rest
    name = rest.pop(at)
    verb_at = _next_word(rest, at)
    if verb_at is not None and (own := OWN.get(f"{name} {rest[verb_at]}")):
        del rest[verb_at]
        return own, rest
    if name in OWN:
        return OWN[name], rest
    from queuectl.cli.commands import commands

    if name in commands():
        return commands()[name], rest
    members = [command.partition(" ")[2] for command in commands() if command.startswith(name + " ")]
    if not members:
        from queuectl.cli.familiar import command_hint

        known = {command.partition(" ")[0] for command in commands()}
        raise Invalid(f"unknown command {name!r}", command_hint(name, sorted(known - NEVER_PROPOSED)))
    if verb_at is None:
        return name, rest
    verb = rest.pop(verb_at)
    if f"{name} {verb}" not in commands():
        from queuectl.cli.familiar import command_hint

        raise Invalid(f"unknown command '{name} {verb}'", command_hint(verb, members, name))
    return commands()[f"{name} {verb}"], rest


def _next_word(words: Sequence[str], start: int) -> int | None:
    """The index of the next word that is neither a global option nor its value, or None."""
    at = start
    while at < len(words):
        if not words[at].startswith("-") or words[at] == "-":
            return at
        at += 2 if words[at] in WITH_VALUE else 1
    return None


def parse(
    command: Command, words: Sequence[str], after: Sequence[str] | None = None
) -> tuple[argparse.Namespace, list[str]]:
    """The options and other words of a command; `after` are those behind `--`, or None. Raises `Invalid`."""
    parser = build(command)
    args, extras = parser.parse_known_args(_with_values(parser, words))
    typed: list[str] = [*args.words, *extras] if command.words else extras
    for extra in extras:
        if extra.startswith("-") and extra != "-":
            hint = _option_hint(parser, command, words, typed, extra, is_parted=after is not None)
            raise Invalid(f"unknown option {extra.partition('=')[0]}", hint)
    return args, typed


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


def check_arity(command: Command, words: Sequence[str]) -> None:
    """Raises `Invalid` if a command got too few or too many words."""
    usage = f"usage: queuectl {command.name} {command.words}".rstrip()
    if len(words) < command.least:
        missing = command.words.replace("[", "").replace("]", "").split()[len(words)]
        raise Invalid(f"{command.name} needs {missing}", usage)
    most = command.most if command.words else 0
    if most is not None and len(words) > most:
        from queuectl.cli.familiar import lines_for

        hint = usage
        if command.takes_command:
            hint = f"write: {lines_for(command.name, words[most:], words[:most])}"
        raise Invalid(f"{command.name} does not take {words[most]!r}", hint)


def _option_hint(
    parser: argparse.ArgumentParser, command: Command, words: Sequence[str], typed: Sequence[str], unknown: str,
    is_parted: bool,
) -> str:  # fmt: skip
    """A hint for an unknown option. `typed` are the words that are no known option or its value; `is_parted`: the job's
    command stands behind `--` already."""
    from queuectl.cli.familiar import lines_for, option_meant

    given = [word for word in typed if not word.startswith("-")]
    own = given[: command.least]
    first = next(iter(given[len(own) :]), None)
    is_command = command.takes_command and not set("{:") & set(first or "{")
    if first is not None and is_command and unknown not in words[: words.index(first)]:
        if re.fullmatch(r"[A-Za-z0-9_./-]+", first):
            return f"put -- before the command: queuectl {' '.join((command.name, *own))} -- {first} …"
        return f"write: {lines_for(command.name, [first], own)}"
    known = [flag for action in parser._actions for flag in action.option_strings if flag.startswith("--")]
    if meant := option_meant(unknown.partition("=")[0], known):
        return f"did you mean {meant!r}?"
    if command.takes_command and not is_parted:
        return f"options of the command itself go after --: queuectl {command.name} -- CMD ARG"
    return f"see: queuectl {command.name} --help"


def build(command: Command) -> argparse.ArgumentParser:
    """The parser of one command."""
    parser = _Parser(
        prog=f"queuectl {command.name}", usage=usage_of(command), description=command.description,
        epilog=_epilog(command), formatter_class=_formatter, allow_abbrev=False, add_help=False,
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


def _epilog(command: Command) -> str:
    return "\n".join(["examples:", *(f"  {example}" for example in command.examples)])


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


def overview(group: str | None = None) -> str:
    """The help of all commands, or of one group such as `worker`."""
    from queuectl.cli import topics
    from queuectl.cli.commands import commands

    prefix = f"{group} " if group else ""
    shown = [command for command in commands().values() if command.name.startswith(prefix)]

    lines = [
        f"usage: queuectl {group or ''}".rstrip() + " COMMAND [options]",
        "",
        "A durable background job queue for shell commands." if not group else f"Commands of `queuectl {group}`.",
    ]
    for title in GROUPS:
        members = [command for command in shown if command.group == title]
        if members:
            lines += ["", f"{title}:", *(f"  {command.name:<18}{command.help}" for command in members)]
    lines += ["", "Everywhere:"]
    for option in GLOBAL_OPTIONS:
        lines.append(f"  {spelled(option):<29}{option.help}")
    lines += ["", f"More about a command, with examples: queuectl {prefix}COMMAND --help"]
    if not group:
        lines += [f"About: queuectl help {'|'.join(topics.NAMES)}", "Start here: queuectl demo"]
    return "\n".join(lines)


def spelled(option: Option) -> str:
    """Its flags and its value, as help shows them."""
    value = option.how.get("metavar")
    if value is None and "choices" in option.how:
        value = "{" + ",".join(option.how["choices"]) + "}"
    return ", ".join(option.flags) + (f" {value}" if value else "")
