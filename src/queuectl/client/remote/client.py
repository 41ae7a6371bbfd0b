"""A queue on a server, over its REST API: the same methods as `Client`, the same values, the same errors.

The default folder, umask and variables of a job are the server's. Workers start on its host.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterable, Iterator, Mapping, Sequence

from queuectl.client import config, operations, tokens
from queuectl.client.asynchronous import asynchronously
from queuectl.client.following import Piece
from queuectl.client.remote import answers, following, jobs
from queuectl.client.remote.connection import RemoteConnection
from queuectl.client.values import Changed, History, Progress, Status, WorkerView
from queuectl.client.verbs import Verbs
from queuectl.client.waiting import not_yet
from queuectl.client.workers import serves
from queuectl.clock import SystemClock
from queuectl.domain.errors import Invalid, NotFound
from queuectl.domain.job import Job
from queuectl.domain.selector import ALL_JOBS, Selector
from queuectl.domain.token import Token
from queuectl.settings import Settings
from queuectl.typed import TYPE_CHECKING, Any, overload
from queuectl.wire.keywords import Duration, JobKeys, each_id, stream_name
from queuectl.wire.requests import NOTHING, JobRequest

if TYPE_CHECKING:
    from ssl import SSLContext
    from typing import Unpack

    from queuectl.client.actions import Action
    from queuectl.client.batches import BatchView
    from queuectl.client.operation import Operation, T
    from queuectl.domain.limits import Pause


class RemoteClient(Verbs):
    """A queue on a server, for any number of threads. Make it with `Client.remote`."""

    def __init__(self, url: str, token: str, *, timeout: float = 30.0, ssl: SSLContext | None = None) -> None:
        self._line = RemoteConnection(url, token, timeout, ssl)
        self.url = self._line.url

    def close(self) -> None:
        """Closes its connections."""
        self._line.close()

    def __enter__(self) -> RemoteClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<queuectl.Client of {self.url}>"

    # --- enqueue ----------------------------------------------------------------------------

    @overload
    def enqueue(
        self, requests: Iterable[JobRequest | Mapping[str, Any]], *, on_conflict: str | None = None
    ) -> list[Job]: ...

    @overload
    def enqueue(self, *, on_conflict: str | None = None, **keys: Unpack[JobKeys]) -> Job: ...

    def enqueue(
        self, requests: Iterable[JobRequest | Mapping[str, Any]] | None = None, *, on_conflict: str | None = None,
        **keys: Any,
    ) -> list[Job] | Job:  # fmt: skip
        """Adds a job with these keys, or many, all or none. Durable on return; see `Client.enqueue`."""
        if requests is None:
            rule = {} if on_conflict is None else {"on_conflict": on_conflict}
            return answers.job_of(self._add(jobs.document_of({**keys, **rule}), None))
        if keys or isinstance(requests, (str, Mapping)):
            raise Invalid("give many jobs as a list, or one by keywords", "enqueue(command='echo hello')")
        documents = [jobs.document_of(each) for each in requests]
        return list(map(answers.job_of, self._add(documents, on_conflict))) if documents else []

    def _add(self, body: object, on_conflict: str | None) -> Any:
        return self._line.call(operations.ENQUEUE, body, on_conflict=on_conflict)

    def clone(self, ref: str, changes: Mapping[str, Any] = NOTHING, *, on_conflict: str | None = None) -> Job:
        """Adds a copy of a job under another id; see `Client.clone`."""
        made = self._line.call(operations.CLONE, jobs.document_of(changes), id=ref, on_conflict=on_conflict)
        return answers.job_of(made)

    def unserved(self, queues: Iterable[str]) -> list[str]:
        """Which of these queues no live worker serves."""
        live = [answers.worker_of(each, {}) for each in self._line.call(operations.WORKERS)]
        return [queue for queue in dict.fromkeys(queues) if not any(serves(worker, queue) for worker in live)]

    def paused(self, queues: Iterable[str]) -> dict[str, Pause]:
        """Which of these queues are paused now."""
        found = self.status(retries=0).paused
        return {queue: found[queue] for queue in dict.fromkeys(queues) if queue in found}

    # --- look -------------------------------------------------------------------------------

    def job(self, ref: str) -> Job:
        """The job of an id or unique prefix. Raises `NotFound`."""
        return answers.job_of(self._line.call(operations.SHOW, id=ref))

    def history(self, ref: str) -> History:
        """A job with its attempts and what people did to it."""
        return answers.history_of(self._line.call(operations.SHOW, id=ref))

    def find(self, selector: Selector = ALL_JOBS, *, limit: int | None = None, newest_first: bool = False) -> list[Job]:
        """Matching jobs, in the order of enqueueing or the reverse."""
        if limit is not None and limit < 0:
            raise Invalid(f"limit must not be below 0, not {limit}")
        return [job for job, _ in jobs.pages(self._line, selector, limit, newest_first)]

    def count(self, selector: Selector = ALL_JOBS) -> int:
        """How many jobs match."""
        if not selector.ids:
            known: int | None = self._line.call(operations.FIND, selector=selector, limit=1)["count"]
            if known is not None:
                return known
        return sum(1 for _ in jobs.pages(self._line, selector))

    def each(self, selector: Selector = ALL_JOBS) -> Iterator[tuple[Job, str | None]]:
        """All matching jobs with their reasons, in the order of enqueueing, read in pages."""
        return jobs.pages(self._line, selector)

    def jobs(self, selector: Selector = ALL_JOBS) -> Iterator[Job]:
        """All matching jobs, in the order of enqueueing, read in pages."""
        return (job for job, _ in jobs.pages(self._line, selector))

    def reason(self, job: Job) -> str | None:
        """Why the job is not running, in words; None if it is running or done."""
        reason: str | None = self._line.call(operations.SHOW, id=job.id)["reason"]
        return reason

    def reasons(self, jobs: Sequence[Job]) -> list[str | None]:
        """The reasons of many jobs."""
        return list(map(self.reason, jobs))

    def status(self, retries: int = 5) -> Status:
        """Workers, counts by state and queue, the oldest waiting job, the next retries."""
        found = self._line.call(operations.STATUS, retries=retries)
        return answers.status_of(found, jobs.workers_of(self._line, found["workers"]))

    # --- act --------------------------------------------------------------------------------

    def do(self, operation: Operation[T], **arguments: Any) -> T:
        """Asks for a plain use case."""
        assert operation.kind is not None
        done: T = operation.kind.read(self._line.call(operation, **arguments))
        return done

    def act(self, action: Action, refs: str | Sequence[str], progress: Progress | None = None) -> Changed:
        """Asks for it to be done to these jobs."""
        return jobs.act(self._line, action.many, refs, progress, **action.more)

    def move(self, ref: str, *, before: str | None = None, front: bool = False) -> Job:
        """Moves a due job to the front of its queue, or just before another one of it; see `Client.move`."""
        return answers.job_of(self._line.call(operations.MOVE, id=ref, before=before, front=front))

    def _setting(self, changes: Mapping[str, Any]) -> Action:
        from queuectl.client.actions import setting

        return setting(jobs.document_of(changes), SystemClock().now())

    def prune(
        self, selectors: Sequence[Selector], progress: Progress | None = None, *, limit: int | None = None
    ) -> int:
        """Deletes finished jobs that match any of the selectors, at most `limit`. Returns their number."""
        return jobs.prune(self._line, selectors, progress, limit)

    def retention(self) -> list[Selector]:
        """Selectors of the jobs to prune now by the retention settings; empty if there are none."""
        return self.settings().retention(SystemClock().now())

    # --- settings ---------------------------------------------------------------------------

    def settings(self) -> Settings:
        """The server's settings."""
        return answers.settings_of(self._line.call(config.SETTINGS_ALL))

    # --- tokens -----------------------------------------------------------------------------

    def revoke_token(self, ref: str) -> Token:
        """Revokes a token, given by name or id. Raises `NotFound`."""
        token = next((each for each in self.tokens() if ref in (each.name, each.id)), None)
        if token is None:
            raise NotFound(f"no token {ref}", "see: queuectl token list")
        self._line.call(tokens.REVOKE, ref=token.id)
        return token

    # --- workers ----------------------------------------------------------------------------

    def workers(self) -> list[WorkerView]:
        """Live workers, and supervisors that outlived their worker."""
        return jobs.workers_of(self._line, self._line.call(operations.WORKERS))

    def start_worker(
        self, count: int = 1, *, queues: Sequence[str] = (), not_queues: Sequence[str] = (),
        name: str | None = None, drain: bool = False, poll: Duration | None = None,
        stop_timeout: Duration | None = None,
    ) -> str:  # fmt: skip
        """Starts a worker on the server's host, which outlives the server; see `Client.start_worker`."""
        started = self._line.call(
            operations.START_WORKER, count=count, queues=queues, not_queues=not_queues, name=name,
            drain=drain, poll=poll, stop_timeout=stop_timeout,
        )  # fmt: skip
        return str(started["name"])

    def ask_to_stop(
        self, names: Sequence[str] | None, *, now: bool = False, all_hosts: bool = False
    ) -> list[WorkerView]:
        """Asks workers to stop: all of the server's host, of all hosts, or those named (GLOBs work). Returns them."""
        asked = self._line.call(operations.STOP_WORKERS, names=names, now=now, all_hosts=all_hosts)
        return jobs.workers_of(self._line, asked)

    def still_there(self, asked: Sequence[WorkerView]) -> list[WorkerView]:
        """Those of the workers that have not exited yet."""
        there = {_identity(worker) for worker in self.workers()}
        return [worker for worker in asked if _identity(worker) in there]

    def stop_workers(
        self, names: str | Sequence[str] | None = None, *, now: bool = False, all_hosts: bool = False,
        timeout: Duration | None = None,
    ) -> list[WorkerView]:  # fmt: skip
        """Stops workers and waits until they have exited; see `Client.stop_workers`."""
        asked = self.ask_to_stop([names] if isinstance(names, str) else names, now=now, all_hosts=all_hosts)
        pause, left = following.Pause(timeout), asked
        while left:
            seen = following.if_there(lambda: self.still_there(asked))
            if left := left if seen is None else seen:
                pause.wait(not_yet("stopped", [worker.name for worker in left]))
        return asked

    # --- wait, follow -----------------------------------------------------------------------

    def wait(self, refs: str | Sequence[str], *, any: bool = False, timeout: Duration | None = None) -> list[Job]:
        """Waits until these jobs (or any of them) have finished. Returns the finished ones. Raises `TimeoutError`."""
        return following.wait(self._line, each_id(refs), any, timeout)

    def wait_batch(self, name: str, *, timeout: Duration | None = None) -> BatchView:
        """Waits until none of a batch's jobs is unfinished. Raises `TimeoutError`, `NotFound`."""
        from queuectl.client import batches

        pause, seen = following.Pause(timeout), self.do(batches.SHOW, name=name)
        while not seen.is_done:
            pause.wait(batches.still_open(name, seen))
            seen = following.if_there(lambda: self.do(batches.SHOW, name=name)) or seen
        return seen

    def output(
        self, ref: str, *, attempt: int | None = None, stream: int | None = None, tail: int | None = None
    ) -> bytes:
        """A job's output so far, of its latest attempt or of number `attempt`; see `Client.output`."""
        return self._line.read(operations.OUTPUT, id=ref, attempt=attempt, stream=stream_name(stream), tail=tail)

    def follow(
        self, ref: str, *, stream: int | None = None, tail: int | None = None, ticks: bool = False
    ) -> Generator[Piece, None, None]:
        """Yields a job's output as it comes, until the job has ended; see `Client.follow`.

        Bytes that are not UTF-8 become U+FFFD; `output` has the bytes. A stream that the server ends is opened again.
        """
        return following.follow(self._line, ref, stream, tail, ticks)

    def afollow(self, ref: str, *, stream: int | None = None, tail: int | None = None) -> AsyncGenerator[Piece, None]:
        """`follow` for asyncio, read in threads. To stop early, cancel it or `aclose` it."""
        return asynchronously(self.follow(ref, stream=stream, tail=tail, ticks=True))


def _identity(worker: WorkerView) -> tuple[str, str, int, float]:
    return worker.name, worker.host, worker.pid, worker.started_at
