"""A queue on a server, over its REST API: the same methods as `Client`, the same values, the same errors.

The default folder, umask and variables of a job are the server's. Workers start on its host.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack, overload
from urllib.parse import quote

from queuectl.client.asynchronous import asynchronously
from queuectl.client.documents import DEED, FIGURES, GROUP, TOKEN
from queuectl.client.facade import DEEDS, GROUPS
from queuectl.client.figures import STRETCHES, Figures
from queuectl.client.following import Piece
from queuectl.client.remote import answers, following, jobs
from queuectl.client.remote.connection import API, RemoteConnection
from queuectl.client.remote.pause import Pause
from queuectl.client.values import Changed, History, Progress, Status, WorkerView
from queuectl.client.waiting import not_yet
from queuectl.client.workers import serves
from queuectl.clock import SystemClock
from queuectl.domain.errors import Invalid, NotFound
from queuectl.domain.job import Job
from queuectl.domain.selector import ALL_JOBS, Selector
from queuectl.domain.token import Token
from queuectl.settings import Settings, canonical
from queuectl.store.past import Deed, Group
from queuectl.wire.keywords import Duration, JobKeys, seconds_of, stream_name
from queuectl.wire.kinds import JsonObject
from queuectl.wire.requests import NOTHING, JobRequest

if TYPE_CHECKING:
    from ssl import SSLContext


class RemoteClient:
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
        self, requests: Iterable[JobRequest | Mapping[str, Any]], *, on_conflict: str = "error"
    ) -> list[Job]: ...

    @overload
    def enqueue(self, *, on_conflict: str = "error", **keys: Unpack[JobKeys]) -> Job: ...

    def enqueue(
        self, requests: Iterable[JobRequest | Mapping[str, Any]] | None = None, *, on_conflict: str = "error",
        **keys: Any,
    ) -> list[Job] | Job:  # fmt: skip
        """Adds a job with these keys, or many, all or none. Durable on return; see `Client.enqueue`."""
        if requests is None:
            return answers.job_of(jobs.add(self._line, jobs.document_of(keys), on_conflict))
        if keys or isinstance(requests, (str, Mapping)):
            raise Invalid("give many jobs as a list, or one by keywords", "enqueue(command='echo hello')")
        documents = [jobs.document_of(each) for each in requests]
        return list(map(answers.job_of, jobs.add(self._line, documents, on_conflict))) if documents else []

    def clone(self, ref: str, changes: Mapping[str, Any] = NOTHING) -> Job:
        """Adds a copy of a job under another id; see `Client.clone`."""
        return answers.job_of(self._line.post(f"{jobs.of_job(ref)}/clone", jobs.document_of(changes)))

    def unserved(self, queues: Iterable[str]) -> list[str]:
        """Which of these queues no live worker serves."""
        live = [answers.worker_of(each, {}) for each in self._line.get("/workers")]
        return [queue for queue in dict.fromkeys(queues) if not any(serves(worker, queue) for worker in live)]

    # --- look -------------------------------------------------------------------------------

    def job(self, ref: str) -> Job:
        """The job of an id or unique prefix. Raises `NotFound`."""
        return answers.job_of(self._line.get(jobs.of_job(ref)))

    def history(self, ref: str) -> History:
        """A job with its attempts and what people did to it."""
        return answers.history_of(self._line.get(jobs.of_job(ref)))

    def find(self, selector: Selector = ALL_JOBS, *, limit: int | None = None, newest_first: bool = False) -> list[Job]:
        """Matching jobs, in the order of enqueueing or the reverse."""
        if limit is not None and limit < 0:
            raise Invalid(f"limit must not be below 0, not {limit}")
        return [job for job, _ in jobs.pages(self._line, selector, limit, newest_first)]

    def count(self, selector: Selector = ALL_JOBS) -> int:
        """How many jobs match."""
        if not selector.ids:
            known: int | None = self._line.get("/jobs", {**jobs.query_of(selector), "limit": 1})["count"]
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
        reason: str | None = self._line.get(jobs.of_job(job.id))["reason"]
        return reason

    def reasons(self, jobs: Sequence[Job]) -> list[str | None]:
        """The reasons of many jobs."""
        return list(map(self.reason, jobs))

    def status(self, retries: int = 5) -> Status:
        """Workers, counts by state and queue, the oldest waiting job, the next retries."""
        found = self._line.get("/status", {"retries": retries})
        return answers.status_of(found, jobs.workers_of(self._line, found["workers"]))

    def stats(self, window: Duration = "1h", stretches: int = STRETCHES) -> Figures:
        """Throughput, failures, run and wait times over a window that ends now."""
        return FIGURES.value(self._line.get("/stats", {"window": jobs.as_text(window), "stretches": stretches}))

    def dead_groups(self, selector: Selector = ALL_JOBS, *, limit: int = GROUPS) -> list[Group]:
        """Matching dead jobs by queue, command, exit code and error, largest groups first."""
        query = {name: values for name, values in jobs.query_of(selector).items() if name != "state"}
        return list(map(GROUP.value, self._line.get("/dlq/groups", {**query, "limit": limit})))

    def audit(self, *, limit: int = DEEDS, before: int | None = None) -> list[Deed]:
        """The audit log, latest first; with `before`, only entries before that id."""
        return list(map(DEED.value, self._line.get("/audit", jobs.given(limit=limit, before=before))))

    # --- act --------------------------------------------------------------------------------

    def retry(self, refs: str | Sequence[str], progress: Progress | None = None) -> Changed:
        """Runs jobs again: a failed one now, a finished one from the beginning."""
        return jobs.act(self._line, "/jobs/retry", refs, progress)

    def retry_dead(self, refs: str | Sequence[str], progress: Progress | None = None) -> Changed:
        """Moves dead jobs back to their queue with 0 attempts; their history is kept. Others are refused."""
        return jobs.act(self._line, "/dlq/retry", refs, progress)

    def cancel(self, refs: str | Sequence[str], progress: Progress | None = None) -> Changed:
        """Cancels jobs; the worker of a running one ends its command within a second."""
        return jobs.act(self._line, "/jobs/cancel", refs, progress)

    def hold(self, refs: str | Sequence[str], progress: Progress | None = None) -> Changed:
        """Holds jobs: no worker claims them."""
        return jobs.act(self._line, "/jobs/hold", refs, progress)

    def release(self, refs: str | Sequence[str], progress: Progress | None = None) -> Changed:
        """Releases held jobs."""
        return jobs.act(self._line, "/jobs/release", refs, progress)

    def delete(self, refs: str | Sequence[str], progress: Progress | None = None) -> Changed:
        """Deletes jobs with their history and output. Running ones are refused."""
        return jobs.act(self._line, "/jobs/delete", refs, progress)

    def purge(self, refs: str | Sequence[str], progress: Progress | None = None) -> Changed:
        """Deletes dead jobs. Others are refused."""
        return jobs.act(self._line, "/dlq/purge", refs, progress)

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
        return answers.settings_of(self._line.get("/config"))

    def set_setting(self, name: str, value: str) -> None:
        """Checks and stores a setting. Existing jobs keep theirs."""
        self._line.ask("PUT", _of_setting(name), None, {"value": value})

    def unset_setting(self, name: str) -> None:
        """Restores a setting's default."""
        self._line.ask("DELETE", _of_setting(name))

    # --- tokens -----------------------------------------------------------------------------

    def tokens(self) -> list[Token]:
        """The tokens for access over HTTP."""
        return [TOKEN.value(each, digest="") for each in self._line.get("/tokens")]

    def create_token(self, name: str, role: str = "read-only") -> tuple[Token, str]:
        """Makes a token. Returns it with its text, which is not stored. Raises `Invalid`, `Conflict`."""
        made = self._line.post("/tokens", {"name": name, "role": role})
        return TOKEN.value(made, digest=""), str(made["token"])

    def revoke_token(self, ref: str) -> Token:
        """Revokes a token, given by name or id. Raises `NotFound`."""
        token = next((each for each in self.tokens() if ref in (each.name, each.id)), None)
        if token is None:
            raise NotFound(f"no token {ref}", "see: queuectl token list")
        self._line.ask("DELETE", f"{API}/tokens/{token.id}")
        return token

    # --- workers ----------------------------------------------------------------------------

    def workers(self) -> list[WorkerView]:
        """Live workers, and supervisors that outlived their worker."""
        return jobs.workers_of(self._line, self._line.get("/workers"))

    def start_worker(
        self, count: int = 1, *, queues: Sequence[str] = (), name: str | None = None, drain: bool = False,
        poll: Duration | None = None, stop_timeout: Duration | None = None,
    ) -> str:  # fmt: skip
        """Starts a worker on the server's host, which outlives the server; see `Client.start_worker`."""
        given: JsonObject = {"count": count, "queues": list(queues), "drain": drain}
        times = {"poll": poll, "stop_timeout": stop_timeout}
        given |= {key: seconds_of(value) for key, value in times.items() if value is not None}
        started = self._line.post("/workers", given if name is None else {**given, "name": name})
        return str(started["name"])

    def ask_to_stop(self, names: Sequence[str], *, now: bool = False, all_hosts: bool = False) -> list[WorkerView]:
        """Asks workers to stop: all of the server's host, of all hosts, or those named (GLOBs work). Returns them."""
        return jobs.workers_of(
            self._line, self._line.post("/workers/stop", {"names": list(names), "now": now, "all_hosts": all_hosts})
        )

    def still_there(self, asked: Sequence[WorkerView]) -> list[WorkerView]:
        """Those of the workers that have not exited yet."""
        there = {_identity(worker) for worker in self.workers()}
        return [worker for worker in asked if _identity(worker) in there]

    def stop_workers(
        self, names: str | Sequence[str] = (), *, now: bool = False, all_hosts: bool = False,
        timeout: Duration | None = None,
    ) -> list[WorkerView]:  # fmt: skip
        """Stops workers and waits until they have exited; see `Client.stop_workers`."""
        asked = self.ask_to_stop([names] if isinstance(names, str) else names, now=now, all_hosts=all_hosts)
        pause = Pause(timeout)
        while left := self.still_there(asked):
            pause.wait(not_yet("stopped", [worker.name for worker in left]))
        return asked

    # --- wait, follow -----------------------------------------------------------------------

    def wait(self, refs: str | Sequence[str], *, any: bool = False, timeout: Duration | None = None) -> list[Job]:
        """Waits until these jobs (or any of them) have finished. Returns the finished ones. Raises `TimeoutError`."""
        return following.wait(self._line, [refs] if isinstance(refs, str) else refs, any, timeout)

    def output(
        self, ref: str, *, attempt: int | None = None, stream: int | None = None, tail: int | None = None
    ) -> bytes:
        """A job's output so far, of its latest attempt or of number `attempt`; see `Client.output`."""
        query = jobs.given(attempt=attempt, stream=stream_name(stream), tail=tail)
        return self._line.read("GET", f"{API}{jobs.of_job(ref)}/output", query)

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


def _of_setting(name: str) -> str:
    return f"{API}/config/{quote(canonical(name), safe='')}"


def _identity(worker: WorkerView) -> tuple[str, str, int, float]:
    return worker.name, worker.host, worker.pid, worker.started_at
