"""Values as errors show them."""

from __future__ import annotations

import json


def shown(value: object) -> str:
    """A value as JSON for an error, in at most 60 characters."""
    text = json.dumps(value, ensure_ascii=False, default=repr).encode(errors="backslashreplace").decode()
    return text if len(text) <= 60 else text[:57] + "..."


def quoted(value: object) -> str:
    """The same, but text in single quotes and whole."""
    return repr(value) if isinstance(value, str) else shown(value)
