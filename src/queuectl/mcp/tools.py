"""The tools, one row each. An agent pays for each character, so answers have what it needs to go on, and no more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from queuectl.client.following import start_of_last
from queuectl.client.library import Client
from queuectl.client.operation import FILLED, FLAG, REQUIRED, ROW, TEXT, Argument, Kind, number
from queuectl.domain.errors import Invalid, QueuectlError
from queuectl.domain.fields import INPUT
from queuectl.domain.selector import Selector
from queuectl.mcp.answers import JOB, JOBS, PART_BYTES, TAIL_LINES, bounded, brief, cut, dumped, ended, fitting, part
from queuectl.mcp.groups import GROUPS
from queuectl.mcp.tool import CALL_S, Context, Tool
from queuectl.typed import Any
from queuectl.wire import schema
from queuectl.wire.requests import parse_request
from queuectl.wire.schema import listed as listed_schema
from queuectl.wire.selections import parse_states
from queuectl.wire.times import format_duration

PAGE, PAGE_MAX = 20, 50
HISTORY_SHOWN = 5
ERROR_MAX = 1000

INSTRUCTIONS = (
    "queuectl runs shell commands in the background, durably: a job survives the end of this session. Enqueue long "
    "commands, then wait for them; a call of wait ends within 50 s and may say `done: false`: call it again with the "
    "same ids. Give a job an id of your own, so that enqueueing it twice does no harm. Jobs run only while a worker "
    "does: `queuectl worker start`. The store is that of the server's folder; another one is named in the client's "
    "configuration, as `queuectl --db PATH mcp`, since clients pass on no QUEUECTL_DB."
)


def listed(read_only: bool) -> list[dict[str, Any]]:
    """The tools as clients see them."""
    return [tool.listed for tool in TOOLS.values() if tool.reads or not read_only]


def called(name: str, given: Mapping[str, Any], context: Context, read_only: bool) -> dict[str, Any]:
    """The result of a call. What goes wrong is a result too, so that the agent can read it. Raises `Cancelled`."""
    try:
        tool = TOOLS.get(name)
        if tool is None or (read_only and not tool.reads):
            known = [each["name"] for each in listed(read_only)]
            raise Invalid(f"there is no tool {name!r}", f"there are {', '.join(known)}")
        context.client.refuse_moved()
        value = bounded(tool.function(context, _read(tool, given)))
    except (QueuectlError, TimeoutError) as error:
        hint = context.hint(getattr(error, "hint", ""))
        return {"content": [_text(f"{cut(str(error), ERROR_MAX)}\n{cut(hint, ERROR_MAX)}".strip())], "isError": True}
    text = dumped(value)
    return {"content": [_text(text)], "structuredContent": value, "isError": False}


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def _read(tool: Tool, given: Mapping[str, Any]) -> dict[str, Any]:
    if tool.of_a_job:
        return dict(given)
    known = {each.name: each for each in tool.arguments}
    for name in given:
        if name not in known:
            raise Invalid(f"{tool.name} has no argument {name!r}", f"it has {', '.join(known) or 'none'}")
    return {name: each.read_from(given) for name, each in known.items()}


# --- functions ------------------------------------------------------------------------------

KEYS = (
    "command", "id", "queue", "priority", "cwd", "timeout", "max_retries", "delay", "tags", "locks", "depends_on",
    "batch", "unique_key",
)  # fmt: skip
GIVEN = [field for name in KEYS for field in INPUT if field.name == name]


def _enqueue(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    client, known = context.client, {field.name for field in GIVEN}
    for name in given:
        if name not in known:
            raise Invalid(f"enqueue has no argument {name!r}", f"it has {', '.join(KEYS)}")
    request = parse_request(given, client.now())
    (job,) = client.enqueue([request], on_conflict="ignore")
    told: dict[str, Any] = {"job": brief(job, client.reason(job) if job.seq else None), "added": not job.seq}
    if job.seq and job.command != request.command:
        taken = "id" if job.id == request.id else "unique_key"
        told["note"] = (
            f"nothing was added: this {taken} is of job {job.id}, which has another command; give a new {taken}"
        )
    elif not job.finished and (queues := client.unserved([job.queue])):
        told["note"] = context.hint(
            f"no live worker serves queue {queues[0]}; start one: queuectl worker start --detach"
        )
    return told


def _some(ids: Sequence[str]) -> Sequence[str]:
    """These ids. Raises `Invalid` if there are none."""
    if not ids:
        raise Invalid("ids is empty", "name at least one job")
    return ids


def _wait(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    client, ids, tick = context.client, _some(given["ids"]), context.ticking()
    waits = f"waiting for {', '.join(ids[:3])}"
    try:
        jobs = client.wait(ids, any=given["any"], timeout=given["timeout"], tick=lambda: tick(waits))
    except TimeoutError:
        jobs = [client.job(ref) for ref in ids]
        told_jobs = [brief(job, client.reason(job)) for job in jobs]
        return {"done": False, "jobs": told_jobs, "next": "not finished: call wait again with the same ids"}
    return {"done": True, "jobs": ended(client, jobs)}


def _status(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    found = context.client.status()
    workers = [
        {"name": each.name, "slots": each.slots, "busy": len(each.running), "queues": list(each.queues)}
        for each in found.workers
    ]
    paused = {queue: pause.reason or "paused" for queue, pause in found.paused.items()}
    return {
        "jobs": {state.value: number for state, number in found.counts.items() if number}, "workers": workers,
        "queues_paused": paused,
    }  # fmt: skip


def _list(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    client, cursor = context.client, given["cursor"]
    selector = Selector(
        states=parse_states(given["state"]), queues=tuple(given["queue"]), tags=tuple(given["tag"]),
        commands=tuple(given["command"]),
    )  # fmt: skip
    after = None if cursor is None else int(cursor)
    jobs = client.page(selector, given["limit"] + 1, newest_first=True, after=after)
    page = jobs[: given["limit"]]
    told = fitting([brief(job, reason) for job, reason in zip(page, client.reasons(page), strict=True)])
    more = len(told) < len(jobs)
    return {"jobs": told, **({"next": str(page[len(told) - 1].seq)} if more else {})}


def _show(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    client = context.client
    history = client.history(given["id"])
    job, spec = history.job, history.job.spec
    attempts = [
        {
            "number": each.number, "outcome": each.outcome.value if each.outcome else "running",
            **{key: value for key in ("exit_code", "error") if (value := getattr(each, key)) is not None},
        }
        for each in history.attempts[-HISTORY_SHOWN:]
    ]  # fmt: skip
    policy = {"max_retries": spec.max_retries, "timeout": spec.timeout, "cwd": spec.cwd}
    told = {**brief(job, history.reason), "priority": job.priority, "tags": list(job.tags), **policy}
    return {"job": told, "attempts": attempts, "attempts_in_all": len(history.attempts)}


def _logs(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    client, start = context.client, given["from_byte"]
    goes_on = given["attempt"] is None and not client.job(given["id"]).finished
    data = client.output(given["id"], attempt=given["attempt"])
    if start is None:
        start = max(start_of_last(data, given["tail"]), len(data) - PART_BYTES)
    told, end = part(data, start, PART_BYTES)
    more = {"next": end} if end < len(data) or goes_on else {}
    return {"output": told, "from_byte": start, "bytes_in_all": len(data), **more}


def _explain(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    found = context.client.explain(given["id"])
    gates = [
        {
            "code": gate.code.value,
            "told": cut(gate.told or gate.reason),
            **({"fix": context.hint(gate.fix)} if gate.fix else {}),
        }
        for gate in found.gates[:PAGE]
    ]
    told = {"id": found.id, "state": found.state.value, "explanation": cut(found.explanation), "gates": gates}
    if found.starts_at is not None:
        told["likely_starts_in"] = format_duration(max(0, round(found.starts_at - context.client.now())))
    return told


def _changed(act: Callable[[Client, Sequence[str]], Any]) -> Callable[[Context, dict[str, Any]], dict[str, Any]]:
    def function(context: Context, given: dict[str, Any]) -> dict[str, Any]:
        done = act(context.client, _some(given["ids"]))
        refused = [cut(f"{error}") for error in done.refused[:PAGE]]
        return {"jobs": [brief(job, None) for job in done.jobs], "changed": len(done.jobs), "refused": refused}

    return function


# --- the table ------------------------------------------------------------------------------

_ID = Argument("id", FILLED, "a job's id, or a unique beginning of it", default=REQUIRED)
_IDS = Argument("ids", FILLED, "ids of jobs, or unique beginnings of them", default=REQUIRED, many=True)
_CURSOR = Kind(schema.TEXT, lambda value, what: str(ROW.read(_whole(value), what)))


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value


def _several(name: str, kind: Kind, told: str) -> Argument:
    return Argument(name, kind, told, default=(), many=True)


TOOLS: dict[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool(
            "enqueue", "Add a background job that runs a command. Repeatable if you give it an id: the job that has "
            "the id is answered, with added false.", (), {"job": JOB, "added": schema.FLAG}, _enqueue, repeats=False,
            of_a_job=GIVEN,
        ),
        Tool(
            "wait", "Wait until jobs have finished, at most 50 s. Answers their state, exit code and error, and of "
            "failed ones the end of their output. If done is false, call it again.",
            (_IDS, Argument("any", FLAG, "one finished job is enough", default=False),
             Argument("timeout", number(0, CALL_S), "seconds", default=CALL_S)),
            {"done": schema.FLAG, "jobs": JOBS}, _wait, reads=True,
        ),
        Tool(
            "status", "Show how many jobs are in each state, the workers, and the paused queues.", (),
            {"jobs": {"type": "object"}, "workers": listed_schema({"type": "object"})}, _status, reads=True,
        ),
        Tool(
            "list", "List jobs, the newest first.",
            (_several("state", TEXT, "pending, processing, failed, completed, dead, cancelled, blocked"),
             _several("queue", TEXT, "queues"), _several("tag", TEXT, "tags"),
             _several("command", TEXT, "GLOBs over the command line, such as *pytest*"),
             Argument("limit", number(1, PAGE_MAX), "jobs in an answer", default=PAGE),
             Argument("cursor", _CURSOR, "`next` of the answer before", default=None)),
            {"jobs": JOBS}, _list, reads=True,
        ),
        Tool(
            "show", "Show a job, its policy and its latest attempts.", (_ID,),
            {"job": JOB, "attempts": listed_schema({"type": "object"})}, _show, reads=True,
        ),
        Tool(
            "logs", "Read a job's output: its last lines, or from a byte on.",
            (_ID, Argument("tail", number(1, 1000), "last lines", default=TAIL_LINES),
             Argument("from_byte", number(0, 1 << 40), "read on from here: `next` of the last answer", default=None),
             Argument("attempt", number(1, 1 << 31), "number of an attempt; default: the latest", default=None)),
            {"output": schema.TEXT, "bytes_in_all": schema.COUNT}, _logs, reads=True,
        ),
        Tool(
            "explain", "Explain why a job is not running: each closed gate, and what would open it.", (_ID,),
            {"id": schema.TEXT, "explanation": schema.TEXT}, _explain, reads=True,
        ),
        Tool(
            "cancel", "Cancel jobs; running commands are ended.", (_IDS,),
            {"jobs": JOBS, "changed": schema.COUNT}, _changed(lambda client, ids: client.cancel(ids)), ends=True,
        ),
        Tool(
            "retry", "Run jobs again: failed ones now, finished ones from the beginning, with all retries.",
            (_IDS,), {"jobs": JOBS, "changed": schema.COUNT},
            _changed(lambda client, ids: client.retry(ids)), repeats=False,
        ),
        *GROUPS,
    )
}  # fmt: skip
