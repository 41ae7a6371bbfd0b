"""What jobs depend on, as people and workers see it, and what is left to settle."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from queuectl.domain.job import Job, JobState
from queuectl.store.shared.rows import ABOVE_ALL
from queuectl.store.shared.session import Session
from queuectl.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:  # few commands need these
    from queuectl.domain.dependency import Awaited, Neighbour, Neighbours
    from queuectl.store.edges import Edge

BATCHES_FIRST = "edges.parent IS NOT NULL, edges.parent"
"""The order of what a job depends on: servers and files differ in where they have NULL."""


class Edges(Session):
    """This part of a `Store` (see store/port.py)."""

    _gathered: list[Job] | None = None
    """New jobs that may depend on others that are still to come."""

    def settle(self) -> None:
        from queuectl.store.shared.batch_ends import settle_listed

        has_done = not self._behind
        while has_done and self._select("SELECT 1 FROM {schema}.settlements LIMIT 1"):
            with self.transaction():
                has_done = settle_listed(self)

    def cancelled(self) -> Sequence[Job]:
        found, self._cancelled = self._cancelled, ()
        return found

    def has_listed(self) -> bool:
        found = self._has_listed or self._has_released
        self._has_listed = self._has_released = False
        return found

    def below(self, ids: Sequence[str]) -> list[Job]:
        if self._behind:
            return []
        from queuectl.domain.dependency import in_order

        any_of = self._dialect.any_of
        down = "JOIN {schema}.edges ON (edges.parent = job.seq OR edges.batch = job.batch)"
        text = (
            f"WITH RECURSIVE below (seq) AS (SELECT edges.child FROM {{schema}}.jobs AS job {down} "
            f"WHERE job.id {any_of} UNION SELECT edges.child FROM below "
            f"JOIN {{schema}}.jobs AS job ON job.seq = below.seq {down}) SELECT seq FROM below ORDER BY seq"
        )
        found = [seq for (seq,) in self._select(text, [self._dialect.array(list(ids))])]
        return in_order(self._jobs(f"WHERE seq {any_of} ORDER BY seq", [self._dialect.array(found)]))

    def awaited(self, jobs: Sequence[Job]) -> dict[int, Awaited]:
        blocked = [job.seq for job in jobs if job.state is JobState.BLOCKED]
        if not blocked or self._behind:
            return {}
        text = (
            "SELECT first.child, parent.id, parent.state, parent.started_at, first.batch, parent.held FROM ("
            "SELECT child, min(parent) AS parent, min(batch) AS batch FROM {schema}.edges "
            f"WHERE child {self._dialect.any_of} AND verdict IS NULL GROUP BY child) AS first "
            "LEFT JOIN {schema}.jobs AS parent ON parent.seq = first.parent"
        )
        found = self._select(text, [self._dialect.array(blocked)])
        return {child: _awaited(*what) for child, *what in found}

    def parents(self, job: Job, limit: int | None = None, *, undecided: bool = False) -> list[Awaited]:
        if self._behind:
            return []
        text = (
            "SELECT parent.id, parent.state, parent.started_at, edges.batch, parent.held FROM {schema}.edges "
            "LEFT JOIN {schema}.jobs AS parent ON parent.seq = edges.parent WHERE edges.child = ? "
            "AND (parent.seq IS NOT NULL OR edges.batch IS NOT NULL) "
            + ("AND verdict IS NULL " if undecided else "")
            + f"ORDER BY {BATCHES_FIRST} LIMIT ?"
        )
        found = self._select(text, [job.seq, ABOVE_ALL if limit is None else limit])
        return [_awaited(*what) for what in found]

    def neighbours(self, job: Job, limit: int) -> Neighbours:
        from queuectl.domain.dependency import Neighbours

        def side(near: str, far: str, order: str) -> tuple[list[Neighbour], int]:
            text = (
                "SELECT edges.ref, other.id, other.state, edges.batch, edges.wants, edges.verdict FROM {schema}.edges "
                f"LEFT JOIN {{schema}}.jobs AS other ON other.seq = edges.{far} WHERE edges.{near} = ? "
                f"ORDER BY {order} LIMIT ?"
            )
            count = f"SELECT count(*) FROM {{schema}}.edges WHERE {near} = ?"
            found = self._select(text, [job.seq, limit])
            return [_neighbour(row) for row in found], self._select(count, [job.seq])[0][0]

        parents, children = (
            side("child", "parent", f"coalesce(verdict, -1), {BATCHES_FIRST}, ref"),
            side("parent", "child", "child"),
        )
        return Neighbours(*parents, *children)

    def around(self, job: Job, most: int) -> tuple[list[Edge], list[Job], bool]:
        if self._behind:
            return [], [job], True
        from queuectl.store.edges import Edge

        any_of = self._dialect.any_of
        up = f"SELECT child, ref, parent, verdict, why FROM {{schema}}.edges WHERE child {any_of}"
        down = (
            f"SELECT child, ref, parent, verdict, why FROM {{schema}}.edges WHERE parent {any_of} UNION ALL "
            "SELECT edges.child, edges.ref, job.seq, edges.verdict, edges.why FROM {schema}.jobs AS job "
            f"JOIN {{schema}}.edges ON edges.batch = job.batch WHERE job.seq {any_of}"
        )
        found: dict[tuple[int, str, int | None], Edge] = {}
        jobs, complete = {job.seq: job}, True
        for text, there, order in ((up, "parent", BATCHES_FIRST), (down, "child", "child")):
            frontier, seen = [job.seq], {job.seq}
            while frontier:
                values = [self._dialect.array(frontier)] * text.count("?")
                edges = [Edge(*row) for row in self._select(f"{text} ORDER BY {order}, ref LIMIT {most}", values)]
                found.update(((edge.child, edge.ref, edge.parent), edge) for edge in edges)
                far = {getattr(edge, there) for edge in edges} - seen - {None}
                room = max(0, most - len(jobs))
                complete = complete and len(edges) < most and len(far) <= room
                frontier = sorted(far)[:room]
                seen.update(frontier)
                near = f"WHERE seq {self._dialect.any_of}"
                jobs.update((each.seq, each) for each in self._jobs(near, [self._dialect.array(frontier)]))
        return list(found.values()), sorted(jobs.values(), key=lambda each: each.seq), complete

    def refs_there(self, job: Job) -> tuple[str, ...]:
        text = (
            "SELECT ref FROM {schema}.edges WHERE child = ? AND ("
            "EXISTS (SELECT 1 FROM {schema}.jobs WHERE jobs.seq = edges.parent) OR "
            "EXISTS (SELECT 1 FROM {schema}.jobs WHERE jobs.batch = edges.batch))"
        )
        there = {ref for (ref,) in self._select(text, [job.seq])}
        return tuple(ref for ref in job.depends_on if ref in there)

    def _settle_ends(self) -> None:
        if self._turned:
            from queuectl.store.shared.settling import settle_ends

            settle_ends(self)

    def _reconsider(self, retried: Sequence[Job]) -> dict[int, Job]:
        """Those of these jobs, which are to run again, that cannot start yet, as they are then, by their `seq`."""
        from queuectl.store.shared.rerunning import reconsider
        from queuectl.store.shared.settling import settle_ends

        waiting = [job for job in retried if job.state is JobState.PENDING]
        if not waiting:
            return {}
        settle_ends(self, ABOVE_ALL)  # first, and all of it: what this revives is to be waited for
        return reconsider(self, waiting)

    @contextmanager
    def together(self) -> Iterator[dict[str, Job]]:
        arrived: dict[str, Job] = {}
        self._gathered = gathered = list[Job]()
        try:
            yield arrived
        finally:
            self._gathered = None
        arrived.update(self._arrive(gathered))

    def _arrive(
        self, jobs: Sequence[Job], batches: Collection[str] = (), unlimited: Collection[str] = ()
    ) -> dict[str, Job]:
        """Adds what new jobs bring along besides their rows, which are written. `batches`: those they are in.
        `unlimited`: those of which one does not need the lock."""
        if batches:
            from queuectl.store.shared.settling import note_batches, note_unlimited

            note_batches(self, batches, batches)
            if unlimited:
                note_unlimited(self, unlimited)
        if not jobs:
            return {}
        if self._gathered is not None:
            self._gathered += jobs
            return {}
        from queuectl.store.shared.arriving import arrive

        return arrive(self, jobs)

    def _leave(self, seqs: Sequence[int]) -> None:
        """These jobs are about to be removed: what depends on them is to be settled by what they are now."""
        any_of, array = self._dialect.any_of, self._dialect.array(seqs)
        awaited = (
            "INSERT INTO {schema}.settlements (job, meant) SELECT seq, state FROM {schema}.jobs "
            f"WHERE seq {any_of} "
            "AND EXISTS (SELECT 1 FROM {schema}.edges WHERE parent = jobs.seq AND verdict IS NULL)"
        )
        self._execute(awaited, [array])
        if batches := self._select(
            f"SELECT DISTINCT batch FROM {{schema}}.jobs WHERE seq {any_of} AND batch IS NOT NULL", [array]
        ):
            from queuectl.store.shared.settling import note_batches, note_lost

            names = {name for (name,) in batches}
            self._turn_batches(names)
            note_lost(self, seqs)
            note_batches(self, names, names, removed=True)
        self._execute(f"DELETE FROM {{schema}}.edges WHERE child {any_of}", [array])


def _awaited(job: str | None, state: str | None, since: float | None, batch: str | None, held: int | None) -> Awaited:
    from queuectl.domain.dependency import Awaited

    return Awaited(job, JobState(state) if state else None, since, batch, bool(held))


def _neighbour(row: Sequence[Any]) -> Neighbour:
    from queuectl.domain.dependency import Neighbour, Wants, parse

    ref, job, state, batch, wants, verdict = row
    holds = None if verdict is None else bool(verdict)
    return Neighbour(
        batch or job or parse(ref).name, JobState(state) if state else None, Wants(wants), holds, bool(batch)
    )
