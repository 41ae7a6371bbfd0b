"""How jobs are claimed from a SQLite file, which nobody else writes meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from queuectl.domain.job import Job, JobState
from queuectl.domain.limits import Candidate, Choice, Wanted
from queuectl.domain.served import Served
from queuectl.store.port import Grip

if TYPE_CHECKING:
    from queuectl.store.shared.gated import Gated


def claim(store: Gated, grip: Grip, host: str, wanted: Wanted, served: Served) -> list[Job]:
    """Chooses first, then takes. Over PostgreSQL others claim meanwhile, see its claim.py."""
    now = store.now()
    with store.transaction():
        store._check(grip)
        store.send("promote", now=now)
        choice = _choice(store, wanted, served, now)
        taken = store.send("claim", seqs=json.dumps(list(choice.taken)), worker=grip.worker, host=host, now=now)
        found = {job.seq: job for job in store._made(taken.fetchall())}
        claimed = [found[seq] for seq in choice.taken]
        for job in claimed:
            store._counted[job.queue, choice.taken[job.seq].state] -= 1
            store._counted[job.queue, JobState.PROCESSING.value] += 1
        return store.gates.take(choice, claimed, now)


def _choice(store: Gated, wanted: Wanted, served: Served, now: float) -> Choice:
    """What to claim of these queues."""
    gates, rooms = store.gates, dict[str, int]()
    limited, waits, has_open_lines, expired = store.send("look", now=now).fetchone()
    if expired:
        gates.expire(now)
    gates.begin(bool(waits))
    if limited:
        rooms = gates.rooms(now)
    lines = gates.open_lines() if has_open_lines and not wanted.ahead else []
    return gates.chosen(lambda look: _lines(store, served, rooms, lines, look), wanted, rooms, now)


def _lines(
    store: Gated, served: Served, rooms: Mapping[str, int], open_lines: Sequence[str], look: dict[str, Any]
) -> Iterator[Iterator[Candidate]]:
    """The next candidates of each served queue that has room, and of each open line in it, in the order of claiming."""

    def names(query: str, **parameters: Any) -> list[str]:
        return [name for (name,) in store.send(query, **parameters).fetchall()]

    only = list(dict.fromkeys(served.only))
    for queue in only or served.of(names("ready_queues")):
        if rooms.get(queue, 1):
            yield map(Candidate._make, store.send("claim_candidates", queue=queue, **look))
    for locks in open_lines:
        for queue in only or served.of(names("parked_queues", locks=locks)):
            if rooms.get(queue, 1):
                yield map(Candidate._make, store.send("parked_candidates", locks=locks, queue=queue, **look))
