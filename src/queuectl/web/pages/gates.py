"""What keeps a job from starting, in the words of `explain`, with links to what they name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from queuectl.client.values import Explanation
from queuectl.domain.reason import Code, Gate
from queuectl.typed import NamedTuple
from queuectl.web.rendering import segment
from queuectl.wire.kinds import ID, NAME
from queuectl.wire.times import format_second

LED = re.compile(rf"(queue|lock) ({NAME})(?=: | paused )")
HOLDER = re.compile(rf"(?<= )({ID})(?= \((?:passed by for )?[0-9])")
WITH_HOLDERS = frozenset({Code.CONCURRENCY, Code.LOCK})
"""Gates whose words name jobs."""


class Piece(NamedTuple):
    """A part of a sentence: where it leads if it names something, or the time that it tells."""

    text: str
    href: str | None = None
    at: float | None = None


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
    rest = gate.told[at:]
    if gate.opens_at is not None and (time := format_second(gate.opens_at)) in rest:
        before, _, rest = rest.partition(time)
        yield from (Piece(before), Piece(time, at=gate.opens_at))
    yield Piece(rest)
