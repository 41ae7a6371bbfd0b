"""`python -m benchmarks [ROW...] [--rounds 5] [--scale 1.0]`: measures, prints the table, keeps it as JSON."""

from __future__ import annotations

import argparse

from benchmarks.bench import Result, save
from benchmarks.rows import ROWS


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("rows", nargs="*", help=f"which rows (default: all): {' '.join(row.name for row in ROWS)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="fraction of the full number of jobs")
    arguments = parser.parse_args()
    wanted = [row for row in ROWS if not arguments.rows or row.name in arguments.rows]
    results = []
    for row in wanted:
        result = Result(row=row, figures=[row.measure(arguments.scale) for _ in range(arguments.rounds)])
        results.append(result)
        figures = f"{result.median:.2f} ({min(result.figures):.2f}-{max(result.figures):.2f})"
        print(f"{row.name:<4} {figures:<20} target {row.target:<8} {row.what}", flush=True)
    print(f"kept in {save(results)}")


main()
