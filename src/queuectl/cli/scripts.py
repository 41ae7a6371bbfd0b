"""`--script FILE`: the text that a job runs, and the options in lines `#QUEUECTL …` at its head."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterator
from types import SimpleNamespace

from queuectl.cli.command import GLOBAL_OPTIONS, JOBS, Command
from queuectl.cli.keys import given, spelled
from queuectl.cli.options import ENQUEUE
from queuectl.clock import SystemClock
from queuectl.domain.errors import Invalid
from queuectl.domain.job import SCRIPT_BYTES_MAX
from queuectl.typed import NamedTuple
from queuectl.wire.kinds import JsonObject, check_script
from queuectl.wire.requests import EXCLUSIVE, parse_request

MARK = "#QUEUECTL"


class Script(NamedTuple):
    """A script file: its name, its text, and the keys that its head gives."""

    name: str
    text: str
    given: JsonObject


def read(filename: str, is_template: bool = False) -> Script:
    """Reads a script; `-` is stdin. Raises `Invalid` with the line of a bad option. `is_template`: its options may have
    placeholders, which lines fill in."""
    shown = "stdin" if filename == "-" else filename
    try:
        if filename == "-":
            data = sys.stdin.buffer.read(SCRIPT_BYTES_MAX + 1)
        else:
            with open(filename, "rb") as file:
                data = file.read(SCRIPT_BYTES_MAX + 1)
        if len(data) > SCRIPT_BYTES_MAX:
            told = f"{shown} is longer than {SCRIPT_BYTES_MAX:,} bytes"
            raise Invalid(told, "keep its data elsewhere, such as in a file")
        text = check_script(data.decode(), shown)
    except OSError as error:
        raise Invalid(f"cannot read {shown}: {error.strerror}", "give a script to run") from None
    except UnicodeDecodeError:
        raise Invalid(f"{shown} is not UTF-8 text", "run a program with: queuectl enqueue -- PROGRAM") from None
    given: JsonObject = {}
    for number, line in _marked(text):
        try:
            given = merged(given, _keys(line, is_template))
        except Invalid as error:
            raise Invalid(f"{shown} line {number}: {error.message}", error.hint) from None
    return Script("script" if filename == "-" else os.path.basename(filename), text, given)


def merged(head: JsonObject, typed: JsonObject) -> JsonObject:
    """Both; a key of `typed` counts, also in place of one that it excludes. Variables are those of both."""
    replaced = {each for pair in EXCLUSIVE for key in pair if key in typed for each in pair}
    found = {key: value for key, value in head.items() if key not in replaced} | typed
    if "env" in head and "env" in typed:
        found["env"] = {**head["env"], **typed["env"]}
    return found


def _marked(text: str) -> Iterator[tuple[int, str]]:
    """The marked lines at the head: those after the first line that is no comment do not count."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip() and not line.startswith("#"):
            return
        if line.split(None, 1)[:1] == [MARK]:
            yield number, line[len(MARK) :]


def _without_comment(line: str) -> str:
    """The line up to its comment, which begins as in a shell: with a `#` where a word would begin. One for `shlex`
    begins within a word too."""
    quote, before, at = "", " ", 0
    while at < len(line):
        char = line[at]
        if char == "\\" and quote != "'":
            at += 1
        elif quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char == "#" and before.isspace():
            return line[:at]
        before = char
        at += 1
    return line


def _keys(line: str, is_template: bool) -> JsonObject:
    """The keys that the options of a line give. Raises `Invalid`. What has placeholders in a template is checked once
    they are filled in."""
    from queuectl.cli import parser

    try:
        words, after = parser.split_words(shlex.split(_without_comment(line)))
    except ValueError as error:
        raise Invalid(f"{error}".lower().rstrip("."), "close the quotes") from None
    if unfit := [word for word in words if word.partition("=")[0] in _EVERYWHERE]:
        raise Invalid(f"{unfit[0].partition('=')[0]} is not an option of a job", "give it on the command line")
    args, others = parser.parse(_ROW, words)
    if others or after is not None:
        raise Invalid(f"{others[0] if others else '--'!r} is no option", "the script itself is the command")
    keys = given(args)
    whole = {key: value for key, value in keys.items() if not (is_template and "{" in json.dumps(value)[1:])}
    parse_request({"command": ["true"], **whole}, SystemClock().now(), spelled(keys))
    return keys


_ROW = Command(
    name="enqueue", group=JOBS, help="", description="", target="", examples=(), words="[WORD...]",
    options=tuple(each for each in ENQUEUE if not {"-c", "--script"} & set(each.flags)),
)  # fmt: skip
"""What a line may have."""
_EVERYWHERE = frozenset(flag for each in GLOBAL_OPTIONS for flag in each.flags)
"""What the parser knows beyond that."""


def of(args: SimpleNamespace) -> Script | None:
    """The script that a command line names, read once."""
    name = getattr(args, "key:script", None)
    if name is None:
        return None
    if not hasattr(args, "script_read"):
        args.script_read = read(name, getattr(args, "each_line", None) is not None)
    found: Script = args.script_read
    return found
