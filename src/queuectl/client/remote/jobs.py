"""Jobs over the REST API: converts requests, and splits large ones."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence

from queuectl.client.operation import Operation
from queuectl.client.operations import FIND, PRUNE, PRUNE_MAX
from queuectl.client.remote import answers
from queuectl.client.remote.connection import RemoteConnection, problem_of
from queuectl.client.remote.request import selector_of
from queuectl.client.values import Changed, Progress, WorkerView
from queuectl.clock import SystemClock
from queuectl.domain.errors import Invalid, QueuectlError
from queuectl.domain.job import Job, JobState
from queuectl.domain.selector import Selector
from queuectl.typed import Any
from queuectl.wire.keywords import as_json, each_id
from queuectl.wire.kinds import JsonObject
from queuectl.wire.requests import JobRequest
from queuectl.wire.times import format_time, parse_time

PAGE = 1000
ACT_AT_ONCE = 100
"""Jobs acted on in one request, since an answer lists at most this many refusals."""
PRUNE_AT_ONCE = PRUNE_MAX
"""Jobs deleted in one request, so that none lasts too long."""
TIMES = ("run_at", "start_by")


def workers_of(line: RemoteConnection, documents: Sequence[answers.Document]) -> list[WorkerView]:
    """Workers with their running jobs, which the documents only name."""
    busy = any(each["jobs"] or each.get("starting") for each in documents)
    running = pages(line, Selector(states=(JobState.PROCESSING,))) if busy else ()
    by_id = {job.id: job for job, _ in running}
    return [answers.worker_of(each, by_id) for each in documents]


def pages(
    line: RemoteConnection, selector: Selector, limit: int | None = None, newest_first: bool = False
) -> Iterator[tuple[Job, str | None]]:
    """Matching jobs with their reasons, read in pages."""
    left, at = limit, None
    while left is None or left > 0:
        size = PAGE if left is None else min(PAGE, left)
        page = line.call(FIND, selector=selector, cursor=at, limit=size, oldest_first=not newest_first)
        yield from ((answers.job_of(each), each["reason"]) for each in page["jobs"])
        if page["next"] is None:
            return
        left, at = None if left is None else left - len(page["jobs"]), page["next"]


def act(
    line: RemoteConnection, operation: Operation[Any], refs: str | Sequence[str], progress: Progress | None,
    **more: Any,
) -> Changed:  # fmt: skip
    """Acts on jobs by an operation on many, with `more` arguments."""
    wanted = list(each_id(refs))
    jobs, refused = list[Job](), list[QueuectlError]()
    for start in range(0, len(wanted), ACT_AT_ONCE):
        done = line.call(operation, ids=wanted[start : start + ACT_AT_ONCE], **more)
        jobs += map(answers.job_of, done["jobs"])
        refused += map(problem_of, done["refused"])
        if progress:
            progress(len(jobs) + len(refused))
    return Changed(jobs=jobs, refused=refused)


def prune(line: RemoteConnection, selectors: Sequence[Selector], progress: Progress | None, limit: int | None) -> int:
    """Deletes finished jobs. Returns their number."""
    done, most = 0, sys.maxsize if limit is None else limit
    # servers of before took jobs alone where a selector did not say
    parts = [
        each._replace(hooks=hooks)
        for each in selectors
        for hooks in ((False, True) if each.hooks is None else (each.hooks,))
    ]
    for wanted in parts:
        more = True
        while more and done < most:
            size = min(PRUNE_AT_ONCE, most - done)
            which = {**selector_of(wanted), "hooks": wanted.hooks}
            pruned = line.call(PRUNE, selector=which, limit=size)["pruned"]
            done, more = done + pruned, pruned == size
            if pruned and progress:
                progress(done)
    return done


def document_of(given: JobRequest | Mapping[str, Any]) -> JsonObject:
    """A new job as JSON. A time without a zone is local to the client, not to the server."""
    if isinstance(given, JobRequest):
        document = {**given._asdict(), **given.columns, **given.spec}
        del document["columns"], document["spec"]
        document |= {key: format_time(document[key]) for key in TIMES}
        if (umask := document.get("umask")) is not None:
            document["umask"] = f"{umask:04o}"
        return {name: as_json(value) for name, value in document.items() if value is not None}
    if not isinstance(given, Mapping):
        raise Invalid(f"a job must be a mapping of its keys, not {given!r}", "enqueue([{'command': 'echo hello'}])")
    document = {name: as_json(value) for name, value in given.items()}
    for key in TIMES:
        when = document.get(key)
        if isinstance(when, str) and not when.strip().startswith("+"):
            document[key] = format_time(parse_time(when, SystemClock().now(), key))
    return document
