"""The sessions that README.md and docs/limits.md show happen as shown."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.docs.readme_session import BLOCK, LEFT_OUT, PAGES, session, steps_of

LOGGED = "TIME "
"""A worker's log may say more where the machine is slow, such as that a command has started."""
VARYING = (
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?|\b\d\d:\d\d:\d\d\b", "TIME"),
    (r"\b\d+(\.\d+)?(ms|s|m|h)(\d+[smh])?( ago)?\b|\bnow\b", "AGE"),
    (r"\blaptop-[0-9a-z]{4}\b", "WORKER"),
    (r"\b\d+(\.\d+)? (B|KiB|MiB)\b", "SIZE"),
    (r"\s+", " "),
)


def loosely(lines: tuple[str, ...]) -> Counter[str]:
    """The lines without times, sizes and random names, in any order: two streams meet in them."""
    found = []
    for line in lines:
        for pattern, name in VARYING:
            line = re.sub(pattern, name, line)
        found.append(line.strip())
    return Counter(found)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_session_of_a_page_happens_as_shown(page: Path) -> None:
    steps = [step for block in BLOCK.findall(page.read_text()) for step in steps_of(block)]
    assert len(steps) > 10
    with session() as opened:
        for step in steps:
            output = opened.play(step.command)
            shown, printed = loosely(step.output), loosely((*output, LEFT_OUT))
            missing, more = shown - printed, printed - shown - Counter([LEFT_OUT])
            more = Counter([line for line in more if not line.startswith(LOGGED)])
            assert not missing, f"$ {step.command}\n" + "\n".join(output)
            assert not more or LEFT_OUT in step.output, f"$ {step.command}\n" + "\n".join(output)
