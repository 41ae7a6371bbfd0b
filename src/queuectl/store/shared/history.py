"""What happened: executions, what people did, and news of both.

Every command opens a store, but few ask for history, so its values are imported inside the methods.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set

from queuectl.domain.job import HOOKS, Attempt, Job, JobState, Outcome
from queuectl.store.shared import rows
from queuectl.store.shared.counting import FALLEN, Counting
from queuectl.store.values import Note, Output
from queuectl.typed import TYPE_CHECKING
from queuectl.wire.jobs import worker_name

if TYPE_CHECKING:
    from queuectl.domain.selector import Selector
    from queuectl.store.past import Deed, Failure, Group, News, Place

ENDS_SEEN = 2000
"""How many of the latest ends are looked at for failures."""
NEVER = 1e18
"""Later than all times."""


class History(Counting):
    """This part of a `Store` (see store/port.py)."""

    # --- executions -------------------------------------------------------------------------

    def attempts(self, job: Job) -> list[Attempt]:
        text = f"SELECT {rows.ATTEMPT_COLUMNS} FROM {{schema}}.attempts WHERE job = ? ORDER BY number"
        return [rows.attempt_from_row(row) for row in self._select(text, [job.seq])]

    def attempts_of(self, jobs: Sequence[Job]) -> dict[int, list[Attempt]]:
        text = (
            f"SELECT job, {rows.ATTEMPT_COLUMNS} FROM {{schema}}.attempts WHERE job {self._dialect.any_of} "
            "ORDER BY job, number"
        )
        found: dict[int, list[Attempt]] = {}
        for seq, *row in self._select(text, [self._dialect.array([job.seq for job in jobs])]):
            found.setdefault(seq, []).append(rows.attempt_from_row(row))
        return found

    def outputs(self, job: Job, number: int) -> list[Output]:
        text = f"SELECT {rows.OUTPUT_COLUMNS} FROM {{schema}}.outputs WHERE job = ? AND number = ? ORDER BY stream"
        return [rows.output_from_row(row) for row in self._select(text, [job.seq, number])]

    def take_back_losses(self, worker: str, stopped: Mapping[tuple[int, int], float]) -> list[Job]:
        from queuectl.store.shared.recording import loss_taken_back

        now, taken_back = self.now(), []
        with self.transaction():
            for (seq, lease), ended_at in sorted(stopped.items()):
                for job in self._jobs(f"WHERE seq = ? {self._dialect.locked}", [seq]):
                    if found := loss_taken_back(job, self.attempts(job), worker, lease, ended_at, now):
                        after, attempt = found
                        self._write([(job, after)], now)
                        self._send_rows("break_attempt", [attempt])
                        taken_back.append(after)
        return taken_back

    # --- what people did --------------------------------------------------------------------

    def notes(self, job: Job) -> list[Note]:
        found = self._select("SELECT at, kind, who, detail FROM {schema}.events WHERE job = ? ORDER BY id", [job.seq])
        return [Note(*row) for row in found]

    def add_deed(self, deed: Deed) -> None:
        with self.transaction():
            text = "INSERT INTO {schema}.events (at, kind, who, detail) VALUES (?, ?, ?, ?)"
            self._execute(text, [deed.at, deed.kind, deed.who, deed.detail])

    def deeds(self, limit: int, before: int | None = None) -> list[Deed]:
        from queuectl.store.past import Deed

        by_itself = "events.who IS NULL AND events.kind IN ('Expired', 'CancelRequested')"
        text = (
            "SELECT events.id, events.at, events.kind, events.who, events.detail, jobs.id FROM {schema}.events "
            f"LEFT JOIN {{schema}}.jobs ON jobs.seq = events.job WHERE events.id < ? AND NOT ({by_itself}) "
            "ORDER BY events.id DESC LIMIT ?"
        )
        found = self._select(text, [rows.ABOVE_ALL if before is None else before, limit])
        return [
            Deed(id=id_, at=at, kind=kind, who=who, detail=detail, job=job) for id_, at, kind, who, detail, job in found
        ]

    # --- figures and news -----------------------------------------------------------------------

    def fault_groups(self, selector: Selector, limit: int) -> list[Group]:
        from queuectl.store.shared.groups import grouped

        return grouped(self, *self._fallen(selector), limit)

    def fallen(
        self, selector: Selector, limit: int, before: tuple[float, int] | None, since: float | None = None
    ) -> list[Job]:
        condition, values = self._fallen(selector)
        if before is not None:
            condition += " AND (finished_at, seq) < (?, ?)"
            values += before
        if since is not None:
            condition += " AND finished_at >= ?"
            values.append(since)
        order = "finished_at IS NOT NULL ORDER BY finished_at DESC, seq DESC LIMIT ?"
        return self._jobs(f"WHERE {condition} AND {order}", [*values, limit])

    def fell_at(self, number: int, before: float | None) -> float | None:
        text = (
            f"SELECT finished_at FROM {{schema}}.jobs WHERE {FALLEN} AND finished_at < ? "
            "ORDER BY finished_at DESC LIMIT 1 OFFSET ?"
        )
        found = self._select(text, [NEVER if before is None else before, number - 1])
        return next((at for (at,) in found), None)

    def _fallen(self, selector: Selector) -> tuple[str, list[object]]:
        """The condition of matching failed and dead jobs. No index of states is preferred to one of faults for it.

        It says no more than it has to: PostgreSQL knows little of how often `state || ''` is what, and tests it slowly.
        """
        condition, values = rows.where(selector._replace(states=()), self._dialect)
        if selector.states and not {JobState.DEAD, JobState.FAILED}.issubset(selector.states):
            wanted = ", ".join(f"'{rows.state_of(state)}'" for state in selector.states)
            condition += f" AND state || '' IN ({wanted})"
        return f"{FALLEN} AND {condition}", values

    def latest_failures(self, most: int) -> list[Failure]:
        from queuectl.store.past import Failure

        text = (
            "SELECT ended.finished_at, jobs.id, jobs.queue, jobs.state, ended.number, ended.error FROM (SELECT job, "
            "number, finished_at, outcome, error FROM {schema}.attempts WHERE finished_at IS NOT NULL "
            "ORDER BY finished_at DESC LIMIT ?) AS ended JOIN {schema}.jobs ON jobs.seq = ended.job "
            f"WHERE ended.outcome IN ('failed', 'timeout', 'lost') AND jobs.queue <> '{HOOKS}' "
            "ORDER BY ended.finished_at DESC LIMIT ?"
        )
        found = self._select(text, [ENDS_SEEN, most])
        return [Failure(at, job, queue, JobState(state), *rest) for at, job, queue, state, *rest in found]

    def place(self) -> Place:
        from queuectl.store.past import Place

        ((seq,),) = self._select("SELECT max(seq) FROM {schema}.jobs")
        ((deed,),) = self._select("SELECT max(id) FROM {schema}.events")
        return Place(seq=seq or 0, deed=deed or 0, at=self.now())

    def place_at(self, at: float) -> Place:
        from queuectl.store.past import Place

        jobs = self._select("SELECT seq FROM {schema}.jobs WHERE created_at < ? ORDER BY seq DESC LIMIT 1", [at])
        deeds = self._select("SELECT id FROM {schema}.events WHERE at < ? ORDER BY id DESC LIMIT 1", [at])
        return Place(seq=jobs[0][0] if jobs else 0, deed=deeds[0][0] if deeds else 0, at=at)

    def news(self, after: Place, limit: int) -> list[News]:
        found = [
            *self._added(after, limit),
            *self._done(after, limit),
            *self._started(limit),
            *self._ended(after, limit),
        ]
        return sorted(found, key=lambda each: each.at)

    def news_between(self, kind: str, first: int, last: int, limit: int) -> list[News]:
        from queuectl.store.past import Place

        found = {"job": self._added, "deed": self._done}[kind]
        return list(found(Place(first - 1, first - 1, 0.0), limit, last))

    def _added(self, after: Place, limit: int, last: int = rows.ABOVE_ALL) -> Iterator[News]:
        from queuectl.store.past import News

        columns = "seq, id, queue, state, created_at, owner"
        which = f"seq > ? AND seq <= ? AND queue <> '{HOOKS}' ORDER BY seq LIMIT ?"
        found = self._select(f"SELECT {columns} FROM {{schema}}.jobs WHERE {which}", [after.seq, last, limit])
        for seq, job, queue, state, at, owner in found:
            yield News(
                at=at, kind="enqueued", key=("job", seq, 0), job=job, queue=queue, state=JobState(state), who=owner
            )

    def _done(self, after: Place, limit: int, last: int = rows.ABOVE_ALL) -> Iterator[News]:
        from queuectl.store.past import News

        text = (
            "SELECT events.id, events.at, events.kind, events.who, events.detail, jobs.id, jobs.queue, jobs.state "
            "FROM {schema}.events LEFT JOIN {schema}.jobs ON jobs.seq = events.job "
            "WHERE events.id > ? AND events.id <= ? ORDER BY events.id LIMIT ?"
        )
        for number, at, kind, who, detail, job, queue, state in self._select(text, [after.deed, last, limit]):
            now = JobState(state) if state else None
            yield News(
                at=at, kind=kind, key=("deed", number, 0), who=who, detail=detail, job=job, queue=queue, state=now
            )

    def _started(self, limit: int) -> Iterator[News]:
        from queuectl.store.past import News

        text = (
            "SELECT seq, id, queue, starts, lease, started_at, worker FROM {schema}.jobs "
            f"WHERE state = 'processing' AND started_at IS NOT NULL AND queue <> '{HOOKS}' LIMIT ?"
        )
        for seq, job, queue, number, lease, at, worker in self._select(text, [limit]):
            yield News(
                at=at, kind="started", key=("start", seq, lease), job=job, queue=queue, state=JobState.PROCESSING,
                number=number, worker=worker_name(worker),
            )  # fmt: skip

    def in_hand(self, limit: int) -> set[tuple[int, int]]:
        text = f"SELECT seq, lease FROM {{schema}}.jobs WHERE state = 'processing' AND queue <> '{HOOKS}' LIMIT ?"
        return set(self._select(text, [limit]))

    def ends_of(self, executions: Set[tuple[int, int]]) -> list[News]:
        of_these = f"attempts.job {self._dialect.any_of} AND attempts.finished_at IS NOT NULL"
        found = self._ends_where(of_these, [self._dialect.array([seq for seq, _ in executions])])
        return [end for lease, end in found if (end.key[1], lease) in executions]

    def _ended(self, after: Place, limit: int) -> Iterator[News]:
        recent = "attempts.finished_at >= ? ORDER BY attempts.finished_at LIMIT ?"
        return (end for _, end in self._ends_where(recent, [after.at, limit]))

    def _ends_where(self, which: str, values: Sequence[object]) -> Iterator[tuple[int, News]]:
        """Ends, each with the lease of its execution."""
        from queuectl.store.past import News

        text = (
            "SELECT attempts.lease, attempts.job, attempts.number, attempts.finished_at, attempts.outcome, "
            "attempts.exit_code, attempts.error, attempts.worker, jobs.id, jobs.queue, jobs.state "
            "FROM {schema}.attempts JOIN {schema}.jobs ON jobs.seq = attempts.job "
            f"WHERE jobs.queue <> '{HOOKS}' AND {which}"
        )
        for lease, seq, number, at, outcome, code, error, worker, job, queue, state in self._select(text, values):
            yield lease, News(
                at=at, kind="ended", key=("end", seq, number), job=job, queue=queue, state=JobState(state),
                number=number, outcome=Outcome(outcome), exit_code=code, error=error, worker=worker_name(worker),
            )  # fmt: skip
