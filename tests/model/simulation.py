"""Many simulated runs of a whole machine, each from its own seed. What a run is: world.py.

python -m tests.model.simulation                   runs for a minute
python -m tests.model.simulation SEED --trace      one run again, told line by line
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.model.timeline import Violation
from tests.model.world import World


def simulate(seed: int, tell: Callable[[str], None] | None = None) -> None:
    """One run. Raises `Violation`."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        World(seed, Path(folder), tell).run()


def replay(seed: int) -> str:
    """How to see a run again."""
    return f"python -m tests.model.simulation {seed} --trace"


def first_violation(first_seed: int, seconds: float, runs_max: int | None = None) -> tuple[int, str | None]:
    """Runs one seed after the other; how many, and what was wrong with the last one, if anything."""
    deadline = time.monotonic() + seconds
    runs = 0
    while time.monotonic() < deadline and runs != runs_max:
        seed = first_seed + runs
        runs += 1
        try:
            simulate(seed)
        except Exception as error:  # noqa: BLE001 what a worker dies of is a finding like any other
            what = str(error) if isinstance(error, Violation) else repr(error)
            return runs, f"seed {seed}: {what}\n  see it with: {replay(seed)}"
    return runs, None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seed", type=int, nargs="?", default=random.randrange(1 << 30))
    parser.add_argument("--trace", action="store_true", help="this run alone, told line by line")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--runs", type=int)
    words: Any = parser.parse_args()
    if words.trace:
        simulate(words.seed, print)
        return 0
    print(f"first seed {words.seed}")
    began = time.monotonic()
    runs, wrong = first_violation(words.seed, words.seconds, words.runs)
    print(f"{runs} runs, {60 * runs / (time.monotonic() - began):.0f} a minute")
    if wrong:
        print(wrong)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
