"""A server for each test that wants one."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.web.service import Service, serving


@pytest.fixture(scope="session")
def fuzz() -> Any:
    """`tests.web.fuzz`, imported only by processes that need it: its libraries take a second to load."""
    return import_module("tests.web.fuzz")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A server on a new store."""
    with serving(tmp_path / "queuectl.db") as running:
        yield running
