"""The dashboard's pages, a module each. They are made here, on the server; the browser only keeps them fresh."""

from __future__ import annotations

from queuectl.web.pages.job import routes as job
from queuectl.web.pages.jobs import routes as jobs
from queuectl.web.pages.overview import routes as overview

routes = [*overview, *jobs, *job]
