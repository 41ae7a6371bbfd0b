"""How jobs are claimed from a SQLite file, which nobody else writes meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from heapq import merge

from queuectl.domain.job import Job, JobState
from queuectl.domain.limits import Candidate, Choice, Wanted
from queuectl.domain.served import Served
from queuectl.store.shared.gates import SUSPECTS_SEEN, expire
from queuectl.store.shared.lock_lines import open_lines
from queuectl.store.values import Grip
from queuectl.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from queuectl.store.shared.gated import Gated


def claim(store: Gated, grip: Grip, host: str, wanted: Wanted, served: Served) -> list[Job]:
    """Chooses first, then takes. Over PostgreSQL others claim meanwhile, see its claim.py."""
    now = store.now()
    with store.transaction():
        store._check(grip)
        limited, waits, has_open_lines, expired, listed, awaited, due = store.send("look", now=now).fetchone()
        store.gates.begin(bool(waits), bool(limited))
        if due:
            store.send("promote", now=now)
        store.gates.settle(bool(awaited), bool(listed), now)
        if not (limited or has_open_lines or expired):
            free = _free(store, wanted, served)
            if free is not None:
                return _taken(store, grip, host, free, now)
        if expired:
            store.expired += expire(store, now)
        choice = _choice(store, wanted, served, bool(limited), bool(has_open_lines), now)
        claimed = _taken(store, grip, host, {seq: job.state for seq, job in choice.taken.items()}, now)
        return store.gates.take(choice, claimed, now)


def _taken(store: Gated, grip: Grip, host: str, chosen: Mapping[int, str], now: float) -> list[Job]:
    """Takes the chosen jobs, given with their states."""
    if not chosen:
        return []
    taken = store.send("claim", seqs=json.dumps(list(chosen)), worker=grip.worker, host=host, now=now)
    found = {job.seq: job for job in store._made(taken.fetchall())}
    for seq, was in chosen.items():
        store._counted[found[seq].queue, was] -= 1
        store._counted[found[seq].queue, JobState.PROCESSING.value] += 1
    return [found[seq] for seq in chosen]


def _free(store: Gated, wanted: Wanted, served: Served) -> dict[int, str] | None:
    """What to claim where no job minds a gate, as nearly always: the same choice for less. None if one does, or where
    suspects may hide others."""
    limit, suspects = wanted.limit, wanted.suspects
    queues = list(dict.fromkeys(served.only)) or served.of(_names(store, "ready_queues"))
    terms = {"limit": limit + SUSPECTS_SEEN, "losses": wanted.losses}
    found = [store.send("free_candidates", queue=queue, **terms) for queue in queues]
    chosen: dict[int, str] = {}
    passed = 0
    in_order = found[0] if len(found) == 1 else merge(*found, key=lambda row: (-row[1], row[2], row[0]))
    for seq, _, _, suspect, state, gated in in_order:
        if len(chosen) >= limit:
            break
        if gated:
            return None
        if suspect and not suspects:
            passed += 1
            continue
        chosen[seq], suspects = state, suspects - suspect
    else:
        store.gates.took_all = not passed
    return chosen if len(chosen) >= limit or passed < SUSPECTS_SEEN else None


def _choice(store: Gated, wanted: Wanted, served: Served, limited: bool, has_open_lines: bool, now: float) -> Choice:
    """What to claim where gates have to be minded."""
    gates = store.gates
    rooms = gates.rooms(now) if limited else {}
    lines = open_lines(store) if has_open_lines and not wanted.ahead else []
    return gates.chosen(lambda look: _lines(store, served, rooms, lines, look), wanted, rooms, now)


def _names(store: Gated, query: str, **parameters: Any) -> list[str]:
    return [name for (name,) in store.send(query, **parameters).fetchall()]


def _lines(
    store: Gated, served: Served, rooms: Mapping[str, int], lines: Sequence[str], look: dict[str, Any]
) -> Iterator[Iterator[Candidate]]:
    """The next candidates of each served queue that has room, and of each open line in it, in the order of claiming."""
    only = list(dict.fromkeys(served.only))
    for queue in only or served.of(_names(store, "ready_queues")):
        if rooms.get(queue, 1):
            yield map(Candidate._make, store.send("claim_candidates", queue=queue, **look))
    for locks in lines:
        for queue in only or served.of(_names(store, "parked_queues", locks=locks)):
            if rooms.get(queue, 1):
                yield map(Candidate._make, store.send("parked_candidates", locks=locks, queue=queue, **look))
