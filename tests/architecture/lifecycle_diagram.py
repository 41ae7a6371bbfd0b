"""Draws `docs/lifecycle.md` and `docs/lifecycle.svg` from the table of transitions:

python -m tests.architecture.lifecycle_diagram
"""

from __future__ import annotations

import re
from pathlib import Path

from queuectl.domain.job import JobState
from queuectl.domain.lifecycle import TRANSITIONS, VERBS, Event
from tests.architecture.lifecycle_picture import Edge, picture

PAGE = Path(__file__).parents[2] / "docs" / "lifecycle.md"
PICTURE = PAGE.with_suffix(".svg")

HEAD = """\
# The lifecycle of a job

Drawn from the table `TRANSITIONS` in `src/queuectl/domain/lifecycle.py`, which decides every change of state. A test
compares the two; `python -m tests.architecture.lifecycle_diagram` draws this page.
"""

AFTER_DIAGRAM = """\
The picture leaves out events that do not change the state. The table has all; a dash means that the event is refused:
"""


def in_words(event: type[Event]) -> str:
    """`CancelRequested` as `cancel requested`."""
    return re.sub(r"(?<!^)([A-Z])", r" \1", event.__name__).lower()


def changes() -> list[Edge]:
    """The changes of state: an arrow for each pair of states, named by its events."""
    found: list[Edge] = [("", "pending", "enqueued"), ("", "blocked", "after others")]
    for state, events in TRANSITIONS.items():
        for after in JobState:
            causes = [in_words(event) for event, allowed in events.items() if after in allowed]
            if causes and after is not state:
                found.append((state, after, ", ".join(causes)))
    return found


def drawn() -> str:
    """The picture, as a file."""
    return picture(changes())


def table() -> str:
    """Every cell: the states that an event may lead to."""
    lines = ["| | " + " | ".join(TRANSITIONS) + " |", "|---|" + "---|" * len(TRANSITIONS)]
    for event in VERBS:
        cells = [", ".join(s for s in JobState if s in events.get(event, ())) or "–" for events in TRANSITIONS.values()]
        lines.append(f"| {in_words(event)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, "![The states of a job](lifecycle.svg)\n", AFTER_DIAGRAM, table()])


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page())
    PICTURE.write_text(drawn())
