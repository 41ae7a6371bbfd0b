"""Renders pages from templates. Every value is escaped; the security policy forbids inline scripts and styles."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from queuectl import __version__, program
from queuectl.client.facts import info, tries, why_failed
from queuectl.domain.errors import QueuectlError
from queuectl.domain.job import seen_state
from queuectl.domain.limits import requests_of
from queuectl.typed import Any
from queuectl.web.assets import address
from queuectl.web.public import under
from queuectl.web.stores import places
from queuectl.wire.jobs import command_line, worker_name
from queuectl.wire.limits import format_rate
from queuectl.wire.times import format_duration, format_second, format_time
from queuectl.wire.words import age, natural, peak, short, size


def printable(text: str) -> str:
    """Output of a command without terminal control sequences."""
    return re.sub(r"\x1b\[[0-?]*[ -/]*[@-~]|[^\n\t\x20-\x7e\xa0-\U0010ffff]", "", text)


def segment(name: str) -> str:
    """A name as one part of a path, even if it has slashes."""
    return quote(name, safe="")


def marked(text: str) -> Markup:
    """A text in which what stands between backticks is code."""
    pieces = text.split("`")
    return Markup("").join(Markup("<code>{}</code>").format(each) if at % 2 else each for at, each in enumerate(pieces))


FOLDER = "web/templates"


def _source(name: str) -> tuple[str, str, Callable[[], bool]] | None:
    """A template's text, its name, and whether it is still the same; None if there is none."""
    path = f"{FOLDER}/{name}"
    try:
        text, at = program.read(path).decode(), program.changed_at(path)
    except OSError:
        return None
    return text, name, lambda: program.changed_at(path) == at


templates = Environment(
    loader=FunctionLoader(_source), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
    lstrip_blocks=True,
)  # fmt: skip
templates.globals.update(asset=address, version=__version__)
templates.filters.update(
    duration=format_duration, time=format_time, second=format_second, command=command_line,
    worker=worker_name, age=age, short=short, size=size, peak=peak, number="{:,}".format,
    tries=tries, seen_state=seen_state,
    natural=lambda names: sorted(names, key=natural), job_info=info, printable=printable,
    marked=marked, segment=segment, why_failed=why_failed, rate=format_rate, requests=requests_of,
)  # fmt: skip


def compile_templates() -> None:
    """Compiles all templates: the first request for a page would otherwise wait for those of the page."""
    for name in program.names(FOLDER):
        templates.get_template(name)


def page(
    request: Request, template: str, *, part: str | None = None, status: int = 200, is_there: bool = True, **values: Any
) -> Response:
    """A page, or only its template `part` if a page that is already open asks for it. Otherwise the page about what is
    not there has the status 404.

    Templates see the `request`, its `visitor` (None at the login), and how a command on this store begins.
    """
    if part is not None and "hx-request" in request.headers:
        template = part
    elif not is_there:
        status = 404
    visitor = getattr(request.state, "visitor", None)
    root = request.state.root
    stores = places(request.app.state.stores, request.state.base, request.state.store_name)
    text = templates.get_template(template).render(
        request=request, visitor=visitor, root=root, stores=stores, queuectl=request.app.state.queuectl, **values
    )
    return HTMLResponse(under(root, text), status)


def outside(request: Request, error: QueuectlError) -> Response:
    """The page of an error for somebody who has not been let in."""
    return page(request, "refused.html", status=error.http_status, error=error)
