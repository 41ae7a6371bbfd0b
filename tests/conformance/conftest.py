"""The stores that have to keep the port's promises. A new store is one more parameter here, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from queuectl.store.port import Store
from queuectl.store.postgres.store import PostgresStore
from queuectl.store.sqlite.store import SqliteStore
from tests.builders import ManualClock, make_sqlite_store


class Connect(Protocol):
    def __call__(self, clock: ManualClock, busy_timeout_s: float) -> Store: ...


class StoreFactory:
    """Opens one and the same store as often as wanted, as so many processes would. All share `clock`."""

    def __init__(self, connect: Connect) -> None:
        self.clock = ManualClock()
        self._connect = connect
        self._opened: list[Store] = []

    def __call__(self, busy_timeout_s: float = 10.0) -> Store:
        store = self._connect(self.clock, busy_timeout_s)
        self._opened.append(store)
        return store

    def impatient(self) -> Store:
        """A connection that does not wait for a lock."""
        return self(busy_timeout_s=0.0)

    def open_in_thread(self) -> Store:
        """A connection for another thread, which closes it itself."""
        return self._connect(self.clock, 60.0)

    def close(self) -> None:
        for store in self._opened:
            store.close()


@pytest.fixture(params=["sqlite", "postgres"])
def store_factory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StoreFactory]:
    """A new, empty store of each kind."""
    if request.param == "sqlite":
        make_sqlite_store(tmp_path / "queuectl.db")
        factory = StoreFactory(lambda clock, patience_s: SqliteStore(tmp_path / "queuectl.db", clock, patience_s))
    else:
        url = request.getfixturevalue("emptied_url")
        factory = StoreFactory(lambda clock, patience_s: PostgresStore(url, tmp_path, clock, patience_s))
    yield factory
    factory.close()


@pytest.fixture
def store(store_factory: StoreFactory) -> Store:
    """One connection to the store."""
    return store_factory()


@pytest.fixture
def clock(store_factory: StoreFactory) -> ManualClock:
    return store_factory.clock
