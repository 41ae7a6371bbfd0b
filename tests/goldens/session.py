"""One session at the command line, played on a new store, as text: what each command prints as JSON, and its exit code.

What differs from run to run (times, names of this machine, measurements) is replaced by words. To record it again after
a change that is meant to be seen: python -m tests.goldens.session
"""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from queuectl.cli import main as cli
from queuectl.client.here import login_name
from queuectl.places import open_archive
from tests.server import new_schema, start_server
from tests.workshop import clean_environment

HERE = Path(__file__).parent

COMMANDS = (HERE / "commands.txt").read_text().splitlines()
"""What is typed, a line each. What begins with `!` runs in a process of its own, and only its code counts."""

REPLACED = (
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", "<time>"),
    (r"\b\d+(\.\d+)?(ms|s|m|h|d)\d*[a-z]* ago|(?<=completed )now\b", "<ago>"),
    (r"\(in \d+[a-z][a-z0-9]*\)", "(in <while>)"),
    (r'"(duration|cpu_time|max_rss|pid|oldest_waiting|waited)": ?[\d.e-]+', r'"\1": <number>'),
    (r'"token": ?"\w{8,}"', '"token": "<random>"'),
    (r'"id": ?"[0-9a-hjkmnp-tv-z]{8,10}"', '"id": "<random>"'),
    (r'"PATH": ?"[^"]*"', '"PATH": "<path>"'),
)


def play(address: str, folder: Path) -> str:
    """The session on the store at `address`, which is not there yet; `folder` is where it is typed."""
    told = []
    for line in COMMANDS:
        words = shlex.split(line.removeprefix("!"))
        if line.startswith("!"):
            command = [sys.executable, "-m", "queuectl", "--db", address, *words]
            subprocess.run(command, cwd=folder, env=clean_environment(), capture_output=True, check=True, timeout=120)
            told.append(f"$ queuectl {line.removeprefix('!')}\n")
            continue
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = cli.execute(["--db", address, *words])
        told.append(f"$ queuectl {line}\n{out.getvalue()}{err.getvalue()}[{code}]\n")
    told += [f"spec {body}\n" for body in spec_bodies(address)]
    return without_chance("\n".join(told), address, folder)


def spec_bodies(address: str) -> list[str]:
    """The stored specs, in their order."""
    archive = open_archive(address)
    try:
        with archive.locked():
            return [str(body) for _, body in archive.rows("specs")]
    finally:
        archive.close()


def without_chance(text: str, address: str, folder: Path) -> str:
    """The text with words in the place of what differs from run to run."""
    for given, word in ((address, "<store>"), (str(folder), "<folder>")):
        text = text.replace(given, word)
    for name, word in ((os.uname().nodename, "<host>"), (login_name(), "<user>")):
        text = re.sub(rf'"{re.escape(name)}"', f'"{word}"', text)
    for pattern, word in REPLACED:
        text = re.sub(pattern, word, text)
    return text


def openapi() -> str:
    """The document of the REST API."""
    from queuectl.client.operations import OPERATIONS
    from queuectl.web.rest.openapi import document

    return json.dumps(document(OPERATIONS.values()), indent=1, ensure_ascii=False) + "\n"


def environment(folder: Path) -> dict[str, str]:
    """All the variables that there are while the session is played."""
    return {"PATH": "/usr/bin:/bin", "HOME": str(folder), "XDG_STATE_HOME": str(folder), "LANG": "C.UTF-8"}


def record() -> None:
    """Writes down what there is now."""
    server = start_server()
    try:
        for kind in ("sqlite", "postgres"):
            with tempfile.TemporaryDirectory() as made:
                os.chdir(made)
                os.environ.clear()
                os.environ.update(environment(Path(made)))
                address = f"{made}/queuectl.db" if kind == "sqlite" else new_schema(server.url)
                (HERE / f"{kind}.txt").write_text(play(address, Path(made)))
    finally:
        server.remove()
    (HERE / "openapi.json").write_text(openapi())


if __name__ == "__main__":
    record()
