"""Many simulated runs of a whole machine, each from its own seed. What a run is: world.py.

    python -m tests.model.simulation                   runs for a minute
    python -m tests.model.simulation SEED --trace      one run again, told line by line

A run that goes wrong goes wrong again from its seed, as long as neither the engine nor the simulation has changed.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import random
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from tests.model.timeline import Violation
from tests.model.world import World


def simulate(seed: int, tell: Callable[[str], None] | None = None) -> None:
    """One run. Raises `Violation`."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        World(seed, Path(folder), tell).run()


def wrong_with(seed: int) -> str | None:
    """What goes wrong in a run, with the words that show it again."""
    try:
        simulate(seed)
    except Exception as error:  # noqa: BLE001 what a worker dies of is a finding like any other
        what = str(error) if isinstance(error, Violation) else repr(error)
        return f"seed {seed}: {what}\n  see it with: python -m tests.model.simulation {seed} --trace"
    return None


def run_many(first_seed: int, seconds: float, last_seed: float, step: int = 1) -> tuple[int, str | None]:
    """Runs one seed after the other until one goes wrong; how many, and what was wrong."""
    deadline = time.monotonic() + seconds
    runs, wrong = 0, None
    while time.monotonic() < deadline and wrong is None and (seed := first_seed + step * runs) <= last_seed:
        wrong = wrong_with(seed)
        runs += 1
    return runs, wrong


def run_everywhere(first_seed: int, seconds: float, last_seed: float = math.inf) -> tuple[int, list[str]]:
    """The same on every core: how many runs, and what was wrong with some of them."""
    cores = os.cpu_count() or 1
    run = partial(run_many, seconds=seconds, last_seed=last_seed, step=cores)
    with ProcessPoolExecutor(cores, multiprocessing.get_context("spawn")) as pool:
        results = list(pool.map(run, range(first_seed, first_seed + cores)))
    return sum(runs for runs, _ in results), [wrong for _, wrong in results if wrong]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seed", type=int, nargs="?", default=random.randrange(1 << 33))
    parser.add_argument("--trace", action="store_true", help="this run alone, told line by line")
    parser.add_argument("--seconds", type=float, default=60.0)
    words: Any = parser.parse_args()
    if words.trace:
        simulate(words.seed, print)
        return 0
    print(f"first seed {words.seed}")
    began = time.monotonic()
    runs, wrong = run_everywhere(words.seed, words.seconds)
    print(f"{runs} runs, {60 * runs / (time.monotonic() - began):.0f} a minute", *wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
