"""What every store can do, in the words of the domain. One conformance suite runs over all of them.

Rules that every store keeps:

- Each method is one atomic transaction, unless it runs inside `transaction()`, which makes several one.
  When a method (or the outermost `transaction()`) has returned, its effect survives a power cut.
- A worker's write counts only if the worker still holds the supervisor's current epoch (else `Superseded`)
  and the job's current lease (else that one change is refused).
- States are decided by `lifecycle.apply` alone, under the store's lock; the store writes what it says.
- Every failure of the store itself is a `StoreUnavailable`; nothing of the transaction has then happened. Where
  nobody knows whether it has, it is an `OutcomeUnknown`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, NamedTuple, Protocol

from queuectl.domain.errors import QueuectlError, StoreLost
from queuectl.domain.job import Attempt, Job, JobState
from queuectl.domain.lifecycle import Ended, Event, GivenBack, Lost, Started, Stuck
from queuectl.domain.selector import Selector

if TYPE_CHECKING:
    from pathlib import Path

    from queuectl.domain.token import Token
    from queuectl.store.passfile import Access
    from queuectl.store.past import Deed, Group, News, Place, Span, Tally

STDOUT, STDERR = 1, 2
"""Streams of an output. Unless split, stream 1 has both, in the order written."""


LEASE_S = 15.0
"""How long a supervisor's lease holds where nobody says otherwise. Only stores that several machines share have any."""
ANSWER_WITHIN_S = 5.0
"""A server that lets somebody wait for longer, beyond the time for locks, is taken to be away."""
LEASE_MIN_S = 10.0
"""A shorter one would end commands at every hiccup of the network."""

REPLACED, REOPEN = "replaced", "reopen"
"""What has become of an open store: it is gone or another one; or all of it is safe, but has to be opened anew."""

FIRST_EPOCH = 1
"""Of a supervisor that is driven by the dispatcher which started it; a take-over makes it grow."""


class Superseded(QueuectlError):
    """Another dispatcher drives this supervisor now. The loser touches no job and no command."""

    code = "superseded"


class Moved(StoreLost):
    """The store's jobs are in another store now."""

    def __init__(self, url: str, place: str) -> None:
        super().__init__(f"the store {url} has moved to {place}", f"use that one: --db {place}")


class Grip(NamedTuple):
    """The right to write for a supervisor: its id, and the epoch in which one drives it."""

    worker: str
    epoch: int


class WorkerRow(NamedTuple):
    """A supervisor as the store knows it. `machine` is the boot and PID namespace its pids belong to; `home` is the
    store it was registered in, see store/identity.py."""

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

    @property
    def grip(self) -> Grip:
        return Grip(worker=self.id, epoch=self.epoch)


class Output(NamedTuple):
    """What one stream of an attempt wrote. With `cut_bytes`, that many are missing between head and tail."""

    stream: int
    head: bytes
    tail: bytes = b""
    cut_bytes: int = 0


class Change(NamedTuple):
    """Something that happened to a job in a worker's hands. `job` is as the worker last knew it.

    `output_files` comes with `Started`, `outputs` and `leftover` with `Ended`.
    """

    job: Job
    event: Started | Ended | Stuck | GivenBack | Lost
    outputs: Sequence[Output] = ()
    output_files: tuple[str, ...] = ()
    leftover: str | None = None


class Note(NamedTuple):
    """Something a person did to a job."""

    at: float
    kind: str
    who: str | None


class Backlog(NamedTuple):
    """What waits in the queues: since when the oldest due job does, and which failed jobs run again next."""

    oldest_due: float | None
    next_retries: Sequence[Job] = ()


class OutputRelay(Protocol):
    """Passes what running commands write to readers on other machines, while somebody asks for it."""

    def ask(self, job: Job, for_s: float) -> None:
        """Somebody reads the job's output, for so long at least."""

    def wanted(self, worker: str) -> list[int]:
        """`seq` of the supervisor's running jobs whose output somebody asks for."""

    def append(self, grip: Grip, job: Job, stream: int, start: int, stop: int, data: bytes) -> None:
        """A running job has written `data` from byte `start` to `stop`. Counts only while the supervisor holds it."""

    def read(self, job: Job, number: int, stream: int, offset: int) -> tuple[int, int, bytes] | None:
        """The first piece beyond an offset: where it starts, where it stops, and what it says; none yet."""


class OpenStore(Protocol):
    """What both workers and people need of a store. All times are seconds since the epoch of `now()`."""

    url: str
    """Where it is, for people: without any password."""
    address: str
    """Where it is, for programs: what opens it."""
    access: Access
    """The same for commands."""
    watch: str | None
    """A file that changes with every commit, if there is one."""
    shared_by_machines: bool
    """Whether several machines share the store. Supervisors then hold leases; see `renew`."""
    relay: OutputRelay | None
    """How output gets to other machines while it is written; none where there are no others."""
    defaults: Mapping[str, str]
    """Settings whose defaults are others here."""

    @property
    def wake_handle(self) -> int:
        """A descriptor that becomes readable when `changed` has something to tell; -1 while there is none. Without
        this and `watch`, `changed` has to be polled."""

    @property
    def folder(self) -> Path:
        """Where workers of this host keep sockets, locks and running output."""

    def now(self) -> float:
        """The only source of absolute time."""

    def of_here(self, at: float) -> float:
        """A time that this machine's clock told, by the store's clock."""

    def close(self) -> None: ...

    def wait_at_most(self, seconds: float, answer_s: float = ANSWER_WITHIN_S) -> None:
        """How long to wait for others who write (then it is a `StoreBusy`), and for a server that says nothing."""

    def replaced(self) -> str:
        """`REPLACED` where this store is gone or another one has taken its place, `REOPEN`, or empty."""

    def guard(self) -> None:
        """For a worker: from now on `replaced` also notices what was written into the store's files by others than its
        users, and room is kept for commands that free some."""

    def transaction(self, *, synced: bool = True) -> AbstractContextManager[None]:
        """Makes all that happens inside one atomic step. May be nested; the outermost counts.

        Not `synced`, it may be lost with the machine, though never with a process, until `sync` is called. A store
        that several machines share syncs always.
        """

    def bring_up_to_date(self) -> None:
        """Makes what an older release's store lacks, as the first transaction does."""

    def try_write(self) -> None:
        """Changes nothing. Raises `StoreUnavailable` where nothing could be changed just now."""

    def sync(self) -> None:
        """Makes all that was committed without being synced survive the machine too."""

    def changed(self) -> bool:
        """Whether another process has committed something since the last call."""

    # --- jobs and workers -------------------------------------------------------------------

    def find(
        self, selector: Selector, *, limit: int | None = None, newest_first: bool = False, after_seq: int | None = None
    ) -> list[Job]:
        """Matching jobs in the order of enqueueing, or the reverse; `after_seq` goes on behind that job."""

    def change(self, ids: Sequence[str], event: Event, who: str | None) -> list[Job | QueuectlError]:
        """Applies a person's event to each job by itself; what a job's state forbids is in its place."""

    def prune(self, selector: Selector, limit: int) -> int:
        """Removes up to `limit` matching finished jobs and what only they used; returns how many."""

    def config(self) -> dict[str, str]: ...

    def workers(self) -> list[WorkerRow]: ...

    def is_at_home(self, row: WorkerRow) -> bool:
        """Whether the supervisor was registered in this store, and not in one that this is a copy of."""

    def alive(self, row: WorkerRow) -> bool:
        """Whether the supervisor lives, or may: only what is proven dead does not."""

    def running(self, worker: str) -> list[Job]:
        """The jobs that a supervisor holds."""


class WorkStore(OpenStore, Protocol):
    """What a worker's process needs: who drives which supervisor, and what its jobs come to."""

    def register(self, row: WorkerRow, lease_s: float = LEASE_S) -> None:
        """Makes a supervisor known, with its first lease."""

    def deregister(self, grip: Grip) -> None:
        """Forgets a supervisor that holds no job. Raises `Superseded`, or `Conflict` while it holds one."""

    def holds(self, grip: Grip) -> bool:
        """Whether the supervisor is still driven in this epoch."""

    def adopt(
        self, row: WorkerRow, dispatcher: int, lease_s: float = LEASE_S, only_expired: bool = False
    ) -> Grip | None:
        """Takes a supervisor over, with a new lease: the new grip, or none if another was faster.

        `only_expired`: or if its lease still holds, as must be for one of another machine.
        """

    def renew(self, grips: Sequence[Grip], lease_s: float) -> None:
        """Puts off the expiry of these supervisors' leases, of all or none. Raises `Superseded`."""

    def stop_requests(self, ids: Sequence[str]) -> dict[str, str]: ...

    def claim(
        self, grip: Grip, host: str, limit: int, queues: Sequence[str], suspects: int | None = None, losses: int = 1
    ) -> list[Job]:
        """Up to `limit` due jobs, the most urgent first: priority, then due time. No queues: all.

        At most `suspects` of them (none: any number) have lost `losses` workers in a row, or more; of those no more
        are taken.
        """

    def record(self, grip: Grip, changes: Sequence[Change]) -> list[Job | None]:
        """Writes what happened; in the place of a change whose job has moved on stands none."""

    def take_back_losses(self, worker: str, stopped: Mapping[tuple[int, int], float]) -> list[Job]:
        """A supervisor that the store does not know any more tells which executions, named by `seq` and lease, it had
        ended itself, and when. Those that count as lost since a later time count no longer; returns their jobs.
        """

    def cancel_requests(self, worker: str) -> list[int]:
        """`seq` of the supervisor's running jobs that somebody wants cancelled."""

    def has_work(self, queues: Sequence[str]) -> bool:
        """Whether any job of these queues (none: of all) runs or waits, now or later; held ones aside."""

    def next_due(self) -> float | None:
        """When the next waiting job becomes claimable, if any waits for a time."""


class PeopleStore(OpenStore, Protocol):
    """What people's commands need."""

    def insert(self, jobs: Iterable[Job]) -> None:
        """Adds new jobs, all or none. Raises `Conflict` naming the first id that is taken."""

    def get(self, ref: str) -> Job:
        """The job with this id, or with the one generated id that begins so (4 signs or more).

        Raises `NotFound`, or `Invalid` where several ids begin so.
        """

    def count(self, selector: Selector) -> int: ...

    def delete(self, ids: Sequence[str]) -> list[Job | QueuectlError]:
        """Removes jobs with their history and output. A running one is a `Conflict`."""

    def counts(self) -> dict[tuple[str, JobState], int]:
        """How many jobs each queue has in each state. Costs the same whatever the history."""

    def backlog(self, retries: int) -> Backlog:
        """What waits, with the next `retries` jobs to be retried."""

    def ahead(self, job: Job, most: int, queues: Sequence[str] = ()) -> int:
        """How many claimable jobs of these queues (its own if none) are claimed before this one, up to `most`."""

    def attempts(self, job: Job) -> list[Attempt]:
        """Every start of the job, oldest first."""

    def outputs(self, job: Job, number: int) -> list[Output]:
        """What a finished attempt wrote, a stream each; empty where it wrote nothing."""

    def notes(self, job: Job) -> list[Note]:
        """What people did to the job, oldest first."""

    def set_config(self, name: str, value: str | None) -> None:
        """Keeps a setting's text, or forgets it."""

    def seen(self, ids: Sequence[str]) -> dict[str, float]:
        """Of supervisors that live: when they were heard of last. Where a lock tells, now; else at the last renewal."""

    def request_stop(self, ids: Sequence[str], how: str) -> None:
        """Asks supervisors to stop, `graceful` or `now`. They see it in `stop_requests`."""


class HistoryStore(OpenStore, Protocol):
    """What the web server needs besides: figures, news, and who may come in."""

    def dead_groups(self, selector: Selector, limit: int) -> list[Group]:
        """The matching dead jobs by how they failed, the largest groups first."""

    def tallies(self, since: float, until: float, stretches: int) -> list[Tally]:
        """How executions ended from `since` to before `until`, in that many equal stretches; nothing for zeros.

        Costs as much as there are ends in that time, whatever the history.
        """

    def spans(self, since: float, limit: int) -> list[Span]:
        """Of the executions that ended by themselves or by timeout since then, the latest ones."""

    def place(self) -> Place:
        """The end of the news."""

    def news(self, after: Place, limit: int) -> list[News]:
        """What happened after a place, by time; of each kind at most `limit`. What runs now is told each time."""

    # --- people -----------------------------------------------------------------------------

    def tokens(self) -> list[Token]:
        """All tokens, the oldest first."""

    def token_of(self, digest: str) -> Token | None:
        """The token with this digest, if there is one."""

    def add_token(self, token: Token) -> None:
        """Raises `Conflict` where its name is taken."""

    def remove_token(self, token_id: str) -> bool:
        """Whether there was one."""

    def use_token(self, token_id: str, at: float) -> None:
        """A token has come in."""

    def add_deed(self, deed: Deed) -> None:
        """Keeps what a person did that no job shows."""

    def deeds(self, limit: int, before: int | None = None) -> list[Deed]:
        """What people did, the latest first; `before` goes on behind that id."""


class Store(WorkStore, PeopleStore, HistoryStore, Protocol):
    """A place where jobs live."""
