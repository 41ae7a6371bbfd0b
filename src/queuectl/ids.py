"""The only source of randomness: ids, tokens, and the jitter of retries."""

from __future__ import annotations

import os

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""32 characters that are hard to confuse (Crockford's base 32, in lower case)."""

JOB_ID_LENGTH = 10
IN_ORDER_FROM = 10_000
"""From this number of jobs on, ids of jobs that are added together begin in ascending order."""

_CHARACTERS = ALPHABET.encode() * 8
"""The character for each byte."""


def random_id(length: int) -> str:
    """A random word of `length` characters of 5 bits each."""
    return os.urandom(length).translate(_CHARACTERS).decode()


def job_id() -> str:
    """A new job's id: 50 random bits, so that no id comes twice, even after its job was deleted."""
    return random_id(JOB_ID_LENGTH)


def may_be_drawn(job_id: str) -> bool:
    """Whether an id looks like a generated one."""
    return len(job_id) == JOB_ID_LENGTH and not set(job_id) - set(ALPHABET)


def secret() -> bytes:
    """What the ids of one insertion follow from."""
    return os.urandom(16)


def job_ids(secret: bytes, first: int, count: int, total: int) -> list[str]:
    """The ids of some of `total` jobs that are added together, from the `first` on; the same again for the same secret.

    They are as random as others, but those of many jobs begin in ascending order: an index takes them twice as fast.
    """
    from hashlib import shake_128

    letters = shake_128(secret + first.to_bytes(8)).digest(count * JOB_ID_LENGTH).translate(_CHARACTERS).decode()
    each = range(0, count * JOB_ID_LENGTH, JOB_ID_LENGTH)
    if total < IN_ORDER_FROM:
        return [letters[at : at + JOB_ID_LENGTH] for at in each]
    pairs, places = [a + b for a in ALPHABET for b in ALPHABET], range(first << 10, first + count << 10, 1 << 10)
    return [
        pairs[place // total] + letters[at + 2 : at + JOB_ID_LENGTH] for at, place in zip(each, places, strict=True)
    ]


def draw() -> float:
    """A random number in [0, 1)."""
    return int.from_bytes(os.urandom(6)) / (1 << 48)


def tag_bits() -> int:
    """31 random bits, never 0, that mark all processes of one supervisor."""
    return int.from_bytes(os.urandom(4)) >> 1 or 1


def token_text() -> str:
    """A new token: 260 random bits."""
    return f"qctl_{random_id(52)}"
