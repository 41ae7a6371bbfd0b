"""Links in the pages: to files, to headings, and to names in the source.

A link to a source file whose text is an identifier in backticks, as in [`claim`](src/queuectl/store/sqlite/store.py),
promises that the file names it. There are no line numbers: they would change with every edit.
"""

from __future__ import annotations

import re
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
    def identifier(self) -> str | None:
        """What its whole text names in backticks, where it leads into the source; without the parentheses of a call."""
        found = re.fullmatch(r"`([^`/]+)`", self.text)
        if found is None or self.file.suffix not in (".py", ".sql"):
            return None
        return found[1].removesuffix("()").rpartition(".")[2]


def links_of(page: Path) -> list[Link]:
    """The relative links of a page, outside of its examples."""
    text = CODE.sub("", page.read_text())
    return [Link(page=page, text=words, target=target) for words, target in LINK.findall(text) if "://" not in target]


def names(text: str, identifier: str) -> bool:
    """Whether a text names an identifier."""
    return re.search(rf"(?<!\w){re.escape(identifier)}(?!\w)", text) is not None


def headings(page: Path) -> set[str]:
    """The fragments of a page's headings, as the usual renderers make them."""
    text = CODE.sub("", page.read_text())
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
