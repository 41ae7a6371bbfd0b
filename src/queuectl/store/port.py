"""What every store can do, in the words of the domain. One conformance suite runs over all of them.

Rules that every store keeps:

- Each method is one atomic transaction, unless it runs inside `transaction()`, which combines several calls.
  Once a method (or the outermost `transaction()`) has returned, its effect survives a power cut.
- A worker's write counts only if the worker still has the supervisor's current epoch (else `Superseded`)
  and the job's current lease (else that one change is refused).
- `lifecycle.apply` alone decides states, under the store's lock. The store writes the result.
- A failure of the store itself raises `StoreUnavailable`, and nothing of the transaction has happened. If nobody can
  tell whether it has happened, it raises `OutcomeUnknown`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager

from queuectl.store.arrivals import ArrivalStore
from queuectl.store.batches import BatchStore
from queuectl.store.edges import EdgeStore
from queuectl.store.history import HistoryStore
from queuectl.store.limits import GateStore, LimitStore
from queuectl.store.schedules import AlertStore
from queuectl.store.selections import Refs, SelectionStore
from queuectl.store.values import (
    ANSWER_WITHIN_S,
    LEASE_S,
    Backlog,
    Change,
    Grip,
    Heard,
    Note,
    Output,
    Renewed,
    WorkerRow,
)
from queuectl.typed import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from queuectl.domain.errors import QueuectlError
    from queuectl.domain.job import Attempt, Job, JobState
    from queuectl.domain.lifecycle import Event
    from queuectl.domain.selector import Selector
    from queuectl.domain.served import Served
    from queuectl.store.passfile import Access


class OutputRelay(Protocol):
    """Passes the output of running commands to readers on other machines, while somebody asks for it."""

    def ask(self, job: Job, for_s: float) -> None:
        """Somebody reads the job's output for at least this long."""

    def wanted(self, worker: str) -> list[int]:
        """`seq` of the supervisor's running jobs whose output somebody asks for."""

    def append(self, grip: Grip, job: Job, stream: int, start: int, stop: int, data: bytes) -> None:
        """A running job has written `data` from byte `start` to `stop`. Counts only while the supervisor holds it."""

    def read(self, job: Job, number: int, stream: int, offset: int) -> tuple[int, int, bytes] | None:
        """The first piece beyond an offset: its start, its stop and its data. None if there is no such piece yet."""


class OpenStore(Protocol):
    """What both workers and people need of a store. All times are seconds since the epoch by `now()`."""

    url: str
    """Where it is, for people: without a password."""
    address: str
    """Where it is, for programs: this opens it."""
    access: Access
    """How commands open it."""
    watch: str | None
    """A file that changes with every commit, or None."""
    shared_by_machines: bool
    """Whether several machines share the store. Supervisors then hold leases; see `renew`."""
    relay: OutputRelay | None
    """Passes output to other machines while it is written. None if there are no others."""
    defaults: Mapping[str, str]
    """Settings whose defaults differ in this kind of store."""

    @property
    def wake_handle(self) -> int:
        """A descriptor that becomes readable when `changed` is worth calling; -1 if there is none.

        Without it and without `watch`, callers poll `changed`.
        """

    @property
    def folder(self) -> Path:
        """Where this host's workers keep sockets, locks and running output."""

    def now(self) -> float:
        """The only source of absolute time."""

    def of_here(self, at: float) -> float:
        """Converts a time of this machine's clock to the store's clock."""

    def close(self) -> None: ...

    def wait_at_most(self, seconds: float, answer_s: float = ANSWER_WITHIN_S) -> None:
        """Sets how long to wait for other writers (then `StoreBusy`), and for a server that does not answer."""

    def save_memory(self) -> None:
        """Keeps little of what was read: for a process with several stores open beside one that writes."""

    def replaced(self) -> str:
        """`REPLACED` if this store is gone or another one is in its place, `REOPEN`, or empty."""

    def moved_to(self) -> str | None:
        """Where this store's jobs were moved, or None. A store that has moved refuses every change."""

    def guard(self) -> None:
        """For a worker: reserves disk space for commands that free more, and lets `replaced` notice foreign writes.

        Those are writes to the store's files by anything but its users.
        """

    def transaction(self, *, synced: bool = True) -> AbstractContextManager[None]:
        """Makes everything inside one atomic step. May be nested; the outermost counts.

        If not `synced`, a power cut may undo it until `sync` is called; the death of a process never does. A store
        shared by several machines always syncs.
        """

    def bring_up_to_date(self) -> None:
        """Makes what an older release's store lacks, as the first transaction does."""

    def schema_version(self) -> int:
        """The latest step of the schema that the store has."""

    def try_write(self) -> None:
        """Changes nothing. Raises `StoreUnavailable` if the store cannot be written now."""

    def sync(self) -> None:
        """Makes everything committed so far survive a power cut."""

    def changed(self) -> Heard | None:
        """What other processes have committed since the last call, None if nothing."""

    def has_changed(self) -> bool:
        """Whether `changed` may have something to tell. Asks no server."""

    # --- jobs and workers -------------------------------------------------------------------

    def find(
        self, selector: Selector, *, limit: int | None = None, newest_first: bool = False,
        after_seq: int | None = None, up_to_seq: int | None = None,
    ) -> list[Job]:  # fmt: skip
        """Matching jobs in the order of enqueueing, or the reverse. `after_seq` continues after that job; later ones
        than `up_to_seq` are left out."""

    def change(self, refs: Refs, event: Event, who: str | None, only_dead: bool = False) -> list[Job | QueuectlError]:
        """Applies a person's event to each job. If a job's state forbids it, the error stands in its place; with
        `only_dead` any other state than dead does. A `seq` whose job is gone is left out."""

    def prune(self, selector: Selector, limit: int) -> int:
        """Removes at most `limit` matching finished jobs and what only they used. Returns how many."""

    def prunable(self, selector: Selector) -> int:
        """How many jobs `prune` would remove."""

    def outputs(self, job: Job, number: int) -> list[Output]:
        """What a finished attempt wrote, one value a stream. Empty if it wrote nothing."""

    def config(self) -> dict[str, str]: ...

    def workers(self) -> list[WorkerRow]: ...

    def is_at_home(self, row: WorkerRow) -> bool:
        """Whether the supervisor was registered in this store, and not in one that this is a copy of."""

    def alive(self, row: WorkerRow) -> bool:
        """False if the supervisor is proven dead; True if it lives, or may live."""

    def living(self, rows: Sequence[WorkerRow]) -> list[WorkerRow]:
        """Those that are alive, by one look at all of them."""

    def running(self, *workers: str) -> list[Job]:
        """The jobs that these supervisors hold."""


class WorkStore(OpenStore, AlertStore, GateStore, Protocol):
    """What a worker needs: who drives which supervisor, and what becomes of its jobs."""

    hooks_added: bool
    """Whether `record` has added a hook. The caller takes that back."""
    runs_ended: bool
    """Whether `record` has noted the end of a run of a schedule that keeps streaks. The caller takes that back."""

    def strict_batches(self, names: Collection[str]) -> set[str]:
        """Those of these batches whose rest is cancelled when too many of their jobs are dead."""

    def register(self, row: WorkerRow, lease_s: float = LEASE_S) -> None:
        """Adds a supervisor, with its first lease."""

    def deregister(self, grip: Grip) -> None:
        """Removes a supervisor that holds no job. Raises `Superseded`, or `Conflict` while it holds one."""

    def suspects(self, machine: str, left: Sequence[str]) -> list[WorkerRow]:
        """The supervisors that may have to be buried or asked: those of this machine, those that `left` a folder here,
        and those that are known to be dead or of a copy. A fleet has many more."""

    def holds(self, grip: Grip) -> bool:
        """Whether the supervisor is still driven in this epoch."""

    def adopt(
        self, row: WorkerRow, dispatcher: int, lease_s: float = LEASE_S, only_expired: bool = False
    ) -> Grip | None:
        """Takes a supervisor over, with a new lease. Returns the new grip, or None if another process was faster.

        With `only_expired`, also None if its lease has not expired: required for a supervisor of another machine.
        """

    def renew(self, grips: Sequence[Grip], lease_s: float) -> Renewed | None:
        """Extends the leases of these supervisors, all or none; None where there are no leases. Raises `Superseded`."""

    def asked_of(self, ids: Sequence[str]) -> dict[str, tuple[str | None, dict[str, Any]]]:
        """What people ask of these supervisors' workers: to stop, `graceful` or `now`, and to take other options."""

    def request_stop(self, ids: Sequence[str], how: str) -> None:
        """Asks supervisors to stop, or notes that they do: `graceful` or `now`. They find it in `asked_of`."""

    def take_options(
        self, grip: Grip, slots: int, served: Served, asked: Mapping[str, Any], refused: str | None = None
    ) -> None:
        """Notes what a supervisor has now, and why it has `refused` what was asked for. What was not `asked` yet when
        the worker looked is still to be taken. Raises `Superseded`."""

    def note_waits(self, ids: Sequence[str], why: str | None) -> None:
        """Notes why these supervisors' worker starts nothing for now; None: it does."""

    def claim(
        self, grip: Grip, host: str, limit: int, queues: Sequence[str], suspects: int | None = None, losses: int = 1,
        ahead: bool = False, not_queues: Sequence[str] = (),
    ) -> list[Job]:  # fmt: skip
        """Claims at most `limit` jobs that may start now, in the order of priority, then due time. No queues means all
        but `not_queues`.

        A job that has lost at least `losses` workers in a row is a suspect. At most `suspects` of them are claimed;
        None means any number. `ahead`: the jobs may have to wait for a slot, so none is claimed that takes a place of a
        limited queue or units of a lock, or that may expire, and none behind it. Jobs past their time are cancelled.
        Raises `Superseded`; where there is nothing to claim, perhaps not.
        """

    def record(self, grip: Grip, changes: Sequence[Change]) -> list[Job | None]:
        """Writes what happened and returns the jobs after it. None stands for a job that the worker no longer holds."""

    def take_back_losses(self, worker: str, stopped: Mapping[tuple[int, int], float]) -> list[Job]:
        """Corrects losses: a supervisor that the store no longer knows had ended these executions itself.

        `stopped` has the time of each end by `seq` and lease. An execution counted as lost later than that no longer
        counts. Returns the corrected jobs.
        """

    def cancel_requests(self, worker: str) -> list[int]:
        """`seq` of the supervisor's running jobs that somebody wants cancelled."""

    def has_work(self, queues: Sequence[str], not_queues: Sequence[str] = ()) -> bool:
        """Whether any job of these queues (none: of all but `not_queues`) runs or waits, now or later.
        Held jobs do not count."""

    def has_claimable(self) -> bool:
        """Whether a claim now may find a job, in whatever queue, or something to settle. Costs far less than one."""

    def outlook(self) -> tuple[bool, float | None]:
        """The same, and when the next job that waits for a time becomes claimable, or None."""

    def next_due(self) -> float | None:
        """When the next job that waits for a time becomes claimable, or None."""

    def cancelled(self) -> Sequence[Job]:
        """The jobs that the latest transaction has cancelled, since others have ended as they must not: those that they
        depend on, or too many of their batch."""

    def has_listed(self) -> bool:
        """Whether the next claim may find something, since the last call: dependents that an end has released, or work
        that was left, what an end means for other jobs."""

    def hooks_about(self, kind: str, name: str, most: int) -> list[Job]:
        """The latest hooks that tell of this job or schedule, oldest first."""

    def hooks_given_up(self) -> int:
        """How many hooks have failed each of their tries."""

    def has_hooks(self) -> bool:
        """Whether a hook can be claimed now."""


class PeopleStore(
    OpenStore, LimitStore, AlertStore, ArrivalStore, BatchStore, EdgeStore, SelectionStore, Protocol
):  # fmt: skip
    """What people's commands need."""

    def insert(self, jobs: Iterable[Job]) -> dict[str, Job]:
        """Adds new jobs, all or none. Returns those that are not as they were given any more, by their id: what one
        depends on had ended already. Raises `IdTaken`, `IdTwice`, `NotFound` or `Invalid`.

        Reads `jobs` inside its transaction, a slice at a time, and again, if it can, where the
        answer to a commit was lost.
        """

    def get(self, ref: str) -> Job:
        """The job with this id, or with the only generated id that begins with it (at least 4 characters).

        Raises `NotFound`, or `Invalid` if several ids begin with it.
        """

    def beginning(self, prefix: str, most: int) -> list[Job]:
        """The first jobs whose id begins so, by id."""

    def take_back(self) -> int:
        """In a copy of a store, whose workers are elsewhere: takes every claim back, as lost with its machine. Returns
        their number."""

    def delete(self, refs: Refs, only_dead: bool = False) -> list[Job | QueuectlError]:
        """Removes jobs with their history and output. A running one is a `Conflict`; see `change`."""

    def counts(self) -> dict[tuple[str, JobState], int]:
        """How many jobs each queue has in each state. The cost does not depend on the history."""

    def backlog(self, retries: int) -> Backlog:
        """What waits, with the next `retries` jobs to be retried."""

    def ahead(self, job: Job, most: int, queues: Sequence[str] = ()) -> int:
        """How many claimable jobs of these queues (default: its own) come before this one, counted up to `most`."""

    def attempts(self, job: Job) -> list[Attempt]:
        """Every start of the job, oldest first."""

    def notes(self, job: Job) -> list[Note]:
        """What people did to the job, oldest first."""

    def set_config(self, name: str, value: str | None) -> None:
        """Stores a setting's text; None removes it."""

    def seen(self, ids: Sequence[str]) -> dict[str, float]:
        """When each of these live supervisors was last heard of: now if its lock shows it, else at its last renewal."""

    def request_options(self, ids: Sequence[str], options: Mapping[str, Any]) -> None:
        """Asks supervisors' worker to take other options. It finds them in `asked_of`."""

    def edit(
        self, refs: Refs, edited: Callable[[Job], tuple[Mapping[str, Any], str]], who: str | None
    ) -> list[Job | QueuectlError]:
        """Changes what waiting jobs are to do: `edited` returns new values of a job's attributes, and what is told of
        it, or raises what stands in the job's place. A job claimed meanwhile is refused."""

    def take_in(self, pages: Iterable[Sequence[Job]]) -> int:
        """Adds jobs as they were in another store, with their state and results, all or none. Returns how many.

        Raises `IdTaken`, `IdTwice`, `KeyTaken`, and `NotFound` for what one waits for.
        """

    def move(self, ref: str, before: str | None, who: str | None) -> Job:
        """Puts a due job in line just before another one of its queue, with its priority; None: before all of them.

        Raises `Conflict` if one of both runs, has ended or is not due, or if they are in two queues.
        """


class Store(WorkStore, PeopleStore, HistoryStore, Protocol):
    """A place where jobs live."""
