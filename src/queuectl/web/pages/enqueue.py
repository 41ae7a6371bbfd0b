"""The form that adds a job; with `?clone=ID` it begins as that job."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from queuectl.cli.render import natural
from queuectl.client.facade import Client
from queuectl.web import spelling
from queuectl.web.ask import ask
from queuectl.web.problems import Forbidden
from queuectl.web.rendering import page


def spelled(command: str | list[str]) -> str:
    """The command as the form takes it: a shell line; words a line each, or a JSON list where that says too little."""
    if isinstance(command, str):
        return command
    plain = all(word and "\n" not in word for word in command) and not command[0].startswith("[")
    return "\n".join(command) if plain else json.dumps(command, ensure_ascii=False)


async def form(request: Request) -> Response:
    """The form. What it sends is checked where every job is; there is no second check here."""
    visitor = request.state.visitor
    if not visitor.may_write:
        raise Forbidden(f"token {visitor.token.name} may only read", "use one with the role full")
    clone = request.query_params.get("clone")

    def look(client: Client) -> dict[str, Any]:
        settings = client.settings()
        given = spelling.document(client.job(clone), settings) if clone else {}
        queues = sorted({queue for queue, _ in client.store.counts()}, key=natural)
        return {"given": given, "queues": queues, "settings": settings, "command": spelled(given.get("command", ""))}

    return page(request, "enqueue.html", clone=clone, **await ask(request, look))


routes = [Route("/enqueue", form)]
