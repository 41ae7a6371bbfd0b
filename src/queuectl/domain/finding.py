"""One thing that a check looked at: `doctor` and `status --check` answer with these."""

from __future__ import annotations

from typing import NamedTuple

OK, NOTE, WARNING, PROBLEM = "ok", "note", "warning", "problem"


class Finding(NamedTuple):
    """What was found, and what would put it right.

    `level` is `ok`, `note`, `warning` or `problem`. `code` is what scripts compare: lower-case words joined by `_`, the
    same for every finding of its kind, and it never changes. `message` is one line for people. `fix` is the command or
    step that puts it right, empty where there is nothing to do.
    """

    level: str
    code: str
    message: str
    fix: str = ""
