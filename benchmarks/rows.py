"""The rows of the table. Each measures queuectl and its reference one after the other, in the same minute."""

from __future__ import annotations

from benchmarks import bulk, idle, scale, selections, throughput
from benchmarks.bench import Figure, Row, Target


def _at_least(bound: float) -> Target:
    return Target(">=", bound)


def _at_most(bound: float) -> Target:
    return Target("<=", bound)


ROWS = (
    Row(
        name="W1",
        figures=[
            Figure("W1", "5,000 × true, jobs/s ÷ xargs -P2", _at_least(1.1)),
            Figure("W1x", "two Python loops that only start and reap it ÷ xargs -P2", None),
        ],
        measure=throughput.of_true,
    ),
    Row(
        name="W2",
        figures=[Figure("W2", "5,000 × echo hello, jobs/s ÷ xargs -P2 of true", _at_least(1.0))],
        measure=throughput.with_output,
    ),
    Row(
        name="W3",
        figures=[
            Figure("W3a", "200 × sleep 0.1, a worker of 16 slots ÷ xargs -P16", _at_least(0.97)),
            Figure("W3b", "200 × sleep 0.1, two workers of 8 slots ÷ xargs -P16", _at_least(0.97)),
        ],
        measure=throughput.of_sleepers,
    ),
    Row(
        name="W4",
        figures=[
            Figure("W4a", "idle worker, enqueue committed to command running, ms, p50", _at_most(1.8)),
            Figure("W4b", "idle worker, enqueue committed to command running, ms, p99", _at_most(6)),
        ],
        measure=idle.wake_up,
    ),
    Row(
        name="W5",
        figures=[
            Figure("W5a", "enqueue --file of 1,000,000 jobs, jobs/s ÷ executemany", _at_least(0.8)),
            Figure("W5b", "enqueue --file of 1,000,000 jobs, memory at its peak, MB", _at_most(64)),
        ],
        measure=bulk.of_file,
    ),
    Row(
        name="W12",
        figures=[
            Figure("W12a", "enqueue --each-line of 1,000,000 lines, jobs/s ÷ executemany", _at_least(0.8)),
            Figure("W12b", "enqueue --each-line of 1,000,000 lines, memory at its peak, MB", _at_most(64)),
        ],
        measure=bulk.of_each_line,
    ),
    Row(
        name="W13",
        figures=[
            Figure("W13", "another enqueue while a bad file of 1,000,000 lines is read, longest, ms", _at_most(50))
        ],
        measure=bulk.of_a_bad_line,
    ),
    Row(
        name="W14",
        figures=[
            Figure("W14a", "list --json of 1,000,000 jobs, jobs/s ÷ sqlite3 -json", _at_least(0.25)),
            Figure("W14b", "list --json of 1,000,000 jobs, memory at its peak, MB", _at_most(64)),
            Figure("W14c", "list of 1,000,000 jobs in a pipe, first line, s", _at_most(0.3)),
        ],
        measure=selections.of_list,
    ),
    Row(
        name="W15",
        figures=[
            Figure("W15a", "cancel of 1,000,000 jobs, jobs/s ÷ a bare UPDATE", None),
            Figure("W15b", "cancel of 1,000,000 jobs, memory at its peak, MB", _at_most(64)),
        ],
        measure=selections.of_cancel,
    ),
    Row(
        name="W6",
        figures=[Figure("W6", "one enqueue process ÷ python importing sqlite3, json", _at_most(1.5))],
        measure=idle.enqueue_process,
    ),
    Row(
        name="W7",
        figures=[
            Figure("W7a", "claim + finish, 1,000,000 waiting ÷ 1,000", _at_most(1.3)),
            Figure("W7b", "claim + finish, 1,000,000 finished ÷ none", _at_most(1.3)),
        ],
        measure=scale.claims,
    ),
    Row(
        name="W8",
        figures=[
            Figure("W8a", "idle worker with supervisors, CPU, % of a core", _at_most(0.1)),
            Figure("W8b", "idle worker with supervisors, memory (PSS), MB", _at_most(40)),
        ],
        measure=idle.footprint,
    ),
    Row(
        name="W9",
        figures=[Figure("W9", "5,000 × true, 4 worker processes ÷ one", _at_least(1.0))],
        measure=throughput.of_four_workers,
    ),
    Row(
        name="W10",
        figures=[
            Figure("W10a", "list --limit 50, 1,000,000 jobs ÷ 1,000", _at_most(1.5)),
            Figure("W10b", "show, 1,000,000 jobs ÷ 1,000", _at_most(1.5)),
            Figure("W10c", "status, 1,000,000 jobs - 1,000, ms", _at_most(100)),
        ],
        measure=scale.looks,
    ),
    Row(
        name="W11",
        figures=[Figure("W11", "5,000 × /bin/true, jobs/s ÷ xargs -P2 with a shell", _at_least(1.8))],
        measure=throughput.of_plain_words,
    ),
)
