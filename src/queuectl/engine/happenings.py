"""Events in a worker, as values. Observers such as the log are told of them and answer nothing."""

from __future__ import annotations

from queuectl.domain.job import Job
from queuectl.domain.served import Served
from queuectl.typed import NamedTuple, Protocol


class WorkerStarted(NamedTuple):
    """The worker runs up to `slots` commands at a time, of the queues `served`, from this store."""

    name: str
    slots: int
    served: Served
    store: str


class WorkerSet(NamedTuple):
    """Somebody has given the worker other slots or queues."""

    slots: int
    served: Served


class Lacking(NamedTuple):
    """This platform lacks something that queuectl would use; what happens `without` it."""

    name: str
    without: str


class ZoneUnknown(NamedTuple):
    """This machine has no rules for a time zone, so the worker leaves the schedules of that zone to others."""

    zone: str


class WorkerCrashed(NamedTuple):
    """A fault of queuectl's own ended the worker."""

    what: str


class WorkerFailed(NamedTuple):
    """Something that the worker cannot do without has ended it."""

    what: str


class CannotStart(NamedTuple):
    """The worker can start no command just now."""

    why: str


class MachineBusy(NamedTuple):
    """The worker starts nothing: its machine is beyond `--max-load` or `--min-free-memory`."""

    why: str


class MachineFree(NamedTuple):
    """The worker starts commands again."""


class LastWords(NamedTuple):
    """What a supervisor said before it died of a fault of its own."""

    worker: str
    said: str


class WorkerStopping(NamedTuple):
    """The worker begins to stop while `running` commands run. `how` is graceful or now."""

    why: str
    how: str
    running: int


class Reloaded(NamedTuple):
    """Settings, and the file of secrets, were read again."""


class Restarting(NamedTuple):
    """The worker makes way for the installed release; its commands go on."""

    running: int


class Refused(NamedTuple):
    """Somebody asked for a `what` that this worker cannot do; it goes on as it is."""

    what: str
    why: str


class DrainStuck(NamedTuple):
    """A draining worker has been idle for a while; jobs are left that it cannot start, and no time will change that."""


class DrainWaits(NamedTuple):
    """Nothing can run `until` the next job is due, in `after` seconds; the worker stays until no job is left."""

    until: float
    after: float


class WorkerStopped(NamedTuple):
    """The worker has ended, with everything recorded."""

    name: str


class WorkerLeft(NamedTuple):
    """The worker has ended without its store, which is away. `unrecorded` results wait on disk."""

    why: str
    unrecorded: int


class JobStarted(NamedTuple):
    """A command has started, and runs long enough for its start to be recorded apart from its end."""

    job: Job


class JobEnded(NamedTuple):
    """An execution's end is recorded; `job` is as it stands now."""

    job: Job


class JobExpired(NamedTuple):
    """A job was cancelled, as it had not started in time; its error says so."""

    job: Job


class JobCancelled(NamedTuple):
    """A job was cancelled, as others have ended otherwise than it needs; its error says so."""

    job: Job


class JobStuck(NamedTuple):
    """An execution could not be ended, as the job's error says."""

    job: Job


class StuckLeft(NamedTuple):
    """The worker leaves though this many executions could not be ended; their supervisors keep them."""

    stuck: int


class JobLost(NamedTuple):
    """An execution was lost with its worker."""

    job: Job


class StoreLost(NamedTuple):
    """The store cannot be used; the worker waits for it. `leased`: commands go on only as long as their lease lasts."""

    why: str
    leased: bool


class EndedInTime(NamedTuple):
    """A supervisor has ended an execution before its lease ran out, which could not be renewed."""

    job: Job


class StopWaits(NamedTuple):
    """The worker is to stop while the store cannot be used; it has to wait for it, or for so many signals more."""

    signals_left: int


class StoreBack(NamedTuple):
    """The store can be used again, `after` seconds."""

    after: float


class StoreReplaced(NamedTuple):
    """The store's file was removed or replaced. `saved`: only its log was removed, and what was in it has been written
    into the file."""

    url: str
    saved: bool = False


class SupervisorDied(NamedTuple):
    """A supervisor of this worker has died; its jobs are settled."""

    worker: str


class SupervisorFrozen(NamedTuple):
    """A supervisor answered nothing for too long, and was ended."""

    worker: str


class TakenOver(NamedTuple):
    """Commands of a worker whose dispatcher is gone go on under this one."""

    worker: str
    running: int


class CleanedUp(NamedTuple):
    """A dead worker's jobs are settled: `recorded` ends from its journal, `lost` executions, and `taken_back` losses
    that others had counted though it had ended the executions itself."""

    worker: str
    recorded: int
    lost: int
    taken_back: int


class CopyReleased(NamedTuple):
    """The store is a copy and lists a supervisor of the original: `recorded` ends from the copy of its journal,
    `given_back` jobs that the original's worker runs or has run."""

    worker: str
    recorded: int
    given_back: int


class Superseded(NamedTuple):
    """Another process drives this worker's supervisors now, so the worker ends."""

    worker: str


class LeaseLost(NamedTuple):
    """The store was unreachable until the leases expired: another machine may have the jobs by now."""

    worker: str


Happening = (
    WorkerStarted
    | WorkerSet
    | Lacking
    | ZoneUnknown
    | WorkerCrashed
    | WorkerFailed
    | CannotStart
    | MachineBusy
    | MachineFree
    | LastWords
    | WorkerStopping
    | Reloaded
    | Restarting
    | Refused
    | DrainStuck
    | DrainWaits
    | WorkerStopped
    | WorkerLeft
    | JobStarted
    | JobEnded
    | JobExpired
    | JobCancelled
    | JobStuck
    | StuckLeft
    | JobLost
    | StoreLost
    | EndedInTime
    | StopWaits
    | StoreBack
    | StoreReplaced
    | SupervisorDied
    | SupervisorFrozen
    | TakenOver
    | CleanedUp
    | CopyReleased
    | Superseded
    | LeaseLost
)


class Observer(Protocol):
    """Takes one event, or several in their order."""

    def __call__(self, *happened: Happening) -> None: ...
