"""Makes schedules of the entries of a crontab."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping, Sequence
from shlex import quote

from queuectl.client.schedule_views import ScheduleView
from queuectl.client.schedules import add
from queuectl.domain.errors import Conflict
from queuectl.domain.proposed import named
from queuectl.store.port import Store
from queuectl.typed import Any
from queuectl.wire.crontab import Entry


def as_schedule(entry: Entry, zone: str) -> dict[str, Any]:
    """The arguments of `add_schedule` for an entry, so that it runs as under cron: in the owner's home, with cron's
    variables. `zone` is the machine's."""
    variables = dict(entry.variables)
    shell = variables.pop("SHELL")
    home = variables.get("HOME") or _home(entry.user)
    job: dict[str, Any] = {"command": _command(entry), "cwd": home, "env": variables}
    if shell != "/bin/sh":
        job["shell"] = shell
    if entry.user is not None and entry.user != pwd.getpwuid(os.getuid()).pw_name:
        job["user"] = entry.user
    return {"name": entry.name, "cron": entry.cron, "tz": entry.zone or zone, "job": job}


def _home(user: str | None) -> str:
    try:
        return os.path.expanduser("~") if user is None else pwd.getpwnam(user).pw_dir
    except KeyError:
        return "/"


def _command(entry: Entry) -> str:
    """The command with its input, if it has some. A shell reads it as cron's does."""
    if entry.stdin is None:
        return entry.command
    return f"printf %s {quote(entry.stdin)} | {{\n{entry.command}\n}}"


def as_command(arguments: Mapping[str, Any], prefix: str) -> str:
    """The command line that adds the schedule."""
    job = arguments["job"]
    words = ["schedule", "add", arguments["name"], "--cron", arguments["cron"], "--tz", arguments["tz"]]
    words += [word for name, value in job["env"].items() for word in ("--env", f"{name}={value}")]
    words += [word for key in ("cwd", "shell", "user") if key in job for word in (f"--{key}", job[key])]
    return f"{prefix} {' '.join(map(quote, [*words, '-c', job['command']]))}"


def add_all(store: Store, who: str, schedules: Sequence[Mapping[str, Any]]) -> list[ScheduleView]:
    """Adds schedules, paused, all or none. Raises `Conflict` if a name is taken."""
    with store.transaction():
        there = {each.name for each in store.schedules()}
        if taken := next((each["name"] for each in schedules if each["name"] in there), None):
            hint = f"take its line away, or delete the schedule first: queuectl schedule delete {named(taken)}"
            raise Conflict(f"schedule {taken} exists; nothing was imported", hint)
        return [add(store, who, paused=True, **each) for each in schedules]
