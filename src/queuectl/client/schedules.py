"""Schedules: what adds jobs at set times."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

from queuectl import ids, zones
from queuectl.client import conflicts
from queuectl.client.acting import note
from queuectl.client.enqueueing import check_awaited, check_units
from queuectl.client.operation import SCHEDULES, TEXT, Argument, Command, Kind, one_of, plain
from queuectl.client.schedule_views import NAMED, RUN, SHOWN, Run, ScheduleView, none_of, view, zone_of
from queuectl.domain.alerts import Watch
from queuectl.domain.errors import Conflict, Invalid
from queuectl.domain.hooks import is_address
from queuectl.domain.limits import Pause
from queuectl.domain.schedule import CatchUp, Overlap, Policy
from queuectl.domain.scheduled import Fire, Schedule
from queuectl.domain.unique import Rule
from queuectl.factory import scheduled_job, surroundings
from queuectl.settings import Settings
from queuectl.store.arrivals import Arrival
from queuectl.store.batches import BatchLimits
from queuectl.store.port import Store
from queuectl.typed import Any
from queuectl.wire import schema
from queuectl.wire.keywords import as_json
from queuectl.wire.kinds import NONE, check_filled, check_flag, check_hook, not_a_url, shown
from queuectl.wire.limits import pause_reason
from queuectl.wire.requests import key_named
from queuectl.wire.schedules import (
    check_cron,
    check_document,
    check_every,
    check_name,
    document_text,
    format_every,
    rule_of,
)
from queuectl.wire.times import format_duration, parse_duration

JITTER_MAX = 86400.0
WITHIN_MAX = 31 * 86400.0
LEAST_S = 1.0
"""A fire is looked at a little after its time, and its run ends after that: no less can be kept."""


# --- add and set --------------------------------------------------------------------------------


def _duration(value: Any, key: str, least: float, most: float | None = None) -> float | None:
    """A duration; None for `none`. Raises `Invalid`."""
    if value is None or value == NONE:
        return None
    seconds = parse_duration(as_json(value), key)
    if seconds < least:
        raise Invalid(f"{key} must be at least {format_duration(least)}", "write it as 10m, 2h, 1d")
    if most is not None and seconds > most:
        raise Invalid(f"{key} {shown(value)} is too long", f"at most {format_duration(most)}")
    return seconds


_OVERLAP, _CATCH_UP = one_of(*Overlap), one_of(*CatchUp)


def _policy(old: Policy, overlap: str | None, catch_up: str | None, late_max: Any) -> Policy:
    """The policy with what is given. Raises `Invalid`."""
    return Policy(
        old.overlap if overlap is None else Overlap(_OVERLAP.read(overlap, "overlap")),
        old.catch_up if catch_up is None else CatchUp(_CATCH_UP.read(catch_up, "catch_up")),
        old.late_max if late_max is None else _duration(late_max, "late_max", LEAST_S),
    )


def add(
    store: Store, who: str, name: str, job: Mapping[str, Any], cron: str | None = None, every: Any = None,
    tz: str | None = None, overlap: str | None = None, catch_up: str | None = None, late_max: Any = None,
    jitter: Any = None, alert: str | None = None, ping: str | None = None, expect_within: Any = None,
    replace: bool = False, paused: bool = False,
) -> ScheduleView:  # fmt: skip
    """Adds a schedule. Raises `Conflict` if its name is taken, unless it is to `replace` that one."""
    now = store.now()
    name = check_name(name, "the schedule's name")
    if (cron is None) == (every is None):
        raise Invalid("a schedule needs either a cron expression or an interval", 'e.g. cron="0 3 * * *", or every=5m')
    if every is not None and tz is not None:
        raise Invalid("an interval has no time zone", "leave the zone out")
    document = check_document(as_json(job), now)
    settings = Settings(store.config(), store.defaults)
    new = Schedule(
        name, None if cron is None else check_cron(cron, "cron", name),
        None if every is None else check_every(as_json(every), "every"), float(int(now)),
        "UTC" if cron is None else zone_of(tz),
        _policy(Policy(), overlap, catch_up, late_max),
        _duration(jitter, "jitter", 0.0, JITTER_MAX) or 0.0, document_text(document),
        json.dumps(surroundings(settings["env-capture"])), now, who, now, who,
        Pause(now, None, who) if paused else None,
    )  # fmt: skip
    new = _counted(new.watched(watch_with(new.watch, alert, ping, expect_within), now), now)
    _check_job(store, new, settings, now, document)
    with store.transaction():
        if not store.add_schedule(new):
            if not replace:
                raise Conflict(f"schedule {name} exists", "write over it with replace=true; `schedule set` changes it")
            store.change_schedule(name, lambda old: _replaced(old, new))
        note(store, who, "ScheduleAdded", f"{name}: {_said(new)}")
    return view(store, who, name)


def _check_job(store: Store, schedule: Schedule, settings: Settings, now: float, given: Collection[str]) -> None:
    job, _ = scheduled_job(schedule, now, schedule.name, settings, now)
    check_units(store, [job])
    if any(key_named(key) in ("depends_on", "batch") for key in given):
        check_awaited(store, job)


def _said(schedule: Schedule) -> str:
    zone = f" {schedule.zone}" if schedule.cron is not None else ""
    return f"{schedule.cron or f'every {format_every(schedule.every or 0.0)}'}{zone}"


def _counted(schedule: Schedule, now: float) -> Schedule:
    """With its next fire after `now`. Raises `Invalid` if there is none."""
    found = schedule._replace(pause=None).counted_from(now, rule_of(schedule), zones.zone(schedule.zone))
    if found.nominal is None:
        raise Invalid(f"{_said(schedule)} never fires")
    return found._replace(nominal=None, next_at=None, pause=schedule.pause) if schedule.pause else found


def _replaced(old: Schedule, new: Schedule) -> Schedule:
    """The new one in place of the old. One with the same rule goes on as it was, so that whoever adds it again and
    again does not put its fires off."""
    kept = new._replace(
        created_at=old.created_at, created_by=old.created_by, last=old.last, idle=old.idle, streak=old.streak,
        judged=old.judged, pause=old.pause or new.pause,
    ).watched(new.watch, new.updated_at)  # fmt: skip
    if _fire_alike(old, new) and not new.pause:
        return _going_on(old, kept)
    return kept._replace(nominal=None, next_at=None) if kept.pause else kept


def _fire_alike(one: Schedule, other: Schedule) -> bool:
    """Whether two schedules have the same rule, but for where an interval begins."""
    return (one.cron, one.every, one.zone) == (other.cron, other.every, other.zone)


def _going_on(old: Schedule, new: Schedule) -> Schedule:
    """The new one with the next fire of the old, by its own jitter: one that waits for that is not lost."""
    next_at = None if old.nominal is None else old.nominal + new.offset
    return new._replace(anchor=old.anchor, nominal=old.nominal, next_at=next_at)


def change(
    store: Store, who: str, name: str, job: Mapping[str, Any] | None = None, cron: str | None = None,
    every: Any = None, tz: str | None = None, overlap: str | None = None, catch_up: str | None = None,
    late_max: Any = None, jitter: Any = None, alert: str | None = None, ping: str | None = None,
    expect_within: Any = None,
) -> ScheduleView:  # fmt: skip
    """Changes what is given. `job` has keys to change; one that is None goes back to its default. Another rule counts
    from now on. Raises `NotFound`, `Invalid`."""
    given = (job, cron, every, tz, overlap, catch_up, late_max, jitter, alert, ping, expect_within)
    if all(each is None or each == {} for each in given):
        raise Invalid("nothing to change", f'such as: queuectl schedule set {name} --cron "0 4 * * *"')
    if cron is not None and every is not None:
        raise Invalid("a cron expression and an interval exclude each other", "give one of them")
    now = store.now()
    settings = Settings(store.config(), store.defaults)

    def changed(old: Schedule) -> Schedule:
        new = _with_rule(old, now, cron, every, tz)
        policy = _policy(old.policy, overlap, catch_up, late_max)
        wait = old.jitter if jitter is None else _duration(jitter, "jitter", 0.0, JITTER_MAX) or 0.0
        document = check_document(_with_changes(json.loads(old.document), as_json(job or {})), now)
        new = new._replace(policy=policy, jitter=wait, document=document_text(document), updated_at=now, updated_by=who)
        new = new.watched(watch_with(old.watch, alert, ping, expect_within), now)
        _check_job(store, new, settings, now, job or {})
        return _going_on(old, new) if _fire_alike(old, new) else _counted(new, now)

    with store.transaction():
        after = store.change_schedule(name, changed)
        if after is None:
            raise none_of(store, name)
        note(store, who, "ScheduleSet", f"{name}: {_said(after)}")
    return view(store, who, name)


def _with_changes(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a schedule's job, some changed; one that is None goes back to its default. A new command takes the
    place of a script."""
    changed = {key_named(key) for key in changes}
    if "command" in changed:
        changed.add("script")
    kept = {key: value for key, value in document.items() if key_named(key) not in changed}
    return {**kept, **{key: value for key, value in changes.items() if value is not None}}


def _check_ping(value: object, key: str) -> str:
    text = check_filled(value, key)
    if text != NONE and not is_address(text):
        raise not_a_url(text, key)
    return text


def watch_with(old: Watch, alert: str | None, ping: str | None, expect_within: Any) -> Watch:
    """The watch with what is given; `none` lifts it. Raises `Invalid`."""
    if alert is not None:
        check_hook(alert, "alert")
    if ping is not None:
        _check_ping(ping, "ping")
    within = old.expect_within
    if expect_within is not None:
        within = _duration(expect_within, "expect_within", LEAST_S, WITHIN_MAX)
    return Watch(
        old.alert if alert is None else None if alert == NONE else alert,
        old.ping if ping is None else None if ping == NONE else ping, within,
    )  # fmt: skip


def _with_rule(old: Schedule, now: float, cron: str | None, every: Any, tz: str | None) -> Schedule:
    if tz is not None and cron is None and (every is not None or old.cron is None):
        raise Invalid("an interval has no time zone", "leave the zone out")
    if every is not None:
        seconds = check_every(as_json(every), "every")
        anchor = old.anchor if seconds == old.every else float(int(now))
        return old._replace(cron=None, every=seconds, anchor=anchor, zone="UTC")
    if cron is not None:
        zone = zone_of(tz) if tz is not None or old.cron is None else old.zone
        return old._replace(cron=check_cron(cron, "cron", old.name), every=None, zone=zone)
    return old if tz is None else old._replace(zone=zone_of(tz))


_ANY = {"anyOf": [schema.DURATION, {"type": "string", "enum": [NONE]}]}
_EVERY = Kind(schema.DURATION, lambda value, key: check_every(value, key), as_json)


def _lasting(least: float, most: float | None = None) -> Kind:
    """A duration of this length, or `none`."""

    def read(value: Any, key: str) -> Any:
        _duration(value, key, least, most)
        return value

    return Kind(_ANY, read, as_json)


def _document(value: Any, key: str) -> Any:
    if not isinstance(value, Mapping):
        raise Invalid(f"{key} must be a JSON object, not {shown(value)}")
    return value


_HOOK, _PING = Kind(schema.STORABLE, check_hook), Kind(schema.STORABLE, _check_ping)
_WITHIN = _lasting(LEAST_S, WITHIN_MAX)
_POLICY = (
    Argument("cron", Kind(schema.STORABLE, check_filled), default=None, told="when it fires"),
    Argument("every", _EVERY, default=None, told="or each so often"),
    Argument("tz", TEXT, default=None, told="the time zone of `cron` (default: the server's)"),
    Argument("overlap", _OVERLAP, default=None, told="while an earlier job has not ended (default: skip)"),
    Argument("catch_up", _CATCH_UP, default=None, told="fires that no worker saw (default: one)"),
    Argument("late_max", _lasting(LEAST_S), default=None, told="later than this a fire makes no job"),
    Argument("jitter", _lasting(0.0, JITTER_MAX), default=None, told="fire up to this much later, always the same"),
    Argument("alert", _HOOK, default=None, told="the command or URL that is told when its runs fail or are late"),
    Argument("ping", _PING, default=None, told="the URL that is called at the start and the end of each run"),
    Argument("expect_within", _WITHIN, default=None, told="a run that has not ended well by then is late"),
)  # fmt: skip
_GIVEN_NAME = NAMED._replace(spelled="")

ADD = plain(
    "add_schedule", "POST", "/schedules", SCHEDULES, "Add a schedule", add, SHOWN.kind, "the schedule", status=201,
    fails=(409,),
    arguments=(
        _GIVEN_NAME, Argument("job", Kind(schema.ref("NewJob"), _document, as_json), told="the job of each fire"),
        *_POLICY, Argument("replace", Kind(schema.FLAG, check_flag), default=False, told="replace one of this name"),
        Argument("paused", Kind(schema.FLAG, check_flag), default=False, told="it does not fire until it is resumed"),
    ),
)  # fmt: skip
SET = plain(
    "set_schedule", "PATCH", "/schedules/{name}", SCHEDULES, "Change a schedule; another rule counts from now on",
    change, SHOWN.kind, "the schedule", fails=(404,),
    arguments=(
        _GIVEN_NAME,
        Argument("job", Kind(schema.ref("Changes"), _document, as_json), default=None, told="keys to change"), *_POLICY,
    ),
)  # fmt: skip


# --- pause, resume, run, delete -------------------------------------------------------------------


def pause(store: Store, who: str, name: str, reason: str | None = None) -> ScheduleView:
    """Pauses a schedule: it does not fire, and what it would have fired meanwhile is not made up. Raises `NotFound`."""
    now = store.now()
    why = pause_reason(reason)

    def paused(old: Schedule) -> Schedule:
        since = old.pause.since if old.pause else now
        return old._replace(pause=Pause(since, None, who, why), nominal=None, next_at=None, tell_at=None)

    return _changed(store, who, name, "SchedulePaused", paused)


def resume(store: Store, who: str, name: str) -> ScheduleView:
    """Lets a schedule fire again, from now on. Raises `NotFound`."""
    now = store.now()

    def resumed(old: Schedule) -> Schedule:
        if old.pause is None:
            return old
        return _counted(old._replace(pause=None, judged=None).watched(old.watch, now), now)

    return _changed(store, who, name, "ScheduleResumed", resumed)


def _changed(store: Store, who: str, name: str, deed: str, change: Any) -> ScheduleView:
    with store.transaction():
        if store.change_schedule(name, change) is None:
            raise none_of(store, name)
        note(store, who, deed, name)
    return view(store, who, name)


_EACH = NAMED._replace(each=True)

PAUSE_ROW = plain(
    "pause_schedule", "POST", "/schedules/{name}/pause", SCHEDULES, "Pause a schedule: it does not fire", pause,
    SHOWN.kind, "the schedule", fails=(404,),
    arguments=(_EACH, Argument("reason", TEXT, "say why", None, "--reason TEXT")),
    command=Command(
        name="schedule pause", group=SCHEDULES, help="keep a schedule from firing", said="paused {name}",
        bare="{name}", description="Pause schedules. What they would have fired meanwhile is not made up. Their jobs "
        "that wait or run go on.",
        examples=("queuectl schedule pause nightly --reason 'moving house'",),
    ),
)  # fmt: skip
RESUME = plain(
    "resume_schedule", "POST", "/schedules/{name}/resume", SCHEDULES, "Let a paused schedule fire again", resume,
    SHOWN.kind, "the schedule", fails=(404,), arguments=(_EACH,),
    command=Command(
        name="schedule resume", group=SCHEDULES, help="let a paused schedule fire again", said="resumed {name}",
        bare="{name}", description="Let paused schedules fire again, from now on.",
        examples=("queuectl schedule resume nightly",),
    ),
)  # fmt: skip


def run(store: Store, who: str, name: str) -> Run:
    """Adds the job of a schedule now, whatever its rule and policy say. Raises `NotFound`."""
    kept = store.schedule(name)
    if kept is None:
        raise none_of(store, name)
    now = store.now()
    settings, policies = store.policies()
    job_id = f"{name}.{ids.random_id(6)}"
    job, request = scheduled_job(
        kept, float(int(now)), job_id, Settings(settings, store.defaults), now, policies, store.at_most
    )  # fmt: skip
    rule = Rule.REPLACE if request.on_conflict is Rule.REPLACE else Rule.ERROR
    limits = BatchLimits()
    limits.add(request)
    with store.transaction():
        if store.change_schedule(name, lambda old: old.expecting(now)) is None:  # first: as fires do
            raise none_of(store, name)
        with limits.kept(store):
            ((job, _),) = conflicts.add(store, [Arrival(job._replace(owner=who), rule, request.delay)])
        store.add_fires([Fire(name, now, now, now, job.id, f"run by {who}")])
        note(store, who, "ScheduleRun", f"{name}: {job_id}")
    return Run(job.id, name, float(int(now)), job.queue)


RUN_ROW = plain(
    "run_schedule", "POST", "/schedules/{name}/run", SCHEDULES, "Add the job of a schedule now", run, RUN.kind,
    "the job", status=201, fails=(404,), arguments=(_EACH,),
    command=Command(
        name="schedule run", group=SCHEDULES, help="add a schedule's job now", said="enqueued {id}", bare="{id}",
        description="Add the job of a schedule now, also if it is paused or an earlier job has not ended. The rule is "
        "not affected.",
        examples=("queuectl schedule run nightly",),
    ),
)  # fmt: skip


def delete(store: Store, who: str, name: str) -> ScheduleView:
    """Removes a schedule; its jobs stay. Raises `NotFound`."""
    found = view(store, who, name)
    if not store.delete_schedule(name):
        raise none_of(store, name)
    return found


DELETE = plain(
    "delete_schedule", "DELETE", "/schedules/{name}", SCHEDULES, "Delete a schedule; its jobs stay", delete, SHOWN.kind,
    "the schedule as it was", deed=("ScheduleDeleted", "{name}"), fails=(404,), arguments=(_EACH,),
    command=Command(
        name="schedule delete", group=SCHEDULES, help="delete a schedule", said="deleted {name}", bare="{name}",
        description="Delete schedules. Their jobs that wait or run go on.",
        examples=("queuectl schedule delete nightly",),
    ),
)  # fmt: skip
