"""Draws `docs/lifecycle.md` from the table of transitions:

python -m tests.architecture.lifecycle_diagram
"""

from __future__ import annotations

import re
from pathlib import Path

from queuectl.domain.job import JobState
from queuectl.domain.lifecycle import TRANSITIONS, VERBS, Event

PAGE = Path(__file__).parents[2] / "docs" / "lifecycle.md"

HEAD = """\
# The lifecycle of a job

Drawn from the table `TRANSITIONS` in `src/queuectl/domain/lifecycle.py`, which decides every change of state. A test
compares the two; `python -m tests.architecture.lifecycle_diagram` draws this page.
"""

AFTER_DIAGRAM = """\
The diagram leaves out events that do not change the state. The table has all; a dash means that the event is refused:
"""


def in_words(event: type[Event]) -> str:
    """`CancelRequested` as `cancel requested`."""
    return re.sub(r"(?<!^)([A-Z])", r" \1", event.__name__).lower()


def diagram() -> str:
    """The changes of state as a mermaid diagram: an arrow for each pair of states, named by its events."""
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> pending: enqueued"]
    lines.append("    [*] --> blocked: enqueued after others")
    for state, events in TRANSITIONS.items():
        for after in JobState:
            causes = [in_words(event) for event, allowed in events.items() if after in allowed]
            if causes and after is not state:
                lines.append(f"    {state} --> {after}: {', '.join(causes)}")
    return "\n".join([*lines, "```"]) + "\n"


def table() -> str:
    """Every cell: the states that an event may lead to."""
    lines = ["| | " + " | ".join(TRANSITIONS) + " |", "|---|" + "---|" * len(TRANSITIONS)]
    for event in VERBS:
        cells = [", ".join(s for s in JobState if s in events.get(event, ())) or "–" for events in TRANSITIONS.values()]
        lines.append(f"| {in_words(event)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, diagram(), AFTER_DIAGRAM, table()])


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page())
