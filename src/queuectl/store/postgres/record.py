"""How results are written to PostgreSQL: without asking first, if a job still is as the worker knows it.

The job's next state is computed from what the worker knows. It replaces the row only if lease, holder, state and what
others may change are still the same. A job that somebody changed meanwhile is locked, read and decided again.
"""

from __future__ import annotations

from collections.abc import Sequence

from queuectl.domain.job import Job
from queuectl.store.postgres.claim import Claiming
from queuectl.store.postgres.text import array
from queuectl.store.shared import rows
from queuectl.store.shared.gates import locks_freed
from queuectl.store.shared.hooks import add_hooks
from queuectl.store.shared.recording import InHand, applied, as_left, attempt_rows, touched
from queuectl.store.values import Change, Grip
from queuectl.typed import Any


class Recording(Claiming):
    """A session that can claim jobs and record what became of them."""

    def record(self, grip: Grip, changes: Sequence[Change]) -> list[Job | None]:
        now = self.now()
        with self.transaction():
            asked = self._asked(grip)
            results = self._replaced(_as_known(grip, changes), changes, now)
            self._check(grip, asked)
            if late := [at for at, after in enumerate(results) if after is None]:
                again = [changes[at] for at in late]
                for at, after in zip(late, self._replaced(self._in_hand(grip, again), again, now), strict=True):
                    results[at] = after
            counts = [(change, after) for change, after in zip(changes, results, strict=True) if after]
            self._count((change.job, after) for change, after in counts)
            for query, values in attempt_rows(counts):
                self._send_rows(query, values)
            add_hooks(self, counts, now)
            freed = locks_freed(self, counts)
            self.gates.note(counts, freed, now)
            self._note_ends(counts, freed)
            if ready := sum(rows.is_ready(after, now) for _, after in counts):
                self._announce(ready)
        return results

    def _replaced(self, in_hand: InHand, changes: Sequence[Change], now: float) -> list[Job | None]:
        """The jobs after the changes. None stands for a job that is not as `in_hand` says; it stays as it is."""
        results = applied(in_hand, changes, now)
        pairs = []
        for (job, *_), after in zip(changes, results, strict=True):
            if after:
                pairs.append((as_left(job, in_hand[job.seq, job.lease]), after))
        written = set(self._write(pairs, now).fetchall()) if pairs else ()
        return [after if after and (after.seq, after.lease) in written else None for after in results]

    def _in_hand(self, grip: Grip, changes: Sequence[Change]) -> InHand:
        """What the supervisor really holds of these jobs. They are locked."""
        found = self.send("in_hand", seqs=array([change.job.seq for change in changes]), worker=grip.worker)
        return {(seq, lease): tuple(there) for seq, lease, *there in found.fetchall()}

    def _write(self, changed: Sequence[tuple[Job, Job]], now: float) -> Any:
        """Replaces jobs, each (before, after), if they still are as before. The cursor has the seq and lease of those.

        A job may occur several times, one change after the other.
        """
        first: dict[tuple[int, int], Job] = {}
        last: dict[tuple[int, int], Job] = {}
        for before, after in changed:
            first.setdefault((after.seq, after.lease), before)
            last[after.seq, after.lease] = after
        lives = []
        for key in sorted(last):  # everybody locks jobs in this order
            was = first[key]
            life = rows.life_of(last[key], was.state, was.worker, now)
            lives.append((*life, was.held, was.cancel_requested, was.lost))
        return self._send_rows("write_job", lives)


def _as_known(grip: Grip, changes: Sequence[Change]) -> InHand:
    """What a supervisor holds if nobody else has changed it."""
    jobs = (change.job for change in changes if change.job.worker == grip.worker)
    return {(job.seq, job.lease): touched(job) for job in jobs}
