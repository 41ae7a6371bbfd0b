"""Reads a command line: finds the command in the table, its options and its other words.

Options may stand anywhere before `--`, global ones also before the command. In an option's name `_` and `-` are the
same.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

from queuectl.cli.command import GLOBAL_OPTIONS, GROUPS, Command
from queuectl.cli.table_of_jobs import ROWS
from queuectl.domain.errors import Invalid
from queuectl.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from queuectl.cli.options import Option

WITH_VALUE = frozenset({"--db", "--color"})
"""Global options whose value is the next word."""

USUAL = frozenset({"action", "const", "default", "dest", "metavar"})
"""What an option may be without choices, numbers of values and the like."""

OF_JOBS = {row.name: row for row in ROWS}
"""The commands that are used most: for them no other table is loaded. None of these words is also a noun."""

NEVER_PROPOSED = frozenset({"reset"})
"""Commands that are never proposed for an unknown word."""


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
    if name in OF_JOBS:
        return OF_JOBS[name], rest
    from queuectl.cli.table import OWN

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

        if at and (option := words[at - 1]).startswith("-") and not _is_global(option):
            from shlex import quote

            hint = f"only options of all commands stand before one; write: queuectl COMMAND {option} {quote(name)}"
            raise Invalid(f"{option} stands before the command", hint)
        known = {command.partition(" ")[0] for command in commands()}
        raise Invalid(f"unknown command {name!r}", command_hint(name, sorted(known - NEVER_PROPOSED)))
    if verb_at is None:
        return name, rest
    verb = rest.pop(verb_at)
    if f"{name} {verb}" not in commands():
        from queuectl.cli.familiar import command_hint

        raise Invalid(f"unknown command '{name} {verb}'", command_hint(verb, members, name))
    return commands()[f"{name} {verb}"], rest


def _is_global(option: str) -> bool:
    return any(option.partition("=")[0] in each.flags for each in GLOBAL_OPTIONS)


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
) -> tuple[SimpleNamespace, list[str]]:
    """The options and other words of a command; `after` are those behind `--`, or None. Raises `Invalid`."""
    if (usual := read(command, words)) is not None:
        return usual
    from queuectl.cli import arguments

    return arguments.parse(command, words, after)


def read(command: Command, words: Sequence[str]) -> tuple[SimpleNamespace, list[str]] | None:
    """The same without argparse, which would take a tenth of the time of an `enqueue`: only options as the table spells
    them, with values that begin with no dash. None if there is anything else."""
    options = (*command.options, *GLOBAL_OPTIONS)
    known = {flag: option for option in options for flag in option.flags}
    found: dict[str, Any] = {}
    for option in options:
        found.setdefault(option.dest, option.default)
    typed: list[str] = []
    left = iter(words)
    for word in left:
        if word[:1] != "-" or word == "-":
            typed.append(word)
            continue
        name, equals, value = word.partition("=")
        given = known.get(name)
        if given is None or given.how.keys() - USUAL or (equals and not (given.takes_value and name[:2] == "--")):
            return None
        if not given.takes_value:
            found[given.dest] = given.how.get("const", True)
            continue
        if not equals:
            value = next(left, "--")
            if value[:1] == "-" and value != "-":
                return None
        found[given.dest] = [*(found[given.dest] or ()), value] if given.repeats else value
    return SimpleNamespace(**found), typed


def check_arity(command: Command, words: Sequence[str], line: Sequence[str] = ()) -> None:
    """Raises `Invalid` if a command got too few or too many words. `line` are these and its options, as typed."""
    usage = f"usage: queuectl {command.name} {command.words}".rstrip()
    if len(words) < command.least:
        missing = command.words.replace("[", "").replace("]", "").split()[len(words)]
        raise Invalid(f"{command.name} needs {missing}", usage)
    most = command.most if command.words else 0
    if most is not None and len(words) > most:
        from queuectl.cli.familiar import given_options, lines_for, option_for

        hint = usage
        if (option := option_for(words[most], command)) is not None:
            hint = f"give it as an option: {option}"
        elif command.takes_command:
            own = [*words[:most], *given_options(command, line)]
            hint = f"write: {lines_for(command.name, words[most:], own)}"
        raise Invalid(f"{command.name} does not take {words[most]!r}", hint)


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
