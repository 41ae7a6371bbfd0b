"""Sizes in bytes as text."""

from __future__ import annotations

SMALL_BYTES = 16 << 20
"""An execution's peak memory below this is not kept: the kernel's figure begins with the supervisor's."""
SIZES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def format_size(count: int) -> str:
    """The shortest text of a size that is read as the same number of bytes: `4g`, `1536m`, `1000`."""
    return next(f"{count // of}{unit}" for unit, of in reversed(SIZES.items()) if count % of == 0)
