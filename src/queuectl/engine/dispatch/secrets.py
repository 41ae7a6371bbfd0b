"""Values that a store must not hold: read at each start of a command from a file of the worker's, and passed on only to
the supervisor, in memory."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable

from queuectl.domain.errors import Invalid

BYTES_MAX = 1 << 20
READING = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

_ENTRY = re.compile(
    r"""[ \t]*(?:\#[^\n]*|(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)=(?:
        '(?P<raw>[^']*)'[ \t]*|
        "(?P<escaped>(?:[^"\\]|\\.)*)"[ \t]*|
        (?P<plain>[^'"\n][^\n]*|)
    ))?(?:\r?\n|\Z)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


class Secrets:
    """The secrets of a worker. Without a `path` it has none."""

    def __init__(self, path: str | None) -> None:
        self._path = path

    def check(self) -> None:
        """Raises `Invalid` where the file cannot be used."""
        if self._path is not None:
            self._read(self._path)

    def values(self, names: Iterable[str]) -> dict[str, str]:
        """The values of these secrets, as they are now. Raises `Invalid`, which says why there are none."""
        wanted = list(names)
        if self._path is None:
            raise Invalid(f"secret {wanted[0]}: the worker was started without --secrets")
        known = self._read(self._path)
        if missing := [name for name in wanted if name not in known]:
            raise Invalid(f"secret {', '.join(missing)} is not in {self._path} on host {os.uname().nodename}")
        return {name: known[name] for name in wanted}

    def _read(self, path: str) -> dict[str, str]:
        try:
            handle = os.open(path, READING)
        except OSError as error:
            raise Invalid(f"cannot read secrets file {path}: {error.strerror}") from None
        with open(handle, "rb") as file:
            _refuse_untrusted(path, os.fstat(handle))
            return parse(file.read(BYTES_MAX + 1), path)


def _refuse_untrusted(path: str, about: os.stat_result) -> None:
    """Refuses a file that others can read or write."""
    if not stat.S_ISREG(about.st_mode):
        raise Invalid(f"secrets file {path} is not a regular file", "it is read again at each start of a command")
    if about.st_uid not in (0, os.geteuid()):
        raise Invalid(f"secrets file {path} belongs to another user", f"chown {os.geteuid()} {path}")
    if about.st_mode & 0o077:
        raise Invalid(f"secrets file {path} is open to others than its owner", f"chmod 600 {path}")
    if about.st_size > BYTES_MAX:
        raise Invalid(f"secrets file {path} has {about.st_size:,} bytes; the limit is {BYTES_MAX:,}")


def parse(content: bytes, path: str) -> dict[str, str]:
    """The variables of lines `NAME=VALUE`. A value in quotes may have several lines; in double quotes a backslash
    escapes the next character. Raises `Invalid`, never showing what a line says."""
    text, at, found = content.decode("utf-8", "surrogateescape"), 0, dict[str, str]()
    while at < len(text):
        entry = _ENTRY.match(text, at)
        if entry is None or entry.end() == at:
            line = text.count("\n", 0, at) + 1
            raise Invalid(f"secrets file {path}, line {line}: not NAME=VALUE", "quote values of several lines")
        if entry["name"]:
            found[entry["name"]] = _value(entry)
        at = entry.end()
    if name := next((name for name, value in found.items() if "\0" in value), None):
        raise Invalid(f"secrets file {path}: the value of {name} contains a NUL byte")
    return found


def _value(entry: re.Match[str]) -> str:
    if entry["raw"] is not None:
        return entry["raw"]
    if entry["escaped"] is not None:
        return re.sub(r"\\(.)", lambda each: _ESCAPES.get(each[1], each[1]), entry["escaped"], flags=re.DOTALL)
    return entry["plain"].strip()
