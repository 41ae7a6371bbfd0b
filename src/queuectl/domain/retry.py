"""Retries: exponential backoff with jitter, and which failures are permanent."""

from __future__ import annotations

from queuectl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from queuectl.domain.job import Spec


def delay(spec: Spec, attempt: int, draw: float) -> float:
    """Seconds to wait after attempt number `attempt` (from 1) has failed.

    `backoff_initial × backoff_base^(attempt−1)`, at most `backoff_max`; the jitter takes off up to that fraction of it.
    `draw` is a random number in [0, 1).
    """
    if not spec.backoff_initial:
        return 0.0
    try:
        grown = spec.backoff_initial * spec.backoff_base ** (attempt - 1)
    except OverflowError:
        grown = spec.backoff_max
    return min(grown, spec.backoff_max) * (1.0 - spec.backoff_jitter * draw)


def why_not(spec: Spec, exit_code: int | None) -> str:
    """Why a permanent failure is permanent."""
    only_others = exit_code is not None and exit_code not in spec.fatal_on
    return "not one of retry-on" if only_others else "fatal exit code"


def is_permanent(spec: Spec, exit_code: int | None, signal: int | None) -> bool:
    """Whether this end sends the job to the dead letter queue even if retries are left.

    `fatal_on` lists exit codes that are never retried; 128 + n means signal n, as in shells. A non-empty `retry_on`
    lists the only exit codes that are retried. Signals and time limits have no exit code, so they are retried.
    """
    if exit_code is None:
        return signal is not None and 128 + signal in spec.fatal_on
    return exit_code in spec.fatal_on or (bool(spec.retry_on) and exit_code not in spec.retry_on)
