"""Jobs over the REST API: converts requests, and splits large ones."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from queuectl.client.remote import answers
from queuectl.client.remote.connection import API, RemoteConnection, problem_of
from queuectl.client.values import Changed, Progress, WorkerView
from queuectl.clock import SystemClock
from queuectl.domain.errors import Invalid, NotFound, QueuectlError
from queuectl.domain.job import Job, JobState
from queuectl.domain.selector import Selector
from queuectl.wire.keywords import Duration, as_json, seconds_of
from queuectl.wire.kinds import JsonObject, may_be_id
from queuectl.wire.requests import JobRequest
from queuectl.wire.times import format_time, parse_time

PAGE = 1000
ACT_AT_ONCE = 100
"""Jobs acted on in one request, since an answer lists at most this many refusals."""
PRUNE_AT_ONCE = 10_000
"""Jobs deleted in one request, so that none lasts too long."""


def add(line: RemoteConnection, body: object, on_conflict: str) -> Any:
    """Adds a job, or a list of them. Returns the server's answer."""
    query = None if on_conflict == "error" else {"on_conflict": on_conflict}  # older servers do not know it
    return line.ask("POST", f"{API}/jobs", query, body)


def workers_of(line: RemoteConnection, documents: Sequence[answers.Document]) -> list[WorkerView]:
    """Workers with their running jobs, which the documents only name."""
    busy = any(each["jobs"] or each.get("starting") for each in documents)
    running = pages(line, Selector(states=(JobState.PROCESSING,))) if busy else ()
    by_id = {job.id: job for job, _ in running}
    return [answers.worker_of(each, by_id) for each in documents]


def given(**values: str | int | None) -> dict[str, str | int]:
    """A query of the values that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def pages(
    line: RemoteConnection, selector: Selector, limit: int | None = None, newest_first: bool = False
) -> Iterator[tuple[Job, str | None]]:
    """Matching jobs with their reasons, read in pages."""
    if selector.ids:
        raise Invalid("over HTTP jobs are not selected by id", "ask for each with job(id)")
    query, left, at = query_of(selector), limit, dict[str, str]()
    while left is None or left > 0:
        size = PAGE if left is None else min(PAGE, left)
        page = line.get("/jobs", {**query, **at, "limit": size, "oldest_first": str(not newest_first).lower()})
        yield from ((answers.job_of(each), each["reason"]) for each in page["jobs"])
        if page["next"] is None:
            return
        left, at = None if left is None else left - len(page["jobs"]), {"cursor": page["next"]}


def act(line: RemoteConnection, path: str, refs: str | Sequence[str], progress: Progress | None) -> Changed:
    """Acts on jobs by an operation of the API."""
    wanted = [refs] if isinstance(refs, str) else refs
    jobs, refused = list[Job](), list[QueuectlError]()
    for start in range(0, len(wanted), ACT_AT_ONCE):
        done = line.post(path, {"ids": list(wanted[start : start + ACT_AT_ONCE])})
        jobs += map(answers.job_of, done["jobs"])
        refused += map(problem_of, done["refused"])
        if progress:
            progress(len(jobs) + len(refused))
    return Changed(jobs=jobs, refused=refused)


def prune(line: RemoteConnection, selectors: Sequence[Selector], progress: Progress | None, limit: int | None) -> int:
    """Deletes finished jobs. Returns their number."""
    done, most = 0, sys.maxsize if limit is None else limit
    for wanted in map(_selector, selectors):
        more = True
        while more and done < most:
            size = min(PRUNE_AT_ONCE, most - done)
            pruned = line.post("/jobs/prune", {"selector": wanted, "limit": size})["pruned"]
            done, more = done + pruned, pruned == size
            if pruned and progress:
                progress(done)
    return done


def of_job(ref: str) -> str:
    """A job's path. Raises `NotFound` if it cannot be an id."""
    if not may_be_id(ref):  # it could lead to another path
        raise NotFound(f"no job {ref}", "see the ids with: queuectl list")
    return f"/jobs/{quote(ref, safe='')}"


def as_text(duration: Duration) -> str:
    """A duration as text for a query."""
    return f"{seconds_of(duration):.3f}"


def query_of(selector: Selector) -> dict[str, Sequence[str | int]]:
    """A selector as a query."""
    given: dict[str, Sequence[str | int]] = {
        "state": [str(state) for state in selector.states], "queue": selector.queues, "tag": selector.tags,
        "owner": selector.owners, "exit_code": selector.exit_codes, "command": selector.commands,
        "error": selector.errors,
    }  # fmt: skip
    if selector.before is not None:
        given["older_than"] = [f"{max(0.0, SystemClock().now() - selector.before):.3f}"]
    return {name: values for name, values in given.items() if values}


def _selector(selector: Selector) -> JsonObject:
    """A selector in a body, which must say if it means all jobs."""
    if selector.ids:
        raise Invalid("over HTTP jobs are not selected by id", "act on them by their ids")
    return dict(query_of(selector)) or {"all": True}


def document_of(given: JobRequest | Mapping[str, Any]) -> JsonObject:
    """A new job as JSON. A time without a zone is local to the client, not to the server."""
    if isinstance(given, JobRequest):
        document = {**given.columns, **given.spec, "command": given.command, "id": given.id, "delay": given.delay}
        document["run_at"] = format_time(given.run_at)
        if (umask := given.spec.get("umask")) is not None:
            document["umask"] = f"{umask:04o}"
    else:
        document = dict(given)
    document = {name: as_json(value) for name, value in document.items()}
    when = document.get("run_at")
    if isinstance(when, str) and not when.strip().startswith("+"):
        document["run_at"] = format_time(parse_time(when, SystemClock().now(), "run_at"))
    return document
