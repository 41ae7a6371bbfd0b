"""`python -m benchmarks.against CHECKOUT ROW... [--rounds 5] [--scale 1.0]`: this build beside another one, in turns.

The other checkout has its own `.venv` and runs its own benchmarks, a row and a round at a time, each before or after
the same row here. What counts is the ratio of two neighbours: the machine's speed drifts.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
from collections import defaultdict
from pathlib import Path

from benchmarks.table import save, shown

HERE = Path(__file__).parents[1]


def figures(checkout: Path, row: str, scale: float) -> dict[str, float]:
    """The figures of one row, measured once by the build of a checkout."""
    command = [str(checkout / ".venv/bin/python"), "-m", "benchmarks", row, "--rounds", "1", "--scale", f"{scale}"]
    run = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)  # 1: a target was missed
    found = {name: float(value) for name, value in re.findall(r"^(W\w+) +([\d.]+) ", run.stdout, re.MULTILINE)}
    if not found:
        raise SystemExit(f"{checkout}: {run.stderr or run.stdout}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.against")
    parser.add_argument("checkout", type=Path, help="the folder of another build, set up by make test")
    parser.add_argument("rows", nargs="+", metavar="ROW")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=0.999, help="below 1, so that single rounds are not kept")
    given = parser.parse_args()
    ratios: dict[str, list[float]] = defaultdict(list)
    values: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for number in range(given.rounds):
        for row in given.rows:
            order = (HERE, given.checkout) if number % 2 else (given.checkout, HERE)
            measured = {place: figures(place, row, given.scale) for place in order}
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
