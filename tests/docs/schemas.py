"""Writes docs/schema: what each command prints with --json, as JSON Schemas. To write them again:
python -m tests.docs.schemas
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from queuectl.cli import answers
from queuectl.cli.commands import commands

FOLDER = Path(__file__).parents[2] / "docs" / "schema" / str(answers.VERSION)
WIDTH = 120


def files() -> dict[str, str]:
    """The text of each file."""
    return {f"{name}.json": pretty(each) + "\n" for name, each in answers.documents(commands().values()).items()}


def pretty(value: Any, indent: int = 0, taken: int = 0) -> str:
    """JSON with what fits into a line on one. `taken` characters of the line come before it."""
    text = json.dumps(value, ensure_ascii=False)
    if len(text) + indent + taken <= WIDTH or not isinstance(value, (dict, list)):
        return text
    inner, blanks = indent + 2, " " * (indent + 2)
    if isinstance(value, list):
        begin, end, lines = "[", "]", [blanks + pretty(each, inner) for each in value]
    else:
        keys = {f"{json.dumps(key)}: ": each for key, each in value.items()}
        begin, end = "{", "}"
        lines = [blanks + key + pretty(each, inner, len(key)) for key, each in keys.items()]
    return f"{begin}\n" + ",\n".join(lines) + f"\n{' ' * indent}{end}"


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    wanted = files()
    for old in FOLDER.glob("*.json"):
        if old.name not in wanted:
            old.unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text)
