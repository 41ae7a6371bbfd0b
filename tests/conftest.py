"""What all tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.server import drop_schema, new_schema, start_server

# A failing example is printed with the blob that reproduces it; the machine's noise is no failure.
settings.register_profile("queuectl", deadline=None, print_blob=True)
settings.load_profile("queuectl")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL server for the whole session."""
    if given := os.environ.get("QUEUECTL_TEST_POSTGRES"):
        yield given
        return
    server = start_server()
    yield server.url
    server.remove()


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """The URL of a store that does not exist yet; it is removed afterwards."""
    url = new_schema(postgres_server)
    yield url
    drop_schema(url)
