"""Makes jobs from requests: with the settings' policy, and the folder, umask and variables they were given with."""

from __future__ import annotations

import json
import os
from _thread import allocate_lock
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache

from queuectl import environment, ids
from queuectl.domain.batch import lock_of, with_lock, without_lock
from queuectl.domain.errors import Invalid
from queuectl.domain.fields import INPUT
from queuectl.domain.job import DEFAULT_QUEUE, Job, Spec
from queuectl.typed import TYPE_CHECKING, Any
from queuectl.wire.kinds import utf8
from queuectl.wire.requests import COLUMNS, NOTHING, JobRequest, parse_request

if TYPE_CHECKING:  # one new job needs none
    from queuectl.domain.scheduled import Schedule
    from queuectl.settings import Settings

_PATHS = [field.name for field in INPUT if field.kind == "path"]

_asking = allocate_lock()
"""The umask belongs to the whole process, and can be read only by setting another one."""


class JobFactory:
    """Makes jobs from requests, with the current settings. Equal jobs share a spec.

    `policies` are defaults of queues, by name, which count more than settings. `around` is where the jobs were asked
    for, as `surroundings` returns it; by default here. `at_most` says how many jobs of a batch may run at once, if they
    are limited.
    """

    def __init__(
        self, settings: Settings, now: float, who: str | None, policies: Mapping[str, Mapping[str, Any]] = NOTHING,
        around: Mapping[str, Any] | None = None, at_most: Callable[[str], int | None] = lambda batch: None,
    ) -> None:  # fmt: skip
        self._now = now
        self._who = who
        around = surroundings(settings["env-capture"]) if around is None else around
        self._fields: dict[str, Any] = {**settings.spec_defaults(), **around}
        self._fields["shell"] = _program(self._fields["shell"])
        self._here = self._fields["cwd"]
        self._backoff_initial_given = settings.text("backoff-initial") != "backoff-base"
        self._plain = Spec(**self._fields)
        self._policies = policies
        self._at_most = cache(at_most)

    def job(self, request: JobRequest) -> Job:
        """A new job, ready to be inserted."""
        now = self._now
        run_at = request.run_at if request.run_at is not None else now + (request.delay or 0.0)
        spec = self._spec_of(request)
        job = Job(
            id=request.id or ids.job_id(), generated_id=request.id is None, command=request.command,
            spec=spec, owner=self._who, start_by=_start_by(request, spec, max(run_at, now)),
            unique_until=_unique_until(spec, now),
            created_at=now, run_at=run_at, updated_at=now, **request.columns,
        )  # fmt: skip
        if job.batch is not None:
            job = self._in_batch(job, request)
        return _begun(job)

    def again(self, job: Job, changes: JobRequest, given: Collection[str]) -> Job:
        """A copy of a job under another id, with the keys `given` changed. One of a schedule's job is for
        the same time, but not of the schedule."""
        spec = self.spec_with(job.spec, with_command(given, changes.spec))
        new = self.job(changes)._replace(spec=spec, unique_until=_unique_until(spec, self._now))
        new = new._replace(scheduled_at=job.scheduled_at)
        same = {key for key in COLUMNS if key not in given}
        if {"run_at", "delay"}.isdisjoint(given):
            same.add("run_at")
        locks = without_lock(job.locks, lock_of(job.batch)) if job.batch is not None else job.locks
        kept = {**{key: getattr(job, key) for key in same}, "locks": locks if "locks" in same else new.locks}
        new = self._in_batch(new._replace(**kept), changes)
        if "start_by" in given:
            new = new._replace(spec=spec._replace(expires=None))
        elif spec.expires is not None:
            new = new._replace(start_by=new.due_at + spec.expires)
        elif "expires" not in given and job.start_by is not None and job.start_by > self._now:
            new = new._replace(start_by=job.start_by)
        return _begun(new)

    def _in_batch(self, job: Job, request: JobRequest) -> Job:
        """The job with the lock of its batch, if the batch has a limit."""
        if job.batch is not None and (request.at_most or self._at_most(job.batch)):
            return job._replace(locks=with_lock(job.locks, lock_of(job.batch)))
        return job

    def spec_with(self, spec: Spec, changes: Mapping[str, Any]) -> Spec:
        """A spec with some keys changed; a relative path is relative to the caller's folder."""
        self._fields = {**spec._asdict(), "env": dict(spec.env)}
        self._backoff_initial_given = spec.backoff_initial != spec.backoff_base
        return self._spec(changes)

    def _spec_of(self, request: JobRequest) -> Spec:
        if self._policies and (policy := self._policies.get(request.columns.get("queue", DEFAULT_QUEUE))):
            return self._spec({**policy, **request.spec})
        return self._spec(request.spec) if request.spec else self._plain

    def _spec(self, given: Any) -> Spec:
        fields = {**self._fields, **given}
        if "backoff_base" in given and "backoff_initial" not in given and not self._backoff_initial_given:
            fields["backoff_initial"] = fields["backoff_base"]
        fields["env"] = {**self._fields["env"], **given.get("env", {})}
        secrets = fields.get("secrets", ())
        if both := sorted({*given.get("env", ())}.intersection(secrets)):
            raise Invalid(f"variable {both[0]} is one of the job's secrets", "its value is the worker's alone")
        for name in secrets:
            fields["env"].pop(name, None)  # captured here; the store must not hold its value
        for name in _PATHS:
            if fields.get(name) is not None:
                fields[name] = os.path.normpath(os.path.join(self._here, os.path.expanduser(fields[name])))
        fields["shell"] = _program(fields["shell"])
        return Spec(**fields)


def with_command(given: Collection[str], spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """Changes of a spec if these keys are given: a new command takes the place of a script."""
    return {"script": None, **spec} if "command" in given else spec


def _start_by(request: JobRequest, spec: Spec, due_at: float) -> float | None:
    return due_at + spec.expires if spec.expires is not None else request.start_by


def _unique_until(spec: Spec, now: float) -> float | None:
    return None if spec.unique_for is None else now + spec.unique_for


def _program(name: str) -> str:
    """The path of a shell that was given by name."""
    if "/" in name:
        return name
    from shutil import which

    return which(name) or name


def scheduled_job(
    schedule: Schedule, at: float, job_id: str, settings: Settings, now: float,
    policies: Mapping[str, Mapping[str, Any]] = NOTHING, at_most: Callable[[str], int | None] = lambda batch: None,
) -> tuple[Job, JobRequest]:  # fmt: skip
    """The job of a schedule for the time `at`, and what it was made from. Raises `Invalid`."""
    around = json.loads(schedule.surroundings)
    around["captured"] = tuple(around["captured"])
    request = parse_request({**json.loads(schedule.document), "id": job_id}, now)
    job = JobFactory(settings, now, schedule.created_by, policies, around, at_most).job(request)
    return job._replace(schedule=schedule.name, scheduled_at=at), request


def surroundings(patterns: Sequence[str]) -> dict[str, Any]:
    """This process's folder, umask, and the variables that match, by the names of a spec's attributes."""
    with _asking:
        umask = os.umask(0o077)
        os.umask(umask)
    try:
        cwd = os.getcwd()
    except FileNotFoundError:
        raise Invalid("the current folder no longer exists", "cd to a folder that does") from None
    variables = environment.given()
    env = {name: value for name, value in variables.items() if environment.is_captured(name, patterns)}
    utf8(cwd, "the name of the current folder", "work in another one")
    for name in env:  # values may be any bytes
        utf8(name, f"the name of the variable {name!a}", "change what is captured: config set env-capture")
    if "TRACEPARENT" in variables:
        env["TRACEPARENT"] = variables["TRACEPARENT"]
    return {"cwd": cwd, "umask": umask, "env": env, "captured": tuple(patterns)}


def _begun(job: Job) -> Job:
    if not job.depends_on:  # as nearly always
        return job
    from queuectl.domain.lifecycle import begun

    return begun(job)
