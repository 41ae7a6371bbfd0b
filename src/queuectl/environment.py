"""Environment variables: those given to this process, and those that a new job captures."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import lru_cache

from queuectl.typed import NamedTuple

OURS = "QUEUECTL_"
"""Prefix of queuectl's own variables, which no job captures."""
OVERRULED = frozenset(f"QUEUECTL_{name}" for name in ("JOB_ID", "LEASE", "ATTEMPT", "QUEUE", "SLOT"))
"""Those that every command gets from its worker, whatever its job says."""
WILD = frozenset("*?[")
"""What makes a pattern more than a name."""
COERCED = frozenset({"C.UTF-8", "C.utf8", "UTF-8"})
"""Values that Python itself sets in LC_CTYPE if the locale is C (PEP 538)."""


def given() -> dict[str, str]:
    """This process's variables as its parent set them: without the locale that Python chose."""
    found = dict(os.environ)
    if found.get("LC_CTYPE") in COERCED and not _came_with_us(b"LC_CTYPE="):
        del found["LC_CTYPE"]
    return found


def for_commands() -> dict[bytes, bytes]:
    """Variables that commands get from their worker: of queuectl's own only the store, and no `TRACEPARENT`."""
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
        return True  # not Linux: unknown


def is_captured(name: str, patterns: Iterable[str]) -> bool:
    """Whether a new job captures this variable, set or unset, so that its worker's value does not count."""
    exact, beginnings, others = _sorted(tuple(patterns))
    return not name.startswith(OURS) and (name in exact or name.startswith(beginnings) or _matches(name, others))


class Patterns(NamedTuple):
    """Patterns by what it takes to match them: names as they are, beginnings, and all others."""

    exact: frozenset[str]
    beginnings: tuple[str, ...]
    others: tuple[str, ...]


@lru_cache(maxsize=8)
def _sorted(patterns: tuple[str, ...]) -> Patterns:
    exact = {pattern for pattern in patterns if WILD.isdisjoint(pattern)}
    begun = {pattern for pattern in patterns if pattern.endswith("*") and WILD.isdisjoint(pattern[:-1])}
    others = [pattern for pattern in patterns if pattern not in exact and pattern not in begun]
    return Patterns(frozenset(exact), tuple(pattern[:-1] for pattern in begun), tuple(others))


def _matches(name: str, patterns: Iterable[str]) -> bool:
    if not patterns:
        return False
    from fnmatch import fnmatchcase

    return any(fnmatchcase(name, pattern) for pattern in patterns)
