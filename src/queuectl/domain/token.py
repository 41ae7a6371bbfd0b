"""Tokens for access over HTTP. Only the holder has a token's text."""

from __future__ import annotations

from enum import StrEnum

from queuectl.typed import NamedTuple


class Role(StrEnum):
    """What the holder of a token may do."""

    FULL = "full"
    READ_ONLY = "read-only"


class Token(NamedTuple):
    """A token. `digest` is the SHA-256 of its text; `used_at` is the time of its last use, to about a minute."""

    id: str
    digest: str
    name: str
    role: Role
    created_at: float
    created_by: str | None = None
    used_at: float | None = None
