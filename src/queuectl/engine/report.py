"""From what a supervisor reports to what the store records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from queuectl import ids
from queuectl.domain.job import Job
from queuectl.domain.lifecycle import Cause, Ended
from queuectl.engine.output import read_capped
from queuectl.store.port import Change, Output


def change_of(job: Job, result: dict[str, Any], below: Path, output_bytes_max: int) -> Change:
    """The change that a result (see supervisor) makes to its job, with its output read and capped."""
    outputs = result["outputs"]
    event = Ended(
        started_at=result["started_at"],
        finished_at=result["finished_at"],
        exit_code=result["exit_code"],
        signal=result["signal"],
        error=result["error"],
        cause=Cause(result["cause"]) if result["cause"] else None,
        cpu_time=result["cpu_time"],
        max_rss=result["max_rss"],
        output_bytes=sum(kept["size"] for kept in outputs.values()),
        draw=ids.draw() if job.spec.backoff_jitter else 0.0,
    )
    return Change(
        job=job,
        event=event,
        outputs=[_output(int(stream), kept, below, output_bytes_max) for stream, kept in outputs.items()],
        leftover=result["leftover"],
    )


def _output(stream: int, kept: dict[str, Any], below: Path, output_bytes_max: int) -> Output:
    if "text" in kept:
        return Output(stream=stream, head=kept["text"].encode("latin-1"))
    capped = read_capped(below / kept["path"], kept["size"], output_bytes_max)
    return Output(stream=stream, head=capped.head, tail=capped.tail, cut_bytes=capped.cut_bytes)
