"""Who may come in over HTTP: a token's role, and what is known of it. The token itself is known to its holder alone."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Role(StrEnum):
    """What a token allows."""

    FULL = "full"
    READ_ONLY = "read-only"


class Token(NamedTuple):
    """One token. `digest` is the SHA-256 of its text; `used_at` is when it came in last, to about a minute."""

    id: str
    digest: str
    name: str
    role: Role
    created_at: float
    created_by: str | None = None
    used_at: float | None = None
