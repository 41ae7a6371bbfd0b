"""Reads a job's JSON that was typed without quotes around it, as a shell leaves it.

`queuectl enqueue {"id":"job1","command":"echo hi"}` does not arrive like this: the shell takes the double quotes, and

- bash expands the braces into one word per key: `id:job1` `command:echo hi`;
- dash (and bash with a single key) leaves one word: `{id:job1,command:echo hi}`;
- a blank after a comma makes several words that begin with `{` and end with `}`.

Rules: a comma separates only before a known key and its colon. A value is taken as the shell left it. Ambiguous input
is refused, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from queuectl.cli.keys import in_json
from queuectl.domain.errors import Invalid
from queuectl.domain.fields import INPUT
from queuectl.typed import Any
from queuectl.wire.requests import ALIASES, INPUT_KEYS, unknown_key

IGNORED_KEYS = ("state", "attempts", "created_at", "updated_at")
"""Keys of a job's JSON that may repeat in the input."""

KEYS = frozenset((*INPUT_KEYS, *IGNORED_KEYS))
LISTS = frozenset(
    field.name for field in INPUT if field.kind in ("exit codes", "names", "locks", "secrets", "dependencies")
)
QUOTE_IT = """put single quotes around the JSON: queuectl enqueue '{"command": "echo hello"}'"""

_KEY = r"\s*([A-Za-z][A-Za-z_-]*)\s*:"
_NEXT_KEY = r",\s*(?=([A-Za-z][A-Za-z_-]*)\s*:)"


def looks_unquoted(words: Sequence[str]) -> bool:
    """Whether the words are unquoted JSON after a shell has read them, rather than JSON or a command."""
    text = " ".join(words)
    if text.startswith("{"):
        return re.match(_KEY, text[1:]) is not None
    return re.match(_KEY, text) is not None and any(_known(key[1]) for word in words if (key := re.match(_KEY, word)))


def parse(words: Sequence[str]) -> dict[str, Any]:
    """The JSON object that was meant, for `wire.parse_request`. Raises `Invalid` if that is not certain."""
    pairs = _braced(" ".join(words)) if words[0].startswith("{") else _expanded(words)
    document: dict[str, Any] = {}
    for given, text in pairs:
        key = given.replace("-", "_")
        if key in document:
            raise Invalid(f"{given} comes twice once the shell has taken the quotes", QUOTE_IT)
        document[key] = _value(key, text.strip() if key != "command" else text)
    return document


def _plain(key: str) -> str:
    """The key's own name."""
    name = key.replace("-", "_")
    return ALIASES.get(name, name)


def _known(key: str) -> bool:
    return _plain(key) in KEYS


def _expanded(words: Sequence[str]) -> list[tuple[str, str]]:
    """Parses bash's form: each word is a key and its value, or the next item of a list."""
    pairs: list[tuple[str, str]] = []
    for word in words:
        if pairs and _is_open_list(*pairs[-1]):
            pairs[-1] = (pairs[-1][0], f"{pairs[-1][1]},{word}")
            continue
        match = re.match(_KEY, word)
        if not match:
            raise Invalid(f"cannot tell where {word!r} belongs once the shell has taken the quotes", QUOTE_IT)
        pairs.append((match[1], word[match.end() :]))
    return pairs


def _is_open_list(key: str, text: str) -> bool:
    return _plain(key) in LISTS and text.lstrip().startswith("[") and not text.rstrip().endswith("]")


def _braced(text: str) -> list[tuple[str, str]]:
    """Parses dash's form: one text in braces, split at each comma before a known key."""
    text = text.strip()
    if not text.endswith("}"):
        raise Invalid(f"{text!r} has no closing brace", QUOTE_IT)
    inner = text[1:-1].strip().removesuffix(",")
    starts = [0, *(match.end() for match in re.finditer(_NEXT_KEY, inner) if _known(match[1])), len(inner) + 1]
    pieces = [inner[start:end] for start, end in pairwise(starts)]
    pieces = [piece.rstrip().removesuffix(",") for piece in pieces[:-1]] + pieces[-1:]
    pairs: list[tuple[str, str]] = []
    for piece in pieces:
        if pairs and _is_open_list(*pairs[-1]):
            pairs[-1] = (pairs[-1][0], f"{pairs[-1][1]},{piece}")
            continue
        match = re.match(_KEY, piece)
        if not match:
            raise Invalid(f"{piece!r} is not a key and value", QUOTE_IT)
        pairs.append((match[1], piece[match.end() :].strip()))
    if not any(key == "command" for key, _ in pairs):
        _name_misspelt(inner)
    return pairs


def _name_misspelt(inner: str) -> None:
    """Without a command, the likeliest mistake is a misspelt key, which a comma does not separate."""
    for match in re.finditer(r"(?:^|,)\s*([A-Za-z][A-Za-z_-]*)\s*:", inner):
        if not _known(match[1]):
            raise unknown_key(match[1])


def _value(key: str, text: str) -> Any:
    """The JSON value of a text that has lost its quotes."""
    if key == "env":
        raise Invalid("env cannot be read once the shell has taken the quotes", f"use --env NAME=VALUE, or {QUOTE_IT}")
    if key == "command":
        if re.match(r"\[[^\s\[]", text):
            raise Invalid("a command that is a list cannot be read once the shell has taken the quotes", QUOTE_IT)
        return text
    if text == "null":
        return None
    if _plain(key) in LISTS and text.startswith("[") and text.endswith("]"):
        return in_json(key, [part.strip() for part in text[1:-1].split(",") if part.strip()])
    if key == "attempts" and text.isdigit():
        return int(text)
    return in_json(key, text)
