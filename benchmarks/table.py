"""Figures as a table on a terminal, as JSON next to earlier ones, and as Markdown for docs/speed.md."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.bench import Result
from queuectl.store.sqlite.connection import library_version

RESULTS = Path(__file__).parent / "results"


MARKS = {True: ("ok", "met"), False: ("MISSED", "missed"), None: ("", "")}
"""Whether a target was reached, on a terminal and in Markdown; empty without a target."""


def line(result: Result) -> str:
    """One figure in at most 100 columns."""
    figure, values = result.figure, result.values
    spread = f"{shown(min(values))}-{shown(max(values))}"
    mark, target = MARKS[result.met][0], str(figure.target or "")
    return f"{figure.name:<5}{shown(result.median):>6} {mark:<7}{spread:<13}{target:<8} {figure.what}"


HEADING = f"{'':<5}{'median':>6} {'':<7}{'min-max':<13}{'target':<8} what"


def shown(value: float) -> str:
    """Three digits that count."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def machine() -> dict[str, Any]:
    """Where the figures come from."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M", time.gmtime()), "cores": os.cpu_count(), "cpu": processor(),
        "kernel": platform.release(), "machine": platform.machine(), "python": platform.python_version(),
        "sqlite": library_version(),
    }  # fmt: skip


def processor() -> str:
    """What the kernel calls the processor."""
    info = Path("/proc/cpuinfo")
    names = [text.partition(":")[2].strip() for text in info.read_text().splitlines() if text.startswith("model name")]
    return names[0] if names else platform.machine()


def save(name: str, rows: Sequence[dict[str, Any]], **more: str) -> Path:
    """Keeps a table with its date, its machine and what `more` there is to know; `name` tells what kind it is."""
    path = RESULTS / f"{time.strftime('%Y-%m-%d-%H%M', time.gmtime())}{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"machine": machine() | more, "rows": rows}, indent=2) + "\n")
    return path


def to_json(result: Result) -> dict[str, Any]:
    """A figure as it is kept."""
    return {
        "name": result.figure.name, "what": result.figure.what, "target": str(result.figure.target or ""),
        "met": result.met, "median": round(result.median, 4), "min": round(min(result.values), 4),
        "max": round(max(result.values), 4), "figures": [round(value, 4) for value in result.values],
    }  # fmt: skip


def markdown(path: Path) -> Iterator[str]:
    """The lines of a kept table as Markdown, its date and machine below."""
    kept = json.loads(path.read_text())
    yield "| | what | target | median | min to max | |"
    yield "|---|---|---|---|---|---|"
    for row in kept["rows"]:
        spread = f"{shown(row['min'])} to {shown(row['max'])}"
        target = row["target"].replace(">=", "≥").replace("<=", "≤")
        mark = MARKS[row["met"]][1]
        yield f"| {row['name']} | {row['what']} | {target} | {shown(row['median'])} | {spread} | {mark} |"
    yield ""
    yield below(kept["machine"])


def below(at: dict[str, Any]) -> str:
    """A sentence on date and machine."""
    processor_ = f"{at['cores']} cores of {at.get('cpu', at['machine'])}"
    return f"{at['date']} UTC, {processor_}, Linux {at['kernel']}, Python {at['python']}, SQLite {at['sqlite']}."
