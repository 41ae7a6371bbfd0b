"""Makes jobs from requests, with the settings' policy and the caller's folder, umask and variables."""

from __future__ import annotations

import os
from _thread import allocate_lock
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from queuectl import environment, ids
from queuectl.client.conflicts import add, as_added, may_meet
from queuectl.domain.errors import Invalid
from queuectl.domain.fields import INPUT
from queuectl.domain.job import DEFAULT_QUEUE, Job, Spec
from queuectl.domain.lifecycle import begun
from queuectl.domain.unique import Fate, Rule
from queuectl.settings import Settings
from queuectl.store.arrivals import Admitted, Arrival
from queuectl.store.port import Store
from queuectl.wire.kinds import check_rule, utf8
from queuectl.wire.requests import COLUMNS, NOTHING, JobRequest, parse_request

if TYPE_CHECKING:  # few commands need it
    from queuectl.domain.limits import Lock

_PATHS = [field.name for field in INPUT if field.kind == "path"]

_asking = allocate_lock()
"""The umask belongs to the whole process, and can be read only by setting another one."""


def enqueue(
    store: Store, who: str, requests: Iterable[JobRequest], connection: Any, on_conflict: str | None
) -> list[Admitted]:
    """Adds the jobs, all or none; see `Client.enqueue`. Returns each with what became of it."""
    rule = None if on_conflict is None else check_rule(on_conflict, "on_conflict")
    factory = factory_of(store, who)
    arrivals = [Arrival(factory.job(each), each.on_conflict or rule, each.delay) for each in requests]
    jobs = [each.job for each in arrivals]
    check_units(store, jobs)
    if connection is not None:
        return [Admitted(job, Fate.ADDED) for job in _within(store, connection, arrivals)]
    if any(map(may_meet, arrivals)):
        return add(store, arrivals)
    arrived = store.insert(jobs)
    return [Admitted(as_added(job, arrived) if arrived else job, Fate.ADDED) for job in jobs]


def factory_of(store: Store, who: str) -> JobFactory:
    """Makes jobs with the settings of now."""
    settings, policies = store.policies()
    return JobFactory(Settings(settings, store.defaults), store.now(), who, policies)


def _within(store: Store, connection: Any, arrivals: Sequence[Arrival]) -> list[Job]:
    if not store.shared_by_machines:
        raise Invalid("connection= needs a store on PostgreSQL", f"this one is {store.url}")
    from queuectl.store.postgres.enqueue import enqueue_within

    store.bring_up_to_date()
    return enqueue_within(connection, store.address, arrivals)


def clone(store: Store, who: str, ref: str, changes: Mapping[str, Any], on_conflict: str | None = None) -> Job:
    """Adds a copy of a job; see `Client.clone`."""
    job, now = store.get(ref), store.now()
    command = job.command if isinstance(job.command, str) else list(job.command)
    key = {} if job.unique_key is None else {"unique_key": job.unique_key}
    request = parse_request({"command": command, **key, **changes}, now)
    factory = JobFactory(Settings(store.config(), store.defaults), now, who)
    new = factory.again(job, request, {key.replace("-", "_") for key in changes})
    check_units(store, [new])
    rule = request.on_conflict or (Rule.ERROR if on_conflict is None else check_rule(on_conflict, "on_conflict"))
    ((added, _),) = add(store, [Arrival(new, rule, request.delay)])
    return added


def check_units(store: Store, jobs: Iterable[Job]) -> None:
    """Raises `Invalid` for a job that needs more units than a lock has."""
    known: Mapping[str, Lock] | None = None
    for job in jobs:
        if job.locks:
            if known is None:
                known = {lock.name: lock for lock in store.locks()}
            check_units_of(job, known)


def check_units_of(job: Job, known: Mapping[str, Lock]) -> None:
    """The same for one job, given the locks that are set."""
    from queuectl.domain.limits import Lock, requests_of
    from queuectl.wire.limits import units_missing

    for name, units in requests_of(job.locks):
        if units > (lock := known.get(name) or Lock(name)).capacity:
            raise units_missing("the job" if job.generated_id else f"job {job.id}", name, lock.units, units)


class JobFactory:
    """Makes jobs from requests, with the current settings and environment. Equal jobs share a spec.

    `policies` are defaults of queues, by name, which count more than settings.
    """

    def __init__(
        self, settings: Settings, now: float, who: str, policies: Mapping[str, Mapping[str, Any]] = NOTHING
    ) -> None:
        self._now = now
        self._who = who
        self._fields: dict[str, Any] = {**settings.spec_defaults(), **_surroundings(settings["env-capture"])}
        self._fields["shell"] = _program(self._fields["shell"])
        self._here = self._fields["cwd"]
        self._backoff_initial_given = settings.text("backoff-initial") != "backoff-base"
        self._plain = Spec(**self._fields)
        self._policies = policies

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
        return begun(job) if job.depends_on else job

    def again(self, job: Job, changes: JobRequest, given: Collection[str]) -> Job:
        """A copy of a job under another id, with the keys `given` changed."""
        spec = self.spec_with(job.spec, changes.spec)
        new = self.job(changes)._replace(spec=spec, unique_until=_unique_until(spec, self._now))
        same = {key for key in COLUMNS if key not in given}
        if {"run_at", "delay"}.isdisjoint(given):
            same.add("run_at")
        return new._replace(**{key: getattr(job, key) for key in same})

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
        for name in _PATHS:
            if fields.get(name) is not None:
                fields[name] = os.path.normpath(os.path.join(self._here, os.path.expanduser(fields[name])))
        fields["shell"] = _program(fields["shell"])
        return Spec(**fields)


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
    utf8(cwd, "the name of the current folder", "work in another one")
    for name in env:  # values may be any bytes
        utf8(name, f"the name of the variable {name!a}", "change what is captured: config set env-capture")
    if "TRACEPARENT" in variables:
        env["TRACEPARENT"] = variables["TRACEPARENT"]
    return {"cwd": cwd, "umask": umask, "env": env, "captured": tuple(patterns)}
