"""`python -m benchmarks.shares [COMMAND] [--jobs 5000]`: where the processor time of short jobs goes, by sampling.

Needs `perf` and the right to watch the whole machine. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.bench import fresh_store, run_all, worker
from benchmarks.idle import supervisors
from benchmarks.throughput import SLOTS

SAMPLES_A_SECOND = 1999
SAMPLE = re.compile(r"\s*(?P<name>.+?)\s+(?P<pid>\d+)\s+(?P<at>[0-9a-f]+)\s+\((?P<file>.*)\)")
PYTHON = "python"
"""Processes go by this name until they become a command."""


def sampled(command: str, jobs: int, kept: Path) -> tuple[float, dict[int, str]]:
    """Samples the machine while a worker runs the jobs; returns the seconds it took, and who the processes were."""
    with fresh_store() as client, worker(client, SLOTS) as dispatcher:
        who = {0: "idle", os.getpid(): "this benchmark", dispatcher.pid: "dispatcher"}
        who |= dict.fromkeys(supervisors(client.store), "supervisors")
        words = ["perf", "record", "-q", "-a", "-F", str(SAMPLES_A_SECOND), "-o", str(kept)]
        perf = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        time.sleep(0.5)
        took = run_all(client, command, jobs)
        perf.send_signal(signal.SIGINT)
        perf.wait()
        return took, who


def shares(kept: Path, who: dict[int, str]) -> Counter[tuple[str, str]]:
    """The number of samples by process, and by kernel, dynamic loader or program."""
    words = ["perf", "script", "-i", str(kept), "-F", "comm,pid,ip,dso"]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    found: Counter[tuple[str, str]] = Counter()
    for line in text.splitlines():
        if sample := SAMPLE.match(line):
            other = "commands before exec" if sample["name"].startswith(PYTHON) else "commands and all else"
            part = "kernel" if sample["at"].startswith("ffff") else "loader" if "/ld-" in sample["file"] else "program"
            found[who.get(int(sample["pid"]), other), part] += 1
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shares")
    parser.add_argument("command", nargs="?", default="true")
    parser.add_argument("--jobs", type=int, default=5000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "perf.data"
        took, who = sampled(given.command, given.jobs, kept)
        found = shares(kept, who)
    print(f"{given.jobs / took:,.0f} jobs/s; µs of processor time a job:")
    for (process, part), samples in found.most_common():
        print(f"{samples / SAMPLES_A_SECOND / given.jobs * 1e6:7.1f}  {process}, {part}")


if __name__ == "__main__":
    main()
