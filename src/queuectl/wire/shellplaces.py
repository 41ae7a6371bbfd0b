"""Where in a shell command a quoted word can stand."""

from __future__ import annotations

from collections.abc import Mapping

from queuectl.typed import NamedTuple

WORD_BREAKS = frozenset(" \t\n;&|()")


class Nest(NamedTuple):
    """Something that has a beginning and an end, and its name; a pair of parentheses has none."""

    name: str
    end: str


DOUBLE = Nest("double quotes", '"')
BACKTICKS = Nest("backticks", "`")
BRACES = Nest("${}", "}")
ARITHMETIC = Nest("(( ))", "))")
PARENTHESES = Nest("", ")")

OPENED = (("${", BRACES), ("$((", Nest("$(( ))", "))")), ("$(", Nest("$()", ")")), ("`", BACKTICKS), ('"', DOUBLE))
OPENED_BARE = (("((", ARITHMETIC), ("(", PARENTHESES))


def places(command: str, spots: Mapping[int, int]) -> dict[int, str]:
    """What each of these parts of a shell command (start: end) stands in; empty where a quoted word can replace it.

    Those after a backslash or a `$` are left out: they are the shell's.
    """
    scan = _Scan(command, spots)
    while scan.at < len(command):
        scan.step()
    return scan.found


class _Scan:
    """Reads a command as a shell does, as far as quotes and nesting go."""

    def __init__(self, text: str, spots: Mapping[int, int]) -> None:
        self._text = text
        self._spots = spots
        self._nests: list[Nest] = []
        self._has_here = False
        """Whether the text of a here-document begins with the next line."""
        self.at = 0
        self.found: dict[int, str] = {}

    def step(self) -> None:
        """Goes on by one character, or by all that belongs together."""
        text, at, nest = self._text, self.at, self._nests[-1] if self._nests else None
        if at in self._spots:
            self.found[at] = next((each.name for each in reversed(self._nests) if each.name), "")
            self.at = self._spots[at]
        elif text[at] == "\\":
            self.at += 2
        elif nest is not None and text.startswith(nest.end, at):
            self._nests.pop()
            self.at += len(nest.end)
        elif not self._open(OPENED) and (nest is DOUBLE or not self._bare(text[at], nest)):
            self.at += 1

    def _open(self, kinds: tuple[tuple[str, Nest], ...]) -> bool:
        for beginning, nest in kinds:
            if self._text.startswith(beginning, self.at):
                self._nests.append(nest)
                self.at += len(beginning)
                return True
        return False

    def _bare(self, character: str, nest: Nest | None) -> bool:
        """What begins only outside of double quotes."""
        text, at = self._text, self.at
        if character == "'":
            self._skip("single quotes", "'")
            quoted = text[at + 1 : self.at - 1]
            if text[at - 1 : at] == "$" and (len(quoted) - len(quoted.rstrip("\\"))) % 2:
                self._skip(r"$'\'', which shells read differently", "")
        elif nest is not None and nest.end in (BRACES.end, ARITHMETIC.end):
            return self._open(OPENED_BARE[1:])
        elif character == "#" and (at == 0 or text[at - 1] in WORD_BREAKS):
            self._skip("a comment", "\n")
        elif character == "\n" and self._has_here:
            self._skip("a here-document", "")
        elif text.startswith("<<", at):
            self._has_here = self._has_here or not text.startswith("<<<", at)
            self.at += 3 if text.startswith("<<<", at) else 2
        else:
            return self._open(OPENED_BARE)
        return True

    def _skip(self, name: str, end: str) -> None:
        """Goes behind the next `end`, or to the end of the command if there is none."""
        began = self.at
        self.at += 1
        while self.at < len(self._text) and not (end and self._text[self.at] == end):
            self.at += 1
        self.found.update((spot, name) for spot in self._spots if began <= spot < self.at)
        self.at += name != "a comment"
