"""The OpenAPI document is true: a right and a wrong request for each operation. `tests.web.fuzz` tries many more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from queuectl.client.operations import OPERATIONS
from tests.web.service import Service, serving

EXAMPLES = 1
SEED = 20261122


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, fuzz: Any) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("contract") / "queuectl.db", fuzz.STREAM_S) as running:
        yield running


def test_every_operation_keeps_what_the_document_says(service: Service, fuzz: Any) -> None:
    tried = 0
    for operation in fuzz.operations(service):
        fuzz.furnish(service)
        fuzz.try_operation(service, operation, EXAMPLES, SEED)
        tried += 1
    assert tried == len(OPERATIONS)


@pytest.mark.parametrize(
    "path", ["/api/v1/jobs", "/api/v1/jobs/retry", "/api/v1/events", "/login", "/", "/static/app.css"]
)
def test_random_headers_and_bodies_meet_no_failure_of_the_server(service: Service, fuzz: Any, path: str) -> None:
    for method in ("GET", "POST"):
        fuzz.try_noise(service, method, path, 5, SEED)
