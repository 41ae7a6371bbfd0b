"""What it costs to list a million jobs, and to act on them."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.bench import MODULE, Setting, environment
from benchmarks.bulk import MANY, process
from benchmarks.stores import prepared
from queuectl.store.shared.rows import JOB_COLUMNS
from queuectl.store.sqlite.connection import connect

SHELL = ["sqlite3", "-json"]
BATCH = 500


def of_list(setting: Setting) -> Sequence[float]:
    """Jobs/s of `list --json` ÷ those of SQLite's shell printing the same columns as JSON; MB at its peak; seconds to
    the first line."""
    path, _ = _store(setting)
    columns = ", ".join(f"jobs.{name}" for name in JOB_COLUMNS.split(", "))
    query = f"SELECT {columns}, specs.body FROM jobs JOIN specs ON specs.id = jobs.spec ORDER BY jobs.seq"
    began = time.perf_counter()
    subprocess.run([*SHELL, str(path), query], stdout=subprocess.DEVNULL, check=True)
    shell_s = time.perf_counter() - began
    took = process(["--db", str(path), "list", "--json"])
    return [shell_s / took.seconds, took.peak_mb, _first_line_s(path)]


def _first_line_s(path: Path) -> float:
    words = [*MODULE, "--db", str(path), "list"]
    began = time.perf_counter()
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment()) as listing:
        assert listing.stdout
        listing.stdout.readline()
        took = time.perf_counter() - began
        listing.kill()
    return took


def of_cancel(setting: Setting) -> Sequence[float]:
    """Jobs/s of `cancel --all` ÷ those of a bare UPDATE of what changes, in transactions as large; MB at its peak."""
    path, count = _store(setting)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copy(path, Path(folder, "queuectl.db")))
        bare_s = _bare_update_s(copy, count)
        shutil.copy(path, copy)
        took = process(["--db", str(copy), "--quiet", "cancel", "--all", "--yes"])
    return [bare_s / took.seconds, took.peak_mb]


def _store(setting: Setting) -> tuple[Path, int]:
    count = int(MANY * setting.scale)
    return prepared(setting.folder, waiting=count, finished=0), count


def _bare_update_s(path: Path, count: int) -> float:
    db = connect(str(path), 10.0)
    text = "UPDATE jobs SET state = 'cancelled', ready = 0, error = 'cancelled', finished_at = ?, updated_at = ?"
    try:
        began = time.perf_counter()
        for start in range(0, count + BATCH, BATCH):
            db.execute("BEGIN IMMEDIATE")
            db.execute(f"{text} WHERE seq > ? AND seq <= ?", (time.time(), time.time(), start, start + BATCH))
            db.execute("COMMIT")
        return time.perf_counter() - began
    finally:
        db.close()
