"""Throughput, failures, run and wait times over a window that ends now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from queuectl.domain.errors import Invalid
from queuectl.domain.job import Outcome
from queuectl.store.past import Span
from queuectl.store.port import Store
from queuectl.wire.times import format_duration

STRETCHES = 60
STRETCHES_MAX = 500
SPANS_MAX = 5000
"""Most executions, latest first, that percentiles are of."""
WINDOW_MIN_S, WINDOW_MAX_S = 1.0, 30 * 86400.0
FAILURES = (Outcome.FAILED, Outcome.TIMEOUT)


class Percentiles(NamedTuple):
    """Percentiles of durations in seconds; None if there are none."""

    measured: int = 0
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    max: float | None = None


class Figures(NamedTuple):
    """Ends from `since` to `until`: by outcome, and in stretches of `stretch` seconds each.

    `rate` is ends a second, `failure_rate` the fraction of ends by themselves or by timeout that were failures.
    `wait` is from when a job was due to its first start.
    """

    since: float
    until: float
    stretch: float
    ended: dict[Outcome, int]
    rate: float
    failure_rate: float
    run: Percentiles
    wait: Percentiles
    series: Sequence[tuple[float, dict[Outcome, int]]]


def figures(store: Store, window_s: float, stretches: int = STRETCHES, spans_max: int = SPANS_MAX) -> Figures:
    """The figures of the last `window_s` seconds. Raises `Invalid` for a window or number out of bounds."""
    if not WINDOW_MIN_S <= window_s <= WINDOW_MAX_S:
        longest = format_duration(WINDOW_MAX_S)
        raise Invalid(f"a window of {window_s:g}s is out of bounds", f"from {WINDOW_MIN_S:g}s to {longest}")
    if not 1 <= stretches <= STRETCHES_MAX:
        raise Invalid(f"{stretches} stretches are out of bounds", f"from 1 to {STRETCHES_MAX}")
    until = store.now()
    since = until - window_s
    stretch = window_s / stretches
    series = [(since + at * stretch, dict.fromkeys(Outcome, 0)) for at in range(stretches)]
    ended = dict.fromkeys(Outcome, 0)
    for place, outcome, number in store.tallies(since, until, stretches):
        series[place][1][outcome] += number
        ended[outcome] += number
    run, wait = of_spans(store.spans(since, spans_max))
    failed = sum(ended[outcome] for outcome in FAILURES)
    tried = failed + ended[Outcome.COMPLETED]
    return Figures(
        since=since, until=until, stretch=stretch, ended=ended, rate=sum(ended.values()) / window_s,
        failure_rate=failed / tried if tried else 0.0, run=run, wait=wait, series=series,
    )  # fmt: skip


def of_spans(spans: Sequence[Span]) -> tuple[Percentiles, Percentiles]:
    """Percentiles of run times, and of wait times."""
    waited = [span.waited for span in spans if span.waited is not None]
    return percentiles([span.ran for span in spans]), percentiles(waited)


def percentiles(durations: Sequence[float]) -> Percentiles:
    """The percentiles (nearest rank) of durations."""
    if not durations:
        return Percentiles()
    ordered = sorted(durations)

    def at(fraction: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(fraction * len(ordered)))], 6)

    return Percentiles(
        measured=len(ordered), p50=at(0.5), p90=at(0.9), p95=at(0.95), p99=at(0.99), max=round(ordered[-1], 6)
    )
