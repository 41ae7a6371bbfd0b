"""Tokens: who may use the store over HTTP."""

from __future__ import annotations

from collections.abc import Sequence

from queuectl.domain.errors import Conflict
from queuectl.store.shared.session import Session
from queuectl.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from queuectl.domain.token import Token

COLUMNS = "id, digest, name, role, created_at, created_by, used_at"


class Tokens(Session):
    """This part of a `Store` (see store/port.py)."""

    def tokens(self) -> list[Token]:
        found = self._select(f"SELECT {COLUMNS} FROM {{schema}}.tokens ORDER BY created_at, id")
        return [_token(row) for row in found]

    def token_of(self, digest: str) -> Token | None:
        found = self._select(f"SELECT {COLUMNS} FROM {{schema}}.tokens WHERE digest = ?", [digest])
        return _token(found[0]) if found else None

    def add_token(self, token: Token) -> None:
        with self.transaction():
            marks = ", ".join("?" * len(token))
            values = list(token._replace(role=token.role.value))  # type: ignore[arg-type]
            text = f"INSERT INTO {{schema}}.tokens ({COLUMNS}) VALUES ({marks}) ON CONFLICT DO NOTHING RETURNING id"
            if not self._select(text, values):
                raise Conflict(f"a token named {token.name} exists already", "choose another name, or revoke that one")

    def remove_token(self, token_id: str) -> bool:
        with self.transaction():
            return bool(self._select("DELETE FROM {schema}.tokens WHERE id = ? RETURNING id", [token_id]))

    def use_token(self, token_id: str, at: float) -> None:
        with self.transaction():
            self._execute("UPDATE {schema}.tokens SET used_at = ? WHERE id = ?", [at, token_id])


def _token(row: Sequence[Any]) -> Token:
    from queuectl.domain.token import Role, Token

    token = Token(*row)
    return token._replace(role=Role(token.role))
