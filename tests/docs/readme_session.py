"""The shell sessions that README.md and docs/limits.md show, played for real. Writes their outputs again:

python -m tests.docs.readme_session

All `console` blocks of a page are one session in one fresh folder. A line with `$ ` is a command (lines with `> `
continue it), what follows is its output, and a line `...` stands for lines left out. The folder, the host and the
user are shown under made-up names.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from queuectl.client.here import login_name

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "docs" / "limits.md")
LEFT_OUT = "..."
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WITHIN_S = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A command of the session and the lines it prints."""

    command: str
    output: tuple[str, ...]


def steps_of(block: str) -> list[Step]:
    """The steps of one `console` block."""
    steps = []
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        first, *rest = part.splitlines()
        more = [line[2:] for line in rest if line.startswith("> ")]
        output = [line for line in rest if not line.startswith("> ")]
        steps.append(Step(command="\n".join([first, *more]), output=tuple(output)))
    return steps


class Session:
    """A fresh folder, and a shell in it that finds `queuectl`."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "demo"
        self._folder.mkdir()
        programs = home / "bin"
        programs.mkdir()
        program = programs / "queuectl"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{ROOT / "main.py"}" "$@"\n')
        program.chmod(0o755)
        self._environment = {"PATH": f"{programs}:{os.defpath}", "HOME": str(home), "LANG": "C.UTF-8"}
        self._told = (
            (str(home), "/home/ana"), (os.uname().nodename.partition(".")[0], "laptop"),
            (login_name(), "ana"),
        )  # fmt: skip

    def play(self, command: str) -> tuple[str, ...]:
        """What a command prints, on either stream, as a terminal shows it."""
        done = subprocess.run(
            ["bash", "-c", command], cwd=self._folder, env=self._environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=WITHIN_S, check=False,
        )  # fmt: skip
        text = done.stdout
        for real, told in self._told:
            text = re.sub(rf"(?<!\w){re.escape(real)}(?!\w)", told, text)
        return tuple(line.rstrip() for line in text.splitlines())


@contextmanager
def session() -> Iterator[Session]:
    """A session that leaves no worker behind."""
    with tempfile.TemporaryDirectory(prefix="queuectl-readme-") as home:
        opened = Session(Path(home))
        try:
            yield opened
        finally:
            opened.play("queuectl worker stop --now")


def shortened(output: tuple[str, ...], as_in: tuple[str, ...]) -> tuple[str, ...]:
    """The output with its middle left out where it was before."""
    if LEFT_OUT not in as_in:
        return output
    at = as_in.index(LEFT_OUT)
    return (*output[:at], LEFT_OUT, *output[len(output) - (len(as_in) - at - 1) :])


def replay(page: Path) -> None:
    """Writes the outputs of a page's session into it."""
    with session() as opened:

        def play(block: re.Match[str]) -> str:
            lines = []
            for step in steps_of(block[1]):
                typed = step.command.splitlines()
                lines += [f"$ {typed[0]}", *(f"> {line}" for line in typed[1:])]
                lines += shortened(opened.play(step.command), step.output)
            return "\n".join(["```console", *lines, "```"])

        page.write_text(BLOCK.sub(play, page.read_text()))


if __name__ == "__main__":
    for each in PAGES:
        replay(each)
