"""How jobs are claimed from PostgreSQL, where several workers claim at the same time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from queuectl.domain.job import Job, JobState
from queuectl.store.port import Grip
from queuectl.store.postgres.session import PostgresSession
from queuectl.store.postgres.text import array

LOOK_AHEAD, LOOK_WIDER = 4, 8
"""A claim looks at 4 times as many candidates as it wants, since others claim too; 8 times more if that is too few."""
SUSPECTS_SEEN = 16


AFTER_ALL = "\U0010ffff"
"""A text that sorts after every name of a queue."""


class Claiming(PostgresSession):
    """A session that can claim. `_lanes`: queues that had something to claim a moment ago, in order."""

    _lanes: Sequence[str] = ()

    def claim(
        self, grip: Grip, host: str, limit: int, queues: Sequence[str], suspects: int | None = None, losses: int = 1
    ) -> list[Job]:
        room = limit if suspects is None else suspects
        terms = {"worker": grip.worker, "host": host, "now": self.now()}
        with self.transaction():
            asked = self._asked(grip)
            self.send("promote", now=terms["now"])
            lanes = list(dict.fromkeys(queues)) or self._ready_queues()
            self._check(grip, asked)
            claimed = self._claim_from(lanes, limit, room, losses, terms)
            if len(claimed) < limit:
                self._lanes = ()
            return claimed

    def _ready_queues(self) -> Sequence[str]:
        """The queues that have something to claim, and some that had so a moment ago."""
        gaps = {"above": ["", *self._lanes], "below": [*self._lanes, AFTER_ALL]}
        self._lanes = sorted([*self._lanes, *(queue for (queue,) in self.send("ready_queues", **gaps).fetchall())])
        return self._lanes

    def _claim_from(self, lanes: Sequence[str], limit: int, room: int, losses: int, terms: dict[str, Any]) -> list[Job]:
        if len(lanes) != 1:
            return self._claim_over(lanes, limit, room, losses, terms)
        claimed = self._taken_by("claim_of_queue", queue=lanes[0], limit=limit, suspects=room, losses=losses, **terms)
        room -= sum(job.lost_in_row >= losses for job in claimed)
        if len(claimed) < limit and room <= 0:  # some were skipped
            claimed += self._claim_over(lanes, limit - len(claimed), 0, losses, terms)
        return claimed

    def _claim_over(self, lanes: Sequence[str], limit: int, room: int, losses: int, terms: dict[str, Any]) -> list[Job]:
        """Claims over several queues, and past jobs that must not be claimed now: looks first, then takes."""
        claimed: list[Job] = []
        look = LOOK_AHEAD * limit + SUSPECTS_SEEN
        while lanes:
            candidates = self.send("candidates", queues=lanes, limit=look, losses=losses).fetchall()
            wanted = _without_too_many_suspects(candidates, room - sum(job.lost_in_row >= losses for job in claimed))
            if wanted:
                claimed += self._taken_by("claim", seqs=array(wanted), limit=limit - len(claimed), **terms)
            if len(claimed) >= limit or len(candidates) < look:
                break
            look *= LOOK_WIDER
        return claimed

    def _taken_by(self, query: str, **terms: Any) -> list[Job]:
        """The jobs that a claim took, in its order. Counts them in their new state."""
        found = self.send(query, **terms).fetchall()
        taken = list(zip(found, self._made([row[2:] for row in found]), strict=True))
        taken.sort(key=lambda each: (-each[1].priority, each[0][0], each[1].seq))
        for (queue, was), jobs in Counter((job.queue, was) for (_, was, *_), job in taken).items():
            self._counted[queue, was] -= jobs
            self._counted[queue, JobState.PROCESSING.value] += jobs
        return [job for _, job in taken]


def _without_too_many_suspects(candidates: Sequence[tuple[int, bool]], room: int) -> list[int]:
    """`seq` of the candidates, with only the first few suspects."""
    wanted = []
    for seq, suspect in candidates:
        if not suspect or room > 0:
            room -= suspect
            wanted.append(seq)
    return wanted
