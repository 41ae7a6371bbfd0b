"""What keeps a job from starting, in the words of `explain`, with links to what they name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from queuectl.client.values import Explanation
from queuectl.domain.reason import Code, Gate
from queuectl.web.rendering import segment
from queuectl.wire.kinds import ID, NAME

LED = re.compile(rf"(queue|lock) ({NAME})(?=: | paused )")
HOLDER = re.compile(rf"(?<= )({ID})(?= \((?:passed by for )?[0-9])")
WITH_HOLDERS = frozenset({Code.CONCURRENCY, Code.LOCK})
"""Gates whose words name jobs."""


class Piece(NamedTuple):
    """A part of a sentence, and where it leads if it names something."""

    text: str
    href: str | None = None


class Why(NamedTuple):
    """A closed gate in words. `console`: the line that would bring the job forward, for the console."""

    pieces: Sequence[Piece]
    fix: str | None
    console: str | None


def why(explanation: Explanation) -> list[Why]:
    """The closed gates of a job, the most decisive first."""
    return [
        Why(list(_pieces(gate)), gate.fix, gate.fix.removeprefix("queuectl ") if gate.fix else None)
        for gate in explanation.gates
    ]


def _pieces(gate: Gate) -> Iterator[Piece]:
    at = 0
    if led := LED.match(gate.told):
        yield Piece(led[0], f"/{led[1]}s/{segment(led[2])}")
        at = led.end()
    for named in HOLDER.finditer(gate.told, at) if gate.code in WITH_HOLDERS else ():
        yield Piece(gate.told[at : named.start()])
        yield Piece(named[1], f"/jobs/{segment(named[1])}")
        at = named.end()
    yield Piece(gate.told[at:])
