"""A server for each test that wants one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web.service import Service, serving


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A server on a new store."""
    with serving(tmp_path / "queuectl.db") as running:
        yield running
