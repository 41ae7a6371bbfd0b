"""Values that stores take and give, and what can go wrong with one. Few commands need the protocols, which are in
port.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from queuectl.domain.errors import QueuectlError, StoreLost
from queuectl.domain.served import Served
from queuectl.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from queuectl.domain.job import Job
    from queuectl.domain.lifecycle import Ended, GivenBack, Lost, Progressed, Started, Stuck

STDOUT, STDERR = 1, 2
"""Streams of an output. Unless they are split, stream 1 has both, in the order written."""

LEASE_S = 15.0
"""Seconds that a supervisor's lease lasts by default. Only stores shared by several machines have leases."""
ANSWER_WITHIN_S = 5.0
"""A server that takes longer to answer, not counting waits for locks, counts as away."""
LEASE_MIN_S = 10.0
"""With a shorter lease, every network hiccup would end commands."""

REPLACED, REOPEN = "replaced", "reopen"
"""What became of an open store: it is gone or another one is there; or it is intact but must be reopened."""

REFUSED = "refused"
"""The key of a worker's answer to what it was asked for and cannot do."""

FIRST_EPOCH = 1
"""The epoch of a supervisor driven by the dispatcher that started it. Each take-over increases it."""


class Superseded(QueuectlError):
    """Another dispatcher drives this supervisor now. The caller must not touch its jobs or commands."""

    code = "superseded"


MOVED = "this store has moved to "
"""How a moved store refuses what would change it: then comes the place."""


class Moved(StoreLost):
    """The store's jobs are in another store now."""

    def __init__(self, url: str, place: str) -> None:
        from shlex import quote

        super().__init__(f"the store {url} has moved to {place}", f"use that one: --db {quote(place)}")


class Grip(NamedTuple):
    """The right to write for a supervisor: its id and the epoch in which the holder drives it."""

    worker: str
    epoch: int


class Heard(NamedTuple):
    """What others have committed, as far as is told: about so many `jobs` can be claimed that could not before. With
    `more`, something else may have changed too."""

    jobs: int = 1
    more: bool = True


class Renewed(NamedTuple):
    """What a worker is told when it has renewed its leases, which it would otherwise have to ask for.

    `config`: the stored settings. `asked`: people ask something of it. `claimable`: see `has_claimable`. `scheduled`:
    there are schedules, or ends of their runs. `next_expiry_s`: seconds until the first lease of others runs out, None
    if there are no others. `workers`: how many there are, if all have as many supervisors. `is_same`: this is certainly
    the store that `replaced` knows.
    """

    config: Mapping[str, str]
    asked: bool
    claimable: bool
    scheduled: bool
    next_expiry_s: float | None
    workers: float
    is_same: bool


class WorkerRow(NamedTuple):
    """A supervisor as the store knows it.

    `machine` is the boot and PID namespace that its pids belong to. `home` is the store it was registered in, see
    store/identity.py. `schema` is the newest that its release knows; None: it is older than that column. It serves
    `queues`; if there are none, all but `not_queues`. `waits`: why its worker starts nothing for now. `limits`: what
    keeps memory limits, `cgroup` or `look`.
    """

    id: str
    name: str
    epoch: int
    host: str
    machine: str
    pid: int
    dispatcher: int
    slots: int
    queues: tuple[str, ...]
    tag: int
    version: str
    started_at: float
    stop: str | None = None
    home: str | None = None
    schema: int | None = None
    not_queues: tuple[str, ...] = ()
    waits: str | None = None
    limits: str | None = None

    @property
    def grip(self) -> Grip:
        return Grip(worker=self.id, epoch=self.epoch)

    @property
    def served(self) -> Served:
        return Served(self.queues, self.not_queues)


class Output(NamedTuple):
    """What one stream of an attempt wrote. `cut_bytes` bytes are missing between head and tail."""

    stream: int
    head: bytes
    tail: bytes = b""
    cut_bytes: int = 0


class Change(NamedTuple):
    """Something that happened to a job that a worker holds. `job` is as the worker last knew it.

    `output_files` comes with `Started`; `outputs`, `leftover` and `note` with `Ended`.
    """

    job: Job
    event: Started | Ended | Progressed | Stuck | GivenBack | Lost
    outputs: Sequence[Output] = ()
    output_files: tuple[str, ...] = ()
    leftover: str | None = None
    note: str | None = None


class Note(NamedTuple):
    """Something a person did to a job. `detail` says what was changed into what."""

    at: float
    kind: str
    who: str | None
    detail: str | None = None


class Backlog(NamedTuple):
    """What waits in the queues: since when the oldest due job has waited, and which failed jobs are retried next."""

    oldest_due: float | None
    next_retries: Sequence[Job] = ()
