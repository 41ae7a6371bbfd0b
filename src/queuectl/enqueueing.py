"""From what a user asks for to a job: with the settings' policy and the surroundings of the one who asks."""

from __future__ import annotations

import os
from _thread import allocate_lock
from collections.abc import Sequence
from typing import Any

from queuectl import environment, ids, wire
from queuectl.domain.errors import Invalid
from queuectl.domain.job import DEFAULT_QUEUE, Job, Spec
from queuectl.settings import Settings

_asking = allocate_lock()
"""A umask can only be read by setting another one, and it is the whole process's."""


class JobFactory:
    """Makes jobs from requests: the settings' policy, the surroundings of this moment, one shared spec where it can."""

    def __init__(self, settings: Settings, now: float, who: str) -> None:
        self._now = now
        self._who = who
        self._fields: dict[str, Any] = {**settings.spec_defaults(), **_surroundings(settings["env-capture"])}
        self._fields["shell"] = _program(self._fields["shell"])
        self._backoff_initial_given = settings.text("backoff-initial") != "backoff-base"
        self._plain = Spec(**self._fields)

    def job(self, request: wire.JobRequest) -> Job:
        """A new job, ready to be inserted."""
        now = self._now
        run_at = request.run_at if request.run_at is not None else now + (request.delay or 0.0)
        return Job(
            id=request.id or ids.job_id(), generated_id=request.id is None, command=request.command,
            spec=self._spec(request.spec) if request.spec else self._plain, queue=request.queue or DEFAULT_QUEUE,
            priority=request.priority, tags=request.tags, owner=self._who, held=request.held,
            created_at=now, run_at=run_at, updated_at=now,
        )  # fmt: skip

    def _spec(self, given: Any) -> Spec:
        fields = {**self._fields, **given}
        if "backoff_base" in given and "backoff_initial" not in given and not self._backoff_initial_given:
            fields["backoff_initial"] = fields["backoff_base"]
        fields["env"] = {**self._fields["env"], **given.get("env", {})}
        here = self._fields["cwd"]
        for name in ("cwd", "stdin", "output_path"):
            if fields.get(name) is not None:
                fields[name] = os.path.normpath(os.path.join(here, os.path.expanduser(fields[name])))
        fields["shell"] = _program(fields["shell"])
        return Spec(**fields)


def _program(name: str) -> str:
    """A shell's whole path, where it was named as one types it."""
    if "/" in name:
        return name
    from shutil import which

    return which(name) or name


def _surroundings(patterns: Sequence[str]) -> dict[str, Any]:
    with _asking:
        umask = os.umask(0o077)
        os.umask(umask)
    try:
        cwd = os.getcwd()
    except FileNotFoundError:
        raise Invalid("the current folder no longer exists", "cd to a folder that does") from None
    variables = environment.given()
    env = {name: value for name, value in variables.items() if environment.is_captured(name, patterns)}
    wire.utf8(cwd, "the name of the current folder", "work in another one")
    for name in env:  # values are kept as they are, whatever their bytes
        wire.utf8(name, f"the name of the variable {name!a}", "change what is captured: config set env-capture")
    if "TRACEPARENT" in variables:
        env["TRACEPARENT"] = variables["TRACEPARENT"]
    return {"cwd": cwd, "umask": umask, "env": env, "captured": tuple(patterns)}
