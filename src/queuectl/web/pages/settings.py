"""The page of settings."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from queuectl.client import config
from queuectl.web.ask import ask
from queuectl.web.rendering import page


async def settings(request: Request) -> Response:
    """Every setting with its value, default and meaning."""
    found = await ask(request, lambda client: client.do(config.SETTINGS_ALL))
    return page(request, "settings.html", part="_settings.html", settings=found)


routes = [Route("/settings", settings)]
