"""The fenced blocks of the pages, and which of them are played.

A block of `sh` is a script, a block of `console` a session: a line with `$ ` is a command (lines with `> ` continue
it), what follows is its output, and a line `...` stands for lines left out. A block that cannot be played says so
behind its language: `sh not-played:systemd`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.docs.links import ROOT

PLAYED = ("sh", "console")
LEFT_OUT = "..."
NOT_PLAYED = {
    "installs": "changes what is installed; `make newcomer` plays it in a home of its own",
    "containers": "needs Docker; tests/engine/test_container.py runs a worker as a first process",
    "older": "needs a worker of an older release; tests/compat has some",
    "systemd": "needs a machine that systemd has booted; `make service-drill` boots one",
    "hosts": "needs several machines, or programs that only a server has; `make chaos-fleet` makes machines",
    "slow": "takes minutes, or does not end",
}
"""Why a block is not played: the whole list."""
OTHERS = (
    "", "json", "python", "python no-run", "sql", "mermaid", "toml", "ini", "yaml", "nginx", "dockerfile", "promql",
    "text", "caddy",
)  # fmt: skip
"""What else a block can be. None of it is for a shell."""

FENCED = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHELLISH = re.compile(r"^(\$ )?(sudo )?(queuectl|pip|curl|make|export) ", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """A fenced block: its language, why it is not played (empty if it is), its text and its first line's number."""

    language: str
    not_played: str
    text: str
    line: int

    @property
    def played(self) -> bool:
        return self.language in PLAYED and not self.not_played


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A command of a session and the lines it prints."""

    command: str
    output: tuple[str, ...]


def pages() -> list[Path]:
    """The pages whose examples are played: README and those for users."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md"))]


def blocks_of(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order."""
    text = page.read_text()
    return [block_at(text, found) for found in FENCED.finditer(text)]


def block_at(text: str, found: re.Match[str]) -> Block:
    """The block that FENCED found in the text of a page."""
    language, _, reason = found[1].partition(" not-played:")
    return Block(language=language, not_played=reason, text=found[2], line=text.count("\n", 0, found.start()) + 2)


def steps_of(block: str) -> list[Step]:
    """The steps of a session."""
    steps = []
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        first, *rest = part.splitlines()
        more = [line[2:] for line in rest if line.startswith("> ")]
        output = [line for line in rest if not line.startswith("> ")]
        steps.append(Step(command="\n".join([first, *more]), output=tuple(output)))
    return steps
