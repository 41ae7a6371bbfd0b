"""Runs hooks outside a worker's slots, one at a time, by a supervisor of their own. It is started when the first hook
is seen, so a worker that sees none pays one look a second, and only if something has changed."""

from __future__ import annotations

import json
import sys

from queuectl import program
from queuectl.domain.hooks import ALERT, ID, PING, SECRET, URL, VARIABLE_TAIL_BYTES, is_url
from queuectl.domain.job import HOOKS, Job
from queuectl.engine.dispatch.crew import Crew
from queuectl.engine.dispatch.link import Link
from queuectl.settings import Settings
from queuectl.store.port import WorkStore
from queuectl.typed import Any
from queuectl.wire.times import format_time

LOOK_EVERY_S = 1.0

Claimed = tuple[Link, Job, str]
"""A hook with its input."""


class Hooks:
    """When there may be hooks, and how one is started."""

    def __init__(self, store: WorkStore, crew: Crew) -> None:
        self._store = store
        self._crew = crew
        self._has_changed = True
        self._may_be = False
        self._look_at = 0.0
        self._secret = ""

    def look_again(self) -> None:
        """The store has changed, or something has become due."""
        self._has_changed = True

    def added(self) -> None:
        """This worker has added one."""
        self._may_be = self._may_be or self._crew.options.hooks

    def attend(self, settings: Settings, now: float) -> None:
        """Looks for hooks, and starts their supervisor. Raises `OperationFailed`, `StoreUnavailable`."""
        if self._has_changed and now >= self._look_at and self._crew.options.hooks:
            self._has_changed, self._look_at = False, now + LOOK_EVERY_S
            self._may_be = self._may_be or self._store.has_hooks()
        if self._may_be:
            self._secret = settings["webhook-secret"]
            if self._crew.for_hooks is None:
                self._crew.launch_for_hooks(settings)

    def is_wanted(self) -> bool:
        """Whether there may be a hook to claim while none runs."""
        link = self._crew.for_hooks if self._may_be else None
        return link is not None and not link.flights

    def claim(self) -> Claimed | None:
        """Claims the next one, inside the caller's transaction."""
        link = self._crew.for_hooks
        if not self.is_wanted() or link is None:
            return None
        jobs = self._store.claim(link.grip, link.row.host, 1, (HOOKS,))
        self._may_be = bool(jobs)
        if not jobs:
            return None
        (hook,) = jobs
        kept = self._store.outputs(hook, 0)
        return link, hook, (kept[0].head + kept[0].tail).decode() if kept else ""

    def start(self, claimed: Claimed, now: float) -> None:
        """Has the supervisor of hooks run a claimed hook, whose claim is committed."""
        link, hook, text = claimed
        kind = hook.tags[0]
        given: dict[str, Any] = {} if kind == PING else json.loads(text)
        job: dict[str, Any] = (given.get("job") or {}) if kind == ALERT else given
        about = variables(given, job)
        command: str | list[str] | tuple[str, ...] = hook.command
        if is_url(hook.command):
            command = [sys.executable, "-I", "-c", program.part("engine.webhook")]
            about |= {URL: str(hook.command)}
            if kind != PING:
                about |= {SECRET: self._secret, ID: hook.id}
                name = f"{'schedule' if kind == ALERT else 'job'}.{given.get('state')}"
                text = json.dumps({"type": name, "timestamp": format_time(hook.created_at), "data": given})
        job_id, queue = str(job.get("id") or ""), str(job.get("queue") or "")
        link.start_hook(hook, command, about, text, job_id, queue, now)


def variables(given: dict[str, Any], job: dict[str, Any]) -> dict[str, str]:
    """What a hook's environment says of its job, or of its schedule and the run that it tells of."""
    tail = str(job.get("output_tail") or "").encode()[-VARIABLE_TAIL_BYTES:].decode("utf-8", "ignore")
    said = {
        "STATE": given.get("state"), "EXIT_CODE": job.get("exit_code"), "ERROR": given.get("error"), "TAIL": tail
    }  # fmt: skip
    if given is not job:
        said |= {"SCHEDULE": given.get("schedule"), "SCHEDULED_AT": given.get("scheduled_at")}
    return {f"QUEUECTL_{name}": "" if value is None else str(value).replace("\0", "") for name, value in said.items()}
