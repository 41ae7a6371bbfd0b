"""Schedules: when they fire, what became of each fire, and how their jobs end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from queuectl.client.facade import Client
from queuectl.client.schedule_views import ScheduleView
from queuectl.domain.job import seen_state
from queuectl.domain.schedule import CatchUp, Overlap
from queuectl.domain.scheduled import IDLE_TOLD, Fire
from queuectl.domain.selector import Selector
from queuectl.typed import NamedTuple
from queuectl.web.ask import ask
from queuectl.web.rendering import page
from queuectl.wire.jobs import command_line
from queuectl.wire.schedules import NAME
from queuectl.wire.words import natural

LISTED = 200
"""The most schedules in the list: late and failing ones first."""
MARKS, FIRES = 20, 100
"""The latest fires in the strip of a schedule, and on its page."""


class Mark(NamedTuple):
    """A fire in a strip, and the state of its job; `missed` if it made none, `gone` if its job was removed."""

    fire: Fire
    state: str


class Row(NamedTuple):
    """A schedule, its command, and its latest fires, oldest first."""

    schedule: ScheduleView
    command: str
    marks: Sequence[Mark]


def is_bad(each: ScheduleView) -> bool:
    """Whether somebody has to look after a schedule."""
    return not each.pause and (each.late or each.failing or each.idle >= IDLE_TOLD)


def row_of(client: Client, each: ScheduleView) -> Row:
    """The row of a schedule that came with its latest fires."""
    fires = each.fires
    states = _states(client, fires)
    marks = [Mark(fire, states.get(fire.job, "gone") if fire.job else "missed") for fire in reversed(fires)]
    command = each.job["command"]
    return Row(each, command_line(command if isinstance(command, str) else tuple(command)), marks)


def _states(client: Client, fires: Sequence[Fire]) -> Mapping[str, str]:
    ids = tuple(fire.job for fire in fires if fire.job)
    return {job.id: seen_state(job) for job in client.find(Selector(ids=ids))} if ids else {}


async def schedules(request: Request) -> Response:
    """Every schedule; those that somebody has to look after first."""

    def read(client: Client) -> tuple[float, int, list[Row]]:
        found = sorted(client.schedules(), key=lambda each: (not is_bad(each), natural(each.name)))
        shown = [client.schedule(each.name, limit=MARKS) for each in found[:LISTED]]
        return client.now(), len(found), [row_of(client, each) for each in shown]

    now, count, rows = await ask(request, read)
    return page(
        request, "schedules.html", part="_schedules.html", rows=rows, count=count, now=now, idle_told=IDLE_TOLD,
        name=NAME, each=None, overlaps=list(Overlap), catch_ups=list(CatchUp),
    )  # fmt: skip


async def schedule(request: Request) -> Response:
    """A schedule, its next fires and its latest ones."""

    def read(client: Client) -> tuple[float, Row]:
        return client.now(), row_of(client, client.schedule(request.path_params["name"], limit=FIRES))

    now, row = await ask(request, read)
    each = row.schedule
    job = {key: value for key, value in each.job.items() if key not in ("command", "env")}
    return page(
        request, "schedule.html", part="_schedule.html", row=row, each=each, now=now, job=job, bad=is_bad(each),
        idle_told=IDLE_TOLD, overlaps=list(Overlap), catch_ups=list(CatchUp),
    )  # fmt: skip


routes = [Route("/schedules", schedules), Route("/schedules/{name}", schedule)]
