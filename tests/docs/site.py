"""Builds the pages as a site that asks nobody else for anything: no fonts, scripts or pictures from elsewhere.

python -m tests.docs.site [FOLDER]      (make site; default: ./site)

The navigation is that of docs/README.md. Pages at the root of the checkout become pages of the site; links to source
files become plain text, since the site has no source. Needs the extra `docs` (Zensical).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from shutil import copyfile, copytree, rmtree
from typing import Any

from tests.docs.links import ROOT

DOCS = ROOT / "docs"
MAP = DOCS / "README.md"
AT_ROOT = {
    "README.md": "start.md", "ARCHITECTURE.md": "architecture.md", "DECISIONS.md": "design.md",
    "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md",
}  # fmt: skip
"""The pages at the root of the checkout, and their names on the site."""
DECISIONS = "decisions/index.md"
LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])+)\]\(([^()\s]+)\)")
PICTURE = re.compile(r"!\[([^\]]*)\]\(([^()\s]+)\)")
FENCE = re.compile(r"^(```\w*)[^\n`]*$", re.MULTILINE)
EXAMPLES = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
ENTRY = re.compile(r"^- \[([^\]]+)\]\(([^()\s#]+)", re.MULTILINE)

CONFIG: dict[str, Any] = {
    "site_name": "queuectl",
    "site_description": "A durable background job queue for shell commands",
    "docs_dir": "docs",
    "use_directory_urls": False,
    "theme": {
        "name": "material",
        "font": False,
        "features": ["navigation.top", "navigation.sections", "content.code.copy", "toc.follow"],
        "palette": [
            {"media": "(prefers-color-scheme: light)", "scheme": "default"},
            {"media": "(prefers-color-scheme: dark)", "scheme": "slate"},
        ],
    },
    "extra": {"generator": False},
    "plugins": ["search"],
    "markdown_extensions": ["tables", {"toc": {"permalink": True}}, "pymdownx.highlight", "pymdownx.superfences"],
}


def build(folder: Path) -> None:
    """Writes the site into a folder, which is emptied first. Raises `CalledProcessError` with what the builder says."""
    with tempfile.TemporaryDirectory(prefix="queuectl-site-") as made:
        stage(Path(made))
        subprocess.run(
            [sys.executable, "-m", "zensical", "build", "--strict"], cwd=made, check=True, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, "NO_COLOR": "1"},
        )  # fmt: skip
        rmtree(folder, ignore_errors=True)
        copytree(Path(made, "site"), folder)


def stage(made: Path) -> None:
    """The pages as the site has them, and its configuration."""
    for page in [*DOCS.glob("**/*.md"), *(ROOT / name for name in AT_ROOT)]:
        name = on_site(page)
        assert name is not None
        target = made / "docs" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(as_on_site(page, name))
    (made / "docs" / DECISIONS).write_text(list_of_decisions())
    for picture in [*DOCS.glob("**/*.svg"), *DOCS.glob("**/*.png")]:
        target = made / "docs" / picture.relative_to(DOCS)
        target.parent.mkdir(parents=True, exist_ok=True)
        copyfile(picture, target)
    (made / "mkdocs.yml").write_text(json.dumps({**CONFIG, "nav": navigation()}))


def on_site(target: Path) -> str | None:
    """The name of a page on the site, None if it is not there."""
    if target == DOCS / "decisions":
        return DECISIONS
    if target == MAP:
        return "index.md"
    if target.is_relative_to(DOCS) and target.suffix == ".md":
        return str(target.relative_to(DOCS))
    return AT_ROOT.get(target.name) if target.parent == ROOT else None


def as_on_site(page: Path, name: str) -> str:
    """A page with its links as the site needs them, and examples without marks for those who play them."""
    here = Path(name).parent

    def link(found: re.Match[str]) -> str:
        text, (path, _, fragment) = found[1], found[2].partition("#")
        if "://" in found[2] or not path:
            return found[0]
        there = on_site((page.parent / path).resolve())
        return f"[{text}]({os.path.relpath(there, here)}{'#' * bool(fragment)}{fragment})" if there else text

    def picture(found: re.Match[str]) -> str:
        there = (page.parent / found[2]).resolve().relative_to(DOCS)
        return f"![{found[1]}]({os.path.relpath(there, here)})"

    parts = EXAMPLES.split(page.read_text())
    for at, part in enumerate(parts):
        parts[at] = FENCE.sub(r"\1", part) if at % 2 else LINK.sub(link, PICTURE.sub(picture, part))
    return "".join(parts)


def list_of_decisions() -> str:
    """A page with the titles of all decisions."""
    pages = sorted(DOCS.glob("decisions/*.md"))
    titles = [(page.name, page.read_text().partition("\n")[0].removeprefix("# ")) for page in pages]
    return "# Decisions\n\n" + "\n".join(f"- [{title}]({name})" for name, title in titles) + "\n"


def navigation() -> list[Any]:
    """The map as the builder wants it: a list of pages for each of its headings."""
    found: list[Any] = [{"All pages": "index.md"}]
    for section in MAP.read_text().split("\n## ")[1:]:
        title, _, entries = section.partition("\n")
        pages = [(text, on_site((MAP.parent / path).resolve())) for text, path in ENTRY.findall(entries)]
        found.append({title: [{text: DECISIONS if "decisions/" in (page or "") else page} for text, page in pages]})
    return found


if __name__ == "__main__":
    try:
        build(Path(*sys.argv[1:] or ["site"]).resolve())
    except subprocess.CalledProcessError as error:
        sys.exit(str(error.stdout))
