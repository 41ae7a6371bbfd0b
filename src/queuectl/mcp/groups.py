"""Tools for batches and schedules."""

from __future__ import annotations

from collections.abc import Callable

from queuectl.client.library import Client
from queuectl.client.operation import FILLED, REQUIRED, TEXT, Argument, number
from queuectl.domain.errors import Invalid
from queuectl.domain.job import JobState
from queuectl.domain.selector import Selector
from queuectl.mcp.answers import cut, ended
from queuectl.mcp.tool import CALL_S, Context, Tool
from queuectl.typed import TYPE_CHECKING, Any
from queuectl.wire import schema
from queuectl.wire.schema import listed as listed_schema
from queuectl.wire.times import format_duration, format_second

if TYPE_CHECKING:
    from queuectl.client.batches import BatchView
    from queuectl.client.schedule_views import ScheduleView

FAILED_SHOWN = 5
Function = Callable[[Context, dict[str, Any]], dict[str, Any]]


def _batch(view: BatchView) -> dict[str, Any]:
    told = {
        "name": view.name, "done": view.done, "failed": view.failed, "total": view.total, "finished": view.is_done,
    }  # fmt: skip
    return told if view.seconds_left is None else {**told, "left": format_duration(round(view.seconds_left))}


def _batches(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    found = [each for each in context.client.batches() if given["name"] in (None, each.name)]
    if given["name"] is not None and not found:
        raise Invalid(f"there is no batch {given['name']!r}", "see them: batches without a name")
    return {"batches": [_batch(each) for each in found]}


def _wait_batch(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    client, name, tick = context.client, given["name"], context.ticking()

    def looked(view: BatchView) -> None:
        tick(f"{view.done} of {view.total} jobs of {name} are done")

    try:
        view = client.wait_batch(name, timeout=given["timeout"], tick=looked)
    except TimeoutError:
        told = _batch(client.batch(name).status())
        return {"done": False, "batch": told, "next": "not finished: call wait_batch again"}
    failed = Selector(batches=(name,), states=(JobState.DEAD, JobState.CANCELLED))
    jobs = client.page(failed, FAILED_SHOWN, newest_first=True) if view.failed else []
    return {"done": True, "batch": _batch(view), "failed_jobs": ended(client, jobs)}


def _on_batch(act: Callable[[Client, str], BatchView]) -> Function:
    return lambda context, given: {"batch": _batch(act(context.client, given["name"]))}


def _schedule(view: ScheduleView) -> dict[str, Any]:
    return {
        "name": view.name, "rule": cut(view.rule), "paused": view.pause is not None, "failing": view.failing,
        "next": format_second(view.next[0]) if view.next else None, "late": view.late,
    }  # fmt: skip


def _schedules(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    return {"schedules": [_schedule(each) for each in context.client.schedules()]}


def _run_schedule(context: Context, given: dict[str, Any]) -> dict[str, Any]:
    return {"id": context.client.run_schedule(given["name"]).id}


def _on_schedule(act: Callable[[Client, str], ScheduleView]) -> Function:
    return lambda context, given: {"schedule": _schedule(act(context.client, given["name"]))}


_BATCH = Argument("name", FILLED, "the batch", default=REQUIRED)
_SCHEDULE = Argument("name", FILLED, "the schedule", default=REQUIRED)
_OBJECT: schema.Schema = {"type": "object"}

GROUPS = (
    Tool(
        "batches", "Show how far batches are: jobs done, failed, in all, and the time left.",
        (Argument("name", TEXT, "only this one", default=None),), {"batches": listed_schema(_OBJECT)}, _batches,
        reads=True,
    ),
    Tool(
        "wait_batch", "Wait until all jobs of a batch have finished, as wait does for jobs.",
        (_BATCH, Argument("timeout", number(0, CALL_S), "seconds", default=CALL_S)),
        {"done": schema.FLAG, "batch": _OBJECT}, _wait_batch, reads=True,
    ),
    Tool(
        "cancel_batch", "Cancel the unfinished jobs of a batch.", (_BATCH,), {"batch": _OBJECT},
        _on_batch(lambda client, name: client.batch(name).cancel()), ends=True,
    ),
    Tool(
        "retry_batch", "Run the dead and cancelled jobs of a batch again.", (_BATCH,), {"batch": _OBJECT},
        _on_batch(lambda client, name: client.batch(name).retry()), repeats=False,
    ),
    Tool(
        "schedules", "List schedules: their rule, the next fire, and whether they are paused, late or failing.", (),
        {"schedules": listed_schema(_OBJECT)}, _schedules, reads=True,
    ),
    Tool(
        "run_schedule", "Add the job of a schedule now; answers its id.", (_SCHEDULE,), {"id": schema.TEXT},
        _run_schedule, repeats=False,
    ),
    Tool(
        "pause_schedule", "Keep a schedule from firing.", (_SCHEDULE,), {"schedule": _OBJECT},
        _on_schedule(lambda client, name: client.pause_schedule(name)),
    ),
    Tool(
        "resume_schedule", "Let a paused schedule fire again.", (_SCHEDULE,), {"schedule": _OBJECT},
        _on_schedule(lambda client, name: client.resume_schedule(name)),
    ),
)  # fmt: skip
