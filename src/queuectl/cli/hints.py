"""Command lines for people to type, on the store of the command that proposes them."""

from __future__ import annotations

_COMMAND = r"(?:^|(?<=: ))queuectl (?=[a-z])(?!(?:(?! (?:--|-c) )[^,;])*--(?:help|db))"
"""A command in a hint that is about the store, and does not name one. A job's own command may have such options."""

_KEY = r'(?<![\w-])(cron|every|force|on_conflict|replace|stdin|tz)=("[^"]*"|[\w./-]+)'
"""A key of an API with its value, in a hint for every interface."""


def command(words: str, db: str | None) -> str:
    """A command line for the user to type, on the store that `--db` names."""
    if db is None:
        return f"queuectl {words}"
    from shlex import quote

    from queuectl.places import shown

    return f"queuectl --db {quote(shown(db))} {words}"


def given(db: str | None) -> str | None:
    """The store that `--db` or the environment names, for messages to people and programs elsewhere."""
    from os import environ, path

    from queuectl.places import is_server

    named = environ.get("QUEUECTL_DB") or None if db is None else db
    return named if named is None or is_server(named) else path.abspath(path.expanduser(named))


def on_store(hint: str, db: str | None) -> str:
    """A hint whose commands, typed as they stand, are on the store that `--db` names: one may be to empty it."""
    if db is None or "queuectl " not in hint:
        return hint
    from re import sub

    from queuectl.domain.errors import QueuectlError

    try:
        begin = command("", db)
    except QueuectlError:  # the hint is of this very error: the address is wrong, or its library is missing
        return hint
    return sub(_COMMAND, lambda _: begin, hint)


def with_options(hint: str) -> str:
    """A hint whose keys are spelled as options."""
    if "=" not in hint:
        return hint
    from re import sub

    def option(key: str, value: str) -> str:
        return f"--{key.replace('_', '-')}" + ("" if value == "true" else f" {value}")

    return sub(_KEY, lambda found: option(*found.groups()), hint)
