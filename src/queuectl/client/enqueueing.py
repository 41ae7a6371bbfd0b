"""Makes jobs from requests, with the settings' policy and the caller's folder, umask and variables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from queuectl.client.conflicts import add, as_added, may_meet
from queuectl.domain.errors import Invalid, NotFound
from queuectl.domain.unique import Fate, Rule
from queuectl.factory import JobFactory
from queuectl.settings import Settings
from queuectl.store.arrivals import Admitted, Arrival
from queuectl.store.batches import BatchLimits
from queuectl.typed import TYPE_CHECKING, Any
from queuectl.wire.kinds import check_rule
from queuectl.wire.requests import JobRequest, emptied, parse_request

if TYPE_CHECKING:  # few commands need it
    from queuectl.domain.job import Job
    from queuectl.domain.limits import Lock
    from queuectl.store.port import Store


def enqueue(
    store: Store, who: str, requests: Iterable[JobRequest], connection: Any, on_conflict: str | None,
    rehearsed: bool = False,
) -> list[Admitted]:  # fmt: skip
    """Adds the jobs, all or none; see `Client.enqueue`. Returns each with what became of it.

    If it is only `rehearsed`, nothing is added in the end.
    """
    if rehearsed:
        from queuectl.client.acting import taken_back

        return taken_back(store, lambda: enqueue(store, who, requests, connection, on_conflict))
    rule = None if on_conflict is None else check_rule(on_conflict, "on_conflict")
    factory = factory_of(store, who)
    limits = BatchLimits()
    arrivals = []
    for each in requests:
        arrivals.append(Arrival(factory.job(each), each.on_conflict or rule, each.delay))
        limits.add(each)
    jobs = [each.job for each in arrivals]
    check_units(store, jobs)
    if connection is not None:
        return [Admitted(job, Fate.ADDED) for job in _within(store, connection, arrivals)]
    with limits.kept(store):
        if any(map(may_meet, arrivals)):
            return add(store, arrivals)
        arrived = store.insert(jobs)
    return [Admitted(as_added(job, arrived) if arrived else job, Fate.ADDED) for job in jobs]


def factory_of(store: Store, who: str) -> JobFactory:
    """Makes jobs with the settings of now."""
    settings, policies = store.policies()
    return JobFactory(Settings(settings, store.defaults), store.now(), who, policies, at_most=store.at_most)


def _within(store: Store, connection: Any, arrivals: Sequence[Arrival]) -> list[Job]:
    if not store.shared_by_machines:
        raise Invalid("connection= needs a store on PostgreSQL", f"this one is {store.url}")
    from queuectl.store.postgres.enqueue import enqueue_within

    store.bring_up_to_date()
    if not any(each.job.depends_on for each in arrivals):
        return enqueue_within(connection, store.address, arrivals)
    from queuectl.domain.dependency import in_order

    place = {job.id: place for place, job in enumerate(in_order([each.job for each in arrivals]))}
    ordered = sorted(arrivals, key=lambda each: place[each.job.id])
    added = dict(zip(map(id, ordered), enqueue_within(connection, store.address, ordered), strict=True))
    return [added[id(each)] for each in arrivals]


def clone(store: Store, who: str, ref: str, changes: Mapping[str, Any], on_conflict: str | None = None) -> Job:
    """Adds a copy of a job; see `Client.clone`."""
    job, now = store.get(ref), store.now()
    job, changes = _without_variables(job, changes)
    command = job.command if isinstance(job.command, str) else list(job.command)
    kept = {"unique_key": job.unique_key, "batch": job.batch}
    key = {name: value for name, value in kept.items() if value is not None}
    request = parse_request({"command": command, **key, **changes}, now)
    lifted = emptied(key.replace("-", "_") for key, value in changes.items() if value is None)
    if "unique_key" not in request.columns:
        lifted["unique_for"] = None  # it says how long the key is held
    request = request._replace(spec={**lifted, **request.spec})
    factory = JobFactory(Settings(store.config(), store.defaults), now, who, at_most=store.at_most)
    if job.depends_on:
        job = job._replace(depends_on=store.refs_there(job))
    new = factory.again(job, request, {key.replace("-", "_") for key in changes})
    check_units(store, [new])
    rule = request.on_conflict or (Rule.ERROR if on_conflict is None else check_rule(on_conflict, "on_conflict"))
    limits = BatchLimits()
    limits.add(request._replace(columns={"batch": new.batch, **request.columns}))
    with limits.kept(store):
        ((added, _),) = add(store, [Arrival(new, rule, request.delay)])
    return added


def _without_variables(job: Job, changes: Mapping[str, Any]) -> tuple[Job, Mapping[str, Any]]:
    """The job without the variables that the changes set to None, and the other changes."""
    if not isinstance(env := changes.get("env"), Mapping) or None not in env.values():
        return job, changes
    kept = {name: text for name, text in job.spec.env.items() if env.get(name, "") is not None}
    given = {name: text for name, text in env.items() if text is not None}
    return job._replace(spec=job.spec._replace(env=kept)), {**changes, "env": given}


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


def check_awaited(store: Store, job: Job) -> None:
    """Raises `NotFound` if a schedule's jobs depend on what is not there, as `enqueue` does, and `Invalid` if they do
    on their own batch. A batch may be there, or be that of another schedule's jobs."""
    from queuectl.domain.dependency import parse

    for on in map(parse, job.depends_on):
        if not on.is_batch:
            store.get(on.name)
        elif on.name == job.batch:
            raise Invalid(f"job {job.id} cannot wait for its own batch {on.name}", "leave one of the two out")
        elif not store.batches(on.name) and on.name not in _batches_of_schedules(store):
            raise NotFound(f"no batch {on.name}", "see them with: queuectl batch list")


def _batches_of_schedules(store: Store) -> set[str]:
    return {json.loads(each.document).get("batch") for each in store.schedules()}
