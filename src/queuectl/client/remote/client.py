"""A queue on a server, over its REST API: the same methods as `Client`, the same values, the same errors.

Folder, umask and variables of a job are the server's where they are not given. Workers start on its host.
"""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncGenerator, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Unpack, overload
from urllib.parse import quote

from queuectl.client.asynchronous import asynchronously
from queuectl.client.facade import Changed, History, Progress, Status
from queuectl.client.figures import STRETCHES, Figures
from queuectl.client.following import Piece
from queuectl.client.remote import answers
from queuectl.client.remote.connection import Query, RemoteConnection, problem_of
from queuectl.client.remote.pause import Pause
from queuectl.client.values import WorkerView
from queuectl.client.waiting import not_yet
from queuectl.client.workers import serves
from queuectl.clock import SystemClock
from queuectl.domain.errors import Invalid, NotFound, OperationFailed, QueuectlError
from queuectl.domain.job import Job, JobState
from queuectl.domain.selector import ALL_JOBS, Selector
from queuectl.settings import Settings, canonical
from queuectl.wire.keywords import Duration, JobKeys, as_json, seconds_of, stream_name
from queuectl.wire.kinds import JsonObject, may_be_id
from queuectl.wire.requests import NOTHING, JobRequest
from queuectl.wire.times import format_time, parse_time

if TYPE_CHECKING:
    from ssl import SSLContext

API = "/api/v1"
PAGE = 1000
ACT_AT_ONCE = 100
"""Jobs acted on in one request: an answer lists so many that were refused."""
AGAIN_AFTER_S = 1.0
"""A stream that the server has ended is taken up again after this."""
PRUNE_AT_ONCE = 10_000
"""Jobs deleted in one request, which none may wait for too long."""


class RemoteClient:
    """All that can be done with a queue from afar, from any number of threads. Make it with `Client.remote`."""

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

    def _get(self, path: str, query: Query | None = None) -> Any:
        return self._line.ask("GET", API + path, query)

    def _post(self, path: str, body: object) -> Any:
        return self._line.ask("POST", API + path, None, body)

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
            return answers.job_of(self._add(_document(keys), on_conflict))
        if keys or isinstance(requests, (str, Mapping)):
            raise Invalid("give many jobs as a list, or one by keywords", "enqueue(command='echo hello')")
        documents = [_document(each) for each in requests]
        return list(map(answers.job_of, self._add(documents, on_conflict))) if documents else []

    def _add(self, body: object, on_conflict: str) -> Any:
        query = None if on_conflict == "error" else {"on_conflict": on_conflict}  # which older servers do not know
        return self._line.ask("POST", f"{API}/jobs", query, body)

    def clone(self, ref: str, changes: Mapping[str, Any] = NOTHING) -> Job:
        """Adds the same job once more under another id, with the keys in `changes`; see `Client.clone`."""
        return answers.job_of(self._post(f"{_of_job(ref)}/clone", _document(changes)))

    def unserved(self, queues: Iterable[str]) -> list[str]:
        """Which of these queues no live worker serves."""
        live = [answers.worker_of(each, {}) for each in self._get("/workers")]
        return [queue for queue in dict.fromkeys(queues) if not any(serves(worker, queue) for worker in live)]

    # --- look -------------------------------------------------------------------------------

    def job(self, ref: str) -> Job:
        """The job of an id or unique prefix. Raises `NotFound`."""
        return answers.job_of(self._show(ref))

    def history(self, ref: str) -> History:
        """A job with its attempts and what people did to it."""
        return answers.history_of(self._show(ref))

    def _show(self, ref: str) -> Any:
        return self._get(_of_job(ref))

    def find(self, selector: Selector = ALL_JOBS, *, limit: int | None = None, newest_first: bool = False) -> list[Job]:
        """Matching jobs, in the order of enqueueing or the reverse."""
        if limit is not None and limit < 0:
            raise Invalid(f"limit must not be below 0, not {limit}")
        return [job for job, _ in self._pages(selector, limit, newest_first)]

    def count(self, selector: Selector = ALL_JOBS) -> int:
        """How many jobs match."""
        if not selector.ids:
            known: int | None = self._get("/jobs", {**_query(selector), "limit": 1})["count"]
            if known is not None:
                return known
        return sum(1 for _ in self._pages(selector))

    def each(self, selector: Selector = ALL_JOBS) -> Iterator[tuple[Job, str | None]]:
        """All matching jobs with their reasons, in the order of enqueueing, read piece by piece."""
        return self._pages(selector)

    def jobs(self, selector: Selector = ALL_JOBS) -> Iterator[Job]:
        """All matching jobs, in the order of enqueueing, read piece by piece."""
        return (job for job, _ in self._pages(selector))

    def _pages(
        self, selector: Selector, limit: int | None = None, newest_first: bool = False
    ) -> Iterator[tuple[Job, str | None]]:
        if selector.ids:
            raise Invalid("over HTTP jobs are not selected by id", "ask for each with job(id)")
        query, left, at = _query(selector), limit, dict[str, str]()
        while left is None or left > 0:
            size = PAGE if left is None else min(PAGE, left)
            page = self._get("/jobs", {**query, **at, "limit": size, "oldest_first": str(not newest_first).lower()})
            yield from ((answers.job_of(each), each["reason"]) for each in page["jobs"])
            if page["next"] is None:
                return
            left, at = None if left is None else left - len(page["jobs"]), {"cursor": page["next"]}

    def reason(self, job: Job) -> str | None:
        """Why the job does not run, in words; none where it runs or is done."""
        reason: str | None = self._show(job.id)["reason"]
        return reason

    def reasons(self, jobs: Sequence[Job]) -> list[str | None]:
        """The same for many."""
        return list(map(self.reason, jobs))

    def status(self, retries: int = 5) -> Status:
        """Workers, counts by state and queue, the oldest waiting job, the next retries."""
        found = self._get("/status", {"retries": retries})
        return answers.status_of(found, self._workers(found["workers"]))

    def stats(self, window: Duration = "1h", stretches: int = STRETCHES) -> Figures:
        """Throughput, failures, and how long jobs waited and ran, over a stretch of time that ends now."""
        return answers.figures_of(self._get("/stats", {"window": as_text(window), "stretches": stretches}))

    # --- act --------------------------------------------------------------------------------

    def retry(self, refs: str | Sequence[str], progress: Progress | None = None) -> Changed:
        """Runs jobs again: a failed one now, a finished one afresh."""
        return self._act("/jobs/retry", refs, progress)

    def retry_dead(self, refs: str | Sequence[str], progress: Progress | None = None) -> Changed:
        """Takes jobs out of the dead letter queue: attempts back to 0, history kept. Others are refused."""
        return self._act("/dlq/retry", refs, progress)

    def cancel(self, refs: str | Sequence[str], progress: Progress | None = None) -> Changed:
        """Ends jobs for good; a running one's command is ended by its worker within a second."""
        return self._act("/jobs/cancel", refs, progress)

    def hold(self, refs: str | Sequence[str], progress: Progress | None = None) -> Changed:
        """Keeps workers from claiming the jobs."""
        return self._act("/jobs/hold", refs, progress)

    def release(self, refs: str | Sequence[str], progress: Progress | None = None) -> Changed:
        """Lets workers claim held jobs again."""
        return self._act("/jobs/release", refs, progress)

    def delete(self, refs: str | Sequence[str], progress: Progress | None = None) -> Changed:
        """Removes jobs with their history and output. Running ones are refused."""
        return self._act("/jobs/delete", refs, progress)

    def purge(self, refs: str | Sequence[str], progress: Progress | None = None) -> Changed:
        """Deletes dead jobs. Others are refused."""
        return self._act("/dlq/purge", refs, progress)

    def prune(
        self, selectors: Sequence[Selector], progress: Progress | None = None, *, limit: int | None = None
    ) -> int:
        """Deletes finished jobs that match any of the selectors; how many. With `limit`, at most so many."""
        done, most = 0, sys.maxsize if limit is None else limit
        for wanted in map(_selector, selectors):
            more = True
            while more and done < most:
                size = min(PRUNE_AT_ONCE, most - done)
                pruned = self._post("/jobs/prune", {"selector": wanted, "limit": size})["pruned"]
                done, more = done + pruned, pruned == size
                if pruned and progress:
                    progress(done)
        return done

    def retention(self) -> list[Selector]:
        """What the retention settings say is to be pruned now; empty where nothing ever is."""
        return self.settings().retention(SystemClock().now())

    def _act(self, path: str, refs: str | Sequence[str], progress: Progress | None) -> Changed:
        wanted = [refs] if isinstance(refs, str) else refs
        jobs, refused = list[Job](), list[QueuectlError]()
        for start in range(0, len(wanted), ACT_AT_ONCE):
            done = self._post(path, {"ids": list(wanted[start : start + ACT_AT_ONCE])})
            jobs += map(answers.job_of, done["jobs"])
            refused += map(problem_of, done["refused"])
            if progress:
                progress(len(jobs) + len(refused))
        return Changed(jobs=jobs, refused=refused)

    # --- settings ---------------------------------------------------------------------------

    def settings(self) -> Settings:
        """The settings in force."""
        return answers.settings_of(self._get("/config"))

    def set_setting(self, name: str, value: str) -> None:
        """Checks and keeps a setting. Jobs enqueued earlier keep theirs."""
        self._line.ask("PUT", _of_setting(name), None, {"value": value})

    def unset_setting(self, name: str) -> None:
        """Puts a setting back to its default."""
        self._line.ask("DELETE", _of_setting(name))

    # --- workers ----------------------------------------------------------------------------

    def workers(self) -> list[WorkerView]:
        """The workers alive now, and supervisors that outlived theirs."""
        return self._workers(self._get("/workers"))

    def _workers(self, documents: Sequence[answers.Document]) -> list[WorkerView]:
        busy = any(each["jobs"] or each.get("starting") for each in documents)
        running = self.find(Selector(states=(JobState.PROCESSING,))) if busy else []
        by_id = {job.id: job for job in running}
        return [answers.worker_of(each, by_id) for each in documents]

    def start_worker(
        self, count: int = 1, *, queues: Sequence[str] = (), name: str | None = None, drain: bool = False,
        poll: Duration | None = None, stop_timeout: Duration | None = None,
    ) -> str:  # fmt: skip
        """Starts a worker on the server's host, which outlives the server; see `Client.start_worker`."""
        given: JsonObject = {"count": count, "queues": list(queues), "drain": drain}
        times = {"poll": poll, "stop_timeout": stop_timeout}
        given |= {key: seconds_of(value) for key, value in times.items() if value is not None}
        started = self._post("/workers", given if name is None else {**given, "name": name})
        return str(started["name"])

    def ask_to_stop(self, names: Sequence[str], *, now: bool = False, all_hosts: bool = False) -> list[WorkerView]:
        """Asks workers (all of the server's host, of all hosts, or those named; GLOBs work) to stop; whom it asked."""
        return self._workers(self._post("/workers/stop", {"names": list(names), "now": now, "all_hosts": all_hosts}))

    def still_there(self, asked: Sequence[WorkerView]) -> list[WorkerView]:
        """Which of these workers have not gone yet."""
        there = {_identity(worker) for worker in self.workers()}
        return [worker for worker in asked if _identity(worker) in there]

    def stop_workers(
        self, names: str | Sequence[str] = (), *, now: bool = False, all_hosts: bool = False,
        timeout: Duration | None = None,
    ) -> list[WorkerView]:  # fmt: skip
        """Stops workers and waits until they have gone; see `Client.stop_workers`."""
        asked = self.ask_to_stop([names] if isinstance(names, str) else names, now=now, all_hosts=all_hosts)
        pause = Pause(timeout)
        while left := self.still_there(asked):
            pause.wait(not_yet("stopped", [worker.name for worker in left]))
        return asked

    # --- wait, follow -----------------------------------------------------------------------

    def wait(self, refs: str | Sequence[str], *, any: bool = False, timeout: Duration | None = None) -> list[Job]:
        """Blocks until these jobs (or any of them) have finished; those that have. Raises `TimeoutError`."""
        open_refs = [self.job(ref).id for ref in ([refs] if isinstance(refs, str) else refs)]
        finished: dict[str, Job] = {}
        pause = Pause(timeout)
        while True:
            finished.update({job.id: job for job in map(self.job, open_refs) if job.finished})
            open_refs = [ref for ref in open_refs if ref not in finished]
            if not open_refs or (any and finished):
                return list(finished.values())
            pause.wait(not_yet("finished", open_refs))

    def output(
        self, ref: str, *, attempt: int | None = None, stream: int | None = None, tail: int | None = None
    ) -> bytes:
        """What a job has written so far, by its latest start or the one numbered `attempt`; see `Client.output`."""
        given = {"attempt": attempt, "stream": stream_name(stream), "tail": tail}
        query = {name: value for name, value in given.items() if value is not None}
        return self._line.read("GET", f"{API}{_of_job(ref)}/output", query)

    def follow(
        self, ref: str, *, stream: int | None = None, tail: int | None = None, ticks: bool = False
    ) -> Generator[Piece, None, None]:
        """What a job writes, as it comes, until it has ended; see `Client.follow`.

        What is not UTF-8 comes as U+FFFD; `output` has the bytes. A stream that the server has ended (it ends old
        ones) is taken up again.
        """
        told: dict[tuple[int, int], int] = {}
        while True:
            seen: dict[tuple[int, int], int] = {}
            with closing(self._events(ref, stream, tail)) as events:
                for name, document in events:
                    if name == "end":
                        return
                    if name == "trouble":
                        raise problem_of({**document, "hint": "", "status": 500})
                    if name == "output":
                        yield from _news(document, seen, told)
                    elif ticks:
                        yield 0, b""
            if tail is not None and told:
                raise OperationFailed(f"the server ended the stream of job {ref}", "follow it again")
            time.sleep(AGAIN_AFTER_S)

    def _events(self, ref: str, stream: int | None, tail: int | None) -> Generator[tuple[str, Any], None, None]:
        given = {"stream": stream_name(stream), "tail": tail}
        query = {name: value for name, value in given.items() if value is not None}
        return self._line.events(f"{API}{_of_job(ref)}/output/stream", query)

    def afollow(self, ref: str, *, stream: int | None = None, tail: int | None = None) -> AsyncGenerator[Piece, None]:
        """The same for asyncio. The reading is done in threads; to stop early, cancel it or `aclose` it."""
        return asynchronously(self.follow(ref, stream=stream, tail=tail, ticks=True))


def _of_job(ref: str) -> str:
    if not may_be_id(ref):  # an address would lead elsewhere
        raise NotFound(f"no job {ref}", "see the ids with: queuectl list")
    return f"/jobs/{quote(ref, safe='')}"


def _of_setting(name: str) -> str:
    return f"{API}/config/{quote(canonical(name), safe='')}"


def _identity(worker: WorkerView) -> tuple[str, str, int, float]:
    return worker.name, worker.host, worker.pid, worker.started_at


def as_text(duration: Duration) -> str:
    """A duration as a query has it."""
    return f"{seconds_of(duration):.3f}"


def _query(selector: Selector) -> dict[str, Sequence[str | int]]:
    """A selection as the API has it."""
    given: dict[str, Sequence[str | int]] = {
        "state": [str(state) for state in selector.states], "queue": selector.queues, "tag": selector.tags,
        "owner": selector.owners, "exit_code": selector.exit_codes, "command": selector.commands,
        "error": selector.errors,
    }  # fmt: skip
    if selector.before is not None:
        given["older_than"] = [f"{max(0.0, SystemClock().now() - selector.before):.3f}"]
    return {name: values for name, values in given.items() if values}


def _selector(selector: Selector) -> JsonObject:
    """The same in a body, where to mean all jobs has to be said."""
    if selector.ids:
        raise Invalid("over HTTP jobs are not selected by id", "act on them by their ids")
    return dict(_query(selector)) or {"all": True}


def _document(given: JobRequest | Mapping[str, Any]) -> JsonObject:
    """What is asked for, as JSON. A time without a zone is the one who asks's, not the server's."""
    if isinstance(given, JobRequest):
        fields = {name: value for name, value in given._asdict().items() if value is not None and name != "spec"}
        document = {**fields, **given.spec, "run_at": format_time(given.run_at)}
        if (umask := given.spec.get("umask")) is not None:
            document["umask"] = f"{umask:04o}"
    else:
        document = dict(given)
    document = {name: as_json(value) for name, value in document.items()}
    when = document.get("run_at")
    if isinstance(when, str) and not when.strip().startswith("+"):
        document["run_at"] = format_time(parse_time(when, SystemClock().now(), "run_at"))
    return document


def _news(
    document: Mapping[str, Any], seen: dict[tuple[int, int], int], told: dict[tuple[int, int], int]
) -> Iterator[Piece]:
    """The piece in an event, less what has been told before the stream was taken up again."""
    which, data = (document["attempt"], document["stream"]), document["text"].encode()
    start = seen.get(which, 0)
    seen[which] = start + len(data)
    fresh = data[max(0, told.get(which, 0) - start) :]
    told[which] = max(told.get(which, 0), seen[which])
    if fresh:
        yield document["stream"], fresh
