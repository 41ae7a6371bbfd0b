"""What a worker may be in, beside being asked to stop."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from queuectl.domain.finding import NOTE, PROBLEM, WARNING, Finding


class Condition(StrEnum):
    """As far as it can be told from where somebody asks; the worst comes last."""

    DRIVEN = "driven"
    UNABLE = "unable"
    """It can start no command just now: its interpreter is gone, or its machine has no room."""
    SUSPENDED = "suspended"
    """Its dispatcher, or a supervisor, was stopped by SIGSTOP or Ctrl-Z."""
    ORPHANED = "orphaned"
    """Its dispatcher is gone: what runs goes on, and nothing new is started."""
    UNKNOWN = "unknown"
    """Its processes are not to be seen from here, and its supervisor does not answer."""


def finding(name: str, condition: Condition, dispatcher: int, jobs: Sequence[str]) -> Finding | None:
    """What there is to say of a worker that may not serve. `dispatcher` is its pid, `jobs` are what it runs."""
    holds = f"it runs {', '.join(jobs)}" if jobs else "it runs nothing"
    match condition:
        case Condition.DRIVEN:
            return None
        case Condition.UNABLE:
            return Finding(
                level=PROBLEM, code="worker_unable", message=f"worker {name} can start no command; {holds}",
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
                fix=f"start a worker, which takes it over, or: queuectl worker stop {name}",
            )  # fmt: skip
        case Condition.UNKNOWN:
            return Finding(
                level=NOTE, code="worker_unknown",
                message=f"whether worker {name} is driven cannot be checked from here; {holds}",
                fix="ask on its machine, or in its container: queuectl worker list",
            )  # fmt: skip
