"""What a store keeps beside jobs and workers, and what it tells of the past: tokens, deeds, news, figures. One SQL
for every store.

In the statements here `?` is a parameter and `{schema}.` stands before every table; each store puts in its own.
Every command opens a store and few ask for any of this, so the values are imported where they are made.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from queuectl.domain.errors import Conflict
from queuectl.domain.job import JobState, Outcome
from queuectl.domain.selector import Selector
from queuectl.store.shared import rows
from queuectl.wire.jobs import worker_name

if TYPE_CHECKING:
    from queuectl.domain.token import Token
    from queuectl.store.past import Deed, Group, News, Place, Span, Tally

TOKEN_COLUMNS = "id, digest, name, role, created_at, created_by, used_at"


class Ledger(ABC):
    """This part of a `Store` (see store/port.py). The store brings the four methods below."""

    _dialect = rows.SQLITE

    @abstractmethod
    def transaction(self) -> AbstractContextManager[None]: ...

    @abstractmethod
    def _look(self, text: str, values: Sequence[object] = ()) -> list[Any]:
        """The rows of a query."""

    @abstractmethod
    def _put(self, text: str, values: Sequence[object] = ()) -> list[Any]:
        """The rows that a writing statement returns; inside a transaction only."""

    @abstractmethod
    def now(self) -> float: ...

    # --- tokens -----------------------------------------------------------------------------

    def tokens(self) -> list[Token]:
        found = self._look(f"SELECT {TOKEN_COLUMNS} FROM {{schema}}.tokens ORDER BY created_at, id")
        return [_token(row) for row in found]

    def token_of(self, digest: str) -> Token | None:
        found = self._look(f"SELECT {TOKEN_COLUMNS} FROM {{schema}}.tokens WHERE digest = ?", [digest])
        return _token(found[0]) if found else None

    def add_token(self, token: Token) -> None:
        with self.transaction():
            marks = ", ".join("?" * len(token))
            values = list(token._replace(role=token.role.value))  # type: ignore[arg-type]
            text = (
                f"INSERT INTO {{schema}}.tokens ({TOKEN_COLUMNS}) VALUES ({marks}) ON CONFLICT DO NOTHING RETURNING id"
            )
            if not self._put(text, values):
                raise Conflict(f"a token named {token.name} exists already", "choose another name, or revoke that one")

    def remove_token(self, token_id: str) -> bool:
        with self.transaction():
            return bool(self._put("DELETE FROM {schema}.tokens WHERE id = ? RETURNING id", [token_id]))

    def use_token(self, token_id: str, at: float) -> None:
        with self.transaction():
            self._put("UPDATE {schema}.tokens SET used_at = ? WHERE id = ? RETURNING id", [at, token_id])

    # --- what people did --------------------------------------------------------------------

    def add_deed(self, deed: Deed) -> None:
        with self.transaction():
            text = "INSERT INTO {schema}.events (at, kind, who, detail) VALUES (?, ?, ?, ?) RETURNING id"
            self._put(text, [deed.at, deed.kind, deed.who, deed.detail])

    def deeds(self, limit: int, before: int | None = None) -> list[Deed]:
        from queuectl.store.past import Deed

        text = (
            "SELECT events.id, events.at, events.kind, events.who, events.detail, jobs.id FROM {schema}.events "
            "LEFT JOIN {schema}.jobs ON jobs.seq = events.job WHERE events.id < ? ORDER BY events.id DESC LIMIT ?"
        )
        found = self._look(text, [(1 << 62) if before is None else before, limit])
        return [
            Deed(id=id_, at=at, kind=kind, who=who, detail=detail, job=job) for id_, at, kind, who, detail, job in found
        ]

    # --- the past ---------------------------------------------------------------------------

    def dead_groups(self, selector: Selector, limit: int) -> list[Group]:
        from queuectl.store.past import Group

        condition, values = rows.where(selector._replace(states=(JobState.DEAD,)), self._dialect)
        columns = "queue, command, exit_code, error"
        text = (
            f"SELECT {columns}, count(*), min(finished_at), max(finished_at) FROM {{schema}}.jobs "
            f"WHERE {condition} GROUP BY {columns} ORDER BY count(*) DESC, max(finished_at) DESC LIMIT {limit}"
        )
        return [Group(*row) for row in self._look(text, values)]

    def tallies(self, since: float, until: float, stretches: int) -> list[Tally]:
        from queuectl.store.past import Tally

        text = (
            "SELECT CAST(round((finished_at - ?) / ? - 0.5) AS integer) AS place, outcome, count(*) "
            "FROM {schema}.attempts WHERE finished_at >= ? AND finished_at < ? GROUP BY 1, 2 ORDER BY 1, 2"
        )
        found = self._look(text, [since, (until - since) / stretches, since, until])
        return [
            Tally(place=min(max(0, place), stretches - 1), outcome=Outcome(outcome), number=number)
            for place, outcome, number in found
        ]

    def spans(self, since: float, limit: int) -> list[Span]:
        from queuectl.store.past import Span

        text = (
            "SELECT attempts.finished_at - attempts.started_at, attempts.started_at - jobs.run_at, "
            "attempts.started_at - jobs.created_at, attempts.number "
            "FROM {schema}.attempts JOIN {schema}.jobs ON jobs.seq = attempts.job "
            "WHERE attempts.finished_at >= ? AND attempts.outcome IN ('completed', 'failed', 'timeout') "
            "ORDER BY attempts.finished_at DESC LIMIT ?"
        )
        return [
            Span(ran=max(0.0, ran), waited=max(0.0, min(since_due, since_created)) if number == 1 else None)
            for ran, since_due, since_created, number in self._look(text, [since, limit])
        ]

    def place(self) -> Place:
        from queuectl.store.past import Place

        ((seq,),) = self._look("SELECT max(seq) FROM {schema}.jobs")
        ((deed,),) = self._look("SELECT max(id) FROM {schema}.events")
        return Place(seq=seq or 0, deed=deed or 0, at=self.now())

    def news(self, after: Place, limit: int) -> list[News]:
        found = [
            *self._added(after, limit),
            *self._done(after, limit),
            *self._started(limit),
            *self._ended(after, limit),
        ]
        return sorted(found, key=lambda each: each.at)

    def _added(self, after: Place, limit: int) -> Iterator[News]:
        from queuectl.store.past import News

        columns = "seq, id, queue, state, created_at, owner"
        text = f"SELECT {columns} FROM {{schema}}.jobs WHERE seq > ? ORDER BY seq LIMIT ?"
        for seq, job, queue, state, at, owner in self._look(text, [after.seq, limit]):
            yield News(
                at=at, kind="enqueued", key=("job", seq, 0), job=job, queue=queue, state=JobState(state), who=owner
            )

    def _done(self, after: Place, limit: int) -> Iterator[News]:
        from queuectl.store.past import News

        text = (
            "SELECT events.id, events.at, events.kind, events.who, events.detail, jobs.id, jobs.queue, jobs.state "
            "FROM {schema}.events LEFT JOIN {schema}.jobs ON jobs.seq = events.job "
            "WHERE events.id > ? ORDER BY events.id LIMIT ?"
        )
        for number, at, kind, who, detail, job, queue, state in self._look(text, [after.deed, limit]):
            now = JobState(state) if state else None
            yield News(
                at=at, kind=kind, key=("deed", number, 0), who=who, detail=detail, job=job, queue=queue, state=now
            )

    def _started(self, limit: int) -> Iterator[News]:
        from queuectl.store.past import News

        text = (
            "SELECT seq, id, queue, starts, lease, started_at, worker FROM {schema}.jobs "
            "WHERE state = 'processing' AND started_at IS NOT NULL LIMIT ?"
        )
        for seq, job, queue, number, lease, at, worker in self._look(text, [limit]):
            yield News(
                at=at, kind="started", key=("start", seq, lease), job=job, queue=queue, state=JobState.PROCESSING,
                number=number, worker=worker_name(worker),
            )  # fmt: skip

    def _ended(self, after: Place, limit: int) -> Iterator[News]:
        from queuectl.store.past import News

        text = (
            "SELECT attempts.job, attempts.number, attempts.finished_at, attempts.outcome, attempts.exit_code, "
            "attempts.error, attempts.worker, jobs.id, jobs.queue, jobs.state "
            "FROM {schema}.attempts JOIN {schema}.jobs ON jobs.seq = attempts.job "
            "WHERE attempts.finished_at >= ? ORDER BY attempts.finished_at LIMIT ?"
        )
        for seq, number, at, outcome, code, error, worker, job, queue, state in self._look(text, [after.at, limit]):
            yield News(
                at=at, kind="ended", key=("end", seq, number), job=job, queue=queue, state=JobState(state),
                number=number, outcome=Outcome(outcome), exit_code=code, error=error, worker=worker_name(worker),
            )  # fmt: skip


def _token(row: Sequence[Any]) -> Token:
    from queuectl.domain.token import Role, Token

    token = Token(*row)
    return token._replace(role=Role(token.role))
