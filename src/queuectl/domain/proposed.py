"""Names within the commands that messages propose: ids and names of queues, locks and schedules may begin with `-`."""

from __future__ import annotations


def named(*names: str) -> str:
    """These names as the last words of a command: after `--` if one of them would be read as an option."""
    return " ".join(("--", *names) if any(name.startswith("-") for name in names) else names)


def option(flag: str, value: str) -> str:
    """An option with its value."""
    return f"{flag}={value}" if value.startswith("-") else f"{flag} {value}"
