"""The parameter `fields`: only some keys of each job."""

from __future__ import annotations

from collections.abc import Sequence

from queuectl.domain.errors import Invalid
from queuectl.domain.likeness import nearest
from queuectl.wire.kinds import JsonObject


def chosen(words: Sequence[str], known: Sequence[str]) -> list[str]:
    """The keys that are named, each once; a word may name several, with commas. Raises `Invalid`."""
    names = [name.strip() for word in words for name in word.split(",")]
    for name in names:
        if name not in known:
            raise Invalid(f"fields: unknown key {name[:100]!r}", nearest(name, known))
    return list(dict.fromkeys(names))


def only(document: JsonObject, names: Sequence[str]) -> JsonObject:
    """A document with these keys only; all if none is named."""
    return {name: document[name] for name in names} if names else document
