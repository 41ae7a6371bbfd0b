"""PostgreSQL's words in conditions on jobs."""

from __future__ import annotations

import re

from queuectl.store.shared.rows import SEARCHED, Dialect


def regex_of(glob: str) -> str:
    """The regular expression of a case-sensitive GLOB as SQLite reads it (`*`, `?`, `[a-z]`, `[^a-z]`)."""
    parts = re.findall(r"\[\^?\]?[^\]]*\]|.", glob, re.DOTALL)
    return "^" + "".join(map(_piece, parts)) + "$"


def _piece(part: str) -> str:
    if part == "*":
        return ".*"
    if part == "?":
        return "."
    if len(part) > 1:
        return "[" + part[1:-1].replace("\\", "\\\\") + "]"
    return part if part.isalnum() or part.isspace() or not part.isascii() else "\\" + part


POSTGRES = Dialect(
    integer="?::integer",
    any_of="= ANY (?)",
    array=list,
    tag="tags::jsonb @> to_jsonb(ARRAY[?::text])",
    command="command ~ ?",
    error="strpos(lower(error), lower(?)) > 0",
    text=f"strpos(lower({SEARCHED}), lower(?)) > 0",
    pattern=regex_of,
    is_parked="ready IS NULL",
    parked="NULL",
    locked="FOR UPDATE",
    skip_locked="FOR NO KEY UPDATE SKIP LOCKED",
    shared_unlocked="FOR SHARE SKIP LOCKED",
    first_unlocked="ORDER BY seq LIMIT ? FOR UPDATE SKIP LOCKED",
    kept="FOR KEY SHARE",
    removable="FOR UPDATE SKIP LOCKED",
    pairs="SELECT * FROM unnest(?::text[], ?::text[])",
    retries="WHERE state = 'failed' AND NOT held",
    greatest="greatest",
    each_of="SELECT unnest(?::text[]) AS each",
)
