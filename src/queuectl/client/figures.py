"""Throughput, failures, run and wait times over a window that ends now."""

from __future__ import annotations

import os
import re
import time
from array import array
from collections.abc import Mapping, Sequence
from functools import lru_cache

from queuectl.domain.errors import Invalid
from queuectl.domain.job import Outcome
from queuectl.store.past import End, Span
from queuectl.store.port import Store
from queuectl.typed import NamedTuple
from queuectl.wire.times import format_duration

STRETCHES = 60
STRETCHES_MAX = 500
SPANS_MAX = 5000
"""Most executions, latest first, that percentiles are of."""
CHARTED_SPANS_MAX = 2000
"""The same of a chart, which people wait for, and see again and again."""
ENDS_MAX = 100_000
"""Most executions, latest first, that are told apart by queue and program."""
MEASURED_MAX = 500
"""Most executions of each stretch, latest first, that its percentiles are of."""
PARTS_MAX = 50
PROGRAM_SHOWN = 60
PROGRAMS_KNOWN = 1000
"""The programs of so many commands are remembered."""
INTERPRETER = re.compile(r"(python|perl|ruby|node|php|Rscript|sh|bash|dash|zsh|make)[\d.]*")
WINDOW_MIN_S, WINDOW_MAX_S = 1.0, 30 * 86400.0
FAILURES = (Outcome.FAILED, Outcome.TIMEOUT)
LATE_S = 5.0
"""Ends may be recorded this late."""
AGAIN_BY, AGAIN_LEAST_S = 100.0, 60.0
"""All is counted again after this many times as long as it took to count it."""


class Percentiles(NamedTuple):
    """Percentiles of durations in seconds; None if there are none."""

    measured: int = 0
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    max: float | None = None


class Part(NamedTuple):
    """The executions of one queue, or of one program, among the latest."""

    name: str
    ended: int
    failed: int
    rate: float
    run: Percentiles
    wait: Percentiles


class Times(NamedTuple):
    """How long executions of one stretch ran, and had waited before."""

    run: Percentiles
    wait: Percentiles


class Figures(NamedTuple):
    """Ends from `since` to `until`: by outcome, and in stretches of `stretch` seconds each.

    `rate` is ends a second, `failure_rate` the fraction of ends by themselves or by timeout that were failures.
    `wait` is from when a job was due to its first start. `queues` and `commands` are parts, the busiest first, of the
    latest `parts_of` executions since `parts_since`. `times` are those of each stretch, if they were asked for.
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
    parts_of: int = 0
    parts_since: float = 0.0
    queues: Sequence[Part] = ()
    commands: Sequence[Part] = ()
    times: Sequence[Times] = ()


class Counted:
    """Ends by stretch, as they were counted before: only the latest stretches are counted again and again.

    For stretches of one length, and one queue or all. An end may be recorded late, and a job deleted, so now and then
    all is counted again.
    """

    def __init__(self) -> None:
        self._settled: Mapping[int, dict[Outcome, int]] = {}
        self._again_at = 0.0

    def series(
        self, store: Store, until: float, stretch: float, stretches: int, queue: str | None
    ) -> list[tuple[float, dict[Outcome, int]]]:
        """The beginning of each stretch up to `until`, and its ends by outcome."""
        began = time.monotonic()
        if began >= self._again_at:
            self._settled = {}
        last, settled = round(until / stretch), self._settled
        numbers = range(last - stretches, last)
        first = next((number for number in numbers if number not in settled), last - 1)
        known = {number: settled[number] if number < first else dict.fromkeys(Outcome, 0) for number in numbers}
        for place, outcome, ends in store.tallies(first * stretch, until, last - first, queue):
            known[first + place][outcome] = ends
        if not settled:
            now = time.monotonic()
            self._again_at = now + max(AGAIN_LEAST_S, AGAIN_BY * (now - began))
        late = store.now() - LATE_S
        self._settled = {number: ends for number, ends in known.items() if (number + 1) * stretch < late}
        return [(number * stretch, known[number]) for number in numbers]


def figures(
    store: Store, window_s: float, stretches: int = STRETCHES, spans_max: int = SPANS_MAX,
    counted: Counted | None = None, queue: str | None = None,
) -> Figures:  # fmt: skip
    """The figures (of one queue) of the last `window_s` seconds; if they were `counted` before, up to the end of the
    present stretch, of those that follow each other from the epoch on. Raises `Invalid` for a window or number out of
    bounds."""
    if not WINDOW_MIN_S <= window_s <= WINDOW_MAX_S:
        longest = format_duration(WINDOW_MAX_S)
        raise Invalid(
            f"a window of {format_duration(window_s)} is out of bounds", f"give {WINDOW_MIN_S:g}s to {longest}"
        )
    if not 1 <= stretches <= STRETCHES_MAX:
        raise Invalid(f"{stretches} stretches are out of bounds", f"from 1 to {STRETCHES_MAX}")
    stretch = window_s / stretches
    if counted is None:
        until = store.now()
        since = until - window_s
        series = [(since + at * stretch, dict.fromkeys(Outcome, 0)) for at in range(stretches)]
        # one more, since another host's clock can be a moment ahead of ours
        for place, outcome, number in store.tallies(since, until + stretch, stretches + 1, queue):
            series[min(place, stretches - 1)][1][outcome] += number
    else:
        until = (store.now() // stretch + 1) * stretch
        since = until - window_s
        series = counted.series(store, until, stretch, stretches, queue)
    ended = {outcome: sum(ends[outcome] for _, ends in series) for outcome in Outcome}
    run, wait = of_spans(store.spans(since, spans_max, queue=queue))
    failed = sum(ended[outcome] for outcome in FAILURES)
    tried = failed + ended[Outcome.COMPLETED]
    return Figures(
        since=since, until=until, stretch=stretch, ended=ended, rate=sum(ended.values()) / window_s,
        failure_rate=failed / tried if tried else 0.0, run=run, wait=wait, series=series,
    )  # fmt: skip


def with_parts(store: Store, found: Figures) -> Figures:
    """The figures by queue and by program too."""
    queues: dict[str, _Some] = {}
    commands: dict[str, _Some] = {}
    program = lru_cache(PROGRAMS_KNOWN)(program_of)
    number, since = 0, found.since
    for number, end in enumerate(store.ends(found.since, ENDS_MAX), 1):
        queues.setdefault(end.queue, _Some()).add(end)
        commands.setdefault(program(end.command), _Some()).add(end)
        if number == ENDS_MAX:
            since = end.at
    seconds = max(found.until - since, 0.001)
    return found._replace(
        parts_of=number, parts_since=since, queues=_parts(queues, seconds), commands=_parts(commands, seconds)
    )


def with_times(store: Store, found: Figures, queue: str | None = None) -> Figures:
    """The figures with the times of each stretch too."""
    begins = [at for at, _ in found.series]
    spans = (store.spans(at, MEASURED_MAX, end, queue) for at, end in zip(begins, [*begins[1:], None], strict=True))
    return found._replace(times=[Times(*of_spans(some)) for some in spans])


class _Some:
    """Some executions: they are many, so only their numbers are kept."""

    def __init__(self) -> None:
        self.failed = 0
        self.ran, self.waited = array("d"), array("d")

    def add(self, end: End) -> None:
        self.failed += not end.succeeded
        self.ran.append(end.ran)
        if end.waited is not None:
            self.waited.append(end.waited)


def _parts(found: Mapping[str, _Some], seconds: float) -> list[Part]:
    """The busiest parts first."""
    largest = sorted(found.items(), key=lambda part: (-sum(part[1].ran), part[0]))[:PARTS_MAX]
    return [
        Part(
            name, len(some.ran), some.failed, len(some.ran) / seconds, percentiles(some.ran), percentiles(some.waited)
        )
        for name, some in largest
    ]  # fmt: skip


def program_of(command: str) -> str:
    """What a command runs: its program without folders, and the script if the program is an interpreter."""
    words = [word.strip("'\"") for word in command.split()]
    while words and re.fullmatch(r"\w+=.*", words[0]):
        words.pop(0)
    if not words:
        return command[:PROGRAM_SHOWN]
    program, rest = os.path.basename(words[0]), words[1:2]
    if rest and INTERPRETER.fullmatch(program) and re.match(r"[\w./]", rest[0]):
        program += f" {os.path.basename(rest[0])}"
    return (program or words[0])[:PROGRAM_SHOWN]


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
