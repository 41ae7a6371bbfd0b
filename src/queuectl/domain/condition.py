"""Conditions of a worker that people must know of."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from queuectl.domain.finding import NOTE, PROBLEM, WARNING, Finding


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


def finding(name: str, condition: Condition, dispatcher: int, jobs: Sequence[str]) -> Finding | None:
    """The finding about a worker in this condition, or None. `dispatcher` is a pid, `jobs` are running ids."""
    holds = f"it runs {', '.join(jobs)}" if jobs else "it runs no job"
    match condition:
        case Condition.DRIVEN:
            return None
        case Condition.UNABLE:
            return Finding(
                level=PROBLEM, code="worker_unable", message=f"worker {name} cannot start commands; {holds}",
                fix=f"see why: queuectl worker logs {name}",
            )  # fmt: skip
        case Condition.SUSPENDED:
            return Finding(
                level=PROBLEM, code="worker_suspended",
                message=f"worker {name} is suspended (SIGSTOP or Ctrl-Z); {holds}",
                fix=f"kill -CONT {dispatcher}, or: queuectl worker stop {name}",
            )  # fmt: skip
        case Condition.ORPHANED:
            return Finding(
                level=WARNING, code="worker_orphaned",
                message=f"worker {name} is orphaned: its dispatcher is gone, and {holds}",
                fix=f"start a worker to take it over, or: queuectl worker stop {name}",
            )  # fmt: skip
        case Condition.UNKNOWN:
            return Finding(
                level=NOTE, code="worker_unknown",
                message=f"worker {name} cannot be checked from here; {holds}",
                fix="on its machine or in its container: queuectl worker list",
            )  # fmt: skip
