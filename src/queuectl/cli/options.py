"""Options that several commands share, as data."""

from __future__ import annotations

from collections.abc import Sequence

from queuectl.domain.fields import INPUT, Field
from queuectl.typed import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from types import SimpleNamespace


class Option(NamedTuple):
    """An option: its spellings, its help, and argparse's arguments."""

    flags: tuple[str, ...]
    help: str
    how: dict[str, Any]

    @property
    def dest(self) -> str:
        """The name of its value."""
        named: str = self.how.get("dest") or self.flags[-1].lstrip("-").replace("-", "_")
        return named

    @property
    def takes_value(self) -> bool:
        return self.how.get("action", "store") in ("store", "append")

    @property
    def repeats(self) -> bool:
        """Whether each time it is given counts."""
        return self.how.get("action") == "append"

    @property
    def default(self) -> Any:
        """Its value where it is not given."""
        return self.how.get("default", False if self.how.get("action") == "store_true" else None)


def option(*words: str, **how: Any) -> Option:
    """An option with a value; `words` are its spellings, the value's name and its help."""
    *flags, metavar, text = words
    return Option(tuple(flags), text, {"metavar": metavar, **how})


def many(*words: str, **how: Any) -> Option:
    """An option that may be repeated."""
    return option(*words, action="append", default=[], **how)


def flag(*words: str) -> Option:
    """An option without a value."""
    *flags, text = words
    return Option(tuple(flags), text, {"action": "store_true"})


def off(word: str, text: str, dest: str) -> Option:
    """An option that turns something off."""
    return Option((word,), text, {"action": "store_const", "const": False, "dest": dest})


def words_of(options: Sequence[Option], args: SimpleNamespace) -> list[str]:
    """The options that were given, as words of another command line."""
    words = []
    for each in options:
        name = each.flags[-1]
        value = getattr(args, each.dest)
        if not each.takes_value:
            words += [name] if value is each.how.get("const", True) else []
        elif isinstance(value, list):
            words += [f"{name}={one}" for one in value]
        elif value != each.how.get("default"):
            words.append(f"{name}={value}")
    return words


def _of(field: Field) -> Option:
    """The option that gives a key of a job, as `key:NAME`."""
    flags = (field.short, field.option) if field.short else (field.option,)
    if field.kind == "flag":
        return Option(flags, field.help, {"action": "store_const", "const": True, "dest": f"key:{field.name}"})
    action = "append" if field.kind in ("names", "locks", "secrets", "dependencies", "variables") else "store"
    return Option(flags, field.help, {"metavar": field.metavar, "dest": f"key:{field.name}", "action": action})


FLAGS = {field.name: field.option for field in INPUT if field.option}
"""The option of each key of a job."""

ENQUEUE = (
    option("-c", "STRING", "the command as one string for the shell", dest="shell_command"),
    *(_of(field) for field in INPUT if field.option),
)

FILE = option("-f", "--file", "FILE", "add one JSON job per line, all or none; - is stdin")
MANY = (
    FILE,
    option("--each-line", "FILE", "add a job for each line, which replaces {} or is the last word; - is stdin"),
    flag("-0", "--null", "with --each-line: NUL bytes separate, not line ends"),
    option("--colsep", "S", "with --each-line: S separates the columns {1}, {2}, ..."),
    flag("--header", "with --each-line: the first line names the columns"),
    option("--chunk", "N", "of many: commit every N as they are read, instead of all or none"),
    flag("-n", "--dry-run", "show the first three jobs, and enqueue nothing"),
)

SELECT = (
    many("--state", "STATE", "jobs in this state"),
    many("-q", "--queue", "QUEUE", "jobs of this queue"),
    many("--tag", "TAG", "jobs with this tag"),
    many("--batch", "BATCH", "jobs of this batch"),
    many("--schedule", "SCHEDULE", "jobs of this schedule"),
    many("--owner", "NAME", "jobs added by this user"),
    many("--exit-code", "N", "jobs whose latest exit code is N"),
    many("--command", "GLOB", "jobs whose command matches, e.g. 'ffmpeg *'"),
    many("--error", "TEXT", "jobs whose error contains TEXT"),
    many("--fault", "FAULT", "jobs that failed alike, as `dlq list --group` names it"),
    many("--text", "TEXT", "jobs with TEXT in id, queue, tags, command, error or last line, in capitals or not"),
    many("--outcome", "OUTCOME", "jobs with an execution that ended so, e.g. failed, timeout"),
    option("--ended-after", "TIME", "jobs with an execution that ended at or after TIME, e.g. 1h (ago)"),
    option("--ended-before", "TIME", "jobs with an execution that ended before TIME"),
    option("--older-than", "DURATION", "jobs unchanged for this long, e.g. 7d"),
    flag("--hooks", "hooks of jobs and schedules, which are hidden otherwise"),
    flag("--all", "all jobs"),
)

ACT = (flag("-y", "--yes", "do not ask"), flag("-n", "--dry-run", "only print the jobs that would change"))

STREAMS = (flag("--stdout", "only stdout (with --split-output)"), flag("--stderr", "only stderr (with --split-output)"))
FOLLOW = (
    flag("-f", "--follow", "follow the output, over retries, until the job ends"),
    option("--attempt", "N", "the output of attempt N, or all"),
    *STREAMS,
    option("--tail", "N", "only the last N lines"),
)
