"""Every use case, once. The command line, the web and Python programs only translate to and from it.

A `Client` holds one open store, for one thread. library.py has the one for programs with many threads.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext

from queuectl.client import enqueueing, looking
from queuectl.client import workers as workers_
from queuectl.client.here import Here
from queuectl.client.values import Changed, History, Progress, Status, WorkerView
from queuectl.client.verbs import Verbs
from queuectl.domain.selector import ALL_JOBS, Selector
from queuectl.settings import Settings
from queuectl.typed import TYPE_CHECKING, Any
from queuectl.wire.requests import NOTHING, JobRequest

if TYPE_CHECKING:
    from queuectl.client.actions import Action
    from queuectl.client.batches import BatchView
    from queuectl.client.bulk import Added
    from queuectl.client.following import Piece
    from queuectl.client.operation import Operation, T
    from queuectl.domain.job import Job
    from queuectl.domain.limits import Pause
    from queuectl.store.arrivals import Admitted
    from queuectl.store.selections import Refs
    from queuectl.wire.keywords import Duration
    from queuectl.wire.reading import Requests


class Client(Here, Verbs):
    """A queue in an open store, for one thread."""

    # --- enqueue ----------------------------------------------------------------------------

    def enqueue(
        self, requests: Iterable[JobRequest], *, connection: Any = None, on_conflict: str | None = None
    ) -> list[Job]:
        """Adds the jobs, all or none, with the current settings and environment. Durable on return.

        `on_conflict` is for those that give no rule of their own, where an id or unique key is taken. "error" refuses
        them all, "ignore" leaves this one out, and "replace" gives a waiting holder of the key its command, input and
        time; a running one gets a successor. None: "ignore" for keys, "error" for ids. A job left out is returned as
        the one in its place, with a `seq`, which a new job lacks. With `connection`, an application's own to the
        PostgreSQL database of this store, the jobs are added in its open transaction; its login role is their owner.
        """
        return [each.job for each in enqueueing.enqueue(self.store, self.who, requests, connection, on_conflict)]

    def enqueue_each(self, requests: Iterable[JobRequest], rehearsed: bool = False) -> list[Admitted]:
        """The same; returns what became of each. If it is only `rehearsed`, nothing is added in the end."""
        return enqueueing.enqueue(self.store, self.who, requests, None, None, rehearsed)

    def enqueue_read(
        self, read: Requests, on_conflict: str | None = None, progress: Progress | None = None, rehearsed: bool = False
    ) -> Added:
        """Adds the jobs of a file; see `enqueue_each`. Raises `Conflict` with the line of a taken id or key."""
        from queuectl.client import bulk

        return bulk.enqueue(self.store, self.who, read, on_conflict, progress, rehearsed)

    def clone(self, ref: str, changes: Mapping[str, Any] = NOTHING, *, on_conflict: str | None = None) -> Job:
        """Adds a copy of a job under another id, with `changes` to the keys of its JSON.

        With `on_conflict` "ignore", returns the job that has the given id or the unique key, if there is one.
        """
        return enqueueing.clone(self.store, self.who, ref, changes, on_conflict)

    def unserved(self, queues: Iterable[str]) -> list[str]:
        """Which of these queues no live worker serves."""
        return workers_.unserved(self.store, queues)

    def paused(self, queues: Iterable[str]) -> dict[str, Pause]:
        """Which of these queues are paused now."""
        return looking.pauses_among(self.store, queues)

    # --- look -------------------------------------------------------------------------------

    def job(self, ref: str) -> Job:
        """The job of an id or unique prefix. Raises `NotFound`."""
        return self.store.get(ref)

    def history(self, ref: str) -> History:
        """A job with its attempts and what people did to it."""
        from queuectl.client import hooks

        job, store = self.job(ref), self.store
        return History(job, self.reason(job), store.attempts(job), store.notes(job), hooks.of_job(store, job))

    def find(self, selector: Selector = ALL_JOBS, *, limit: int | None = None, newest_first: bool = False) -> list[Job]:
        """Matching jobs, in the order of enqueueing or the reverse."""
        return looking.find(self.store, selector, limit, newest_first)

    def count(self, selector: Selector = ALL_JOBS) -> int:
        """How many jobs match."""
        return self.store.count(selector)

    def each(self, selector: Selector = ALL_JOBS) -> Iterator[tuple[Job, str | None]]:
        """All matching jobs with their reasons, in the order of enqueueing, read in pages."""
        for jobs, reasons in self.pages(selector):
            yield from zip(jobs, reasons, strict=True)

    def pages(
        self, selector: Selector = ALL_JOBS, newest: int | None = None
    ) -> Iterator[tuple[Sequence[Job], Sequence[str | None]]]:
        """The same page by page; only the `newest` jobs if that is given."""
        return self.with_reasons(self.job_pages(selector, newest))

    def job_pages(self, selector: Selector, newest: int | None = None) -> Iterator[Sequence[Job]]:
        """The same without reasons."""
        return looking.pages(self.store, selector, newest)

    def dead_pages(self, selector: Selector, latest: int | None = None) -> Iterator[Sequence[Job]]:
        """The matching dead jobs page by page, or the `latest` of them; the one that died last comes first."""
        return looking.by_death(self.store, selector, latest)

    def with_reasons(self, pages: Iterable[Sequence[Job]]) -> Iterator[tuple[Sequence[Job], Sequence[str | None]]]:
        """Pages of jobs with their reasons. What these need of queues, locks and workers is read once."""
        from queuectl.client.reasons import Listing

        listing = None
        for page in pages:
            listing = listing or Listing(self.store)
            if page:
                yield page, listing.reasons(page)

    def jobs(self, selector: Selector = ALL_JOBS) -> Iterator[Job]:
        """All matching jobs, in the order of enqueueing, read in pages."""
        return (job for page in self.job_pages(selector) for job in page)

    def reason(self, job: Job) -> str | None:
        """Why the job is not running, in words; None if it is running or done."""
        return self.reasons([job])[0]

    def reasons(self, jobs: Sequence[Job]) -> list[str | None]:
        """The reasons of many jobs. Places in line are counted for the first ones only."""
        from queuectl.client.reasons import Listing

        return Listing(self.store).reasons(jobs)

    def status(self, retries: int = 5) -> Status:
        """Workers, counts by state and queue, the oldest waiting job, the next retries."""
        return looking.status(self.store, retries)

    # --- act --------------------------------------------------------------------------------

    def do(self, operation: Operation[T], **arguments: Any) -> T:
        """Carries out a plain use case, and keeps what its row says of it."""
        assert operation.function is not None
        with self.store.transaction() if operation.deed else nullcontext():
            done = operation.function(self.store, self.who, **arguments)
            if operation.deed:
                self.note(operation.deed[0], operation.filled(operation.deed[1], arguments, done))
        if operation.ends and self._drives_orphans:
            from queuectl.client import orphaned

            orphaned.end(self.store)
        return done

    def act(self, action: Action, refs: Refs, progress: Progress | None = None) -> Changed:
        """Does it to these jobs, in batches."""
        from queuectl.client import orphaned

        changed = action.do(self.store, self.who, refs, progress)
        return orphaned.settled(self.store, changed) if self._drives_orphans else changed

    def rehearse(self, action: Action, refs: Refs) -> Changed:
        """What an action would change and refuse, without doing it: the jobs as they are."""
        from queuectl.client.acting import rehearsed

        return rehearsed(self.store, lambda: action.do(self.store, self.who, refs, None))

    def move(self, ref: str, *, before: str | None = None, front: bool = False) -> Job:
        """Moves a due job to the front of its queue, or just before another one of it, whose priority it takes.

        Raises `Conflict` if one of both runs, has ended or is not due.
        """
        from queuectl.client import editing

        return editing.move(self.store, self.who, ref, before, front)

    def _setting(self, changes: Mapping[str, Any]) -> Action:
        from queuectl.client.actions import setting

        return setting(changes, self.now())

    def prune(
        self, selectors: Sequence[Selector], progress: Progress | None = None, *, limit: int | None = None
    ) -> int:
        """Deletes finished jobs that match any of the selectors, in short transactions. Returns their number.

        Deletes at most `limit`. Raises `Invalid` for states that are not finished.
        """
        from queuectl.client import acting

        return acting.prune(self.store, self.who, selectors, progress, limit)

    # --- wait, follow -----------------------------------------------------------------------

    def wait(
        self, refs: str | Sequence[str], *, any: bool = False, timeout: Duration | None = None,
        tick: Callable[[], None] | None = None, say: Callable[[str], None] | None = None,
    ) -> list[Job]:  # fmt: skip
        """Waits until these jobs (or any of them) have finished. Returns the finished ones. Raises `TimeoutError`.

        `tick` is called at least every second while the store answers; an exception of it ends the wait. `say` is
        called with a message when the store is unavailable, and when it is back.
        """
        from queuectl.client import waiting
        from queuectl.wire.keywords import each_id, seconds_of

        limit_s = None if timeout is None else seconds_of(timeout)
        return waiting.wait(self.store, list(each_id(refs)), any, limit_s, tick, say)

    def wait_batch(
        self, name: str, *, timeout: Duration | None = None, tick: Callable[[BatchView], None] | None = None,
        say: Callable[[str], None] | None = None,
    ) -> BatchView:  # fmt: skip
        """Waits until none of a batch's jobs is unfinished; see `wait`. Raises `TimeoutError`, `NotFound`."""
        from queuectl.client import batches
        from queuectl.wire.keywords import seconds_of

        limit_s = None if timeout is None else seconds_of(timeout)
        return batches.wait(self.store, self.who, name, limit_s, tick, say)

    def follow(
        self, ref: str, *, stream: int | None = None, tail: int | None = None, ticks: bool = False,
        say: Callable[[str], None] | None = None,
    ) -> Generator[Piece, None, None]:  # fmt: skip
        """Yields a job's output as it comes, until the job has ended: pairs of a stream (1 or 2) and bytes.

        With `ticks`, an empty piece of stream 0 comes at least every second, so that the caller can do something else.
        `say` is called with a message when the store is unavailable, and when it is back.
        """
        from queuectl.client import following

        yield from following.follow(self.store, ref, stream, tail, ticks, say)

    # --- settings, workers ------------------------------------------------------------------

    def settings(self) -> Settings:
        """The settings in force."""
        return Settings(self.store.config(), self.store.defaults)

    def retention(self) -> list[Selector]:
        """Selectors of the jobs to prune now by the retention settings; empty if there are none."""
        return self.settings().retention(self.now())

    def workers(self) -> list[WorkerView]:
        """Live workers, and supervisors that outlived their worker."""
        return workers_.workers_of(self.store)

    def start_worker(
        self, count: int = 1, *, queues: Sequence[str] = (), not_queues: Sequence[str] = (),
        name: str | None = None, drain: bool = False, poll: Duration | None = None,
        stop_timeout: Duration | None = None,
    ) -> str:  # fmt: skip
        """Starts a worker with `count` slots that outlives this program. Returns its name once it serves.

        It runs `sys.executable -m queuectl`. It serves `queues`; if there are none, all but `not_queues`. Raises the
        worker's error, such as `Conflict`.
        """
        from queuectl.client.starting import start_worker

        return start_worker(
            self.address, count, queues=queues, not_queues=not_queues, name=name, drain=drain, poll=poll,
            stop_timeout=stop_timeout,
        )  # fmt: skip

    def ask_to_stop(
        self, names: Sequence[str] | None, *, now: bool = False, all_hosts: bool = False, orphaned: bool = False
    ) -> list[WorkerView]:
        """Asks workers to stop: all of this host, or of all hosts, or those named (GLOBs work). Returns them.

        Raises `NotFound`, and `Invalid` for an empty list. With `orphaned`, also orphaned ones that the caller drives.
        """
        return workers_.ask_to_stop(self.store, self.who, names, now=now, all_hosts=all_hosts, orphaned=orphaned)

    def still_there(self, asked: Sequence[WorkerView]) -> list[WorkerView]:
        """Those of the workers that have not exited yet."""
        return [worker for worker in asked if workers_.is_still_there(self.store, worker)]
