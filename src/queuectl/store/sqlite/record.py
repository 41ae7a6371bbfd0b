"""How results are written to a SQLite file, which nobody else writes meanwhile."""

from __future__ import annotations

import json
from collections.abc import Sequence

from queuectl.domain.job import Job
from queuectl.store.shared.gates import locks_freed
from queuectl.store.shared.hooks import add_hooks
from queuectl.store.shared.recording import applied, attempt_rows
from queuectl.store.values import Change, Grip
from queuectl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from queuectl.store.shared.gated import Gated


def record(store: Gated, grip: Grip, changes: Sequence[Change]) -> list[Job | None]:
    """Asks first what is still in hand. PostgreSQL writes first, see its record.py."""
    now = store.now()
    with store.transaction():
        store._check(grip)
        asked = store.send("in_hand", seqs=json.dumps([change.job.seq for change in changes]), worker=grip.worker)
        in_hand = {
            (seq, lease): (bool(held), bool(cancel), lost, in_row) for seq, lease, held, cancel, lost, in_row in asked
        }
        results = applied(in_hand, changes, now)
        counts = [(change, after) for change, after in zip(changes, results, strict=True) if after]
        moves = [(change.job, after) for change, after in counts]
        store._write(moves, now)
        store._count(moves)
        for query, values in attempt_rows(counts):
            store._send_rows(query, values)
        add_hooks(store, counts, now)
        freed = locks_freed(store, counts)
        store.gates.note(counts, freed, now)
        if freed:
            store._free_locks(freed)
    return results
