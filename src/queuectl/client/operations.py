"""Every use case, one row each. REST routes, the API's document, the client over HTTP, plain commands and the console's
list of commands follow from these rows.

A plain use case has its row next to its function, in one of the `ROOMS`, and needs nothing else. Rows without a
function are here: each interface has its own handler, found by the row's name.
"""

from __future__ import annotations

from queuectl.client import (
    batches,
    config,
    explaining,
    graph,
    history,
    locks,
    queues,
    restarting,
    schedule_views,
    schedules,
    setting,
    tokens,
)
from queuectl.client.actions import ACTIONS, ON_ONE, SET_JOB, SET_JOBS
from queuectl.client.operation import (
    ACTIVITY,
    API,
    CURSOR,
    DEAD,
    DLQ,
    DURATION,
    FLAG,
    JOB,
    JOBS,
    JSON,
    NAME,
    SELECTION,
    SERVER,
    TEXT,
    Answer,
    Argument,
    Kind,
    Operation,
    number,
    one_of,
    rows_of,
)
from queuectl.domain.unique import Rule
from queuectl.typed import Any
from queuectl.wire import schema
from queuectl.wire.schema import COUNT, fixed, listed, nullable, optional, ref
from queuectl.wire.workers import SLOTS_MAX

ROOMS = (batches, queues, locks, schedule_views, schedules, setting, restarting, config, tokens, history)

LINES = "application/x-ndjson"
EVENT_STREAM = "text/event-stream"
TEXT_PLAIN = "text/plain; charset=utf-8"
METRICS = "text/plain; version=0.0.4; charset=utf-8"

PAGE, PAGE_MAX = 50, 1000
PRUNE_MAX = 10_000
LINES_MAX, ATTEMPT_MAX = 1_000_000, 1 << 31
RETRIES_SHOWN, RETRIES_SHOWN_MAX = 5, 100
STREAMS = ("stdout", "stderr")
EVENTS, SNAPSHOT = TOPICS = ("events", "snapshot")

QUEUE = NAME._replace(read=TEXT.read)
TOPIC = Kind({"type": "string", "enum": list(TOPICS)}, TEXT.read)

ID = Argument("id", JOB)
SELECT = Argument("selector", SELECTION, default=None)
PAGES = (
    Argument("limit", number(1, PAGE_MAX), default=PAGE, told=f"jobs on a page (default: {PAGE})"),
    Argument("cursor", CURSOR, default=None, told="go on here: `next` of the page before"),
    Argument("oldest_first", FLAG, default=False, told="oldest first instead of newest first"),
)
FIELDS = Argument("fields", TEXT, default=(), many=True, told="only these keys of each job, such as id,state")
STREAM = Argument("stream", one_of(*STREAMS), default=None, told="only this stream of a split output")
TAIL = Argument("tail", number(0, LINES_MAX), default=None, told="only this many last lines")

SHOWN = Answer({"anyOf": [ref("History"), ref("JobKeys")]}, "the job, its executions and its events")


def _stream(*events: str) -> Answer:
    """Server-sent events, each with a JSON document as its data."""
    data = {"type": "string", "contentMediaType": JSON}
    event = {"type": "object", "properties": {"event": {"type": "string", "enum": list(events)}, "data": data}}
    return Answer(event, "server-sent events; the schema describes one", media_type=EVENT_STREAM)


def _row(name: str, method: str, path: str, tag: str, summary: str, *answers: Answer, **more: Any) -> Operation[Any]:
    return Operation(name, method, API + path, tag, summary, answers, **more)


TAKEN = Argument(
    "on_conflict", one_of(*Rule), default=None, by_query=True,
    told="where an id or unique key is taken and the job has no rule of its own: error (default for ids, and of a "
    "copy) adds no job; ignore (default for keys) answers the job that has it; replace changes the job that has the "
    "key",
)  # fmt: skip
ENQUEUE = _row(
    "enqueue", "POST", "/jobs", JOBS, "Add a job, or many: all or none; durable once answered",
    Answer({"anyOf": [ref("Job"), listed(ref("Job"))]}, "the job or the one in its place; or a list of these", 201),
    arguments=(TAKEN,),
    body={JSON: {"anyOf": [ref("NewJob"), listed(ref("NewJob"))]}, LINES: schema.TEXT}, body_required=True,
    fails=(404, 409),
)  # fmt: skip
CLONE = _row(
    "clone_job", "POST", "/jobs/{id}/clone", JOBS, "Add a copy of a job with the changes in the body",
    Answer(ref("Job"), "the new job", 201), arguments=(ID, TAKEN), body={JSON: ref("Changes")}, fails=(404, 409),
)  # fmt: skip
MOVE = _row(
    "move_job", "POST", "/jobs/{id}/move", JOBS, "Move a due job to the front of its queue, or just before another one",
    Answer(ref("Job"), "the job as it is now"), fails=(404, 409),
    arguments=(
        ID, Argument("before", TEXT, default=None, told="the other job, in the same queue"),
        Argument("front", FLAG, default=False, told="before all jobs of its queue"),
    ),
)  # fmt: skip
FIND = _row(
    "find_jobs", "GET", "/jobs", JOBS, "List matching jobs, by page",
    Answer(ref("Page"), "newest first; `count` is null if it is not known without counting"),
    arguments=(SELECT, *PAGES, FIELDS),
)  # fmt: skip
SHOW = _row("show_job", "GET", "/jobs/{id}", JOBS, "Show a job", SHOWN, arguments=(ID, FIELDS), fails=(404,))
DELETE = _row(
    "delete_job", "DELETE", "/jobs/{id}", JOBS, "Delete a job with its history and output",
    Answer(None, "deleted", 204),
    arguments=(ID, Argument("force", FLAG, default=False, told="cancel a running job first"),), fails=(404, 409),
)  # fmt: skip
OUTPUT = _row(
    "read_output", "GET", "/jobs/{id}/output", JOBS, "Read a job's output so far",
    Answer(schema.TEXT, "the bytes as written", media_type=TEXT_PLAIN),
    Answer(schema.TEXT, "the part given by the header Range", 206, TEXT_PLAIN),
    arguments=(ID,
        Argument("attempt", number(1, ATTEMPT_MAX), default=None, told="number of an attempt (default: latest)"),
        STREAM,
        TAIL,
        Argument("download", FLAG, default=False, told="as a file to save"),
    ),
    fails=(404, 416),
)  # fmt: skip
FOLLOW = _row(
    "follow_output", "GET", "/jobs/{id}/output/stream", JOBS,
    "Follow a job's output over retries: events `output`, and `end` at the end",
    _stream("output", "end", "trouble"), arguments=(ID, STREAM, TAIL), fails=(404,),
)  # fmt: skip
PRUNE = _row(
    "prune", "POST", "/jobs/prune", JOBS,
    "Delete finished jobs: those selected, or else those beyond the retention settings",
    Answer(fixed(pruned=COUNT), "the number of deleted jobs; if it is `limit`, there may be more"),
    arguments=(SELECT, Argument("limit", number(1, PRUNE_MAX), default=None)),
    body={JSON: optional(selector=ref("Selector"), limit=nullable(number(1, PRUNE_MAX).schema))},
)  # fmt: skip
FIND_DEAD = _row(
    "find_dead", "GET", "/dlq", DLQ, "List dead jobs with the last lines of their output, by page",
    Answer(ref("DeadPage"), "newest first"), arguments=(SELECT._replace(kind=DEAD), *PAGES, FIELDS),
)  # fmt: skip
STATUS = _row(
    "status", "GET", "/status", ACTIVITY, "Show workers, counts and the next retries",
    Answer(ref("Status"), "the status"),
    arguments=(
        Argument("retries", number(0, RETRIES_SHOWN_MAX), default=RETRIES_SHOWN, told="next retries (default: 5)"),
    ),
)  # fmt: skip
WORKERS = _row(
    "workers", "GET", "/workers", ACTIVITY, "List live workers", Answer(listed(ref("Worker")), "each worker")
)  # fmt: skip
START_WORKER = _row(
    "start_worker", "POST", "/workers", ACTIVITY, "Start a worker on the server's host; it outlives the server",
    Answer(fixed(name=schema.TEXT, slots=COUNT), "the worker has started", 201),
    arguments=(
        Argument("count", number(1, SLOTS_MAX), default=None), Argument("queues", QUEUE, default=(), many=True),
        Argument("not_queues", QUEUE, default=(), many=True),
        Argument("name", setting.WORKER, default=None), Argument("drain", FLAG, default=False),
        Argument("poll", DURATION, default=None), Argument("stop_timeout", DURATION, default=None),
    ),
    fails=(409,),
)  # fmt: skip
STOP_WORKERS = _row(
    "stop_workers", "POST", "/workers/stop", ACTIVITY,
    "Stop workers once their commands finish; `now` ends the commands",
    Answer(listed(ref("Worker")), "the workers asked; each exits when it is done", 202),
    arguments=(
        Argument("names", TEXT, default=None, many=True), Argument("now", FLAG, default=False),
        Argument("all_hosts", FLAG, default=False),
    ),
    fails=(404,),
)  # fmt: skip
HAPPENINGS = _row(
    "events", "GET", "/events", ACTIVITY,
    "Follow events: `job`, `deed`, `snapshot`, and `skipped` if some were left out",
    _stream("job", "deed", "skipped", "snapshot", "trouble"),
    arguments=(
        Argument(
            "topics", TOPIC, default=(EVENTS,), many=True,
            told="events (default); snapshot: counts and rates once a second",
        ),
    ),
)  # fmt: skip
OF_THE_SERVER: tuple[Operation[Any], ...] = (
    Operation("healthz", "GET", "/healthz", SERVER, "Check that the server answers",
              (Answer(fixed(status=schema.TEXT), "it answers"),), open=True),
    Operation("readyz", "GET", "/readyz", SERVER, "Check that the store answers too",
              (Answer(fixed(status=schema.TEXT), "it answers"),), open=True),
    Operation("metrics", "GET", "/metrics", SERVER, "Read metrics for Prometheus",
              (Answer(schema.TEXT, "the metrics; in the OpenMetrics format if Accept asks for it",
                      media_type=METRICS),)),
)  # fmt: skip

ON_JOBS, ON_DEAD = ([each.many for each in ACTIONS if each.many.tag == tag] for tag in (JOBS, DLQ))

OPERATIONS: dict[str, Operation[Any]] = {
    row.name: row
    for row in (
        ENQUEUE, CLONE, FIND, SHOW, explaining.EXPLAIN, graph.SHOW_GRAPH, DELETE, OUTPUT, FOLLOW,
        *(row for _, row in ON_ONE), SET_JOB, MOVE, *ON_JOBS, SET_JOBS, PRUNE, FIND_DEAD, history.GROUP_DEAD, *ON_DEAD,
        STATUS, WORKERS, START_WORKER, STOP_WORKERS, history.STATS, HAPPENINGS, *rows_of(ROOMS), *OF_THE_SERVER,
    )
}  # fmt: skip
"""Every row by its name, in the order of the API's document."""
