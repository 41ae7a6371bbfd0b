"""What it costs to work and look among a million jobs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.bench import SCRIPT, Setting, alternating, worker
from benchmarks.stores import a_grip, claim_and_finish, opened, prepared
from queuectl.domain.job import JobState
from queuectl.domain.selector import Selector
from queuectl.wire.requests import JobRequest

BATCH = 128
FEW = 1000
MANY = 1_000_000


# --- working ----------------------------------------------------------------------------------


def claims(setting: Setting) -> Sequence[float]:
    """Time of claim and finish among a million waiting jobs, and a million finished ones, ÷ among a thousand."""
    batches = max(5, int(40 * setting.scale))
    few, waiting, finished = (claim_s(path, batches) for path in stores(setting))
    return waiting / few, finished / few


def stores(setting: Setting) -> Sequence[Path]:
    """Stores with few jobs, with many that wait, and with many that have finished."""
    many = max(FEW, int(MANY * setting.scale))
    return [
        prepared(setting.folder, waiting=waiting, finished=finished)
        for waiting, finished in ((FEW, 0), (many, 0), (FEW, many))
    ]


def claim_s(path: Path, batches: int) -> float:
    """Seconds that some batches take, one after the other; those jobs are replaced, so the store stays as large."""
    took = 0.0
    with opened(path) as client, a_grip(client.store) as grip:
        for _ in range(batches):
            began = time.perf_counter()
            jobs = claim_and_finish(client.store, grip, BATCH)
            took += time.perf_counter() - began
            client.enqueue([JobRequest(command="true")] * len(jobs))
    return took


# --- looking ----------------------------------------------------------------------------------


def looks(setting: Setting) -> Sequence[float]:
    """`list` and `show` among a million jobs ÷ among a thousand; milliseconds more that `status` takes.

    The worse of a million that wait and a million that have finished, each with a live worker that is busy: places
    in line are told only where one serves.
    """
    runs = max(3, int(5 * setting.scale))
    with ExitStack() as workers:
        for path in stores(setting):
            workers.enter_context(busy_worker(path))
        listed, shown, status = (
            alternating([look(verb, path) for path in stores(setting)], runs) for verb in ("list", "show", "status")
        )
    return max(listed[1:]) / listed[0], max(shown[1:]) / shown[0], (max(status[1:]) - status[0]) * 1000


@contextmanager
def busy_worker(path: Path) -> Iterator[None]:
    """A worker whose only slot is taken."""
    with opened(path) as client:
        (job,) = client.enqueue([JobRequest(command="sleep 600", columns={"priority": 100})])
        with worker(client, 1):
            try:
                while client.job(job.id).started_at is None:
                    time.sleep(0.01)
                yield
            finally:
                client.cancel([job.id])


def look(verb: str, store: Path | str) -> Sequence[str]:
    """A command line that looks at the jobs of a store. `show` has to be one of a file."""
    rest = {"list": ["--limit", "50"], "show": [some_id(Path(store))] if verb == "show" else [], "status": []}[verb]
    return [SCRIPT, "--db", str(store), verb, *rest]


def some_id(path: Path) -> str:
    """The id of the last waiting job."""
    with opened(path) as client:
        (job,) = client.find(Selector(states=(JobState.PENDING,)), limit=1, newest_first=True)
        return job.id
