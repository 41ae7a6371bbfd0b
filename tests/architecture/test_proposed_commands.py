"""The commands that messages, hints, fixes and pages propose: each can be typed as it stands."""

from __future__ import annotations

import ast
import html
import re
import shlex
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from queuectl.cli import parser
from queuectl.cli.command import Command
from queuectl.cli.commands import commands
from queuectl.cli.familiar import COMMANDS
from queuectl.cli.hints import on_store
from queuectl.domain.errors import Invalid
from queuectl.domain.proposed import named, option
from tests.architecture.test_house_rules import MODULES, SRC, name_of

QUOTING = {"named", "option", "quote", "join", "lines_for", "whole"}
"""What a value in a command must have gone through."""
PLAIN = {
    "name", "worker.name", "note.name",  # of workers: they begin with a letter or digit
    "command.name", "group", "running + 1", "enough", "more",
}  # fmt: skip
NO_DASHES = {"queuectl clone", "queuectl set", "queuectl schedule set"}
"""Here `--` begins the job's command, so that a name that begins with `-` cannot be typed at all."""
UNQUOTED = {"os.geteuid()", "_local_place()", "words"}
NOUNS = {name.partition(" ")[0] for name in commands()}
SHELL = r"(?:\b(?:chmod|chown|cp|find|fuser|mkdir|mv|rm|touch) |--db )[^;:]*"
"""Other programs, and the option that names a store, with what is filled into them."""
TEXTS_OF_ROWS = ("cli/table", "cli/topics.py", "cli/units.py", "cli/manual.py", "cli/demo.py")
"""Examples are typed by the tests of the manual; others here are no commands."""


class Proposed(NamedTuple):
    """A command in a text: where it stands, what is before it, and the values that are filled into it."""

    module: str
    before: str
    line: str
    values: tuple[str, ...] = ()


def spelled_out(node: ast.expr) -> tuple[str, list[tuple[int, str]]]:
    """A literal's text, with X for each value in it, and where these are."""
    if isinstance(node, ast.Constant):
        return str(node.value), []
    text, values = "", []
    assert isinstance(node, ast.JoinedStr)
    for part in node.values:
        if isinstance(part, ast.Constant):
            text += str(part.value)
        elif isinstance(part, ast.FormattedValue):
            values.append((len(text), ast.unparse(part.value)))
            text += "--queue X" if values[-1][1].startswith("option(") else "X"
    return text, values


def texts_of(tree: ast.Module) -> Iterator[tuple[str, list[tuple[int, str]], bool]]:
    """All texts of a module but docstrings and examples; and whether they are what `Call.command` gets."""
    inner: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            inner |= {id(part) for part in node.values}
        elif isinstance(node, ast.Expr):
            inner.add(id(node.value))
        elif isinstance(node, ast.keyword) and node.arg in ("examples", "description", "help"):
            inner |= {id(part) for part in ast.walk(node.value)}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".command") and node.args:
            inner.add(id(node.args[0]))
            if isinstance(node.args[0], (ast.Constant, ast.JoinedStr)):
                yield *spelled_out(node.args[0]), True
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
        if is_text and id(node) not in inner:
            assert isinstance(node, ast.expr)
            yield *spelled_out(node), False


def in_text(module: str, text: str, values: list[tuple[int, str]]) -> Iterator[Proposed]:
    """The commands in a text, each up to the text's end or what parts it from the next words."""
    for found in re.finditer(r"(?<![\w<`])queuectl ([a-z]+).*?(?=$|; |, or |, (?=-)|`|\))", text):
        if found[1] in NOUNS:
            filled = tuple(value for at, value in values if found.start() < at < found.end())
            yield Proposed(module, text[: found.start()], found[0], filled)


def proposed() -> Iterator[Proposed]:
    for path in MODULES:
        if (module := name_of(path)).startswith(TEXTS_OF_ROWS):
            continue
        for text, values, is_command in texts_of(ast.parse(path.read_text())):
            if not is_command:
                yield from in_text(module, text, values)
            elif text.strip():
                yield Proposed(module, "", f"queuectl {text}", tuple(value for _, value in values))
    for template in sorted(SRC.rglob("*.html")):
        text = re.sub(r"\{\{ queuectl \}\}", "queuectl", template.read_text())
        text = re.sub(r"\{%.*?%\}", "", re.sub(r"\{\{.*?\}\}", "X", text))
        for found in re.findall(r"<code>(queuectl [^<]*)</code>", text):
            yield Proposed(name_of(template), "", html.unescape(found))


PROPOSED = list(dict.fromkeys(proposed()))


def read(line: str) -> Command | str | None:
    """Reads a command line as the command line is read. Raises `Invalid`."""
    words, after = parser.split_words(shlex.split(line)[1:])
    command, words = parser.find_command(words)
    if isinstance(command, Command) and "--help" not in words:
        _, typed = parser.parse(command, words, after)
        parser.check_arity(command, typed if command.takes_command else [*typed, *(after or ())])
    return command


def test_there_are_commands_in_messages() -> None:
    assert len(PROPOSED) > 100


@pytest.mark.parametrize("command", PROPOSED, ids=lambda each: f"{each.module}: {each.line}")
def test_a_proposed_command_can_be_typed(command: Proposed) -> None:
    try:
        read(command.line)
    except Invalid as error:
        pytest.fail(f"{error.message}; {error.hint}")


@pytest.mark.parametrize("command", PROPOSED, ids=lambda each: f"{each.module}: {each.line}")
def test_a_proposed_command_is_on_the_store_in_use(command: Proposed) -> None:
    hint = f"{command.before}{command.line}"
    if "--help" not in command.line and "--db" not in command.line and not command.module.startswith("web/templates"):
        assert on_store(hint, "x.db").count("queuectl --db ") == hint.count("queuectl "), "it must follow a colon"


def test_names_in_proposed_commands_cannot_be_read_as_options() -> None:
    bare = [
        (each.module, each.line, value)
        for each in PROPOSED
        for value in each.values
        if value not in PLAIN
        and not QUOTING & set(re.findall(r"\w+", value))
        and not each.line.startswith(tuple(NO_DASHES))
    ]
    assert bare == []


def test_paths_in_proposed_commands_are_quoted() -> None:
    bare, seen = [], 0
    for path in MODULES:
        for text, values, _ in texts_of(ast.parse(path.read_text())):
            for found in re.finditer(SHELL, text):
                filled = [value for at, value in values if found.start() < at < found.end()]
                seen += len(filled)
                bare += [(name_of(path), found[0], value) for value in filled if "quote(" not in value]
    assert seen > 10
    assert [each for each in bare if each[2] not in UNQUOTED] == []


def test_the_commands_that_are_meant_by_other_words_exist() -> None:
    meant = {" ".join(word for word in each.split() if not word.startswith("-")) for each in COMMANDS.values()}
    assert sorted(meant - {*commands(), *NOUNS, ""}) == []
    assert not [typed for typed in COMMANDS if typed in commands()]


@pytest.mark.parametrize("name", ["video", "-v", "--all", "-"])
def test_a_name_is_read_as_one_whatever_it_begins_with(name: str) -> None:
    for line in (f"queue resume {named(name)}", f"lock set {named(name, '4')}", f"queue set {named(name)} rate=none"):
        words, after = parser.split_words(shlex.split(line))
        command, words = parser.find_command(words)
        assert isinstance(command, Command)
        _, typed = parser.parse(command, words, after)
        assert name in [*typed, *(after or ())]
    words, _ = parser.split_words(shlex.split(f"worker start {option('--queue', name)}"))
    command, words = parser.find_command(words)
    assert isinstance(command, Command)
    assert parser.parse(command, words)[0].queues == [name]
