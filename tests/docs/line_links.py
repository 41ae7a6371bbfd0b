"""Links in the pages: to files, to headings, and to lines of the source. Puts line numbers right again:

python -m tests.docs.line_links

A link to a line names in its text, in backticks, an identifier that stands in that line, as in
[`claim`](src/queuectl/store/sqlite.py#L1). So it cannot rot unseen, and can be mended by itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"\[([^\]]+)\]\(([^()\s]+)\)")
CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """A relative link: where it stands, what its text is, and what it leads to."""

    page: Path
    text: str
    target: str

    @property
    def file(self) -> Path:
        path = self.target.partition("#")[0]
        return (self.page.parent / path).resolve() if path else self.page

    @property
    def fragment(self) -> str:
        return self.target.partition("#")[2]

    @property
    def line(self) -> int | None:
        """The line it leads to, if it leads to one."""
        found = re.fullmatch(r"L(\d+)", self.fragment)
        return int(found[1]) if found else None

    @property
    def identifier(self) -> str | None:
        """What its text names in backticks, without the parentheses of a call."""
        found = re.search(r"`([^`]+)`", self.text)
        return found[1].removesuffix("()").rpartition(".")[2] if found else None


def links_of(page: Path) -> list[Link]:
    """The relative links of a page, outside of its examples."""
    text = CODE.sub("", page.read_text())
    return [Link(page=page, text=words, target=target) for words, target in LINK.findall(text) if "://" not in target]


def names(line: str, identifier: str) -> bool:
    """Whether an identifier stands in a line."""
    return re.search(rf"(?<!\w){re.escape(identifier)}(?!\w)", line) is not None


def headings(page: Path) -> set[str]:
    """The fragments of a page's headings, as the usual renderers make them."""
    text = CODE.sub("", page.read_text())
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def places(file: Path, identifier: str) -> Iterator[int]:
    """The lines of a file that name an identifier, its definition first."""
    lines = list(enumerate(file.read_text().splitlines(), 1))
    word = re.escape(identifier)
    defined = (
        rf"\s*(?:(?:async )?def|class|CREATE \w+) {word}\b|\s*(?:self\.)?{word}\s*(?::[^=]+)?=(?!=)|-- name: {word}$"
    )
    yield from (number for number, line in lines if re.match(defined, line))
    yield from (number for number, line in lines if names(line, identifier))


def mended(page: Path) -> str:
    """The page with each link to a line leading to a line that names what it names."""
    text = page.read_text()
    for link in links_of(page):
        if link.line is None or link.identifier is None or not link.file.exists():
            continue
        lines = link.file.read_text().splitlines()
        if 0 < link.line <= len(lines) and names(lines[link.line - 1], link.identifier):
            continue
        found = next(places(link.file, link.identifier), None)
        if found is not None:
            there = link.target.partition("#")[0]
            text = text.replace(f"[{link.text}]({link.target})", f"[{link.text}]({there}#L{found})")
    return text


if __name__ == "__main__":
    for each in PAGES:
        each.write_text(mended(each))
