"""What tests need of a machine. Where something is missing, tests are skipped or prove less, and the end of the run
says so; under CI they fail instead."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from typing import Any, NoReturn

import pytest

PREFIX = "missing here: "
WEAKER = "weaker"


def lacks(what: str, remedy: str) -> NoReturn:
    """Skips the test that runs, since `what` is missing; `remedy` says how to get it."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is missing, and no test may be skipped under CI: {remedy}")
    pytest.skip(f"{PREFIX}{what}: {remedy}")


def is_weaker(request: pytest.FixtureRequest, what: str, remedy: str) -> None:
    """Notes that a test proves less than it could, since `what` is missing."""
    if os.environ.get("CI") == "true":
        lacks(what, remedy)
    request.node.user_properties.append((WEAKER, f"{what}: {remedy}"))


def told(reports: Iterable[Any]) -> list[str]:
    """One line for each thing that was missing, with the number of tests concerned."""
    missing: Counter[str] = Counter()
    for report in reports:
        if report.skipped and isinstance(report.longrepr, tuple) and PREFIX in report.longrepr[2]:
            missing[f"skipped without {report.longrepr[2].partition(PREFIX)[2]}"] += 1
        if report.when == "call":
            for name, text in report.user_properties:
                if name == WEAKER:
                    missing[f"less proven without {text}"] += 1
    return [f"{count} test{'s'[: count != 1]} {line}" for line, count in sorted(missing.items())]
