"""Every operation of the API, one row each. Routes and the OpenAPI document come from this table."""

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
JOBS, DLQ, GOING_ON, ADMINISTRATION, SERVER = "Jobs", "Dead letter queue", "What goes on", "Administration", "Server"


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
    Parameter("limit", _number(jobs.PAGE_MAX), f"jobs a page, {jobs.PAGE} unless given"),
    Parameter("cursor", {"type": "string", "pattern": "^[1-9][0-9]{0,17}$"}, "where to go on: `next` of a page"),
    Parameter("oldest_first", FLAG, "in the order of enqueueing instead of the newest first"),
)
STREAM = Parameter("stream", {"type": "string", "enum": list(streaming.STREAMS)}, "one of them, where they are split")
TAIL = Parameter("tail", _number(streaming.LINES_MAX), "only so many last lines")

HISTORY = Answer(ref("History"), "the job, each execution, and what happened to it")
A_JOB = Answer(ref("Job"), "the job as it is now")
CHANGED = Answer(ref("Changed"), "what was done; the first 1,000 jobs, and the first 100 that were refused")
SELECTION = {JSON: ref("Selection")}


def _stream(*events: str) -> Answer:
    """Server-sent events, each with a JSON document as its data."""
    data = {"type": "string", "contentMediaType": JSON}
    event = {"type": "object", "properties": {"event": {"type": "string", "enum": list(events)}, "data": data}}
    return Answer(event, "server-sent events; the schema is that of one", media_type=EVENTS)


def _acts() -> Sequence[Operation]:
    """A verb on one job, and on many."""
    made = []
    for action in (actions.RETRY, actions.CANCEL, actions.HOLD, actions.RELEASE):
        what = {"retry": "Runs a job again", "cancel": "Ends a job for good", "hold": "Keeps a job from being started",
                "release": "Lets a held job be started"}[action.verb]  # fmt: skip
        made.append(
            Operation("POST", f"{API}/jobs/{{id}}/{action.verb}", f"{action.verb}_job", JOBS, what,
                      jobs.act_on_one(action), (A_JOB,), fails=(404, 409))
        )  # fmt: skip
    for action in (actions.RETRY, actions.CANCEL, actions.HOLD, actions.RELEASE, actions.DELETE):
        made.append(
            Operation("POST", f"{API}/jobs/{action.verb}", f"{action.verb}_jobs", JOBS,
                      f"The same to many jobs: {action.verb}", jobs.act_on_many(action), (CHANGED,), body=SELECTION,
                      body_required=True)
        )  # fmt: skip
    return made


OPERATIONS: Sequence[Operation] = (
    Operation(
        "POST", f"{API}/jobs", "enqueue", JOBS, "Adds a job, or many, all or none; durable when answered",
        jobs.enqueue,
        (
            Answer({"anyOf": [ref("Job"), listed(ref("Job"))]}, "the job, or the jobs, as given", 201),
        ),
        query=(
            Parameter("on_conflict", {"type": "string", "enum": list(ON_CONFLICT)},
                      "error (unless given) refuses them all where an id is taken; ignore answers the job that has it"),
        ),
        body={JSON: {"anyOf": [ref("NewJob"), listed(ref("NewJob"))]}, jobs.LINES: TEXT}, body_required=True,
        fails=(409,),
    ),
    Operation(
        "POST", f"{API}/jobs/{{id}}/clone", "clone_job", JOBS,
        "Adds the same job once more, with what the body changes", jobs.clone,
        (Answer(ref("Job"), "the new job", 201),), body={JSON: ref("Changes")}, fails=(404, 409),
    ),
    Operation(
        "GET", f"{API}/jobs", "find_jobs", JOBS, "A page of the jobs that match", jobs.find,
        (Answer(ref("Page"), "the newest first; `count` is null where it would have to be counted"),),
        query=(STATES, *SELECT, *PAGE),
    ),
    Operation("GET", f"{API}/jobs/{{id}}", "show_job", JOBS, "All about a job", jobs.show, (HISTORY,), fails=(404,)),
    Operation(
        "DELETE", f"{API}/jobs/{{id}}", "delete_job", JOBS, "Removes a job with its history and output", jobs.delete,
        (Answer(None, "it is gone", 204),), query=(Parameter("force", FLAG, "cancel it first, if it runs"),),
        fails=(404, 409),
    ),
    Operation(
        "GET", f"{API}/jobs/{{id}}/output", "read_output", JOBS, "What a job's command has written so far",
        streaming.output,
        (
            Answer(TEXT, "the bytes as they were written", media_type=TEXT_PLAIN),
            Answer(TEXT, "the part that the header Range asks for", 206, TEXT_PLAIN),
        ),
        query=(
            Parameter("attempt", _number(streaming.ATTEMPT_MAX), "of this attempt; the latest unless given"), STREAM,
            TAIL, Parameter("download", FLAG, "as a file to be saved"),
        ),
        fails=(404, 416),
    ),
    Operation(
        "GET", f"{API}/jobs/{{id}}/output/stream", "follow_output", JOBS,
        "Its output as it is written, over retries: events `output`, at the end `end`", streaming.follow_output,
        (_stream("output", "end", "trouble"),), query=(STREAM, TAIL), fails=(404,),
    ),
    *_acts(),
    Operation(
        "POST", f"{API}/jobs/prune", "prune", JOBS,
        "Deletes finished jobs: those selected, or else those that the retention settings say", jobs.prune,
        (Answer(fixed(pruned=COUNT), "how many; as many as `limit` where there may be more"),),
        body={JSON: optional(selector=ref("Selector"), limit=nullable(_number(jobs.PRUNE_MAX)))},
    ),
    Operation(
        "GET", f"{API}/dlq", "find_dead", DLQ, "A page of the dead jobs, with the last lines they wrote", dead.find,
        (Answer(ref("DeadPage"), "the newest first"),), query=(*SELECT, *PAGE),
    ),
    Operation(
        "GET", f"{API}/dlq/groups", "group_dead", DLQ, "Dead jobs by queue, command, exit code and error", dead.groups,
        (Answer(listed(ref("Group")), "the largest groups first"),),
        query=(*SELECT, Parameter("limit", _number(dead.GROUPS_MAX), f"groups, {GROUPS} unless given")),
    ),
    Operation("POST", f"{API}/dlq/retry", "retry_dead", DLQ, "Takes dead jobs back into their queues",
              jobs.act_on_many(actions.RETRY_DEAD), (CHANGED,), body=SELECTION, body_required=True),
    Operation("POST", f"{API}/dlq/purge", "purge_dead", DLQ, "Deletes dead jobs",
              jobs.act_on_many(actions.PURGE_DEAD), (CHANGED,), body=SELECTION, body_required=True),
    Operation("GET", f"{API}/status", "status", GOING_ON, "Workers, counts, what comes next", running.status,
              (Answer(ref("Status"), "the whole at a glance"),),
              query=(Parameter("retries", _number(running.RETRIES_SHOWN_MAX, 0), "next retries, 5 unless given"),)),
    Operation("GET", f"{API}/queues", "queues", GOING_ON, "Queues that have jobs", running.queues,
              (Answer(listed(ref("Queue")), "each queue"),)),
    Operation("GET", f"{API}/queues/{{name}}", "queue", GOING_ON, "One queue", running.queue,
              (Answer(ref("Queue"), "the queue"),), fails=(404,)),
    Operation("GET", f"{API}/workers", "workers", GOING_ON, "The workers alive now", running.workers,
              (Answer(listed(ref("Worker")), "each worker"),)),
    Operation(
        "POST", f"{API}/workers", "start_worker", GOING_ON,
        "Starts a worker on the server's host, which outlives the server", running.start_worker,
        (Answer(fixed(name=TEXT, slots=COUNT), "it serves", 201),),
        body={
            JSON: optional(
                count=nullable(_number(SLOTS_MAX)), queues=listed(NAME), name=nullable(WORKER), drain=FLAG,
                poll=nullable(DURATION), stop_timeout=nullable(DURATION),
            )
        },
        fails=(409,),
    ),
    Operation(
        "POST", f"{API}/workers/stop", "stop_workers", GOING_ON,
        "Asks workers to finish what they run and leave; `now` ends their commands", running.stop_workers,
        (Answer(listed(ref("Worker")), "those asked; they go when they are done", 202),),
        body={JSON: optional(names=listed(STORABLE), now=FLAG, all_hosts=FLAG)}, fails=(404,),
    ),
    Operation(
        "GET", f"{API}/stats", "stats", GOING_ON, "Throughput, failures, run and wait times", running.stats,
        (Answer(ref("Figures"), "over a window that ends now"),),
        query=(
            Parameter("window", DURATION, f"how far back, from 1s to 30d; {running.WINDOW} unless given"),
            Parameter("stretches", _number(STRETCHES_MAX), f"in how many parts, {STRETCHES} unless given"),
        ),
    ),
    Operation(
        "GET", f"{API}/events", "events", GOING_ON,
        "What happens, as it happens: events `job` and `deed`; `skipped` where some were passed over; `snapshot`",
        streaming.events, (_stream("job", "deed", "skipped", "snapshot", "trouble"),),
        query=(
            Parameter("topics", {"type": "string", "enum": list(TOPICS)},
                      "events (unless given), snapshot: the whole in numbers once a second", many=True),
        ),
    ),
    Operation("GET", f"{API}/config", "settings", ADMINISTRATION, "Every setting", administration.settings,
              (Answer(listed(ref("Setting")), "each setting"),)),
    Operation("GET", f"{API}/config/{{name}}", "setting", ADMINISTRATION, "One setting", administration.setting,
              (Answer(ref("Setting"), "the setting"),), fails=(404,)),
    Operation(
        "PUT", f"{API}/config/{{name}}", "set_setting", ADMINISTRATION, "Changes a setting for new jobs",
        administration.set_setting, (Answer(ref("Setting"), "the setting"),),
        body={JSON: {**optional(value={"type": ["string", "number"]}), "required": ["value"]}}, body_required=True,
        fails=(404,),
    ),
    Operation("DELETE", f"{API}/config/{{name}}", "unset_setting", ADMINISTRATION, "Puts a setting back to its default",
              administration.unset_setting, (Answer(ref("Setting"), "the setting"),), fails=(404,)),
    Operation("GET", f"{API}/tokens", "tokens", ADMINISTRATION, "Who may come in", administration.tokens,
              (Answer(listed(ref("Token")), "each token; what it is, nobody can see"),), full_only=True),
    Operation(
        "POST", f"{API}/tokens", "create_token", ADMINISTRATION, "Makes a token, and shows it once",
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
    Operation("DELETE", f"{API}/tokens/{{ref}}", "revoke_token", ADMINISTRATION, "Ends a token, by name or id",
              administration.revoke_token, (Answer(None, "nobody comes in with it any more", 204),), fails=(404,)),
    Operation(
        "GET", f"{API}/audit", "audit", ADMINISTRATION, "Who did what, the latest first", administration.audit,
        (Answer(listed(ref("Deed")), "what people did"),),
        query=(
            Parameter("limit", _number(administration.DEEDS_MAX), f"how many, {DEEDS} unless given"),
            Parameter("before", {**COUNT, "minimum": 1}, "only those before this id"),
        ),
        full_only=True,
    ),
    Operation("GET", "/healthz", "healthz", SERVER, "Whether the server lives", health.alive,
              (Answer(fixed(status=TEXT), "it does"),), open=True),
    Operation("GET", "/readyz", "readyz", SERVER, "Whether the store answers, too", health.ready,
              (Answer(fixed(status=TEXT), "it does"),), open=True),
    Operation("GET", "/metrics", "metrics", SERVER, "Metrics for Prometheus", health.exposition,
              (Answer(TEXT, "the metrics; as OpenMetrics where Accept asks for it",
                      media_type=metrics.PLAIN.content_type),)),
)  # fmt: skip


def routes() -> list[Route]:
    """A route a path, and the document."""
    by_path: dict[str, dict[str, Operation]] = {}
    for operation in OPERATIONS:
        by_path.setdefault(operation.path, {})[operation.method] = operation
    made = [Route(_typed(path), _endpoint(methods), methods=list(methods)) for path, methods in by_path.items()]
    return [*made, Route("/openapi.json", _document)]


def _typed(path: str) -> str:
    """The names of queues may have slashes in them."""
    return path.replace("/queues/{name}", "/queues/{name:path}")


def _endpoint(methods: Mapping[str, Operation]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        operation = methods["GET" if request.method == "HEAD" else request.method]
        visitor: Visitor | None = getattr(request.state, "visitor", None)
        if operation.full_only and not (visitor and visitor.may_write):
            raise Forbidden("a read-only token may not see that", "use one with the role full")
        return await operation.handler(request, query_of(request, operation.query))

    return endpoint


@cache
def _encoded() -> bytes:
    return msgspec.json.encode(openapi.document(OPERATIONS))


async def _document(request: Request) -> Response:
    """The OpenAPI document."""
    return Response(_encoded(), media_type=JSON)
