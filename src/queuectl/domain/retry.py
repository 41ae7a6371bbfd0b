"""When a failed job runs again: exponential backoff with jitter, and which failures are final."""

from __future__ import annotations

from queuectl.domain.job import Spec


def delay(spec: Spec, attempt: int, draw: float) -> float:
    """Seconds to wait after attempt number `attempt` (from 1) has failed.

    `backoff_initial × backoff_base^(attempt−1)`, at most `backoff_max`; the jitter takes off up to
    that fraction of it. `draw` is a random number in [0, 1) which the caller brings.
    """
    if not spec.backoff_initial:
        return 0.0
    try:
        grown = spec.backoff_initial * spec.backoff_base ** (attempt - 1)
    except OverflowError:
        grown = spec.backoff_max
    return min(grown, spec.backoff_max) * (1.0 - spec.backoff_jitter * draw)


def why_not(spec: Spec, exit_code: int | None) -> str:
    """Why an end is permanent, where it is."""
    only_others = exit_code is not None and exit_code not in spec.fatal_on
    return "not one of retry-on" if only_others else "fatal exit code"


def is_permanent(spec: Spec, exit_code: int | None, signal: int | None) -> bool:
    """Whether this end alone sends the job to the dead letter queue.

    `fatal_on` names exit codes that never retry, 128 + n among them for a signal n, as shells say it; a non-empty
    `retry_on` names the only exit codes that do. A signal or a time limit is no exit code, so it retries.
    """
    if exit_code is None:
        return signal is not None and 128 + signal in spec.fatal_on
    return exit_code in spec.fatal_on or (bool(spec.retry_on) and exit_code not in spec.retry_on)
