"""Locks: their units, who holds them, and who waits for them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from queuectl.client.facade import Client
from queuectl.client.locks import LockView
from queuectl.domain.job import Job
from queuectl.domain.limits import CAPACITY_MAX, Lock, numbered, requests_of, variables
from queuectl.typed import NamedTuple
from queuectl.web.ask import ask
from queuectl.web.rendering import page
from queuectl.wire.kinds import check_queue
from queuectl.wire.words import natural

SHOWN = 20
"""The most waiting jobs that the page of a lock shows."""
HOLDERS_SHOWN, HOLDERS_LISTED = 100, 3


class Waiting(NamedTuple):
    """A job that needs a lock, and how many of its units. `place`: in line, if it is in one."""

    place: int | None
    job: Job
    units: int
    reason: str | None


class View(NamedTuple):
    """The content of a lock's page. `is_there`: somebody has set it, or jobs use it. `names`: of its units, if they are
    not just numbers. `variables` tell a command which units it holds."""

    now: float
    lock: LockView
    is_there: bool
    names: str
    variables: Sequence[str]
    free: Sequence[str]
    waiting: Sequence[Waiting]


def view(client: Client, name: str) -> View:
    """Reads the page's content. Raises `Invalid` for what cannot be a lock."""
    name = check_queue(name, "lock")
    found = {lock.name: lock for lock in client.locks()}
    lock = found.get(name) or LockView(name, Lock(name).units, None, False, 0, 0, ())
    line, others = client.lock_line(name, SHOWN)
    jobs = [*line, *others]
    places = [*range(1, len(line) + 1), *(None for _ in others)]
    needs = [sum(each.units for each in requests_of(job.locks) if each.lock == name) for job in jobs]
    held = chain.from_iterable(hold.units for hold in lock.holders)
    names = "" if tuple(lock.units) == numbered(lock.capacity) else ",".join(lock.units)
    return View(
        now=client.now(), lock=lock, is_there=name in found,
        names=names,
        variables=list(variables((Lock(name, env=lock.env), ()))),
        free=Lock(name, tuple(lock.units)).free(held),
        waiting=list(map(Waiting, places, jobs, needs, client.reasons(jobs))),
    )  # fmt: skip


async def locks(request: Request) -> Response:
    """Every lock that somebody has set or that jobs use."""
    now, found = await ask(request, lambda client: (client.now(), client.locks()))
    ordered = sorted(found, key=lambda lock: natural(lock.name))
    return page(
        request, "locks.html", part="_locks.html", locks=ordered, now=now, listed=HOLDERS_LISTED, most=CAPACITY_MAX
    )


async def lock(request: Request) -> Response:
    """A lock. One that nobody has set has a page too: it has one unit."""
    found = await ask(request, lambda client: view(client, request.path_params["name"]))
    return page(
        request, "lock.html", part="_lock.html", is_there=found.is_there,
        view=found, lock=found.lock, now=found.now, shown=HOLDERS_SHOWN, most=CAPACITY_MAX,
    )  # fmt: skip


routes = [Route("/locks", locks), Route("/locks/{name:path}", lock)]
