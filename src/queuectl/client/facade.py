"""Every use case, once. The command line, the web and Python programs only translate words to and from it.

A `Client` holds one open store and nothing else; it is for one thread. Programs get one for many: see library.py.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from queuectl.client import acting, enqueueing, looking
from queuectl.client import workers as workers_
from queuectl.client.here import Here
from queuectl.client.values import Changed, History, Progress, Status, WorkerView
from queuectl.domain.errors import IdTaken
from queuectl.domain.job import Job
from queuectl.domain.lifecycle import CancelRequested, Held, Released, Retried
from queuectl.domain.selector import ALL_JOBS, Selector
from queuectl.settings import Settings
from queuectl.wire.requests import NOTHING, JobRequest

if TYPE_CHECKING:
    from queuectl.client.figures import Figures
    from queuectl.client.following import Piece
    from queuectl.domain.token import Token
    from queuectl.store.past import Deed, Group
    from queuectl.wire.keywords import Duration
    from queuectl.wire.reading import Requests

GROUPS = DEEDS = 100
"""How many are listed unless another number is asked for."""


class Client(Here):
    """All that can be done with a queue."""

    # --- enqueue ----------------------------------------------------------------------------

    def enqueue(
        self, requests: Iterable[JobRequest], *, connection: Any = None, on_conflict: str = "error"
    ) -> list[Job]:
        """Adds the jobs, all or none, with the settings and surroundings of this moment. Durable on return.

        With `on_conflict` "ignore", a job whose id is taken is left out, and the one that has the id stands in its
        place: it has a `seq`, which a new job has not. With `connection`, an application's own to the PostgreSQL
        database of this store, they are added in its open transaction, and are there for others when it commits; the
        owner is then the role that it is logged in as.
        """
        return enqueueing.enqueue(self.store, self.who, requests, connection, on_conflict)

    def enqueue_read(self, read: Requests, on_conflict: str = "error") -> list[Job]:
        """Adds the jobs of a file; see `enqueue`. Raises `Conflict` naming the line that gives a taken id."""
        try:
            return enqueueing.enqueue(self.store, self.who, read.requests, None, on_conflict)
        except IdTaken as error:
            raise read.blamed(error) from None

    def clone(self, ref: str, changes: Mapping[str, Any] = NOTHING) -> Job:
        """Adds the same job once more under another id, with the keys of its JSON that are in `changes` changed."""
        return enqueueing.clone(self.store, self.who, ref, changes)

    def unserved(self, queues: Iterable[str]) -> list[str]:
        """Which of these queues no live worker serves."""
        return workers_.unserved(self.store, queues)

    # --- look -------------------------------------------------------------------------------

    def job(self, ref: str) -> Job:
        """The job of an id or unique prefix. Raises `NotFound`."""
        return self.store.get(ref)

    def history(self, ref: str) -> History:
        """A job with its attempts and what people did to it."""
        job, store = self.job(ref), self.store
        return History(job=job, reason=self.reason(job), attempts=store.attempts(job), notes=store.notes(job))

    def find(self, selector: Selector = ALL_JOBS, *, limit: int | None = None, newest_first: bool = False) -> list[Job]:
        """Matching jobs, in the order of enqueueing or the reverse."""
        return looking.find(self.store, selector, limit, newest_first)

    def count(self, selector: Selector = ALL_JOBS) -> int:
        """How many jobs match."""
        return self.store.count(selector)

    def each(self, selector: Selector = ALL_JOBS) -> Iterator[tuple[Job, str | None]]:
        """All matching jobs with their reasons, in the order of enqueueing, read piece by piece."""
        for page in looking.pages(self.store, selector):
            yield from zip(page, self.reasons(page), strict=True)

    def jobs(self, selector: Selector = ALL_JOBS) -> Iterator[Job]:
        """All matching jobs, in the order of enqueueing, read piece by piece."""
        for page in looking.pages(self.store, selector):
            yield from page

    def reason(self, job: Job) -> str | None:
        """Why the job does not run, in words; None where it runs or is done."""
        return self.reasons([job])[0]

    def reasons(self, jobs: Sequence[Job]) -> list[str | None]:
        """The same for many. Places in line are counted for the first of them only."""
        from queuectl.client.reasons import reasons

        return reasons(self.store, jobs)

    def status(self, retries: int = 5) -> Status:
        """Workers, counts by state and queue, the oldest waiting job, the next retries."""
        return looking.status(self.store, retries)

    def stats(self, window: Duration = "1h", stretches: int = 60) -> Figures:
        """Throughput, failures, and how long jobs waited and ran, over a stretch of time that ends now."""
        from queuectl.wire.keywords import seconds_of

        return self.figures(seconds_of(window), stretches)

    def dead_groups(self, selector: Selector = ALL_JOBS, *, limit: int = GROUPS) -> list[Group]:
        """Matching dead jobs by queue, command, exit code and error, the largest groups first."""
        return self.store.dead_groups(selector, limit)

    def audit(self, *, limit: int = DEEDS, before: int | None = None) -> list[Deed]:
        """What people did, the latest first; with `before`, only what came before the deed of that id."""
        return self.store.deeds(limit, before)

    # --- act --------------------------------------------------------------------------------

    def retry(self, refs: str | Sequence[str], progress: Progress | None = None) -> Changed:
        """Runs jobs again: a failed one now, a finished one from the beginning."""
        return acting.change(self.store, self.who, refs, Retried(), progress)

    def retry_dead(self, refs: str | Sequence[str], progress: Progress | None = None) -> Changed:
        """Takes jobs out of the dead letter queue: attempts back to 0, history kept. Others are refused."""
        return acting.retry_dead(self.store, self.who, refs, progress)

    def cancel(self, refs: str | Sequence[str], progress: Progress | None = None) -> Changed:
        """Ends jobs for good; a running one's command is ended by its worker within a second."""
        return acting.change(self.store, self.who, refs, CancelRequested(), progress)

    def hold(self, refs: str | Sequence[str], progress: Progress | None = None) -> Changed:
        """Keeps workers from claiming the jobs."""
        return acting.change(self.store, self.who, refs, Held(), progress)

    def release(self, refs: str | Sequence[str], progress: Progress | None = None) -> Changed:
        """Lets workers claim held jobs again."""
        return acting.change(self.store, self.who, refs, Released(), progress)

    def delete(self, refs: str | Sequence[str], progress: Progress | None = None) -> Changed:
        """Removes jobs with their history and output. Running ones are refused."""
        return acting.delete(self.store, self.who, refs, progress)

    def purge(self, refs: str | Sequence[str], progress: Progress | None = None) -> Changed:
        """Deletes dead jobs. Others are refused."""
        return acting.purge(self.store, self.who, refs, progress)

    def prune(
        self, selectors: Sequence[Selector], progress: Progress | None = None, *, limit: int | None = None
    ) -> int:
        """Deletes finished jobs that match any of the selectors, in short transactions; returns how many.

        With `limit`, at most that many. Raises `Invalid` for states that are not finished.
        """
        return acting.prune(self.store, self.who, selectors, progress, limit)

    # --- wait, follow -----------------------------------------------------------------------

    def wait(
        self, refs: str | Sequence[str], *, any: bool = False, timeout: Duration | None = None,
        tick: Callable[[], None] | None = None, say: Callable[[str], None] | None = None,
    ) -> list[Job]:  # fmt: skip
        """Blocks until these jobs (or any of them) have finished; those that have. Raises `TimeoutError`.

        `tick` is called at least every second while the store answers; the wait ends with what it raises. `say` is
        told that the store is away, and that it is back.
        """
        from queuectl.client import waiting
        from queuectl.wire.keywords import seconds_of

        limit_s = None if timeout is None else seconds_of(timeout)
        return waiting.wait(self.store, [refs] if isinstance(refs, str) else refs, any, limit_s, tick, say)

    def follow(
        self, ref: str, *, stream: int | None = None, tail: int | None = None, ticks: bool = False,
        say: Callable[[str], None] | None = None,
    ) -> Generator[Piece, None, None]:  # fmt: skip
        """What a job writes, as it comes, until it has ended: pairs of a stream (1 or 2) and bytes.

        With `ticks`, an empty piece of stream 0 comes at least every second, for you to look at something else. `say`
        is told that the store is away, and that it is back.
        """
        from queuectl.client import following

        yield from following.follow(self.store, ref, stream, tail, ticks, say)

    # --- settings, tokens -------------------------------------------------------------------

    def settings(self) -> Settings:
        """The settings in force."""
        return Settings(self.store.config(), self.store.defaults)

    def retention(self) -> list[Selector]:
        """What the retention settings say is to be pruned now; empty where nothing ever is."""
        return self.settings().retention(self.now())

    def set_setting(self, name: str, value: str) -> None:
        """Checks and keeps a setting. Jobs enqueued earlier keep theirs."""
        from queuectl.client import config

        config.set_value(self.store, self.who, name, value)

    def unset_setting(self, name: str) -> None:
        """Puts a setting back to its default."""
        from queuectl.client import config

        config.unset_value(self.store, self.who, name)

    def tokens(self) -> list[Token]:
        """Who may come in over HTTP."""
        return self.store.tokens()

    def create_token(self, name: str, role: str = "read-only") -> tuple[Token, str]:
        """A new token and its text, which nobody can find out later. Raises `Invalid`, `Conflict`."""
        from queuectl.client import tokens

        return tokens.create(self.store, name, role, self.who)

    def revoke_token(self, ref: str) -> Token:
        """Ends a token, named by its name or id. Raises `NotFound`."""
        from queuectl.client import tokens

        return tokens.revoke(self.store, ref, self.who)

    # --- workers ----------------------------------------------------------------------------

    def workers(self) -> list[WorkerView]:
        """The workers alive now, and supervisors that outlived theirs."""
        return workers_.workers_of(self.store)

    def start_worker(
        self, count: int = 1, *, queues: Sequence[str] = (), name: str | None = None, drain: bool = False,
        poll: Duration | None = None, stop_timeout: Duration | None = None,
    ) -> str:  # fmt: skip
        """Starts a worker with `count` slots that outlives this program; its name, once it serves.

        It runs `sys.executable -m queuectl`. No queues: all. Raises what went wrong, such as `Conflict`.
        """
        from queuectl.client.starting import start_worker

        return start_worker(
            self.address, count, queues=queues, name=name, drain=drain, poll=poll, stop_timeout=stop_timeout
        )

    def ask_to_stop(
        self, names: Sequence[str], *, now: bool = False, all_hosts: bool = False, orphaned: bool = False
    ) -> list[WorkerView]:
        """Asks workers (all of this host, or of all hosts, or those named; GLOBs work) to stop; returns whom it asked.

        Raises `NotFound` where a name means none. `orphaned` ones are asked too, for a caller that drives them then.
        """
        return workers_.ask_to_stop(self.store, self.who, names, now=now, all_hosts=all_hosts, orphaned=orphaned)

    def still_there(self, asked: Sequence[WorkerView]) -> list[WorkerView]:
        """Which of these workers have not gone yet."""
        return [worker for worker in asked if workers_.is_still_there(self.store, worker)]
