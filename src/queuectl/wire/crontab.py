"""Reads a crontab as the daemon does that has run it: Debian's cron, or cronie.

Each line becomes an entry that runs what ran there, or is told with the reason why it did not run, or cannot here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

from queuectl.domain.cron import DAY, HOUR, MINUTE, MONTH, NICKNAMES, WEEKDAY, Field, parse_cron
from queuectl.domain.errors import Invalid
from queuectl.typed import NamedTuple

COMMAND_MAX = 998
"""Characters of a command that Debian's cron takes."""
FIELDS = (MINUTE, HOUR, DAY, MONTH, WEEKDAY)
SURROUNDINGS: Mapping[str, str] = {"PATH": "/usr/bin:/bin", "SHELL": "/bin/sh"}
BOM = "\ufeff"
NOT_HEEDED = ("LOGNAME", "USER")
"""Variables that cron sets itself, whatever a crontab says."""


class Dialect(StrEnum):
    """Whose crontab it is."""

    DEBIAN = "debian"
    CRONIE = "cronie"


class Entry(NamedTuple):
    """An entry that ran. `zone` is None for that of the machine, `user` for the crontab's owner. `notes` say what a
    reader may not expect."""

    line: int
    name: str
    cron: str
    command: str
    stdin: str | None
    variables: Mapping[str, str]
    zone: str | None = None
    user: str | None = None
    notes: Sequence[str] = ()


class Told(NamedTuple):
    """A line that did not run, or has no equivalent here; `line` 0 is the file as a whole."""

    line: int
    text: str
    reason: str


class Crontab(NamedTuple):
    """What a crontab holds."""

    entries: Sequence[Entry] = ()
    told: Sequence[Told] = ()
    hints: Sequence[str] = ()


class _Bad(Exception):
    """A line that the daemon cannot read."""


class _NeverRan(Exception):
    """A line that the daemon reads and never runs, or that has no equivalent."""


def read_crontab(
    data: bytes, dialect: Dialect = Dialect.DEBIAN, *, is_system: bool = False, name: str = "",
    is_user: Callable[[str], bool] = lambda user: True, is_zone: Callable[[str], bool] = lambda zone: True,
) -> Crontab:  # fmt: skip
    """The entries of a crontab. `is_system`: it has a column with the user. `name`: the file's, without folders."""
    if is_system and dialect is Dialect.DEBIAN and re.search(r"[.~]", name):
        return Crontab(told=[Told(0, name, "cron ignores files with a dot or ~ in their name")])
    reader = _Reader(dialect, is_system, is_user, is_zone)
    bad: list[Told] = []
    *lines, rest = data.decode("utf-8", "surrogateescape").split("\n")
    for number, line in enumerate(lines, 1):
        try:
            reader.read(number, line)
        except _Bad as error:
            bad.append(Told(number, line.strip(), str(error)))
        except _NeverRan as error:
            reader.told.append(Told(number, line.strip(), str(error)))
    if rest:
        bad.append(Told(len(lines) + 1, rest.strip(), "no newline at the end of the file"))
    told = sorted([*reader.told, *bad])
    if bad and dialect is Dialect.DEBIAN:
        never = [Told(each.line, each.command, "did not run: cron ignored the whole file") for each in reader.entries]
        return Crontab(told=sorted([*told, *never]), hints=reader.hints)
    return Crontab(reader.entries, told, reader.hints)


_VARIABLE = re.compile(r"""\s*(?P<name>"[^"]*"|'[^']*'|[^\s="']+)\s*=\s*(?P<value>.*?)\s*""", re.DOTALL)

STARTERS = {
    "sudo": ("-u --user -g --group -C -D -h -p -R -r -T -t -U", 0), "nice": ("-n", 0), "ionice": ("-c -n", 0),
    "env": ("-u -C", 0), "exec": ("-a", 0), "timeout": ("-k -s", 1), "flock": ("-w -E", 1), "chronic": ("", 0),
    "nohup": ("", 0), "setsid": ("", 0),
}  # fmt: skip
"""Programs that start another one: their options with a value of its own word, and how many words come before that
program."""


class _Reader:
    """Reads line after line. Variables count for the lines below them."""

    def __init__(
        self, dialect: Dialect, is_system: bool, is_user: Callable[[str], bool], is_zone: Callable[[str], bool]
    ) -> None:
        self._dialect, self._is_system, self._is_user, self._is_zone = dialect, is_system, is_user, is_zone
        self._variables = dict(SURROUNDINGS)
        self._names: set[str] = set()
        self.entries: list[Entry] = []
        self.told: list[Told] = []
        self.hints: list[str] = []

    def read(self, number: int, line: str) -> None:
        text = line.lstrip(" \t")
        if text.startswith(BOM):
            raise _Bad("a byte-order mark")
        if not text or text.startswith("#"):
            return
        if found := _VARIABLE.fullmatch(text):
            self._set(found["name"].strip("\"'"), found["value"])
            return
        self._add(number, text)

    def _set(self, name: str, value: str) -> None:
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        elif not value:
            raise _Bad(f'{name}= has no value; write {name}=""')
        if name == "MAILTO":
            if value:
                self.hints.append(
                    f"cron mailed output to {value}; here each output is kept (logs ID), "
                    "and schedule set NAME --alert tells of failures"
                )
        elif name not in NOT_HEEDED:
            self._variables[name] = value

    def _add(self, number: int, text: str) -> None:
        notes: list[str] = []
        cron, rest = _times(text, self._dialect, notes)
        user = None
        if self._is_system:
            user, rest = _first_word(rest)
            if not user or not self._is_user(user):
                raise _Bad(f"there is no user {user!r}" if user else "no user before the command")
        elif (first := rest.split(maxsplit=1)[:1]) == ["root"]:
            notes.append(f"{first[0]} is the command here: a user's crontab has no column for the user")
        if rest.endswith("\r"):
            rest = rest.removesuffix("\r")
            self.told.append(Told(number, text.strip(), "cron gave the carriage return to the command; it is left out"))
        if len(rest) > COMMAND_MAX and self._dialect is Dialect.DEBIAN:
            raise _Bad(f"the command has more than {COMMAND_MAX} characters")
        if not rest:
            raise _NeverRan("there is no command")
        if cron == "@reboot":
            raise _NeverRan("@reboot runs once a boot; start it with the machine, as a service")
        command, stdin = split_percent(rest, self._dialect)
        if re.match(r"\d+\s+\S", command) and not text.startswith("@"):
            notes.append(f"cron has five fields, so that the command is {command!r}")
        variables = dict(self._variables)
        zone = self._zone_of(variables, notes) if self._dialect is Dialect.CRONIE else None
        self.entries.append(Entry(number, self._name(command), cron, command, stdin, variables, zone, user, notes))

    def _zone_of(self, variables: dict[str, str], notes: list[str]) -> str | None:
        """The zone that cronie reads the times in; takes it out of the variables."""
        delay = variables.get("RANDOM_DELAY", "").strip()
        if re.fullmatch(r"[0-9]{1,4}", delay) and int(delay):
            notes.append(f"cronie ran it up to {delay} minutes later, at random; --jitter {delay}m is like it")
        zone = variables.pop("CRON_TZ", None)
        if zone is not None and not self._is_zone(zone):
            raise _NeverRan(f"there is no time zone {zone!r}; name another one in CRON_TZ")
        return zone

    def _name(self, command: str) -> str:
        """A name from the program's; the second of a name gets a number."""
        base = re.sub(r"[^A-Za-z0-9_-]+", "-", _program(command))[:40].strip("-")
        base = re.sub(r"-(sh|py|pl|rb|php)$", "", base) or "entry"
        name, number = base, 1
        while name in self._names:
            number += 1
            name = f"{base}-{number}"
        self._names.add(name)
        return name


def _program(command: str) -> str:
    """The name of the program that a command is about, if one can be told."""
    words = re.sub(r"^\s*cd\s+\S+\s*(&&|;)", "", command).split()
    while words:
        word = words.pop(0)
        name = word.rsplit("/", 1)[-1]
        if re.match(r"\w+=|[-&|;<>({]", word):
            continue
        if name not in STARTERS:
            return name
        valued, before = STARTERS[name]
        while words and words[0].startswith("-"):
            option = words.pop(0)
            del words[: option in valued.split()]
        del words[:before]
    return ""


def split_percent(text: str, dialect: Dialect) -> tuple[str, str | None]:
    """The command before the first `%`, and its input after it, in which each further `%` is a newline."""
    escaped = r"\\%" if dialect is Dialect.CRONIE else r"\\[%\\]"
    command, at = "", 0
    for found in re.finditer(rf"{escaped}|.", text, re.DOTALL):
        if found[0] == "%":
            break
        command, at = command + found[0][-1], found.end()
    if at == len(text):
        return command, None
    stdin = re.sub(r"\\%|%", lambda found: "%" if len(found[0]) > 1 else "\n", text[at + 1 :])
    return command, stdin if stdin.endswith("\n") or not stdin else f"{stdin}\n"


# --- times ----------------------------------------------------------------------------------


def _first_word(text: str) -> tuple[str, str]:
    word, *rest = re.split(r"[ \t]+", text, maxsplit=1)
    return word, rest[0] if rest else ""


def _times(text: str, dialect: Dialect, notes: list[str]) -> tuple[str, str]:
    """The expression that fires when the daemon runs the entry, and what follows it."""
    if text.startswith("@"):
        word, rest = _first_word(text)
        if word not in NICKNAMES and word != "@reboot":
            raise _Bad(f"unknown word {word}")
        return word, rest
    parts = re.split(r"[ \t]+", text, maxsplit=5)
    if len(parts) < 5:
        raise _Bad("it has fewer than five fields")
    fields, rest = parts[:5], parts[5] if len(parts) > 5 else ""
    read = [_field(given, field, dialect, notes) for given, field in zip(fields, FIELDS, strict=True)]
    day, weekday = read[2], read[4]
    if (
        "" in (read[0], read[1], read[3])
        or (not day and (not weekday or weekday[0] == "*"))
        or (not weekday and (not day or day[0] == "*"))
    ):
        raise _NeverRan("never ran: a range that runs backward is empty for cron")
    cron = " ".join(each or "*" for each in read)
    try:
        parse_cron(cron)
    except Invalid as error:
        raise _NeverRan(f"never ran: {error.hint}") from None
    return cron, rest


_ITEM = re.compile(r"(?P<star>\*)|(?P<first>[A-Za-z0-9]+)(-(?P<last>[A-Za-z0-9]+))?")


def _field(given: str, field: Field, dialect: Dialect, notes: list[str]) -> str:
    """A field without what the daemon drops or never matches; "" if nothing is left."""
    kept, left = [], given
    while True:
        found = _ITEM.match(left)
        if found is None:
            raise _Bad(f"{field.name} {given!r} is not understood")
        rest = left[found.end() :]
        step = re.match(r"/(\d+)", rest)
        if rest.startswith("/") and (step is None or not int(step[1]) or not (found["star"] or found["last"])):
            raise _Bad(f"{field.name} {given!r}: cron takes a step only after * or a range")
        rest = rest[step.end() :] if step else rest
        if _is_forward(found, field, given):
            kept.append(found[0] + (step[0] if step else ""))
        else:
            notes.append(f"{field.name} {given}: {found[0]} runs backward and never matched")
        if not rest:
            break
        if rest[0] != ",":
            if dialect is Dialect.CRONIE:
                raise _Bad(f"{field.name} {given!r} is not understood")
            notes.append(f"{field.name} {given}: cron ignored {rest}")
            break
        left = rest[1:]
    return ",".join(kept)


def _is_forward(found: re.Match[str], field: Field, given: str) -> bool:
    """Whether it is no range that runs backward."""
    if found["star"]:
        return True
    first = _number(found["first"], field, given)
    return found["last"] is None or first <= _number(found["last"], field, given)


def _number(word: str, field: Field, given: str) -> int:
    if word.lower() in field.names:
        return field.low + field.names.index(word.lower())
    if not word.isdigit() or not field.low <= int(word) <= field.high:
        raise _Bad(f"{field.name} {given!r}: {word} is not in {field.low} to {field.high}")
    return int(word)
