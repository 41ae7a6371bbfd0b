"""Adds, finds and shows jobs, and acts on one or many."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from io import BytesIO
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from queuectl.client import documents
from queuectl.client.actions import RETRY_DOWN, Action, setting
from queuectl.client.facade import Client
from queuectl.client.operations import LINES, PRUNE_MAX
from queuectl.client.values import BATCH
from queuectl.domain.errors import Invalid, QueuectlError
from queuectl.domain.fields import FIELDS
from queuectl.domain.job import Job, JobState
from queuectl.domain.selector import Selector
from queuectl.store.selections import Refs
from queuectl.typed import Any
from queuectl.web import problems
from queuectl.web.ask import ask
from queuectl.web.rest.once import HEADER, REPLAYED, Once
from queuectl.web.rest.operation import (
    Given,
    answer,
    chosen,
    json_body,
    media_type_of,
    object_body,
    only,
    shown,
    shown_jobs,
    strictly_decoded,
)
from queuectl.wire.jobs import job_to_json
from queuectl.wire.kinds import JsonObject, check_flag
from queuectl.wire.reading import read_lines
from queuectl.wire.requests import INPUT_KEYS, JobRequest, parse_each, parse_request
from queuectl.wire.selections import parse_selection

JOB_KEYS = [field.name for field in FIELDS if field.shown]
TAKEN = (*INPUT_KEYS, *(field.name for field in FIELDS if field.setter == "ignored"))
"""Keys of a new job, and those that are accepted and ignored."""
JOBS_SHOWN_MAX = 1000
"""Most jobs that the answer to an action lists; all are counted."""
REFUSED_SHOWN_MAX = 100
IDS_MAX = 10_000
END_WITHIN_S, LOOK_EVERY_S = 30.0, 0.2


# --- adding ---------------------------------------------------------------------------------


async def enqueue(request: Request, given: Given) -> Response:
    """Adds a job, or a list of jobs: all or none."""
    body, once = await request.body(), Once(request)
    on_conflict = given["on_conflict"]

    def add(client: Client) -> Response:  # parses the body too, so that other requests need not wait
        now = client.now()
        if media_type_of(request) == LINES:
            if once:
                raise Invalid(f"{HEADER} is for jobs in JSON", "send a list, or give each line an id")
            read = client.enqueue_read(read_lines(BytesIO(body), "the body", now), on_conflict)
            added = [job for page in read.pages() for job in page]
            return answer(shown_jobs(request, client, added), 201)
        wanted = strictly_decoded(request, body)
        is_list = isinstance(wanted, list)
        one = partial(parse_request, now=now)
        requests = parse_each(wanted, one) if is_list else [one(wanted)]
        jobs, is_replayed = _added(client, once, wanted, requests, on_conflict)
        documents = shown_jobs(request, client, jobs)
        headers = REPLAYED if is_replayed else {}
        if is_list:
            return answer(documents, 201, headers)
        (one_job,) = documents
        return answer(one_job, 201, {"Location": f"/api/v1/jobs/{quote(one_job['id'])}", **headers})

    return await ask(request, add)


def _added(
    client: Client, once: Once, document: Any, requests: Sequence[JobRequest], on_conflict: str | None
) -> tuple[Sequence[Job], bool]:
    """The new jobs; or those of an earlier request with the same key, and True."""

    def add(requests: Sequence[JobRequest]) -> list[Job]:
        return client.enqueue(requests, on_conflict=on_conflict)

    return once.enqueue(client, document, requests, add) if once else (add(requests), False)


async def clone(request: Request, given: Given) -> Response:
    """Adds a copy of a job with the changes in the body."""
    ref, once = given["id"], Once(request)
    changes = await object_body(request, *TAKEN)

    def add(client: Client) -> Response:
        def made(requests: Sequence[JobRequest]) -> list[Job]:
            own = {"id": requests[0].id} if requests[0].id else {}
            return [client.clone(ref, {**changes, **own}, on_conflict=given["on_conflict"])]

        command = changes.get("command", client.job(ref).command)
        like = JobRequest(tuple(command) if isinstance(command, list) else command, id=changes.get("id"))
        jobs, is_replayed = once.enqueue(client, changes, [like], made) if once else (made([like]), False)
        (added,) = shown_jobs(request, client, jobs)
        headers = REPLAYED if is_replayed else {}
        return answer(added, 201, {"Location": f"/api/v1/jobs/{quote(added['id'])}", **headers})

    return await ask(request, add)


# --- looking --------------------------------------------------------------------------------


async def find(request: Request, given: Given) -> Response:
    """A page of matching jobs, newest first."""
    names = chosen(given["fields"], JOB_KEYS)

    def plain(request: Request, client: Client, jobs: Sequence[Job]) -> list[JsonObject]:
        if not names or "reason" in names:
            return shown_jobs(request, client, jobs)
        return [shown(request, job_to_json(job)) for job in jobs]

    return answer(await ask(request, lambda client: page(request, client, given, Selector(), plain, names)))


def page(
    request: Request, client: Client, given: Given, among: Selector,
    made: Callable[[Request, Client, Sequence[Job]], list[JsonObject]], names: Sequence[str],
) -> JsonObject:  # fmt: skip
    """A page of jobs with the next page's cursor, and the total if the store knows it without counting.

    `names` are the wanted keys of each job; all if there are none.
    """
    limit = given["limit"]
    selector = parse_selection(given["selector"], client.now())
    if among.states:
        selector = selector._replace(states=among.states)
    jobs = client.page(selector, limit + 1, newest_first=not given["oldest_first"], after=given["cursor"])
    more, jobs = len(jobs) > limit, jobs[:limit]
    return {
        "jobs": [only(each, names) for each in made(request, client, jobs)],
        "next": str(jobs[-1].seq) if more else None, "count": client.known_count(selector),
    }  # fmt: skip


async def show(request: Request, given: Given) -> Response:
    """A job with its executions and events."""
    ref, names = given["id"], chosen(given["fields"], (*JOB_KEYS, "executions", "events"))
    history = await ask(request, lambda client: client.history(ref))
    return answer(only(shown(request, documents.history_to_json(history)), names))


# --- acting ---------------------------------------------------------------------------------


def act_on_one(action: Action) -> Any:
    """A handler that acts on the job in the path."""

    async def handler(request: Request, given: Given) -> Response:
        ref = given["id"]

        def act(client: Client) -> JsonObject:
            changed = client.act(RETRY_DOWN if given.get("cascade") else action, [ref])
            if changed.refused:
                raise changed.refused[0]
            return shown_jobs(request, client, changed.jobs)[0]

        return answer(await ask(request, act))

    return handler


async def set_one(request: Request, given: Given) -> Response:
    """Changes what a job is to do."""
    action = setting(await json_body(request), await ask(request, lambda client: client.now()))
    return await act_on_one(action)(request, given)  # type: ignore[no-any-return]


async def set_many(request: Request, given: Given) -> Response:
    """Changes what the jobs of a selection are to do."""
    action = setting(given["changes"], await ask(request, lambda client: client.now()))
    return await act_on_many(action)(request, given)  # type: ignore[no-any-return]


async def move(request: Request, given: Given) -> Response:
    """Moves a job in line."""

    def do(client: Client) -> JsonObject:
        moved = client.move(given["id"], before=given["before"], front=given["front"])
        return shown_jobs(request, client, [moved])[0]

    return answer(await ask(request, do))


async def delete(request: Request, given: Given) -> Response:
    """Deletes a job; with `force`, cancels a running one first."""
    ref = given["id"]

    def remove(client: Client) -> None:
        if refused := client.delete([ref]).refused:
            raise refused[0]

    if given["force"]:
        await _end(request, ref)
    await ask(request, remove)
    return Response(status_code=204)


async def _end(request: Request, ref: str) -> None:
    """Cancels a running job, and waits up to `END_WITHIN_S` for its command to end, without holding a thread."""

    def cancel(client: Client) -> bool:
        job = client.job(ref)
        if job.state is JobState.PROCESSING and not job.cancel_requested:
            client.cancel([job.id])
        return job.state is JobState.PROCESSING

    deadline = time.monotonic() + END_WITHIN_S
    while await ask(request, cancel) and time.monotonic() < deadline:
        await asyncio.sleep(LOOK_EVERY_S)


def act_on_many(action: Action) -> Any:
    """A handler that acts on the jobs of a selection: ids or a selector."""

    async def handler(request: Request, given: Given) -> Response:
        refs, selector, after, limit = (given[name] for name in ("ids", "selector", "cursor", "limit"))
        if bool(refs) == (selector is not None):
            raise Invalid("give either ids or a selector", '{"ids": ["job1"]} or {"selector": {"state": ["dead"]}}')
        if refs and not (limit is None and after is None):
            raise Invalid("limit and cursor go with a selector", "leave them out")
        if len(refs) > IDS_MAX:
            raise Invalid(f"{len(refs):,} ids are more than {IDS_MAX:,}", "select jobs with a selector")
        act = _Act(request, RETRY_DOWN if given.get("cascade") else action, given["dry_run"])
        if refs:
            await act.named(refs)
        else:
            await act.selected(selector, after, limit)
        return answer(act.document())

    return handler


async def prune(request: Request, given: Given) -> Response:
    """Deletes finished jobs: those that match a selector, or else those beyond the retention settings. Hooks are jobs,
    too, unless the selector says which are meant."""
    selector = given["selector"]

    def do(client: Client) -> int:
        if selector is None:
            selectors = client.retention()
        else:
            wanted = selector_in(selector, client.now())
            selectors = [wanted if "hooks" in selector else wanted._replace(hooks=None)]
        return client.prune(selectors, limit=given["limit"] or PRUNE_MAX)

    return answer({"pruned": await ask(request, do)})


class _Act:
    """An action on many jobs, in batches, so that other requests get their turn."""

    def __init__(self, request: Request, action: Action, dry_run: bool) -> None:
        self._request = request
        self._action = action
        self._dry_run = dry_run
        self._matched = 0
        self._changed = 0
        self._jobs: list[JsonObject] = []
        self._refused: list[QueuectlError] = []
        self._next: int | None = None

    async def named(self, refs: Sequence[str]) -> None:
        """Acts on these jobs."""
        for start in range(0, len(refs), BATCH):
            batch = refs[start : start + BATCH]
            self._matched += len(batch)
            await ask(self._request, lambda client, batch=batch: self._do(client, batch))  # type: ignore[misc]

    async def selected(self, given: object, after: int | None, limit: int | None) -> None:
        """Acts on the selector's jobs in the action's states: on all, or on up to `limit` after job number `after`."""
        selector = await ask(self._request, lambda client: selector_in(given, client.now()))
        among, concerns, latest = self._action.among(selector), self._action.concerns, None
        left = sys.maxsize if limit is None else limit

        def batch(client: Client) -> int | None:
            """Acts on up to `BATCH` jobs. Returns the last job's number, or None at the end."""
            nonlocal left, latest
            size = min(BATCH, left)
            assert among is not None
            jobs = client.selected(among, concerns, latest)
            found, latest = jobs.batch(after, size), jobs.latest
            left -= size
            self._matched += len(found.seqs)
            self._do(client, found.seqs)
            return found.last

        if among is None:
            return
        if self._dry_run and limit is None:
            self._matched = await ask(self._request, lambda client: client.selected(among, concerns).count())
            return
        while (after := await ask(self._request, batch)) is not None:
            if limit is not None and not left:
                self._next = after
                break

    def _do(self, client: Client, refs: Refs) -> None:
        if self._dry_run or not refs:
            return
        changed = client.act(self._action, refs)
        self._changed += len(changed.jobs)
        self._refused += changed.refused[: REFUSED_SHOWN_MAX - len(self._refused)]
        room = JOBS_SHOWN_MAX - len(self._jobs)
        self._jobs += shown_jobs(self._request, client, changed.jobs[: max(0, room)])

    def document(self) -> JsonObject:
        """The answer."""
        return {
            "dry_run": self._dry_run, "matched": self._matched, "changed": self._changed, "jobs": self._jobs,
            "refused": [problems.document(error) for error in self._refused],
            "next": None if self._next is None else str(self._next),
        }  # fmt: skip


def selector_in(given: object, now: float) -> Selector:
    """A selector in a body. Raises `Invalid` if it is empty without `all`."""
    if not isinstance(given, dict):
        raise Invalid("selector must be an object", '{"state": ["dead"]}')
    words: dict[str, list[str]] = {}
    for key, value in given.items():
        if key == "all":
            check_flag(value, "all")
        elif key == "hooks":
            words[key] = [str(check_flag(value, "hooks"))]
        else:
            words[key] = _words(key, value)
    selector = parse_selection(words, now)
    if selector == Selector() and not given.get("all"):
        raise Invalid("the selector is empty", 'say which jobs, or {"all": true}')
    return selector


def _words(key: str, value: object) -> list[str]:
    """One value or a list of them, as words of a command line."""
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(each, (str, int, float)) and not isinstance(each, bool) for each in values):
        raise Invalid(f"selector's {key} must be a list of texts or numbers")
    return [str(each) for each in values]
