"""A newcomer's first minutes, and every other line of the pages that installs something:

make newcomer

In a fresh clone, with a home of its own, it plays every line of the README that installs and uses queuectl. Then each
block of the other pages that installs, again in a fresh home, in which queuectl is installed as the README does unless
the block does so itself. What a session prints is compared with what the page shows; prints the time of each block. It
installs from the configured package index.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.docs.blocks import Block, blocks_of, pages
from tests.docs.links import ROOT
from tests.docs.play import complaints_of
from tests.docs.stage import Stage

README = ROOT / "README.md"
INSTALLERS = ("uv", "pipx")
BRINGS_QUEUECTL = ("uv tool install", "pipx install", "make pyz")
"""What is in a block that needs no queuectl beforehand."""
BEFORE = {"upgrading": "queuectl init; queuectl worker start --detach"}
"""What a page takes for granted."""


class Newcomer:
    """A home with a clone in it."""

    def __init__(self, home: Path) -> None:
        self.checkout = home / "queuectl"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(self.checkout)], check=True)
        self.stage = Stage(home, "newcomer", None, installs=True)
        self.stage.play('export PATH="$HOME/.local/bin:$PATH"')

    def has(self, program: str) -> None:
        """Gets a program that installs others."""
        self.type(f'python3 -m venv "$STAGE/{program}" && "$STAGE/{program}/bin/pip" install -q {program} && '
                  f'ln -s "$STAGE/{program}/bin/{program}" "$STAGE/bin/"')  # fmt: skip

    def play(self, block: Block) -> list[str]:
        """Plays a block, where it is to be typed; what went wrong."""
        return self.type(block.text) if block.not_played else list(complaints_of(self.stage, block))

    def type(self, text: str) -> list[str]:
        """Plays lines in the clone; what went wrong."""
        output = self.stage.play(f'cd "{self.checkout}"\n{text}\ncd ~/demo')
        return ["\n".join([*failures, *output])] if (failures := self.stage.failures()) else []


@contextmanager
def newcomer() -> Iterator[Newcomer]:
    with tempfile.TemporaryDirectory(prefix="queuectl-newcomer-", ignore_cleanup_errors=True) as home:
        person = Newcomer(Path(home))
        try:
            yield person
        finally:
            person.type("queuectl worker stop --now")
            person.stage.close()


def timed(person: Newcomer, block: Block) -> list[str]:
    """Plays a block and prints how long it took; what went wrong."""
    since = time.monotonic()
    found = person.play(block)
    first = block.text.partition("\n")[0]
    print("\n".join([f"{time.monotonic() - since:6.1f}s  {first} …", *found]), flush=True)
    return found


def installs(page: Path) -> list[Block]:
    """The blocks of a page that install something."""
    return [block for block in blocks_of(page) if block.not_played == "installs"]


def five_minutes() -> list[str]:
    """The README from its beginning to its end; what went wrong."""
    began = time.monotonic()
    with newcomer() as person:
        print(f"{time.monotonic() - began:6.1f}s  git clone", flush=True)
        blocks = [block for block in blocks_of(README) if block.played or block.not_played == "installs"]
        wrong = [text for block in blocks for text in timed(person, block)]
    print(f"{time.monotonic() - began:6.1f}s  in all", flush=True)
    return wrong


def elsewhere(page: Path, block: Block) -> list[str]:
    """A block of another page that installs; what went wrong."""
    print(f"{page.relative_to(ROOT)}, line {block.line}", flush=True)
    with newcomer() as person:
        for program in INSTALLERS:
            if program in block.text:
                person.has(program)
        if not any(words in block.text for words in BRINGS_QUEUECTL):
            person.play(installs(README)[-1])
        wrong = person.type(BEFORE.get(page.stem, "")) + timed(person, block)
        if unusable := person.type("queuectl --version"):
            print("\n".join(unusable), flush=True)
        return wrong + unusable


def main() -> int:
    wrong = five_minutes()
    for page in pages():
        if page != README:
            wrong += [text for block in installs(page) for text in elsewhere(page, block)]
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
