"""Jobs of which each line of an input makes one: a job with placeholders, as GNU parallel has them.

A placeholder stands in any text of the job. In a list of words its value is a word or part of one; in a shell command,
that of a hook too, it becomes a quoted word. It is never pasted into a shell command as it is, nor into a script.

- `{}` the line; `{1}`, `{-1}`, `{name}` a column; `{#}` the number of the job.
- `{.}` without its extension, `{/}` the last part of a path, `{//}` the folder, `{/.}` both; so too `{2.}`, `{name/}`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from shlex import quote

from queuectl.domain.errors import Invalid
from queuectl.domain.hooks import is_url
from queuectl.typed import Any, NamedTuple
from queuectl.wire.kinds import JsonObject
from queuectl.wire.shellplaces import places

TAKES_PART = ("command", "env", "stdin", "cwd")
"""Keys that bring a line to the command. If none of them has a placeholder, the line is appended to the command."""

FOR_A_SHELL = ("command", "on_success", "on_failure", "on_dead")
"""Keys whose text a shell reads. A hook may be a URL instead."""
KEPT = ("script",)
"""Keys whose text stays as it is: braces mean something else in it, and no quotes would hold everywhere."""

NOT_KNOWN = {
    "{%}": "the slot is not known before a worker has it; the command finds it in QUEUECTL_SLOT",
    "{=": "Perl expressions are not supported; a script can do it",
}
"""Placeholders of GNU parallel that are refused."""

Line = Sequence[str]
"""The columns of a line; without a separator there is one."""
Fill = Callable[[Line, int], Any]
"""Makes a value of a line and the number of its job."""


def without_extension(text: str) -> str:
    head, dot, end = text.rpartition(".")
    return head if dot and "/" not in end else text


def base(text: str) -> str:
    return text.rpartition("/")[2]


def folder(text: str) -> str:
    """As dirname(1) says it."""
    head = text.rstrip("/").rpartition("/")[0].rstrip("/")
    return head or ("/" if text.startswith("/") else ".")


FORMS: Mapping[str, Callable[[str], str]] = {
    "": str,
    ".": without_extension,
    "/": base,
    "//": folder,
    "/.": lambda text: without_extension(base(text)),
}


class Placeholder(NamedTuple):
    """A placeholder in a text. `column` counts from 0, or back from -1; None is the whole line."""

    start: int
    end: int
    text: str
    column: int | None
    form: Callable[[str], str]
    is_number: bool = False

    def values(self, line: Line, number: int) -> list[str]:
        """Its values: one, or one for each column of the line. A column that a line lacks is empty."""
        if self.is_number:
            return [str(number)]
        if self.column is None:
            return [self.form(text) for text in line]
        is_there = -len(line) <= self.column < len(line)
        return [self.form(line[self.column]) if is_there else ""]


class Template:
    """A job with placeholders. `fixed` has the keys without any, which need to be checked only once. `quotes`: a shell
    reads some of them."""

    def __init__(self, document: JsonObject, names: Sequence[str] = (), has_columns: bool = False) -> None:
        """`names`: of the columns. Raises `Invalid` for a placeholder that cannot be filled in."""
        self._names = names
        self._has_columns = has_columns
        self._pattern = _pattern(names)
        self.quotes = False
        fills = {key: self._fill_of(value, key) for key, value in document.items()}
        if not any(fills.get(key) for key in TAKES_PART):
            fills["command"] = self._appended(document.get("command"))
        self._fills = [(key, fill) for key, fill in fills.items() if fill]
        own: list[str] = [key for key in ("command", "id") if key in document and not fills[key]]
        self._own = {key: document[key] for key in own}
        self.fixed = {key: value for key, value in document.items() if not (fills[key] or key in own)}

    def job(self, line: Line, number: int) -> JsonObject:
        """The keys that are not fixed, for a line."""
        return {**self._own, **{key: fill(line, number) for key, fill in self._fills}}

    def _fill_of(self, value: Any, key: str) -> Fill | None:
        """How a value of the job is made; None if it is always the same."""
        if key in KEPT:
            return None
        if isinstance(value, str):
            is_for_shell = key in FOR_A_SHELL and (key == "command" or not is_url(value))
            return self._in_shell(value, key) if is_for_shell else self._in_text(value)
        if isinstance(value, dict):
            fills = {name: self._in_text(text) for name, text in value.items() if isinstance(text, str)}
            made = [(name, fill) for name, fill in fills.items() if fill]
            return (
                (lambda line, number: {**value, **{name: fill(line, number) for name, fill in made}}) if made else None
            )
        if isinstance(value, list):
            words = [self._words(each) for each in value]
            return self._list(words) if any(map(callable, words)) else None
        return None

    def _words(self, word: Any) -> Fill | list[Any]:
        """The words that a word of a list becomes, or how they are made: `{}` alone is one for each column."""
        found = self._found(word) if isinstance(word, str) else []
        if len(found) == 1 and found[0].text == word and found[0].column is None and self._has_columns:
            return found[0].values
        if not found:
            return [word]
        fill = self._joined(word, found, str)
        return lambda line, number: [fill(line, number)]

    def _list(self, words: Sequence[Fill | list[Any]]) -> Fill:
        def fill(line: Line, number: int) -> list[Any]:
            made: list[Any] = []
            for each in words:
                made += each if isinstance(each, list) else each(line, number)
            return made

        return fill

    def _in_text(self, text: str) -> Fill | None:
        """A text in which placeholders are replaced by what they stand for."""
        found = self._found(text)
        return self._joined(text, found, str) if found else None

    def _in_shell(self, command: str, key: str) -> Fill | None:
        """A shell command in which each placeholder becomes a quoted word."""
        found = self._found(command)
        inside = places(command, {each.start: each.end for each in found})
        for each in found:
            if inside.get(each.start):
                what = "the command" if key == "command" else key
                raise Invalid(
                    f"{each.text} in column {each.start + 1} of {what} is inside {inside[each.start]}",
                    "it becomes a quoted word by itself: write it outside, or pass it with --env",
                )
        free = [each for each in found if each.start in inside]
        self.quotes = self.quotes or bool(free)
        return self._joined(command, free, quote) if free else None

    def _appended(self, command: Any) -> Fill:
        """The command with the line behind it."""
        line = Placeholder(0, 0, "{}", None, str)
        if isinstance(command, list):
            return lambda columns, _: [*command, *columns]
        if not isinstance(command, str):
            raise Invalid("a job needs a command", 'e.g. {"command": "echo hello"}')
        self.quotes = True
        text = f"{command} {{}}"
        spot = len(command) + 1
        inside = places(text, {spot - 1: spot + 2}).get(spot - 1, "an escape")
        if inside:
            raise Invalid(
                f"the line would be appended to the command in column {spot + 1}, inside {inside}",
                "write {} where it belongs",
            )
        return self._joined(text, [line._replace(start=spot, end=spot + 2)], quote)

    def _joined(self, text: str, found: Sequence[Placeholder], spelled: Callable[[str], str]) -> Fill:
        """The text with each placeholder replaced by its values, `spelled` so, with blanks between."""
        ends = [0, *(each.end for each in found)]
        parts = [text[end : each.start] for end, each in zip(ends, found, strict=False)]
        rest = text[ends[-1] :]
        made = list(zip(parts, (self._value(each, spelled) for each in found), strict=True))
        if len(made) == 1:
            ((before, value),) = made
            return lambda line, number: before + value(line, number) + rest
        return lambda line, number: "".join([part + value(line, number) for part, value in made]) + rest

    def _value(self, what: Placeholder, spelled: Callable[[str], str]) -> Callable[[Line, int], str]:
        """What a placeholder stands for, as one text."""
        form = what.form
        if what.column is None and not what.is_number and not self._has_columns:
            return lambda line, _: spelled(form(line[0]))
        return lambda line, number: " ".join(map(spelled, what.values(line, number)))

    def _found(self, text: str) -> list[Placeholder]:
        for refused, why in NOT_KNOWN.items():
            if refused in text:
                raise Invalid(f"{refused} in {text!r} is no placeholder", why)
        return list(map(self._placeholder, self._pattern.finditer(text)))

    def _placeholder(self, match: re.Match[str]) -> Placeholder:
        number, name, column, form = match.groups()
        place = None
        if name is not None:
            place = self._names.index(name)
        elif column is not None:
            place = int(column) - (int(column) > 0)
            if place > 0 and not self._has_columns:
                raise Invalid(f"{match[0]}: a line has one column", "say what separates columns with --colsep")
        return Placeholder(match.start(), match.end(), match[0], place, FORMS[form or ""], number is not None)


def _pattern(names: Sequence[str]) -> re.Pattern[str]:
    """Longer names first: one may begin with another. A column without a name has no placeholder of its own."""
    name = "|".join(re.escape(name) for name in sorted(filter(None, names), key=len, reverse=True)) or r"(?!)"
    return re.compile(rf"\{{(?:(#)|(?:({name})|(-?[1-9][0-9]{{0,5}}))?(//|/\.|/|\.)?)\}}")
