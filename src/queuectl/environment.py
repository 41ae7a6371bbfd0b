"""The variables that this process was given, and which of them a job takes along from where it is enqueued."""

from __future__ import annotations

import os
from collections.abc import Iterable
from fnmatch import fnmatchcase

OURS = "QUEUECTL_"
"""Names that begin so are queuectl's own, and no part of a job's surroundings."""
COERCED = frozenset({"C.UTF-8", "C.utf8", "UTF-8"})
"""What Python itself puts into LC_CTYPE where the locale is C (PEP 538)."""


def given() -> dict[str, str]:
    """This process's variables as whoever started it set them: without the locale that Python itself chose."""
    found = dict(os.environ)
    if found.get("LC_CTYPE") in COERCED and not _came_with_us(b"LC_CTYPE="):
        del found["LC_CTYPE"]
    return found


def for_commands() -> dict[bytes, bytes]:
    """What commands have from their worker: no other variable of queuectl's than the store, and no caller's trace."""
    return {
        os.fsencode(name): os.fsencode(value)
        for name, value in given().items()
        if name == "QUEUECTL_DB" or not name.startswith((OURS, "TRACEPARENT"))
    }


def _came_with_us(beginning: bytes) -> bool:
    try:
        with open("/proc/self/environ", "rb") as file:
            return any(entry.startswith(beginning) for entry in file.read().split(b"\0"))
    except OSError:
        return True  # not Linux: it cannot be told


def is_captured(name: str, patterns: Iterable[str]) -> bool:
    """Whether a job takes this variable from where it is enqueued alone: set to the same value, or unset."""
    return not name.startswith(OURS) and any(fnmatchcase(name, pattern) for pattern in patterns)
