"""What happened in a worker, as values. Observers (the log, later metrics) are told; nobody asks them anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from queuectl.domain.job import Job


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerStarted:
    name: str
    slots: int
    queues: tuple[str, ...]
    store: str


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerStopping:
    """`how` is graceful or now."""

    why: str
    how: str
    running: int


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerStopped:
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class JobStarted:
    """Told of commands that run long enough for their start to be recorded by itself."""

    job: Job


@dataclass(frozen=True, kw_only=True, slots=True)
class JobEnded:
    """An execution's end is recorded; `job` is as it stands now."""

    job: Job


@dataclass(frozen=True, kw_only=True, slots=True)
class JobLost:
    """An execution was lost with its worker."""

    job: Job


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreLost:
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreBack:
    after: float


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreReplaced:
    url: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SupervisorDied:
    worker: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SupervisorFrozen:
    worker: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TakenOver:
    """Commands of a worker whose dispatcher is gone go on under this one."""

    worker: str
    running: int


@dataclass(frozen=True, kw_only=True, slots=True)
class CleanedUp:
    """A dead worker's jobs were settled: `recorded` ends found in its journal, `lost` executions."""

    worker: str
    recorded: int
    lost: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Superseded:
    worker: str


Happening = (
    WorkerStarted
    | WorkerStopping
    | WorkerStopped
    | JobStarted
    | JobEnded
    | JobLost
    | StoreLost
    | StoreBack
    | StoreReplaced
    | SupervisorDied
    | SupervisorFrozen
    | TakenOver
    | CleanedUp
    | Superseded
)


class Observer(Protocol):
    """Is told of one happening, or of several at once, in their order."""

    def __call__(self, *happened: Happening) -> None: ...
