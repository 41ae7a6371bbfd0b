"""Every metric, one row each, read at scrape time. The cost does not grow with the history.

Needs prometheus-client, which writes the two text formats that Prometheus reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

import queuectl
from queuectl.client.documents import busy, slots
from queuectl.client.facade import Client
from queuectl.client.figures import Percentiles, of_spans
from queuectl.client.locks import LockView
from queuectl.client.schedule_views import ScheduleView
from queuectl.client.values import Status
from queuectl.domain.job import Outcome
from queuectl.domain.limits import Queue
from queuectl.typed import NamedTuple

WINDOW_S = 300.0
"""Quantiles are of executions that ended in this many seconds, at most the latest `SPANS_MAX`."""
SPANS_MAX = 2000
LAG_S = 5.0
"""Ends are counted this late, when no earlier one is still being committed."""
QUANTILES = {"0.5": "p50", "0.9": "p90", "0.99": "p99"}


class Row(NamedTuple):
    """A gauge, counter or summary. A counter counts since the server's start. A summary has only quantiles of recent
    executions, since a gauge must not have a label `quantile`."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    kind: str = "gauge"

    @property
    def sample(self) -> str:
        """The name of its samples."""
        return f"{self.name}_total" if self.kind == "counter" else self.name


METRICS = {
    row.name: row
    for row in (
        Row("queuectl_jobs", "Jobs by queue and state.", ("queue", "state")),
        Row("queuectl_oldest_waiting_seconds", "How long the oldest due job has waited; 0 if none waits."),
        Row("queuectl_workers", "Workers alive."),
        Row("queuectl_worker_slots", "Slots of live workers."),
        Row("queuectl_worker_slots_busy", "Slots in which a command runs."),
        Row("queuectl_queue_concurrency", "Jobs of a queue that may run at a time, if limited.", ("queue",)),
        Row("queuectl_queue_paused", "1 if the queue is paused.", ("queue",)),
        Row("queuectl_batch_unfinished", "Unfinished jobs of a batch that is not done.", ("batch",)),
        Row("queuectl_lock_capacity", "Units of a lock.", ("lock",)),
        Row("queuectl_lock_held", "Units of a lock that jobs hold.", ("lock",)),
        Row("queuectl_lock_waiting", "Jobs that need the lock and have yet to start.", ("lock",)),
        Row(
            "queuectl_schedule_late",
            "1 if no worker has fired the schedule in time, or a run has not ended well in time.",
            ("schedule",),
        ),
        Row("queuectl_schedule_failing", "1 if the latest job of the schedule to end is dead.", ("schedule",)),
        Row("queuectl_schedule_paused", "1 if the schedule is paused.", ("schedule",)),
        Row("queuectl_schedule_idle_fires", "Fires in a row that made no job.", ("schedule",)),
        Row("queuectl_schedule_next_timestamp_seconds", "When the schedule fires next.", ("schedule",)),
        Row("queuectl_schedule_last_success_timestamp_seconds", "When one of its jobs last succeeded.", ("schedule",)),
        Row("queuectl_executions", "Executions ended since this server began, by outcome.", ("outcome",), "counter"),
        Row("queuectl_run_seconds", "How long executions of the last 5 minutes took.", ("quantile",), "summary"),
        Row("queuectl_wait_seconds", "How long their jobs waited, from due to started.", ("quantile",), "summary"),
        Row("queuectl_build_info", "1, with the version.", ("version",)),
    )
}


class EndCounter:
    """Counts ends by outcome since it was made: each call adds the ends since the last one."""

    def __init__(self, client: Client) -> None:
        self._until = client.now() - LAG_S
        self.ended = dict.fromkeys(Outcome, 0)

    def count(self, client: Client) -> None:
        """Adds the ends since the last call."""
        until = client.now() - LAG_S
        if until > self._until:
            for tally in client.store.tallies(self._until, until, 1):
                self.ended[tally.outcome] += tally.number
            self._until = until


class Reading(NamedTuple):
    """The values of a scrape."""

    status: Status
    run: Percentiles
    wait: Percentiles
    ended: Mapping[Outcome, int]
    queues: Sequence[Queue] = ()
    locks: Sequence[LockView] = ()
    schedules: Sequence[ScheduleView] = ()
    batches: Mapping[str, int] = {}


def read(client: Client, counter: EndCounter | None = None) -> Reading:
    """Reads a store. Without a counter, executions are not counted."""
    if counter is not None:
        counter.count(client)
    run, wait = of_spans(client.store.spans(client.now() - WINDOW_S, SPANS_MAX))
    return Reading(
        status=client.status(retries=0), run=run, wait=wait, ended=counter.ended if counter else {},
        queues=client.store.queues(), locks=client.locks(), schedules=client.schedules(),
        batches=client.store.open_batches(),
    )  # fmt: skip


class Format(NamedTuple):
    """A text format: its media type and its writer."""

    content_type: str
    write: Callable[[CollectorRegistry], bytes]


PLAIN = Format("text/plain; version=0.0.4; charset=utf-8", generate_latest)
OPENMETRICS = Format("application/openmetrics-text; version=1.0.0; charset=utf-8", generate_openmetrics)


def negotiated(accept: str) -> Format:
    """The format for an Accept header: OpenMetrics if it is named with at least the weight of plain text."""
    weights = dict(sorted(_weight(each) for each in accept.split(",")))  # of a type named twice the larger weight
    wanted = weights.get("application/openmetrics-text", 0.0)
    return OPENMETRICS if wanted and wanted >= weights.get("text/plain", 0.0) else PLAIN


def _weight(accepted: str) -> tuple[str, float]:
    """A media type of an Accept header and its weight. One that is not a number counts as 1."""
    kind, *parameters = (part.strip().lower() for part in accepted.split(";"))
    given = next((each[2:] for each in parameters if each.startswith("q=")), "1")
    return kind, float(given) if given.replace(".", "", 1).isdecimal() else 1.0


def text(reading: Reading, form: Format = PLAIN) -> bytes:
    """The metrics as Prometheus reads them."""
    registry = CollectorRegistry()
    registry.register(_Collector(reading))
    return form.write(registry)


class _Collector:
    """Gives the values to prometheus-client."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        for name, values in _values(self._reading).items():
            row = METRICS[name]
            metric = Metric(name, row.help, row.kind)
            for labels, value in values.items():
                metric.add_sample(row.sample, dict(zip(row.labels, labels, strict=True)), value)
            yield metric


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
        "queuectl_queue_concurrency": {
            (queue.name,): queue.concurrency for queue in reading.queues if queue.concurrency is not None
        },
        "queuectl_queue_paused": {
            (name,): int(name in found.paused)
            for name in sorted({*found.queues, *(queue.name for queue in reading.queues)})
        },
        "queuectl_batch_unfinished": {(name,): jobs for name, jobs in reading.batches.items()},
        "queuectl_lock_capacity": {(lock.name,): lock.capacity for lock in reading.locks},
        "queuectl_lock_held": {(lock.name,): lock.held for lock in reading.locks},
        "queuectl_lock_waiting": {(lock.name,): lock.waiting for lock in reading.locks},
        **_of_schedules(reading.schedules),
        "queuectl_executions": {(outcome.value,): number for outcome, number in reading.ended.items()},
        "queuectl_run_seconds": _quantiles(reading.run),
        "queuectl_wait_seconds": _quantiles(reading.wait),
        "queuectl_build_info": {(queuectl.__version__,): 1},
    }


def _of_schedules(schedules: Sequence[ScheduleView]) -> dict[str, dict[tuple[str, ...], float]]:
    return {
        "queuectl_schedule_late": {(each.name,): int(each.late) for each in schedules},
        "queuectl_schedule_failing": {(each.name,): int(each.failing) for each in schedules},
        "queuectl_schedule_paused": {(each.name,): int(each.pause is not None) for each in schedules},
        "queuectl_schedule_idle_fires": {(each.name,): each.idle for each in schedules},
        "queuectl_schedule_next_timestamp_seconds": {(each.name,): each.next[0] for each in schedules if each.next},
        "queuectl_schedule_last_success_timestamp_seconds": {
            (each.name,): each.last_success for each in schedules if each.last_success is not None
        },
    }


def _quantiles(found: Percentiles) -> dict[tuple[str, ...], float]:
    """Quantiles; empty if nothing was measured."""
    named = found._asdict()
    return {(quantile,): named[name] for quantile, name in QUANTILES.items() if named[name] is not None}
