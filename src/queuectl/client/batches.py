"""Batches: how far they are, waiting for them, and acting on all their jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from queuectl.client.operation import JOBS, NAME, Argument, Command, Operation, T, plain
from queuectl.client.shapes import COUNT, FLAG, TEXT, TIME, Key, Shape, listed, nullable, numbers, rounded
from queuectl.domain.batch import Batch as Counted
from queuectl.domain.errors import Conflict, KeyTaken, NotFound
from queuectl.domain.job import Job, JobState
from queuectl.domain.lifecycle import CancelRequested, Event, Retried
from queuectl.domain.selector import Selector
from queuectl.store.batches import BatchTimes
from queuectl.store.port import Store
from queuectl.typed import TYPE_CHECKING, Any, NamedTuple, Protocol
from queuectl.wire.words import counted

if TYPE_CHECKING:
    from queuectl.wire.keywords import Duration

AT_ONCE = 500


class BatchView(NamedTuple):
    """A batch: its jobs by state, what is set for it, when it began, and when its latest job ended.

    `done` jobs have finished, and `failed` of them are dead or cancelled. `seconds_left` is a guess by the rate so far.
    `changed`: how many jobs an action on the batch has changed.
    """

    name: str
    counts: Mapping[JobState, int]
    total: int
    done: int
    failed: int
    is_done: bool
    at_most: int | None = None
    max_fails: str | None = None
    created_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    seconds_left: float | None = None
    changed: int | None = None


BATCH = Shape(
    "Batch", BatchView,
    Key("name", TEXT), Key("counts", numbers(JobState)), Key("total", COUNT), Key("done", COUNT), Key("failed", COUNT),
    Key("finished", FLAG, "is_done"), Key("at_most", nullable(COUNT)), Key("max_fails", nullable(TEXT)),
    Key("created_at", nullable(TIME)), Key("started_at", nullable(TIME)), Key("finished_at", nullable(TIME)),
    Key("seconds_left", nullable(rounded(1))),
)  # fmt: skip


def _view(batch: Counted, span: BatchTimes, now: float) -> BatchView:
    counts = {state: batch.counts.get(state, 0) for state in JobState}
    return BatchView(
        batch.name, counts, batch.total, batch.done, batch.failed, batch.is_done, batch.at_most, batch.max_fails,
        span.created_at, span.started_at, span.finished_at if batch.is_done else None,
        _seconds_left(batch, span, now),
    )  # fmt: skip


def _seconds_left(batch: Counted, span: BatchTimes, now: float) -> float | None:
    """By the rate since the jobs that are left could run; until one has ended then, by the rate before."""
    if batch.is_done or not batch.done or span.started_at is None:
        return None
    took, done = now - span.started_at, batch.done
    if span.resumed_at is not None and span.done_since:
        took, done = now - span.resumed_at, span.done_since
    elif span.resumed_at is not None and span.finished_at is not None:
        took = span.finished_at - span.started_at
    return (batch.total - batch.done) * max(0.0, took) / done


def views(store: Store, who: str) -> list[BatchView]:
    """Every batch that a job or a setting names."""
    spans, now = store.batch_spans(), store.now()
    return [_view(batch, spans.get(batch.name, BatchTimes(None, None, None)), now) for batch in store.batches()]


LIST = plain(
    "batches", "GET", "/batches", JOBS, "List batches", views, listed(BATCH.kind), "each batch, by name",
    command=Command(
        name="batch list", group=JOBS, help="list batches with how far they are", examples=("queuectl batch list",),
        description="List the batches that jobs belong to: how many of their jobs have finished and failed, and when "
        "each is likely to be done.",
    ),
)  # fmt: skip


def view(store: Store, who: str, name: str) -> BatchView:
    """A batch. Raises `NotFound`."""
    found = store.batches(name)
    if not found:
        raise NotFound(f"no batch {name[:128]}", "see them with: queuectl batch list")
    return _view(found[0], store.batch_spans(name).get(name, BatchTimes(None, None, None)), store.now())


_EACH = Argument("name", NAME, spelled="BATCH", each=True)
SHOW = plain(
    "batch_status", "GET", "/batches/{name}", JOBS, "Show a batch", view, BATCH.kind, "the batch", fails=(404,),
    arguments=(Argument("name", NAME, spelled="BATCH"),),
    command=Command(
        name="batch show", group=JOBS, help="show how far a batch is", examples=("queuectl batch show import-7",),
        description="Show a batch: its jobs by state, what is set for it, its rate and the time left. The jobs "
        "themselves: queuectl list --batch BATCH.",
    ),
)  # fmt: skip


def _pages(store: Store, name: str, states: Sequence[JobState]) -> Iterator[list[Job]]:
    after: int | None = None
    while found := store.find(Selector(batches=(name,), states=tuple(states)), limit=AT_ONCE, after_seq=after):
        yield found
        after = found[-1].seq


def _act(store: Store, who: str, name: str, states: Sequence[JobState], event: Event) -> BatchView:
    """Raises `Conflict` for what may not run again, once all others do."""
    view(store, who, name)
    changed, refused = 0, list[KeyTaken]()
    for jobs in _pages(store, name, states):
        results = store.change([job.id for job in jobs], event, who)
        changed += sum(isinstance(each, Job) for each in results)
        refused += [each for each in results if isinstance(each, KeyTaken)]
    store.settle()
    if refused:
        error = refused[0]
        more = f", and {len(refused) - 1} more" if len(refused) > 1 else ""
        rest = f"; the rest of batch {name}, {counted(changed, 'job')}, runs again" if changed else ""
        raise Conflict(f"{error.message}{more}{rest}", error.hint)
    return view(store, who, name)._replace(changed=changed)


UNFINISHED = (JobState.BLOCKED, JobState.PENDING, JobState.PROCESSING, JobState.FAILED)
FAILED = (JobState.DEAD, JobState.CANCELLED)


def cancel(store: Store, who: str, name: str) -> BatchView:
    """Cancels all unfinished jobs of a batch. Raises `NotFound`."""
    return _act(store, who, name, UNFINISHED, CancelRequested())


CANCEL = plain(
    "cancel_batch", "POST", "/batches/{name}/cancel", JOBS, "Cancel the unfinished jobs of a batch", cancel, BATCH.kind,
    "the batch", ends=True, fails=(404,), arguments=(_EACH,),
    command=Command(
        name="batch cancel", group=JOBS, help="cancel the unfinished jobs of batches", bare="{name}",
        said="cancelled the rest of {name}", idle="no job of {name} is unfinished", frees_room=True,
        description="Cancel all unfinished jobs of batches; running commands are ended first.",
        examples=("queuectl batch cancel import-7",),
    ),
)  # fmt: skip


def retry(store: Store, who: str, name: str) -> BatchView:
    """Runs the dead and cancelled jobs of a batch again. Raises `NotFound`, and once all others run again `Conflict`
    for those whose unique key is taken."""
    return _act(store, who, name, FAILED, Retried())


RETRY = plain(
    "retry_batch", "POST", "/batches/{name}/retry", JOBS, "Run the dead and cancelled jobs of a batch again", retry,
    BATCH.kind, "the batch", fails=(404, 409), arguments=(_EACH,),
    command=Command(
        name="batch retry", group=JOBS, help="run what failed in batches again", said="retried what failed in {name}",
        bare="{name}", idle="no job of {name} is dead or cancelled",
        description="Run the dead and cancelled jobs of batches again. The dead ones alone: "
        "queuectl retry --batch BATCH --state dead.",
        examples=("queuectl batch retry import-7",),
    ),
)  # fmt: skip


def wait(
    store: Store, who: str, name: str, timeout: float | None, tick: Callable[[BatchView], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> BatchView:  # fmt: skip
    """Waits until no job of a batch is unfinished. Raises `TimeoutError`, `NotFound`.

    `tick` is called at least every second while the store answers. `say`: see `waiting.wait`.
    """
    from queuectl.client import waiting

    found: BatchView | None = None

    def look() -> BatchView | None:
        nonlocal found
        found = None
        found = view(store, who, name)
        if tick is not None:
            tick(found)
        return found if found.is_done else None

    return waiting.until(store, look, lambda: still_open(name, found), timeout, None, say)


def still_open(name: str, found: BatchView | None) -> str:
    """The message when the time is over."""
    return f"batch {name} is not done yet" + (f": {found.done:,} of {found.total:,}" if found else "")


class Doing(Protocol):
    """What a batch needs of a client."""

    def do(self, operation: Operation[T], **arguments: Any) -> T: ...

    def wait_batch(self, name: str, *, timeout: Duration | None = None) -> BatchView: ...


class Batch:
    """A batch, for programs: `client.batch("import-7")`."""

    def __init__(self, client: Doing, name: str) -> None:
        self.name = name
        self._client = client

    def __repr__(self) -> str:
        return f"<queuectl batch {self.name}>"

    def status(self) -> BatchView:
        """How far it is. Raises `NotFound` as long as it has no job."""
        return self._client.do(SHOW, name=self.name)

    def wait(self, timeout: Duration | None = None) -> BatchView:
        """Waits until none of its jobs is unfinished. Raises `TimeoutError`, `NotFound`."""
        return self._client.wait_batch(self.name, timeout=timeout)

    def cancel(self) -> BatchView:
        """Cancels its unfinished jobs."""
        return self._client.do(CANCEL, name=self.name)

    def retry(self) -> BatchView:
        """Runs its dead and cancelled jobs again."""
        return self._client.do(RETRY, name=self.name)
