"""What scripts read does not change by accident: JSON, exit codes, stored specs, and the OpenAPI document."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.goldens import session

AGAIN = "if this change is meant to be seen, record it: python -m tests.goldens.session"


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_session_prints_what_it_printed_before(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    address = str(tmp_path / "queuectl.db") if kind == "sqlite" else request.getfixturevalue("postgres_url")
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name, value in session.environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    assert session.play(address, tmp_path) == (session.HERE / f"{kind}.txt").read_text(), AGAIN


def test_the_openapi_document_is_as_before() -> None:
    assert session.openapi() == (session.HERE / "openapi.json").read_text(), AGAIN
