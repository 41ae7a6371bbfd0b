"""The form that adds a job; with `?clone=ID` it is filled in from that job. The same form changes a job that waits."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from queuectl.client.facade import Client
from queuectl.domain.errors import Conflict
from queuectl.domain.fields import INPUT, SETTABLE, Field
from queuectl.domain.job import Job, JobState
from queuectl.domain.lifecycle import TRANSITIONS, Edited
from queuectl.settings import SETTINGS, Settings
from queuectl.typed import Any
from queuectl.web import spelling
from queuectl.web.ask import ask
from queuectl.web.problems import Forbidden
from queuectl.web.rendering import page
from queuectl.wire.words import natural

EDITABLE = tuple(state for state in JobState if Edited in TRANSITIONS[state])
SHOWN = [field for field in INPUT if field.label]


def spelled(command: str | list[str]) -> str:
    """The command as typed in the form: a shell line, one word a line, or a JSON list if lines would be ambiguous."""
    if isinstance(command, str):
        return command
    plain = all(word and "\n" not in word for word in command) and not command[0].startswith("[")
    return "\n".join(command) if plain else json.dumps(command, ensure_ascii=False)


def usual(settings: Settings) -> dict[str, str]:
    """Defaults of a new job's keys that come from settings, as text."""
    texts = {name.replace("-", "_"): settings.text(name) for name in SETTINGS}
    if texts["backoff_initial"] == "backoff-base":
        texts["backoff_initial"] = texts["backoff_base"] + "s"
    return texts


async def form(request: Request) -> Response:
    """Shows the form. The API checks what it sends."""
    clone = request.query_params.get("clone")
    return await _page(request, lambda client: client.job(clone) if clone else None, SHOWN, clone=clone, edit=None)


async def edit(request: Request) -> Response:
    """The same for a job that waits."""
    shown = [field for field in SHOWN if field in SETTABLE]

    def look(client: Client) -> Job:
        job = client.job(request.path_params["id"])
        if job.state not in EDITABLE:
            raise Conflict(f"job {job.id} is {job.state} and cannot be changed", "clone it with other values")
        return job

    return await _page(request, look, shown, clone=None, edit=request.path_params["id"])


async def _page(
    request: Request, source: Callable[[Client], Job | None], shown: Sequence[Field], **more: Any
) -> Response:
    visitor = request.state.visitor
    if not visitor.may_write:
        raise Forbidden(f"token {visitor.token.name} is read-only", "use one with the role full")

    def look(client: Client) -> dict[str, Any]:
        settings, job = client.settings(), source(client)
        given = spelling.document(job, settings) if job else {}
        queues = sorted({queue for queue, _ in client.counts()}, key=natural)
        return {
            "given": given, "queues": queues, "usual": usual(settings), "command": spelled(given.get("command", "")),
            "often": [field for field in shown if field.often], "more": [field for field in shown if not field.often],
        }  # fmt: skip

    return page(request, "enqueue.html", **more, **await ask(request, look))


routes = [Route("/enqueue", form), Route("/jobs/{id}/edit", edit)]
