"""The dashboard's pages, one module each, rendered on the server; the browser keeps them up to date."""

from __future__ import annotations

from queuectl.web.pages.access import routes as access
from queuectl.web.pages.api import routes as api
from queuectl.web.pages.batches import routes as batches
from queuectl.web.pages.charts import routes as chart
from queuectl.web.pages.console import routes as console
from queuectl.web.pages.enqueue import routes as enqueue
from queuectl.web.pages.export import routes as export
from queuectl.web.pages.failures import routes as failures
from queuectl.web.pages.job import routes as job
from queuectl.web.pages.jobs import routes as jobs
from queuectl.web.pages.lines import routes as lines
from queuectl.web.pages.live import routes as live
from queuectl.web.pages.locks import routes as locks
from queuectl.web.pages.overview import routes as overview
from queuectl.web.pages.queues import routes as queues
from queuectl.web.pages.schedules import routes as schedules
from queuectl.web.pages.settings import routes as settings
from queuectl.web.pages.workers import routes as workers

routes = [
    *overview, *jobs, *job, *failures, *schedules, *queues, *batches, *locks, *workers, *enqueue, *console, *settings,
    *access, *api, *export, *chart, *lines, *live,
]  # fmt: skip
