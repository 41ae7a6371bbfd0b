"""The shell examples of the pages: some are played here, all by `make docs-play`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.blocks import NOT_PLAYED, OTHERS, PLAYED, SHELLISH, blocks_of, pages
from tests.docs.links import ROOT
from tests.docs.play import complaints
from tests.docs.stage import SCENES

IN_EVERY_RUN = ("README.md", "docs/tour.md", "docs/limits.md")


def short(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", IN_EVERY_RUN)
def test_the_examples_of_a_page_happen_as_shown(page: str) -> None:
    assert "\n".join(complaints(ROOT / page)) == ""


@pytest.mark.parametrize("page", pages(), ids=short)
def test_a_block_is_played_or_has_a_reason(page: Path) -> None:
    for block in blocks_of(page):
        where = f"{short(page)}, line {block.line}"
        assert block.language in (*PLAYED, *OTHERS), f"{where}: unknown language {block.language}"
        assert block.not_played in ("", *NOT_PLAYED), f"{where}: unknown reason {block.not_played}"
        if block.language not in (*PLAYED, "text"):
            assert not SHELLISH.match(block.text), f"{where}: an example for a shell; write ```sh"


@pytest.mark.parametrize("page", pages(), ids=short)
def test_no_block_is_indented_where_nobody_would_find_it(page: Path) -> None:
    assert [line for line in page.read_text().splitlines() if line != line.lstrip() and "```" in line] == []


def test_every_scene_has_its_page() -> None:
    assert {scene.stem for scene in SCENES.glob("*.sh")} <= {page.stem for page in pages()}
