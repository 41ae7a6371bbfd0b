from __future__ import annotations

from typing import Any

import pytest

from tests import needs


def report(
    outcome: Any, reason: str = "", weaker: list[tuple[str, object]] | None = None, when: Any = "call"
) -> pytest.TestReport:
    why = ("a file", 1, f"Skipped: {reason}") if reason else None
    return pytest.TestReport("a test", ("a file", 1, "a test"), {}, outcome, why, when, user_properties=weaker)


def test_the_end_of_a_run_names_what_was_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception) as skipped:
        needs.lacks("pgbouncer", "apt-get install pgbouncer")
    reason = str(skipped.value)
    weaker: list[tuple[str, object]] = [(needs.WEAKER, "clocks: apt-get install libfaketime")]
    reports = [
        report("skipped", reason, when="setup"),
        report("skipped", reason),
        report("skipped", "all workers are on one machine"),
        report("passed", weaker=weaker, when="setup"),
        report("passed", weaker=weaker),
        report("passed"),
    ]
    assert needs.told(reports) == [
        "1 test less proven without clocks: apt-get install libfaketime",
        "2 tests skipped without pgbouncer: apt-get install pgbouncer",
    ]


def test_nothing_is_skipped_under_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="apt-get install pgbouncer"):
        needs.lacks("pgbouncer", "apt-get install pgbouncer")
