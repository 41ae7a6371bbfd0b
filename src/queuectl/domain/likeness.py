"""Finds the known word that was meant: after a typing error, an abbreviation, or another tool's word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

NO_SYNONYMS: Mapping[str, str] = {}

LETTERS_A_SLIP = 4
"""A word may have one typing error for each this many letters; a short word may have one."""
ABBREVIATION_MIN = 3

STATES: Mapping[str, str] = {
    "abandoned": "cancelled", "aborted": "cancelled", "active": "processing", "blocking": "blocked",
    "buried": "dead", "busy": "processing", "canceled": "cancelled", "complete": "completed",
    "deferred": "pending", "delayed": "pending", "discarded": "dead", "dlq": "dead", "done": "completed",
    "enqueued": "pending", "error": "failed", "errored": "failed", "executing": "processing", "exhausted": "dead",
    "fail": "failed", "finished": "completed", "idle": "pending", "killed": "cancelled", "new": "pending",
    "ok": "completed", "queued": "pending", "ready": "pending", "retry": "failed", "retrying": "failed",
    "retryable": "failed", "revoked": "cancelled", "run": "processing", "running": "processing",
    "scheduled": "pending", "started": "processing", "success": "completed", "successful": "completed",
    "succeeded": "completed", "todo": "pending", "waiting": "pending", "working": "processing",
}  # fmt: skip
"""Other tools' words for the states of a job."""

KEYS: Mapping[str, str] = {
    "afterok": "depends_on", "args": "command", "argv": "command", "at": "run_at", "cmd": "command",
    "dependencies": "depends_on", "dependency": "depends_on", "depends": "depends_on", "dir": "cwd", "directory": "cwd",
    "environment": "env", "eta": "run_at", "folder": "cwd", "input": "stdin", "job": "command", "label": "tags",
    "labels": "tags", "max_attempts": "max_retries", "max_retry": "max_retries", "mem": "memory_max",
    "memory": "memory_max", "name": "id", "needs": "depends_on", "niceness": "nice", "output": "output_path",
    "retry": "max_retries", "tag": "tags", "time_limit": "timeout", "tries": "max_retries", "when": "run_at",
    "workdir": "cwd", "working_directory": "cwd",
}  # fmt: skip
"""Other tools' words for the keys of a job."""


def nearest(word: str, known: Sequence[str], synonyms: Mapping[str, str] = NO_SYNONYMS) -> str:
    """A hint with the known word that was meant, or with all known words."""
    meant = near(word, known, synonyms)
    return f"did you mean {meant!r}?" if meant else "known: " + ", ".join(known)


def near(word: str, known: Sequence[str], synonyms: Mapping[str, str] = NO_SYNONYMS) -> str | None:
    """The known word that was meant, or None if no single word is near."""
    if (synonym := synonyms.get(word)) in known:
        return synonym
    plain = _plain(word)
    slips = max(1, len(plain) // LETTERS_A_SLIP) if len(plain) > 1 else 0
    by_distance = sorted((distance(plain, _plain(each)), at) for at, each in enumerate(known))
    if by_distance and by_distance[0][0] <= slips:
        return known[by_distance[0][1]]
    if len(plain) < ABBREVIATION_MIN:
        return None
    longer = [each for each in known if any(part.startswith(plain) for part in (_plain(each), *_parts(each)))]
    return longer[0] if len(longer) == 1 else None


def distance(one: str, other: str) -> int:
    """The number of letters to add, remove, change or swap with a neighbour."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for at, letter in enumerate(one, 1):
        above, row = row, [at]
        for to, wanted in enumerate(other, 1):
            best = min(above[to] + 1, row[-1] + 1, above[to - 1] + (letter != wanted))
            if at > 1 and to > 1 and letter == other[to - 2] and wanted == one[at - 2]:
                best = min(best, before[to - 2] + 1)
            row.append(best)
        before = above
    return row[-1]


def _plain(word: str) -> str:
    return word[:60].lower().lstrip("-").replace("_", "-")


def _parts(word: str) -> list[str]:
    return _plain(word).split("-")
