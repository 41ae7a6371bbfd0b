"""The options that several commands share, as data."""

from __future__ import annotations

from typing import Any, NamedTuple


class Option(NamedTuple):
    """One option: its spellings, its help, and how argparse reads it."""

    flags: tuple[str, ...]
    help: str
    how: dict[str, Any]


def option(*words: str, **how: Any) -> Option:
    """An option with a value: its spellings, the value's name, its help."""
    *flags, metavar, text = words
    return Option(tuple(flags), text, {"metavar": metavar, **how})


def many(*words: str) -> Option:
    """An option that may be repeated."""
    return option(*words, action="append", default=[])


def flag(*words: str) -> Option:
    """An option without a value."""
    *flags, text = words
    return Option(tuple(flags), text, {"action": "store_true"})


def _key(*words: str, action: str = "store") -> Option:
    """An option that stands for the key of a job's JSON named like it, or as its last word says: `key:NAME`."""
    *rest, text = words
    name = rest.pop().removeprefix("key:") if rest[-1].startswith("key:") else ""
    if action == "store_true":
        return Option(tuple(rest), text, {"action": "store_const", "const": True, "dest": f"key:{name}"})
    *flags, metavar = rest
    key = name or flags[-1].removeprefix("--").replace("-", "_")
    return Option(tuple(flags), text, {"metavar": metavar, "dest": f"key:{key}", "action": action})


ENQUEUE = (
    option("-c", "STRING", "the command as one string for the shell", dest="shell_command"),
    _key("--id", "ID", "the job's id (default: a random one)"),
    _key("-q", "--queue", "QUEUE", "the queue (default: default)"),
    _key("--priority", "N", "higher runs first (default: 0)"),
    _key("--delay", "DURATION", "not before this has passed: 90, 10m, 1h30m"),
    _key("--at", "TIME", "key:run_at", "not before: 18:00, '2026-11-21 18:00', RFC 3339"),
    _key("--timeout", "DURATION", "time limit of one attempt"),
    _key("--kill-grace", "DURATION", "from SIGTERM to SIGKILL when it is ended"),
    _key("--max-retries", "N", "retries after the first run"),
    _key("--backoff-base", "X", "each delay is X times the one before"),
    _key("--backoff-initial", "DURATION", "delay before the first retry"),
    _key("--backoff-max", "DURATION", "no delay is longer"),
    _key("--backoff-jitter", "FRACTION", "0..1 of a delay taken off at random"),
    _key("--retry-on", "CODES", "only these exit codes retry, e.g. 75,111"),
    _key("--fatal-on", "CODES", "these exit codes never retry; 128+n means signal n"),
    Option(
        ("--env",), "a variable for the command (without =: as it is here)",
        {"metavar": "NAME[=VALUE]", "action": "append", "default": []},
    ),
    _key("--shell", "PATH", "what runs a command that is a string (default: /bin/sh)"),
    _key("--cwd", "FOLDER", "where it runs (default: here)"),
    _key("--stdin", "FILE", "its input, opened at each attempt (default: empty)"),
    _key("--output", "PATH", "key:output_path", "also write its output to this file"),
    _key("--split-output", "key:split_output", "keep stdout and stderr apart", action="store_true"),
    _key("--tag", "TAG", "key:tags", "a mark to select it by; may be repeated", action="append"),
    _key("--hold", "key:held", "do not run it until it is released", action="store_true"),
)  # fmt: skip

FLAGS = {option.how["dest"][4:]: option.flags[-1] for option in ENQUEUE if "key:" in str(option.how.get("dest"))}
"""By which option each key of a job is given."""

ON_CONFLICT = Option(
    ("--on-conflict",), "what to do where the id is taken (default: error)",
    {"choices": ("error", "ignore"), "default": "error"},
)  # fmt: skip
FILE = option("-f", "--file", "FILE", "one JSON job a line, all or nothing; - reads stdin", dest="file")

SELECT = (
    many("--state", "STATE", "jobs in this state"),
    many("-q", "--queue", "QUEUE", "jobs of this queue"),
    many("--tag", "TAG", "jobs with this tag"),
    many("--owner", "NAME", "jobs enqueued by this user"),
    many("--exit-code", "N", "jobs whose latest exit code is N"),
    many("--command", "GLOB", "jobs whose command matches, e.g. 'ffmpeg *'"),
    many("--error", "TEXT", "jobs whose error contains TEXT"),
    option("--older-than", "DURATION", "jobs unchanged for this long, e.g. 7d"),
    flag("--all", "all jobs"),
)

ACT = (flag("-y", "--yes", "do not ask"), flag("-n", "--dry-run", "only say which jobs it would be"))

STREAMS = (flag("--stdout", "only stdout (where split)"), flag("--stderr", "only stderr (where split)"))
FOLLOW = (
    flag("-f", "--follow", "go on as it is written, over retries, until the job ends"),
    option("--attempt", "N", "the output of attempt N, or of all"),
    *STREAMS,
    option("--tail", "N", "only the last N lines"),
)
