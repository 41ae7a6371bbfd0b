"""The session that README.md shows happens as shown."""

from __future__ import annotations

import re
from collections import Counter

from tests.docs.readme_session import BLOCK, LEFT_OUT, PAGE, session, shortened, steps_of

PERHAPS = re.compile(r"TIME \S+ started: ")
"""A worker tells of a start by itself only where the command runs for a while."""
VARYING = (
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+Z)?|\b\d\d:\d\d:\d\d\b", "TIME"),
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
        if not PERHAPS.match(line):
            found.append(line.strip())
    return Counter(found)


def test_the_session_of_the_readme_happens_as_shown() -> None:
    steps = [step for block in BLOCK.findall(PAGE.read_text()) for step in steps_of(block)]
    assert len(steps) > 20
    with session() as opened:
        for step in steps:
            output = opened.play(step.command)
            if LEFT_OUT in step.output:
                missing = loosely(step.output) - loosely((*output, LEFT_OUT))
                assert not missing, f"$ {step.command}\n" + "\n".join(shortened(output, step.output))
            else:
                assert loosely(output) == loosely(step.output), f"$ {step.command}\n" + "\n".join(output)
