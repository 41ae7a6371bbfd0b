"""`import crontab`: a crontab as schedules, line by line."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import Iterable, Iterator

from queuectl import zones
from queuectl.cli.call import Call
from queuectl.client.importing import as_command, as_schedule
from queuectl.domain.errors import Invalid
from queuectl.wire.crontab import Crontab, Dialect, Told, read_crontab
from queuectl.wire.words import counted


def import_crontab(call: Call) -> int:
    """Prints the commands that add the schedules, or adds them. What does not come along is told."""
    console, args = call.console, call.args
    path = call.words[0] if call.words else None
    name, dialect = os.path.basename(path or ""), Dialect(args.dialect)
    found = read_crontab(
        _content(path), dialect, is_system=args.system, name=name, is_user=_is_user,
        is_zone=zones.is_named,
    )  # fmt: skip
    told = list(_told(found))
    zone = _local_zone() if found.entries else ""
    schedules = [as_schedule(entry, zone) for entry in found.entries]
    if args.apply and schedules:
        with call.client() as client:
            client.add_paused(schedules)
    if console.as_json:
        lines = [each._asdict() for each in told]
        console.json({"schedules": schedules, "told": lines, "hints": list(found.hints), "added": args.apply})
    elif args.apply:
        console.lines(each["name"] if console.quiet else f"added {each['name']}, paused" for each in schedules)
        console.lines(_comments(told))
    else:
        notes = {entry.name: entry.notes for entry in found.entries}
        prefix = call.command("").rstrip()
        for each in schedules:
            console.lines(f"# {note}" for note in notes[each["name"]])
            console.print(as_command(each, prefix))
        console.lines(_comments(told))
    for hint in dict.fromkeys(found.hints):
        console.note(hint, "info")
    if args.apply and schedules:
        resume = call.command(f"schedule resume {' '.join(each['name'] for each in schedules)}")
        number = counted(len(schedules), "schedule")
        console.note(f"{number} added, paused; take the crontab away, then: {resume}", "info")
    return 1 if told else 0


def _told(found: Crontab) -> Iterator[Told]:
    """What was left out, and what is otherwise than it looks."""
    yield from found.told
    for entry in found.entries:
        for note in entry.notes:
            yield Told(entry.line, entry.command, note)


def _comments(told: Iterable[Told]) -> Iterator[str]:
    for each in told:
        place = f"line {each.line}" if each.line else "the file"
        yield f"# {place}: {each.reason}" + (f": {each.text}" if each.text else "")


def _local_zone() -> str:
    try:
        return zones.local()
    except Invalid as error:
        raise Invalid(error.message, "name one: export TZ=Europe/Berlin") from None


def _is_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _content(name: str | None) -> bytes:
    """The file, stdin for `-`, or this user's own crontab."""
    if name == "-":
        return sys.stdin.buffer.read()
    if name is None:
        return _own()
    try:
        with open(name, "rb") as file:
            return file.read()
    except OSError as error:
        raise Invalid(f"cannot read {name}: {error.strerror}", "give a crontab, or - for stdin") from None


def _own() -> bytes:
    try:
        done = subprocess.run(["crontab", "-l"], capture_output=True, check=False)
    except OSError:
        raise Invalid("there is no crontab command here", "give a file, or - for stdin") from None
    if done.returncode:
        raise Invalid(done.stderr.decode(errors="replace").strip() or "crontab -l failed", "give a file, or -")
    return done.stdout
