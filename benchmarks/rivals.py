"""`python -m benchmarks.rivals [NAME...] [--rounds 3] [--scale 1.0]`: what other tools make of the jobs of W1 and W2.

Each runs with as many places as our worker has, beside xargs in the same minute. What is not on this machine is
listed as such. `--markdown FILE.json` prints a kept table for docs/speed.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import rival_queues, rival_tools, table
from benchmarks.rival_runs import Queue, redis_version
from benchmarks.rival_tools import NotInstalled
from queuectl import __version__

COMMANDS = ("true", "echo hello")
REFERENCE_JOBS = 2000


class Rival(NamedTuple):
    """A tool, how many jobs take it about a second or two, its version, and what is left when all of it is killed."""

    name: str
    jobs: int
    jobs_per_s: Callable[[Path, str, int], float]
    version: Callable[[], str]
    survives: str


def of(name: str, jobs: int, queue: Queue, survives: str) -> Rival:
    """A Python job queue."""
    return Rival(name, jobs, partial(rival_queues.measure, queue), lambda: queue.version, survives)


def tool(name: str, jobs: int, jobs_per_s: Callable[[Path, str, int], float], survives: str) -> Rival:
    """A program of the Debian package that the name ends with."""
    return Rival(name, jobs, jobs_per_s, partial(rival_tools.debian_version, name.split()[-1]), survives)


RIVALS = (
    Rival(
        "queuectl", 5000, rival_tools.queuectl, lambda: f"queuectl {__version__}",
        "all; what ran is ended and runs again",
    ),
    of("huey (SQLite)", 1000, rival_queues.HUEY, "what waits; what ran is lost"),
    of("dramatiq (Redis)", 1000, rival_queues.DRAMATIQ, "all; what was fetched runs again after minutes, by chance"),
    of("Celery (Redis)", 500, rival_queues.CELERY, "what waits, 4 jobs a slot an hour late; what ran is lost"),
    of("saq (Redis)", 1000, rival_queues.SAQ, "what waits; what ran counts as aborted"),
    of("taskiq (Redis)", 1000, rival_queues.TASKIQ, "all; what was fetched runs after 10 minutes, beside new jobs"),
    of("rq (Redis)", 150, rival_queues.RQ, "what waits; what ran counts as failed"),
    tool("task-spooler", 500, rival_tools.task_spooler, "nothing"),
    tool("nq", 200, rival_tools.nq, "nothing"),
    tool("GNU parallel", 600, rival_tools.gnu_parallel, "what waits, by --resume; what ran is lost"),
)  # fmt: skip
"""`python -m benchmarks.rival_kills` shows what the queues among them keep."""

HEADING = f"{'':<18}{'true/s':>8}{'÷ xargs':>9}{'echo/s':>9}{'÷ xargs':>9}  survives kill -9"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rivals")
    parser.add_argument("names", nargs="*", metavar="NAME", help="beginnings of names (default: all)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="fraction of the full number of jobs")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="print a kept table instead")
    arguments = parser.parse_args()
    if arguments.markdown:
        print("\n".join(markdown(arguments.markdown)))
        return
    wanted = [rival for rival in RIVALS if not arguments.names or rival.name.startswith(tuple(arguments.names))]
    rows = []
    print(HEADING)
    for rival in wanted:
        rows.append(measure(rival, arguments.rounds, arguments.scale))
        print(line(rows[-1]), flush=True)
    if arguments.scale == 1:
        print(f"kept in {table.save('-rivals', rows, redis=redis_version())}")


def measure(rival: Rival, rounds: int, scale: float) -> dict[str, Any]:
    """A rival's medians of each command: `[jobs/s, ratio to xargs]`; none where it is not installed."""
    jobs = max(20, int(rival.jobs * scale))
    row: dict[str, Any] = {"name": rival.name, "survives": rival.survives, "jobs": jobs}
    try:
        row["version"] = rival.version()
        for command in COMMANDS:
            figures = [one_round(rival, command, jobs) for _ in range(rounds)]
            row[command] = [round(statistics.median(each), 3) for each in zip(*figures, strict=True)]
    except NotInstalled:
        return {**row, "version": "", **dict.fromkeys(COMMANDS)}
    return row


def one_round(rival: Rival, command: str, jobs: int) -> tuple[float, float]:
    """Jobs/s, and that ÷ the jobs/s of `xargs -P2 -n1 sh -c true` right before."""
    with tempfile.TemporaryDirectory(prefix="queuectl-rival-") as folder:
        expected = rival_tools.xargs(Path(folder), "true", REFERENCE_JOBS)
        found = rival.jobs_per_s(Path(folder), command, jobs)
    return found, found / expected


def line(row: dict[str, Any]) -> str:
    """One rival in at most 100 columns."""
    if row[COMMANDS[0]] is None:
        return f"{row['name']:<18}{'not installed':>35}"
    (true, true_ratio), (echo, echo_ratio) = (row[command] for command in COMMANDS)
    return f"{row['name']:<18}{true:>8.0f}{true_ratio:>9.2f}{echo:>9.0f}{echo_ratio:>9.2f}  {row['survives']}"


def markdown(path: Path) -> Iterator[str]:
    """The lines of a kept table as Markdown, its date and machine below."""
    kept = json.loads(path.read_text())
    yield "| | version | `true`, jobs/s | ÷ `xargs -P2` | `echo hello`, jobs/s | ÷ `xargs -P2` | survives `kill -9` |"
    yield "|---|---|---|---|---|---|---|"
    for row in kept["rows"]:
        yield f"| {row['name']} | {row['version']} | {' | '.join(cells(row))} | {row['survives']} |"
    yield ""
    yield f"{table.below(kept['machine'])[:-1]}, Redis {kept['machine']['redis']}."


def cells(row: dict[str, Any]) -> Sequence[str]:
    """The four figures of a rival."""
    known = [row[command] for command in COMMANDS]
    return [
        text for each in known for text in ((f"{each[0]:,.0f}", f"{each[1]:.2f}") if each else ("not installed", ""))
    ]


if __name__ == "__main__":
    main()
