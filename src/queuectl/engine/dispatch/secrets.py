"""Values that a store must not hold: read at each start of a command from a file of the worker's, and passed on only to
the supervisor, in memory.

The file may be on a file system that stops answering. Where there is such a mount, a child reads it (see
supervise/starting.py), and is waited for only as long as everything else can wait.
"""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import time
from collections.abc import Iterable
from shlex import quote

from queuectl.domain.errors import Invalid
from queuectl.engine.dispatch.wakeup import wait_readable
from queuectl.engine.supervise import process
from queuectl.engine.supervise.hanging import Mounts
from queuectl.engine.supervise.starting import Start, Step, start_apart

BYTES_MAX = 1 << 20
READ_WITHIN_S = 3.0
"""How long the file may take to answer. The worker does nothing else meanwhile, and is not taken for frozen yet."""
AGAIN_AFTER_S = 10.0
"""How long a file that has not answered is not tried again."""
READING = os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC
TAG = 0
"""Of the child that reads: no command has it."""

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
        self._mounts: Mounts | None = None
        self._hung: Start | None = None
        """A child that has not come back."""
        self._again_at = 0.0

    def check(self) -> None:
        """Raises `Invalid` where the file cannot be used."""
        if self._path is not None:
            parse(self._content(self._path), self._path)

    def values(self, names: Iterable[str]) -> dict[str, str]:
        """The values of these secrets, as they are now. Raises `Invalid`, which says why there are none."""
        wanted = list(names)
        if self._path is None:
            raise Invalid(f"secret {wanted[0]}: the worker was started without --secrets")
        known = parse(self._content(self._path), self._path)
        if missing := [name for name in wanted if name not in known]:
            raise Invalid(f"secret {', '.join(missing)} is not in {self._path} on host {_host()}")
        return {name: known[name] for name in wanted}

    def _content(self, path: str) -> bytes:
        self._mounts = self._mounts or Mounts()
        self._mounts.refresh()
        if not self._mounts.any:
            try:
                return _read(path, READING | os.O_NONBLOCK)
            except BlockingIOError:
                pass  # another process holds a lease on it
        late = Invalid(f"cannot read secrets file {path}: no answer within {READ_WITHIN_S:g} s on host {_host()}")
        if time.monotonic() < self._again_at or (self._hung is not None and not self._hung.is_over()):
            raise late
        content = self._read_apart(path)
        if content is None:
            self._again_at = time.monotonic() + AGAIN_AFTER_S
            raise late
        if content[:1] == REFUSED:
            raise Invalid(*json.loads(content[1:]))
        return content[1:]

    def _read_apart(self, path: str) -> bytes | None:
        """What a child says of the file. None if it does not answer."""
        reader, writer = os.pipe()

        def tell(_step: Step) -> None:
            _tell(path, writer)

        try:
            child = start_apart(tell, TAG, (writer,), lambda: None)
        except process.Shortage:
            os.close(reader)
            raise Invalid(f"cannot read secrets file {path}: host {_host()} has no room for another process") from None
        finally:
            os.close(writer)
        with open(reader, "rb", buffering=0) as told:
            content = _all_within(told.fileno(), READ_WITHIN_S)
        if content is None:
            os.kill(child.pid, signal.SIGKILL)
            self._hung = child
        else:
            child.close()
            os.waitpid(child.pid, 0)
        return content


READ, REFUSED = b"+", b"-"
"""What the child says first: the content follows, or why there is none."""


def _tell(path: str, writer: int) -> None:
    """In the child: says what the file holds. It may outlive the worker, so it keeps nothing of its terminal."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nothing, stream)
    try:
        try:
            text = READ + _read(path, READING | os.O_NONBLOCK)  # or a named pipe would have it wait for a writer
        except BlockingIOError:
            text = READ + _read(path, READING)
    except Invalid as error:
        text = REFUSED + json.dumps([error.message, error.hint]).encode()
    while text:
        text = text[os.write(writer, text) :]
    os._exit(0)


def _all_within(handle: int, seconds: float) -> bytes | None:
    """All that can be read from a pipe. None if it has not ended by then."""
    content, end = b"", time.monotonic() + seconds
    while wait_readable([handle], max(0.0, end - time.monotonic())):
        if not (piece := os.read(handle, 1 << 16)):
            return content
        content += piece
    return None


def _host() -> str:
    return os.uname().nodename


def _read(path: str, how: int) -> bytes:
    """The content of the file. Raises `Invalid`, and `BlockingIOError` if it may not be waited for."""
    try:
        handle = os.open(path, how)
    except BlockingIOError:
        raise
    except OSError as error:
        raise Invalid(f"cannot read secrets file {path}: {error.strerror}") from None
    with open(handle, "rb") as file:
        _refuse_untrusted(path, os.fstat(handle))
        return file.read(BYTES_MAX + 1)


def _refuse_untrusted(path: str, about: os.stat_result) -> None:
    """Refuses a file that others can read or write."""
    if not stat.S_ISREG(about.st_mode):
        raise Invalid(f"secrets file {path} is not a regular file", "it is read again at each start of a command")
    if about.st_uid not in (0, os.geteuid()):
        raise Invalid(f"secrets file {path} belongs to another user", f"chown {os.geteuid()} {quote(path)}")
    if about.st_mode & 0o077:
        raise Invalid(f"secrets file {path} is open to others than its owner", f"chmod 600 {quote(path)}")
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
