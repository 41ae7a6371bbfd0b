from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workshop import Workshop, open_workshop


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    with open_workshop(tmp_path) as workshop:
        yield workshop
