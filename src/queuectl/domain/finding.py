"""Findings of `doctor` and `status --check`."""

from __future__ import annotations

from queuectl.typed import NamedTuple

LEVELS = OK, NOTE, WARNING, PROBLEM = "ok", "note", "warning", "problem"


class Finding(NamedTuple):
    """A result of a check, with its fix.

    `level` is `ok`, `note`, `warning` or `problem`. `code` is for scripts: lower-case words joined by `_`, the same for
    all findings of a kind, never changed. `message` is one line for people. `fix` is a command or step, or empty.
    """

    level: str
    code: str
    message: str
    fix: str = ""
