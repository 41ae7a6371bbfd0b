"""Conditions of a worker that people must know of."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from queuectl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from queuectl.domain.finding import Finding


class Condition(StrEnum):
    """A worker's condition as seen from here; the worst comes last."""

    DRIVEN = "driven"
    UNABLE = "unable"
    """It cannot start commands: its interpreter is gone, or its machine lacks memory, processes or disk."""
    SUSPENDED = "suspended"
    """Its dispatcher, or a supervisor, was stopped by SIGSTOP or Ctrl-Z."""
    ORPHANED = "orphaned"
    """Its dispatcher is gone: commands go on, but no new job starts."""
    UNKNOWN = "unknown"
    """Its processes cannot be seen from here, and its supervisor does not answer."""


SAID = {
    Condition.UNABLE: "cannot start commands",
    Condition.SUSPENDED: "is suspended (SIGSTOP or Ctrl-Z)",
    Condition.ORPHANED: "is orphaned: its dispatcher is gone",
    Condition.UNKNOWN: "cannot be checked from here",
}
"""What is said of a worker in each condition but the usual one."""


def finding(name: str, condition: Condition, dispatcher: int, jobs: Sequence[str]) -> Finding | None:
    """The finding about a worker in this condition, or None. `dispatcher` is a pid, `jobs` are running ids."""
    if condition is Condition.DRIVEN:
        return None
    from queuectl.domain.finding import NOTE, PROBLEM, WARNING, Finding

    level, code, fix = {
        Condition.UNABLE: (PROBLEM, "worker_unable", f"see why: queuectl worker logs {name}"),
        Condition.SUSPENDED: (
            PROBLEM, "worker_suspended", f"kill -CONT {dispatcher}, or: queuectl worker stop {name}"
        ),
        Condition.ORPHANED: (
            WARNING, "worker_orphaned",
            f"where it runs, to take over: queuectl worker start; or: queuectl worker stop {name}",
        ),
        Condition.UNKNOWN: (NOTE, "worker_unknown", "on its machine or in its container: queuectl worker list"),
    }[condition]  # fmt: skip
    holds = f"it runs {', '.join(jobs)}" if jobs else "it runs no job"
    joined = ", and " if condition is Condition.ORPHANED else "; "
    return Finding(level, code, f"worker {name} {SAID[condition]}{joined}{holds}", fix)
