"""Every operation of the API, one row each: the source of routes and the OpenAPI document."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from queuectl.client import actions, metrics
from queuectl.client.enqueueing import ON_CONFLICT
from queuectl.client.facade import DEEDS, GROUPS
from queuectl.client.figures import STRETCHES, STRETCHES_MAX
from queuectl.client.workers import SLOTS_MAX
from queuectl.web.feed import TOPICS
from queuectl.web.guard import Visitor
from queuectl.web.problems import Forbidden
from queuectl.web.rest import administration, dead, health, jobs, openapi, running, streaming
from queuectl.web.rest.operation import JSON, Answer, Operation, Parameter, query_of
from queuectl.web.rest.schemas import EXIT_CODE, NAME, WORKER
from queuectl.web.streams import MEDIA_TYPE as EVENTS
from queuectl.wire.schema import COUNT, DURATION, FLAG, STATE, STORABLE, TEXT, fixed, listed, nullable, optional, ref

API = "/api/v1"
TEXT_PLAIN = "text/plain; charset=utf-8"
JOBS, DLQ, ACTIVITY, ADMINISTRATION, SERVER = "Jobs", "Dead letter queue", "Activity", "Administration", "Server"


def _number(most: int, least: int = 1) -> dict[str, object]:
    return {"type": "integer", "minimum": least, "maximum": most}


SELECT = (
    Parameter("queue", STORABLE, "jobs of this queue", many=True),
    Parameter("tag", STORABLE, "jobs with this tag", many=True),
    Parameter("owner", STORABLE, "jobs enqueued by this user", many=True),
    Parameter("exit_code", EXIT_CODE, "jobs whose latest exit code is this", many=True),
    Parameter("command", STORABLE, "jobs whose command matches this GLOB, e.g. `ffmpeg *`", many=True),
    Parameter("error", STORABLE, "jobs whose error contains this", many=True),
    Parameter("older_than", DURATION, "jobs unchanged for this long"),
)
STATES = Parameter("state", STATE, "jobs in this state", many=True)
PAGE = (
    Parameter("limit", _number(jobs.PAGE_MAX), f"jobs on a page (default: {jobs.PAGE})"),
    Parameter("cursor", {"type": "string", "pattern": "^[1-9][0-9]{0,17}$"}, "go on here: `next` of the page before"),
    Parameter("oldest_first", FLAG, "oldest first instead of newest first"),
)
STREAM = Parameter("stream", {"type": "string", "enum": list(streaming.STREAMS)}, "only this stream of a split output")
TAIL = Parameter("tail", _number(streaming.LINES_MAX), "only this many last lines")

HISTORY = Answer(ref("History"), "the job, its executions and its events")
A_JOB = Answer(ref("Job"), "the job as it is now")
CHANGED = Answer(ref("Changed"), "counts, the first 1,000 changed jobs, and the first 100 refusals")
SELECTION = {JSON: ref("Selection")}


def _stream(*events: str) -> Answer:
    """Server-sent events, each with a JSON document as its data."""
    data = {"type": "string", "contentMediaType": JSON}
    event = {"type": "object", "properties": {"event": {"type": "string", "enum": list(events)}, "data": data}}
    return Answer(event, "server-sent events; the schema describes one", media_type=EVENTS)


def _acts() -> Sequence[Operation]:
    """Each action, on one job and on many."""
    made = []
    for action in (actions.RETRY, actions.CANCEL, actions.HOLD, actions.RELEASE):
        what = {"retry": "Run a job again", "cancel": "Cancel a job", "hold": "Hold a job: no worker starts it",
                "release": "Release a held job"}[action.verb]  # fmt: skip
        made.append(
            Operation("POST", f"{API}/jobs/{{id}}/{action.verb}", f"{action.verb}_job", JOBS, what,
                      jobs.act_on_one(action), (A_JOB,), fails=(404, 409))
        )  # fmt: skip
    for action in (actions.RETRY, actions.CANCEL, actions.HOLD, actions.RELEASE, actions.DELETE):
        made.append(
            Operation("POST", f"{API}/jobs/{action.verb}", f"{action.verb}_jobs", JOBS,
                      f"{action.verb.capitalize()} many jobs", jobs.act_on_many(action), (CHANGED,), body=SELECTION,
                      body_required=True)
        )  # fmt: skip
    return made


OPERATIONS: Sequence[Operation] = (
    Operation(
        "POST", f"{API}/jobs", "enqueue", JOBS, "Add a job, or many: all or none; durable once answered",
        jobs.enqueue,
        (
            Answer({"anyOf": [ref("Job"), listed(ref("Job"))]}, "the job, or the jobs in the order given", 201),
        ),
        query=(
            Parameter("on_conflict", {"type": "string", "enum": list(ON_CONFLICT)},
                      "if an id is taken: error (default) adds no job; ignore answers the job that has it"),
        ),
        body={JSON: {"anyOf": [ref("NewJob"), listed(ref("NewJob"))]}, jobs.LINES: TEXT}, body_required=True,
        fails=(409,),
    ),
    Operation(
        "POST", f"{API}/jobs/{{id}}/clone", "clone_job", JOBS,
        "Add a copy of a job with the changes in the body", jobs.clone,
        (Answer(ref("Job"), "the new job", 201),), body={JSON: ref("Changes")}, fails=(404, 409),
    ),
    Operation(
        "GET", f"{API}/jobs", "find_jobs", JOBS, "List matching jobs, by page", jobs.find,
        (Answer(ref("Page"), "newest first; `count` is null if it is not known without counting"),),
        query=(STATES, *SELECT, *PAGE),
    ),
    Operation("GET", f"{API}/jobs/{{id}}", "show_job", JOBS, "Show a job", jobs.show, (HISTORY,), fails=(404,)),
    Operation(
        "DELETE", f"{API}/jobs/{{id}}", "delete_job", JOBS, "Delete a job with its history and output", jobs.delete,
        (Answer(None, "deleted", 204),), query=(Parameter("force", FLAG, "cancel a running job first"),),
        fails=(404, 409),
    ),
    Operation(
        "GET", f"{API}/jobs/{{id}}/output", "read_output", JOBS, "Read a job's output so far",
        streaming.output,
        (
            Answer(TEXT, "the bytes as written", media_type=TEXT_PLAIN),
            Answer(TEXT, "the part given by the header Range", 206, TEXT_PLAIN),
        ),
        query=(
            Parameter("attempt", _number(streaming.ATTEMPT_MAX), "number of an attempt (default: latest)"), STREAM,
            TAIL, Parameter("download", FLAG, "as a file to save"),
        ),
        fails=(404, 416),
    ),
    Operation(
        "GET", f"{API}/jobs/{{id}}/output/stream", "follow_output", JOBS,
        "Follow a job's output over retries: events `output`, and `end` at the end", streaming.follow_output,
        (_stream("output", "end", "trouble"),), query=(STREAM, TAIL), fails=(404,),
    ),
    *_acts(),
    Operation(
        "POST", f"{API}/jobs/prune", "prune", JOBS,
        "Delete finished jobs: those selected, or else those beyond the retention settings", jobs.prune,
        (Answer(fixed(pruned=COUNT), "the number of deleted jobs; if it is `limit`, there may be more"),),
        body={JSON: optional(selector=ref("Selector"), limit=nullable(_number(jobs.PRUNE_MAX)))},
    ),
    Operation(
        "GET", f"{API}/dlq", "find_dead", DLQ, "List dead jobs with the last lines of their output, by page", dead.find,
        (Answer(ref("DeadPage"), "newest first"),), query=(*SELECT, *PAGE),
    ),
    Operation(
        "GET", f"{API}/dlq/groups", "group_dead", DLQ, "Group dead jobs by how they failed", dead.groups,
        (Answer(listed(ref("Group")), "largest group first"),),
        query=(*SELECT, Parameter("limit", _number(dead.GROUPS_MAX), f"most groups (default: {GROUPS})")),
    ),
    Operation("POST", f"{API}/dlq/retry", "retry_dead", DLQ, "Move dead jobs back to their queues",
              jobs.act_on_many(actions.RETRY_DEAD), (CHANGED,), body=SELECTION, body_required=True),
    Operation("POST", f"{API}/dlq/purge", "purge_dead", DLQ, "Delete dead jobs",
              jobs.act_on_many(actions.PURGE_DEAD), (CHANGED,), body=SELECTION, body_required=True),
    Operation("GET", f"{API}/status", "status", ACTIVITY, "Show workers, counts and the next retries", running.status,
              (Answer(ref("Status"), "the status"),),
              query=(Parameter("retries", _number(running.RETRIES_SHOWN_MAX, 0), "next retries (default: 5)"),)),
    Operation("GET", f"{API}/queues", "queues", ACTIVITY, "List queues that have jobs", running.queues,
              (Answer(listed(ref("Queue")), "each queue"),)),
    Operation("GET", f"{API}/queues/{{name}}", "queue", ACTIVITY, "Show a queue", running.queue,
              (Answer(ref("Queue"), "the queue"),), fails=(404,)),
    Operation("GET", f"{API}/workers", "workers", ACTIVITY, "List live workers", running.workers,
              (Answer(listed(ref("Worker")), "each worker"),)),
    Operation(
        "POST", f"{API}/workers", "start_worker", ACTIVITY,
        "Start a worker on the server's host; it outlives the server", running.start_worker,
        (Answer(fixed(name=TEXT, slots=COUNT), "the worker has started", 201),),
        body={
            JSON: optional(
                count=nullable(_number(SLOTS_MAX)), queues=listed(NAME), name=nullable(WORKER), drain=FLAG,
                poll=nullable(DURATION), stop_timeout=nullable(DURATION),
            )
        },
        fails=(409,),
    ),
    Operation(
        "POST", f"{API}/workers/stop", "stop_workers", ACTIVITY,
        "Stop workers once their commands finish; `now` ends the commands", running.stop_workers,
        (Answer(listed(ref("Worker")), "the workers asked; each exits when it is done", 202),),
        body={JSON: optional(names=listed(STORABLE), now=FLAG, all_hosts=FLAG)}, fails=(404,),
    ),
    Operation(
        "GET", f"{API}/stats", "stats", ACTIVITY, "Show throughput, failures, run and wait times", running.stats,
        (Answer(ref("Figures"), "over a window that ends now"),),
        query=(
            Parameter("window", DURATION, f"how far back, from 1s to 30d (default: {running.WINDOW})"),
            Parameter("stretches", _number(STRETCHES_MAX), f"number of parts (default: {STRETCHES})"),
        ),
    ),
    Operation(
        "GET", f"{API}/events", "events", ACTIVITY,
        "Follow events: `job`, `deed`, `snapshot`, and `skipped` if some were left out",
        streaming.events, (_stream("job", "deed", "skipped", "snapshot", "trouble"),),
        query=(
            Parameter("topics", {"type": "string", "enum": list(TOPICS)},
                      "events (default); snapshot: counts and rates once a second", many=True),
        ),
    ),
    Operation("GET", f"{API}/config", "settings", ADMINISTRATION, "List settings", administration.settings,
              (Answer(listed(ref("Setting")), "each setting"),)),
    Operation("GET", f"{API}/config/{{name}}", "setting", ADMINISTRATION, "Show a setting", administration.setting,
              (Answer(ref("Setting"), "the setting"),), fails=(404,)),
    Operation(
        "PUT", f"{API}/config/{{name}}", "set_setting", ADMINISTRATION, "Change a setting, for jobs added later",
        administration.set_setting, (Answer(ref("Setting"), "the setting"),),
        body={JSON: {**optional(value={"type": ["string", "number"]}), "required": ["value"]}}, body_required=True,
        fails=(404,),
    ),
    Operation("DELETE", f"{API}/config/{{name}}", "unset_setting", ADMINISTRATION, "Restore a setting's default",
              administration.unset_setting, (Answer(ref("Setting"), "the setting"),), fails=(404,)),
    Operation("GET", f"{API}/tokens", "tokens", ADMINISTRATION, "List tokens", administration.tokens,
              (Answer(listed(ref("Token")), "each token, without its text"),), full_only=True),
    Operation(
        "POST", f"{API}/tokens", "create_token", ADMINISTRATION, "Make a token and show it once",
        administration.create_token, (Answer(ref("NewToken"), "the token", 201),),
        body={
            JSON: {
                **optional(
                    name={"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$"},
                    role={"type": "string", "enum": ["full", "read-only"]},
                ),
                "required": ["name"],
            }
        },
        body_required=True, fails=(409,),
    ),
    Operation("DELETE", f"{API}/tokens/{{ref}}", "revoke_token", ADMINISTRATION, "Revoke a token, by name or id",
              administration.revoke_token, (Answer(None, "revoked", 204),), fails=(404,)),
    Operation(
        "GET", f"{API}/audit", "audit", ADMINISTRATION, "List what people did, latest first", administration.audit,
        (Answer(listed(ref("Deed")), "what people did"),),
        query=(
            Parameter("limit", _number(administration.DEEDS_MAX), f"most entries (default: {DEEDS})"),
            Parameter("before", {**COUNT, "minimum": 1}, "only entries before this id"),
        ),
        full_only=True,
    ),
    Operation("GET", "/healthz", "healthz", SERVER, "Check that the server answers", health.alive,
              (Answer(fixed(status=TEXT), "it answers"),), open=True),
    Operation("GET", "/readyz", "readyz", SERVER, "Check that the store answers too", health.ready,
              (Answer(fixed(status=TEXT), "it answers"),), open=True),
    Operation("GET", "/metrics", "metrics", SERVER, "Read metrics for Prometheus", health.exposition,
              (Answer(TEXT, "the metrics; in the OpenMetrics format if Accept asks for it",
                      media_type=metrics.PLAIN.content_type),)),
)  # fmt: skip


def routes() -> list[Route]:
    """A route for each path, and one for the document."""
    by_path: dict[str, dict[str, Operation]] = {}
    for operation in OPERATIONS:
        by_path.setdefault(operation.path, {})[operation.method] = operation
    made = [Route(_typed(path), _endpoint(methods), methods=list(methods)) for path, methods in by_path.items()]
    return [*made, Route("/openapi.json", _document)]


def _typed(path: str) -> str:
    """The path with a type for names of queues, which may contain slashes."""
    return path.replace("/queues/{name}", "/queues/{name:path}")


def _endpoint(methods: Mapping[str, Operation]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        operation = methods["GET" if request.method == "HEAD" else request.method]
        visitor: Visitor | None = getattr(request.state, "visitor", None)
        if operation.full_only and not (visitor and visitor.may_write):
            raise Forbidden("a read-only token may not see this", "use one with the role full")
        return await operation.handler(request, query_of(request, operation.query))

    return endpoint


@cache
def _encoded() -> bytes:
    return msgspec.json.encode(openapi.document(OPERATIONS))


async def _document(request: Request) -> Response:
    """The OpenAPI document."""
    return Response(_encoded(), media_type=JSON)
