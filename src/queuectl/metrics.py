"""Every metric, one row each, and its value read at the moment it is asked for. Cheap whatever the history.

Needs prometheus-client, which writes the text that Prometheus reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

import queuectl
from queuectl.client import Client, Status
from queuectl.documents import busy, slots
from queuectl.domain.job import Outcome
from queuectl.figures import Percentiles, of_spans
from queuectl.store.port import Store

CONTENT_TYPE = CONTENT_TYPE_LATEST
WINDOW_S = 300.0
"""Quantiles are of what has ended in so many seconds, the latest `SPANS_MAX` executions at most."""
SPANS_MAX = 2000
LAG_S = 5.0
"""Ends are counted when nobody is about to commit an earlier one any more."""
QUANTILES = {"0.5": "p50", "0.9": "p90", "0.99": "p99"}


class Row(NamedTuple):
    """One metric. A `counter` counts since the server began."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    counter: bool = False


METRICS = {
    row.name: row
    for row in (
        Row("queuectl_jobs", "Jobs by queue and state.", ("queue", "state")),
        Row("queuectl_oldest_waiting_seconds", "For how long the oldest due job waits; 0 where none does."),
        Row("queuectl_workers", "Workers alive."),
        Row("queuectl_worker_slots", "Places for commands on live workers."),
        Row("queuectl_worker_slots_busy", "Places in which a command runs."),
        Row("queuectl_executions", "Executions ended since this server began, by outcome.", ("outcome",), counter=True),
        Row("queuectl_run_seconds", "How long executions of the last 5 minutes took.", ("quantile",)),
        Row("queuectl_wait_seconds", "How long their jobs waited, from due to started.", ("quantile",)),
        Row("queuectl_build_info", "1, with the version.", ("version",)),
    )
}


class EndCounter:
    """Ends by outcome since it was made: it adds what has ended since it was asked before, by the store's index."""

    def __init__(self, store: Store) -> None:
        self._until = store.now() - LAG_S
        self.ended = dict.fromkeys(Outcome, 0)

    def count(self, store: Store) -> None:
        """Adds what is new."""
        until = store.now() - LAG_S
        if until > self._until:
            for tally in store.tallies(self._until, until, 1):
                self.ended[tally.outcome] += tally.number
            self._until = until


class Reading(NamedTuple):
    """What is read for one scrape."""

    status: Status
    run: Percentiles
    wait: Percentiles
    ended: Mapping[Outcome, int]


def read(client: Client, counter: EndCounter | None = None) -> Reading:
    """The state of a store. Without a counter no executions are counted."""
    if counter is not None:
        counter.count(client.store)
    run, wait = of_spans(client.store.spans(client.store.now() - WINDOW_S, SPANS_MAX))
    return Reading(status=client.status(retries=0), run=run, wait=wait, ended=counter.ended if counter else {})


def text(reading: Reading) -> bytes:
    """The metrics as Prometheus reads them."""
    registry = CollectorRegistry()
    registry.register(_Collector(reading))
    return generate_latest(registry)


class _Collector:
    """What prometheus-client asks for values."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        for name, values in _values(self._reading).items():
            row = METRICS[name]
            kind = CounterMetricFamily if row.counter else GaugeMetricFamily
            family = kind(name, row.help, labels=row.labels)
            for labels, value in values.items():
                family.add_metric(labels, value)
            yield family


def _values(reading: Reading) -> dict[str, dict[tuple[str, ...], float]]:
    found = reading.status
    alive = [worker for worker in found.workers if not worker.orphaned]
    return {
        "queuectl_jobs": {
            (queue, state.value): number for queue, counts in found.queues.items() for state, number in counts.items()
        },
        "queuectl_oldest_waiting_seconds": {
            (): 0.0 if found.oldest_due is None else max(0.0, found.at - found.oldest_due)
        },
        "queuectl_workers": {(): len(alive)},
        "queuectl_worker_slots": {(): slots(alive)},
        "queuectl_worker_slots_busy": {(): busy(found.workers)},
        "queuectl_executions": {(outcome.value,): number for outcome, number in reading.ended.items()},
        "queuectl_run_seconds": _quantiles(reading.run),
        "queuectl_wait_seconds": _quantiles(reading.wait),
        "queuectl_build_info": {(queuectl.__version__,): 1},
    }


def _quantiles(found: Percentiles) -> dict[tuple[str, ...], float]:
    """Nothing where nothing was measured."""
    named = found._asdict()
    return {(quantile,): named[name] for quantile, name in QUANTILES.items() if named[name] is not None}
