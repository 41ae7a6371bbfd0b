"""The only source of randomness: ids, tokens, and the jitter of retries."""

from __future__ import annotations

import os

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""32 characters that are hard to confuse (Crockford's base 32, in lower case)."""

JOB_ID_LENGTH = 10

_CHARACTERS = ALPHABET.encode() * 8
"""The character for each byte."""


def random_id(length: int) -> str:
    """A random word of `length` characters of 5 bits each."""
    return os.urandom(length).translate(_CHARACTERS).decode()


def job_id() -> str:
    """A new job's id: 50 random bits, so that no id comes twice, even after its job was deleted."""
    return random_id(JOB_ID_LENGTH)


def draw() -> float:
    """A random number in [0, 1)."""
    return int.from_bytes(os.urandom(6)) / (1 << 48)


def tag_bits() -> int:
    """31 random bits, never 0, that mark all processes of one supervisor."""
    return int.from_bytes(os.urandom(4)) >> 1 or 1


def token_text() -> str:
    """A new token: 260 random bits."""
    return f"qctl_{random_id(52)}"
