from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workshop import Workshop, open_workshop


@pytest.fixture(params=["sqlite", "postgres"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Workshop]:
    """A workshop on a store of each kind."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else None
    with open_workshop(tmp_path, url) as workshop:
        yield workshop
