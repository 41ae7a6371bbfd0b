"""`queuectl help --json`: all that scripts can rely on, as one document, from the tables of commands and keys."""

from __future__ import annotations

from queuectl import __version__
from queuectl.cli import answers
from queuectl.cli.command import GLOBAL_OPTIONS, Command
from queuectl.cli.commands import commands
from queuectl.cli.options import Option
from queuectl.cli.topics import EXIT_CODES, NOTES, READ, SEEN, STATES, error_codes
from queuectl.domain.fields import FIELDS
from queuectl.domain.reason import Code
from queuectl.settings import SETTINGS
from queuectl.typed import Any


def document() -> dict[str, Any]:
    """Commands with their options and the schemas of their answers, the keys of a job, settings, and every code."""
    return {
        "version": __version__, "schema_version": answers.VERSION,
        "options": list(map(_option, GLOBAL_OPTIONS)),
        "commands": list(map(_command, commands().values())),
        "job_keys": [
            {
                "name": field.name, "kind": field.kind, "nullable": field.nullable, "option": field.option or None,
                "set_by": "user" if field.setter == "user" else "queuectl", "help": field.help or None,
            }
            for field in FIELDS if field.shown or field.setter == "user"
        ],
        "settings": [
            {"name": name, "default": setting.default, "help": setting.help} for name, setting in SETTINGS.items()
        ],
        "answers": answers.documents(commands().values()),
        "states": dict(STATES), "reason_codes": [code.value for code in Code], "exit_codes": dict(EXIT_CODES),
        "error_codes": dict(error_codes()), "note_codes": dict(NOTES),
        "environment": {"read": dict(READ), "given_to_commands": dict(SEEN)},
    }  # fmt: skip


def _command(command: Command) -> dict[str, Any]:
    return {
        "name": command.name, "group": command.group, "help": command.help, "description": command.description,
        "words": command.words or None, "takes_command": command.takes_command, "reads": command.reads,
        "options": list(map(_option, command.options)), "examples": list(command.examples),
        "answer": answers.name_of(command),
    }  # fmt: skip


def _option(option: Option) -> dict[str, Any]:
    how = option.how
    return {
        "flags": list(option.flags), "help": option.help, "metavar": how.get("metavar"),
        "choices": list(how["choices"]) if "choices" in how else None, "repeats": option.repeats,
        "is_flag": not option.takes_value,
    }  # fmt: skip
