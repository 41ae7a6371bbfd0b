"""The keys of a job as keyword arguments, for type checkers: written from the table of keys.

To write it again after a key was added: python -m tests.docs.job_keys
"""

from __future__ import annotations

from pathlib import Path

import queuectl
from queuectl.domain.fields import INPUT

MODULE = Path(queuectl.__file__).parent / "wire" / "keywords.py"

TYPES = {
    "command": "str | Sequence[Path]", "filled text": "Path", "path": "Path", "id": "str", "name": "str",
    "names": "Sequence[str]",
    "locks": "Sequence[str]", "secrets": "Sequence[str]", "dependencies": "Sequence[str]",
    "whole number": "int", "number": "float", "flag": "bool", "time": "str | datetime",
    "duration": "Duration", "positive duration": "Duration", "duration or none": "Duration",
    "size": "int | str", "exit codes": "Sequence[int]",
    "umask": "str", "key": "str", "allowance": "int | str", "script": "str", "hook": "Path",
    "variables": "Mapping[str, str]",
}  # fmt: skip
"""The type of a keyword argument, by the kind of its key."""
OTHERS = {"after": "depends_on"}
"""Other names of keyword arguments."""
APART = ("command", "on_conflict")
"""The one that is required, and one that many jobs can share."""


def written() -> str:
    """The module, with the class as the table has it."""
    text = MODULE.read_text()
    head, _, rest = text.partition("    command: str")
    _, _, tail = rest.partition("\n\n\n")
    lines = [f"    command: {TYPES['command']}"]
    for key in INPUT:
        names = [key.name, *(other for other, name in OTHERS.items() if name == key.name)]
        lines += [f"    {name}: NotRequired[{TYPES[key.kind]} | None]" for name in names if key.name not in APART]
    return head + "\n".join(lines) + "\n\n\n" + tail


if __name__ == "__main__":
    MODULE.write_text(written())
