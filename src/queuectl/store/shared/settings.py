"""The settings kept in a store, and where the store has moved."""

from __future__ import annotations

from queuectl.store.shared.session import Session

MOVED_TO = "moved to"
"""The name of the fact in `meta` that says where a store's jobs are now."""


class KeptSettings(Session):
    """This part of a `Store` (see store/port.py)."""

    def config(self) -> dict[str, str]:
        return dict(self._select("SELECT name, value FROM {schema}.config"))

    def set_config(self, name: str, value: str | None) -> None:
        with self.transaction():
            self._execute("DELETE FROM {schema}.config WHERE name = ?", [name])
            if value is not None:
                self._execute("INSERT INTO {schema}.config VALUES (?, ?)", [name, value])
            self._announce()

    def moved_to(self) -> str | None:
        found = self._select("SELECT value FROM {schema}.meta WHERE name = ?", [MOVED_TO])
        return str(found[0][0]) if found else None
