"""News of transactions that are committed in another order than they were begun: a reader misses none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from queuectl.client import news
from queuectl.client.gaps import Gaps
from queuectl.store.past import Deed, News, Place
from queuectl.store.postgres.store import PostgresStore
from tests.builders import a_job


def told_by_pages(watching: news.Watching) -> list[tuple[str, str | None]]:
    return [(each.kind, each.job or each.detail) for page in watching.pages() for each in page]


def told_at_once(watching: news.Watching) -> list[tuple[str, str | None]]:
    return [(each.kind, each.job or each.detail) for each in watching.read() or ()]


@pytest.fixture
def stores(postgres_url: str, tmp_path: Path) -> Iterator[tuple[PostgresStore, PostgresStore, PostgresStore]]:
    with (
        closing(PostgresStore(postgres_url, tmp_path)) as one,
        closing(PostgresStore(postgres_url, tmp_path)) as two,
        closing(PostgresStore(postgres_url, tmp_path)) as three,
    ):
        yield one, two, three


@pytest.mark.parametrize("told", [told_by_pages, told_at_once])
def test_what_is_committed_late_is_told_late(
    stores: tuple[PostgresStore, PostgresStore, PostgresStore], told: Callable[[news.Watching], list[tuple[str, str]]]
) -> None:
    store, other, reader = stores
    with closing(news.Watching(reader)) as watching:
        other.insert([a_job("first", at=other.now())])
        with store.transaction():
            store.insert([a_job(id, at=store.now()) for id in ("a", "b")])
            store.add_deed(Deed(at=store.now(), kind="Pruned", who="ada", detail="late"))
            store._select("SELECT 1")
            other.insert([a_job("c", at=other.now())])
            other.add_deed(Deed(at=other.now(), kind="Pruned", who="ada", detail="early"))
            for _ in range(3):  # it is still open
                found = told(watching)
                assert found in ([("enqueued", "first"), ("enqueued", "c"), ("Pruned", "early")], [])
        assert sorted(told(watching)) == [("Pruned", "late"), ("enqueued", "a"), ("enqueued", "b")]
        assert told(watching) == []


class Server:
    """A server with some deeds, and transactions of which the first is still open."""

    shared_by_machines = True

    def __init__(self) -> None:
        self.numbers: set[int] = set()
        self.transactions = (5, 9)
        self.looks = 0

    def horizon(self) -> tuple[int, int]:
        return self.transactions

    def news_between(self, kind: str, first: int, last: int, limit: int) -> list[News]:
        self.looks += 1
        found = sorted(number for number in self.numbers if first <= number <= last)[:limit]
        return [News(at=0.0, kind="Pruned", key=(kind, number, 0)) for number in found]


def test_gaps_are_read_in_pages_and_forgotten_once_nobody_can_fill_them() -> None:
    server = Server()
    gaps = Gaps(server)  # type: ignore[arg-type]

    def filled() -> list[list[int]]:
        return [[each.key[1] for each in page] for page in gaps.filled(2)]

    gaps.note(Place(0, 0, 0.0), Place(0, 10, 0.0), server.news_between("deed", 1, 10, 99))
    server.numbers = {2, 3, 4, 7}
    assert filled() == [[2, 3], [4, 7]]
    server.numbers.add(6)
    server.transactions = (8, 12)  # some that were open at the last look still are
    assert filled() == [[6]]
    server.numbers.add(5)
    server.transactions = (9, 12)
    assert filled() == [[5]]
    server.looks = 0
    assert filled() == []
    assert server.looks == 0
