"""What may come next on a command line: for the completion scripts of shells, which call `queuectl __complete`.

Ids, queues and other names come from the store. What cannot be read is left out: nobody wants an error after Tab.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

from queuectl import program
from queuectl.domain.errors import QueuectlError
from queuectl.typed import Any, NamedTuple

JsonObject = dict[str, Any]
TABLE = "cli/shells/commands.json"
"""All commands and options, written from their tables: to read those themselves takes longer than all the rest. Written
by `python -m tests.docs.commands_page`."""
EMPTY: JsonObject = {"options": []}
SHELLS = ("bash", "zsh", "fish")
FILES, FOLDERS, PROGRAMS = ":files", ":folders", ":programs"
"""What the shell itself completes."""
TOLD_MAX = 60
"""Most characters of a description."""


class Choice(NamedTuple):
    """A word that may come next."""

    word: str
    told: str = ""


def lines(words: Sequence[str]) -> list[str]:
    """The answer to `queuectl __complete SHELL …`, one choice a line.

    bash gives its line, the place of the cursor, and what it takes for the current word; others give all words after
    `queuectl`, of which the last has just begun.
    """
    shell, *given = words
    seen = len(given[-1]) if given else 0
    if shell == "bash":
        line, point, current = given
        given, seen = split(line[: int(point)])[1:] or [""], len(current)
    cut = len(given[-1]) - seen
    return [line if line[:1] == ":" else _line(shell, line, cut) for line in _texts(given)]


def _texts(given: Sequence[str]) -> Iterator[str]:
    begun = given[-1]
    for choice in choices(given):
        if isinstance(choice, str):
            yield choice
        elif choice.word.startswith(begun):
            yield f"{choice.word}\t{' '.join(choice.told.split())[:TOLD_MAX]}".rstrip("\t")


def _line(shell: str, text: str, cut: int) -> str:
    """A choice as the shell reads it. bash replaces only what follows its last `=` or `:`."""
    word, _, told = text.partition("\t")
    if shell == "bash":
        return word[cut:]
    if shell == "zsh":
        return f"{word}:{told}" if (word := word.replace(":", r"\:")) and told else word
    return text


def split(line: str) -> list[str]:
    """A line as words, the last perhaps unfinished: quotes and backslashes as a shell has them."""
    words, word, quote, at = [], "", "", 0
    begun = False
    while at < len(line):
        character = line[at]
        if character == "\\" and quote != "'" and at + 1 < len(line):
            at += 1
            word, begun = word + line[at], True
        elif quote:
            word, quote = (word, "") if character == quote else (word + character, quote)
        elif character in "'\"":
            quote, begun = character, True
        elif character.isspace():
            if begun:
                words.append(word)
            word, begun = "", False
        else:
            word, begun = word + character, True
        at += 1
    return [*words, word]


def choices(words: Sequence[str]) -> Iterable[Choice | str]:
    """What may come in the place of the last word."""
    *before, begun = words
    if "--" in before:
        return [FILES if before[-1] != "--" else PROGRAMS]
    table: JsonObject = json.loads(program.read(TABLE))
    if before[:1] == ["help"]:
        return _named_to_help(table["commands"], before[1:])
    name, rest = _command(table, before)
    command = table["commands"].get(name)
    options = {flag: each for each in [*(command or EMPTY)["options"], *table["options"]] for flag in each["flags"]}
    if before and _has_value(options.get(before[-1])):
        return _Values(before, begun).of(options[before[-1]])
    flag, equals, value = begun.partition("=")
    if flag.startswith("--") and equals and _has_value(options.get(flag)):
        found = _Values(before, value).of(options[flag])
        return [each._replace(word=f"{flag}={each.word}") for each in found if isinstance(each, Choice)]
    if begun.startswith("-"):
        return _unused(options.values(), before)
    words_typed = _positional(rest, options)
    found = [] if words_typed else _next(table["commands"], name)
    return [*found, *_Values(before, begun).word(name, command["words"] or "", words_typed)] if command else found


def _command(table: JsonObject, before: Sequence[str]) -> tuple[str, list[str]]:
    """The command, or the group, or nothing; and the words that are not its name."""
    options = {flag: each for each in table["options"] for flag in each["flags"]}
    places = [
        at for at, word in enumerate(before) if word[:1] != "-" and not (at and _has_value(options.get(before[at - 1])))
    ]
    for number in (2, 1):
        name = " ".join(before[at] for at in places[:number])
        is_group = number == 1 and any(each.startswith(f"{name} ") for each in table["commands"])
        if len(places) >= number and (name in table["commands"] or is_group):
            return name, [word for at, word in enumerate(before) if at not in places[:number]]
    return "", list(before)


def _has_value(option: JsonObject | None) -> bool:
    return option is not None and not option["is_flag"]


def _unused(options: Iterable[JsonObject], before: Sequence[str]) -> list[Choice]:
    """The long spelling of each option that may still be given."""
    shown = {each["flags"][-1]: each for each in options}
    return [
        Choice(flag, each["help"]) for flag, each in shown.items()
        if each["repeats"] or not set(each["flags"]) & set(before)
    ]  # fmt: skip


def _next(commands: Mapping[str, JsonObject], group: str) -> list[Choice]:
    """The verbs of a group, or without one all commands and groups."""
    if group:
        return [
            Choice(name.partition(" ")[2], row["help"])
            for name, row in commands.items()
            if name.startswith(f"{group} ")
        ]
    found: dict[str, str] = {}
    for name, row in commands.items():
        noun, _, verb = name.partition(" ")
        found[noun] = row["help"] if not verb else f"{found[noun]}, {verb}" if noun in found else verb
    return [
        *(Choice(noun, told) for noun, told in found.items()),
        Choice("help", "exit codes, JSON, variables, states"),
    ]


def _positional(rest: Sequence[str], options: Mapping[str, JsonObject]) -> list[str]:
    """The words that are neither options nor their values."""
    return [
        word for at, word in enumerate(rest)
        if not word.startswith("-") and not (at and _has_value(options.get(rest[at - 1])))
    ]  # fmt: skip


BY_FLAG = {
    "--lock": "LOCK", "--batch": "BATCH", "--schedule": "SCHEDULE", "--after": "ID", "--before": "ID", "--sort": "SORT",
}  # fmt: skip
"""What the value of an option is, if its metavar does not say so."""
LISTED, LISTED_ONCE = frozenset({"STATE", "OUTCOME", "QUEUE", "BATCH", "SCHEDULE"}), frozenset({"NAMES"})
"""Metavars of values that may be several with commas between: of options that may be repeated, and of others."""
FREE = frozenset({"--id", "-c", "--name"})
WORDS = {
    **dict.fromkeys(("worker stop", "worker set", "worker logs", "worker restart", "worker reload"), "WORKER"),
    **dict.fromkeys(("config get", "config set", "config unset"), "SETTING"),
    "token revoke": "TOKEN", "schedule add": "", "token create": "",
}  # fmt: skip
"""What the first word of a command is, if its usage does not say so."""


class _Values:
    """Values of options and words. `before` is the line so far, `begun` what there is of the value."""

    def __init__(self, before: Sequence[str], begun: str) -> None:
        self._before, self._begun = before, begun

    def of(self, option: JsonObject) -> Iterable[Choice | str]:
        """The values that an option may have."""
        flag = option["flags"][-1]
        if option["choices"]:
            return list(map(Choice, option["choices"]))
        listed, comma, begun = self._begun.rpartition(",")
        if comma and str(option["metavar"]) in (LISTED if option["repeats"] else LISTED_ONCE):
            found = _Values(self._before, begun).of(option)
            return [
                each._replace(word=f"{listed},{each.word}") for each in found
                if isinstance(each, Choice) and each.word not in listed.split(",")
            ]  # fmt: skip
        return [] if flag in FREE else self._kind(BY_FLAG.get(flag, str(option["metavar"])))

    def word(self, command: str, words: str, typed: Sequence[str]) -> Iterable[Choice | str]:
        """What may come as the next word that is no option, behind those typed."""
        shown = words.replace("[", "").replace("]", "").split()
        place = min(len(typed), len(shown) - 1)
        if not shown or (place < len(typed) and not shown[-1].endswith("...")):
            return []
        kind = shown[place].removesuffix("...")
        if place == 0 and command in WORDS:
            kind = WORDS[command]
        if command == "set" and typed:
            return [*_set_keys(), *self._kind("ID", command)]
        if kind == "KEY=VALUE":
            from queuectl.client.queues import CHECKS

            return _keys(CHECKS)
        return self._kind(kind, command)

    def _kind(self, kind: str, command: str = "") -> Iterable[Choice | str]:
        if fixed := FIXED.get(kind):
            return fixed()
        from queuectl.client import naming

        try:
            if kind.startswith("ID"):
                found = naming.jobs(self._db(), self._begun, _states(command))
            else:
                found = naming.names(self._db(), kind) if kind in naming.KINDS else []
        except (QueuectlError, OSError):
            return []
        return [Choice(*each) for each in found]

    def _db(self) -> str | None:
        pairs = zip(self._before, [*self._before[1:], None], strict=True)
        given = [after for word, after in pairs if word == "--db"]
        given += [word.removeprefix("--db=") for word in self._before if word.startswith("--db=")]
        return given[-1] if given else None


# --- what there is ----------------------------------------------------------------------------


def _states(command: str) -> Sequence[Any]:
    """The states of jobs that a command can act on; none: any."""
    if command not in ("cancel", "retry", "hold") and not command.startswith("dlq "):
        return ()
    from queuectl.client import actions

    if command.startswith("dlq "):
        return actions.RETRY_DEAD.states
    return {"cancel": actions.CANCEL.states, "retry": actions.RETRY.usual, "hold": actions.HOLD.states}[command]


def _keys(names: Iterable[str]) -> list[Choice]:
    return [Choice(f"{name.replace('_', '-')}=") for name in names]


ENUMERATIONS = {
    "STATE": ("job", "JobState"), "OUTCOME": ("job", "Outcome"), "RULE": ("unique", "Rule"), "ROLE": ("token", "Role"),
}  # fmt: skip


def _members(module: str, name: str) -> list[Choice]:
    from importlib import import_module

    return [Choice(each.value) for each in getattr(import_module(f"queuectl.domain.{module}"), name)]


def _settings() -> list[Choice]:
    from queuectl.settings import SETTINGS

    return [Choice(name, setting.help) for name, setting in SETTINGS.items()]


def _zones() -> list[Choice]:
    from queuectl import zones

    return list(map(Choice, zones.names()))


def _columns() -> list[Choice]:
    from queuectl.client.accounting import COLUMNS

    return list(map(Choice, COLUMNS))


def _sorts() -> list[Choice]:
    from queuectl.cli.listing import SORT_KEYS

    return [Choice(f"{sign}{name}") for sign in ("", "-") for name in SORT_KEYS]


def _set_keys() -> list[Choice]:
    from queuectl.domain.fields import SETTABLE

    return _keys(field.name for field in SETTABLE)


def _named_to_help(commands: Mapping[str, JsonObject], after: Sequence[str]) -> list[Choice]:
    """What `help` can be asked about: topics and commands, or the verbs of the group that it has."""
    from queuectl.cli.topics import NAMES

    if after:
        return _next(commands, after[0]) if len(after) == 1 else []
    return [*map(Choice, NAMES), *(each for each in _next(commands, "") if each.word != "help")]


FIXED: Mapping[str, Callable[[], Iterable[Choice | str]]] = {
    **{kind: partial(_members, *where) for kind, where in ENUMERATIONS.items()},
    "SHELL": lambda: map(Choice, SHELLS), "SETTING": _settings, "ZONE": _zones, "NAMES": _columns, "SORT": _sorts,
    **dict.fromkeys(("FILE", "FILE|-", "PATH"), lambda: [FILES]), "FOLDER": lambda: [FOLDERS],
}  # fmt: skip
