"""`python -m benchmarks.against CHECKOUT [ROW...] [--command true] [--rounds 5]`: this build beside another, in turns.

The other checkout has its own `.venv` and runs its own benchmarks, a row and a round at a time, each before or after
the same row here. What counts is the ratio of two neighbours: the machine's speed drifts. A row's figure is itself a
ratio, and its reference differs from run to run as well. `--command` compares jobs a second directly.
"""

from __future__ import annotations

import argparse
import json
import re
import sqlite3
import statistics
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

from benchmarks.bench import GIVE_UP_AFTER_S, environment, stopping
from benchmarks.table import save, shown
from benchmarks.throughput import SLOTS

HERE = Path(__file__).parents[1]
JOBS = 5000


def figures(checkout: Path, row: str, scale: float) -> dict[str, float]:
    """The figures of one row, measured once by the build of a checkout."""
    command = [str(checkout / ".venv/bin/python"), "-m", "benchmarks", row, "--rounds", "1", "--scale", f"{scale}"]
    run = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)  # 1: a target was missed
    found = {name: float(value) for name, value in re.findall(r"^(W\w+) +([\d.]+) ", run.stdout, re.MULTILINE)}
    if not found:
        raise SystemExit(f"{checkout}: {run.stderr or run.stdout}")
    return found


def rate(checkout: Path, command: str, jobs: int) -> dict[str, float]:
    """Jobs a second that one worker of a checkout's build runs of a command, by the command, from the first end that is
    seen to the last. Raises `RuntimeError` where they do not end."""
    with tempfile.TemporaryDirectory(prefix="queuectl-bench-") as folder:
        store = Path(folder) / "queuectl.db"
        queuectl = [str(checkout / ".venv/bin/queuectl"), "--db", str(store), "--quiet"]
        lines = f"{json.dumps({'command': command})}\n" * jobs
        subprocess.run(
            [*queuectl, "enqueue", "--file", "-"],
            input=lines, stdout=subprocess.DEVNULL, text=True, check=True, env=environment(),
        )  # fmt: skip
        with (
            stopping([*queuectl, "worker", "start", "--count", str(SLOTS)]),
            closing(sqlite3.connect(store)) as looking,
        ):
            return {command: _rate_of_ends(looking, jobs)}


def _rate_of_ends(looking: sqlite3.Connection, jobs: int) -> float:
    began = time.perf_counter()
    first: tuple[float, int] | None = None
    while True:
        ended = int(looking.execute("SELECT count(*) FROM jobs WHERE state = 'completed'").fetchone()[0])
        now = time.perf_counter()
        if first is None and ended:
            first = now, ended
        if first is not None and ended == jobs:
            return (jobs - first[1]) / (now - first[0])
        if now - began > GIVE_UP_AFTER_S:
            raise RuntimeError(f"only {ended} of {jobs} jobs are completed")
        time.sleep(0.02)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.against")
    parser.add_argument("checkout", type=Path, help="the folder of another build, set up by make test")
    parser.add_argument("rows", nargs="*", metavar="ROW")
    parser.add_argument("--command", action="append", default=[], help=f"compare jobs a second of {JOBS} like this")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=0.999, help="below 1, so that single rounds are not kept")
    given = parser.parse_args()
    scale = given.scale
    measures: dict[str, Callable[[Path], dict[str, float]]] = {
        **{command: partial(rate, command=command, jobs=int(JOBS * scale)) for command in given.command},
        **{row: partial(figures, row=row, scale=scale) for row in given.rows},
    }
    ratios: dict[str, list[float]] = defaultdict(list)
    values: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for number in range(given.rounds):
        for measure in measures.values():
            order = (HERE, given.checkout) if number % 2 else (given.checkout, HERE)
            measured = {place: measure(place) for place in order}
            for name in measured[HERE].keys() & measured[given.checkout].keys():
                here, there = measured[HERE][name], measured[given.checkout][name]
                values[name].append((here, there))
                ratios[name].append(here / there)
                print(f"{name:<5} here {shown(here)}, there {shown(there)}: {here / there:.3f}", flush=True)
    print()
    rows = []
    for name, each in sorted(ratios.items()):
        here, there = (statistics.median(side) for side in zip(*values[name], strict=True))
        print(
            f"{name:<5} here {shown(here):>5}  there {shown(there):>5}  ratio, median {statistics.median(each):.3f} "
            f"({min(each):.3f}-{max(each):.3f})"
        )
        rows.append({"figure": name, "here_and_there": values[name], "ratio": statistics.median(each)})
    commit = subprocess.run(
        ["git", "-C", str(given.checkout), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    )
    print(f"kept in {save('-against', rows, against=commit.stdout.strip())}")


if __name__ == "__main__":
    main()
