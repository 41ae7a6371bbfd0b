"""`python -m benchmarks [ROW...] [--rounds 5] [--scale 1.0]`: measures, prints the table, keeps it (if of full scale).

`python -m benchmarks --markdown FILE.json` prints a kept table for docs/speed.md.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import table
from benchmarks.bench import Result, Row, Setting, run_rounds
from benchmarks.rows import ROWS


def main() -> None:
    names = [row.name for row in ROWS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"which rows (default: all): {' '.join(names)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="fraction of the full number of jobs")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="print a kept table instead")
    arguments = parser.parse_args()
    if unknown := set(arguments.rows) - set(names):
        parser.error(f"no row {', '.join(sorted(unknown))}; there are {' '.join(names)}")
    if arguments.markdown:
        print("\n".join(table.markdown(arguments.markdown)))
        return
    wanted = [row for row in ROWS if not arguments.rows or row.name in arguments.rows]
    results = measure(wanted, arguments.rounds, arguments.scale)
    aimed = [result.met for result in results if result.met is not None]
    print(f"{sum(aimed)} of {len(aimed)} targets met")
    if arguments.scale == 1:
        print(f"kept in {table.save('', [table.to_json(result) for result in results])}")


def measure(rows: Sequence[Row], rounds: int, scale: float) -> list[Result]:
    """Measures row by row, printing each as soon as it is known."""
    results = []
    print(table.HEADING)
    with tempfile.TemporaryDirectory(prefix="queuectl-bench-") as folder:
        for row in rows:
            for result in run_rounds(row, Setting(scale=scale, folder=Path(folder)), rounds):
                print(table.line(result), flush=True)
                results.append(result)
    return results


main()
