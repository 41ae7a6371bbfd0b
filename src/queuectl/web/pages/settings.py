"""The page of settings."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from queuectl.client.documents import setting_to_json
from queuectl.client.facade import Client
from queuectl.settings import SETTINGS
from queuectl.web.ask import ask
from queuectl.web.rendering import page


async def settings(request: Request) -> Response:
    """Every setting with its value, default and meaning."""
    found = await ask(request, Client.settings)
    return page(
        request, "settings.html", part="_settings.html", settings=[setting_to_json(found, name) for name in SETTINGS]
    )


routes = [Route("/settings", settings)]
