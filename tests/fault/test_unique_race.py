"""No key is held twice while many race for it; unique_race.py does the same for as long as one likes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fault.unique_race import race


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_no_key_is_held_twice_at_any_instant(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("postgres_url") if kind == "postgres" else str(tmp_path / "q.db")
    told = race(url, seconds=1.0, processes=2, threads=4, keys=3)
    assert told["ran"] > 0
