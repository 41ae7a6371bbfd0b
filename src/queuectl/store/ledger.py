"""What a store keeps beside jobs and workers: tokens, and what people did. One SQL for every store.

In the statements here `?` is a parameter and `{schema}.` stands before every table; each store puts in its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from queuectl.domain.errors import Conflict
from queuectl.domain.token import Role, Token
from queuectl.store.port import Deed

TOKEN_COLUMNS = ", ".join(Token._fields)


class Ledger:
    """This part of a `Store` (see store/port.py). The store brings `transaction`, `_look` and `_put`."""

    def transaction(self) -> AbstractContextManager[None]:
        raise NotImplementedError

    def _look(self, text: str, values: Sequence[object] = ()) -> list[Any]:
        """The rows of a query."""
        raise NotImplementedError

    def _put(self, text: str, values: Sequence[object] = ()) -> list[Any]:
        """The rows that a writing statement returns; inside a transaction only."""
        raise NotImplementedError

    # --- tokens -----------------------------------------------------------------------------

    def tokens(self) -> list[Token]:
        found = self._look(f"SELECT {TOKEN_COLUMNS} FROM {{schema}}.tokens ORDER BY created_at, id")
        return [_token(row) for row in found]

    def token_of(self, digest: str) -> Token | None:
        found = self._look(f"SELECT {TOKEN_COLUMNS} FROM {{schema}}.tokens WHERE digest = ?", [digest])
        return _token(found[0]) if found else None

    def add_token(self, token: Token) -> None:
        with self.transaction():
            marks = ", ".join("?" * len(Token._fields))
            values = [str(value) if isinstance(value, Role) else value for value in token]
            text = (
                f"INSERT INTO {{schema}}.tokens ({TOKEN_COLUMNS}) VALUES ({marks}) ON CONFLICT DO NOTHING RETURNING id"
            )
            if not self._put(text, values):
                raise Conflict(
                    f"a token named {token.name} exists already", "choose another --name, or revoke that one"
                )

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
        text = (
            "SELECT events.id, events.at, events.kind, events.who, events.detail, jobs.id FROM {schema}.events "
            "LEFT JOIN {schema}.jobs ON jobs.seq = events.job WHERE events.id < ? ORDER BY events.id DESC LIMIT ?"
        )
        found = self._look(text, [(1 << 62) if before is None else before, limit])
        return [
            Deed(id=id_, at=at, kind=kind, who=who, detail=detail, job=job) for id_, at, kind, who, detail, job in found
        ]


def _token(row: Sequence[Any]) -> Token:
    token = Token(*row)
    return token._replace(role=Role(token.role))
