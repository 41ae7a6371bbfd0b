"""Which failures are alike: what differs between them, such as numbers, paths and ids, is folded away."""

from __future__ import annotations

import re
from hashlib import sha256

FOLDED = "…"
SEEN_MAX = 2000
"""Characters of a text that count. What comes later in a long command does not tell failures apart."""

_VARYING = re.compile(
    r"""\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?  # a date, perhaps with its time
    | \b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b                        # a UUID
    | (?<![\w.])(?!\S*\.(?:js|php|pl|py|rb|sh)\b)[~.]{0,2}(?:/+[\w.@%+=~-]+)+/?        # a path, unless of a script
    | \b(?=[a-z]*\d)(?=\d*[a-z])[a-z0-9]{8,}\b                                        # an id
    | \b0x[0-9a-fA-F]+\b
    | (?<!\bmp)\d+(?:[.,:]\d+)*
    """,
    re.VERBOSE | re.ASCII,
)

_STATUS = re.compile(r"(?:exit code|killed by signal|timed out after) \d+(?:\.\d+)?", re.ASCII)


def folded(text: str) -> str:
    """The text on one line, with `…` for what differs between alike ones."""
    return _VARYING.sub(FOLDED, " ".join(text[:SEEN_MAX].split()))


def folded_command(text: str) -> str:
    """The same of a command, whose first word, the program, stays."""
    first, blank, rest = " ".join(text[:SEEN_MAX].split()).partition(" ")
    return f"{first}{blank}{_VARYING.sub(FOLDED, rest)}"


def folded_error(text: str) -> str:
    """The same of an error, in which the exit code, the signal or the time limit stays."""
    status = _STATUS.match(text)
    kept = status.end() if status else 0
    return text[:kept] + _VARYING.sub(FOLDED, text[kept:SEEN_MAX])


def fault(queue: str, command: str, error: str, last_line: str | None) -> str:
    """The same short text for failures that are alike."""
    parts = (queue, folded_command(command), folded_error(error), folded(last_line or ""))
    return sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:12]
