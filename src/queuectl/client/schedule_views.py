"""Schedules as people see them: when they fire next, how their jobs end, and what became of each fire."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, tzinfo

from queuectl import zones
from queuectl.client.documents import PAUSE
from queuectl.client.operation import SCHEDULES, TEXT, Argument, Command, Kind, number, plain
from queuectl.client.shapes import COUNT, FLAG, NUMBER, TIME, Key, Shape, listed, nullable
from queuectl.client.shapes import TEXT as SHOWN_TEXT
from queuectl.client.shapes import Kind as AnswerKind
from queuectl.client.shapes import one_of as member_of
from queuectl.domain.alerts import Trouble
from queuectl.domain.errors import Invalid, NotFound
from queuectl.domain.likeness import nearest
from queuectl.domain.limits import Pause
from queuectl.domain.schedule import ON_TIME_S, CatchUp, Overlap, Rule, next_fire
from queuectl.domain.scheduled import FIRES_KEPT, Fire, Schedule
from queuectl.store.port import Store
from queuectl.typed import Any, NamedTuple
from queuectl.wire import schema
from queuectl.wire.keywords import as_json
from queuectl.wire.kinds import check_filled
from queuectl.wire.schedules import NAME, check_cron, check_name, format_every, rule_of, rule_words
from queuectl.wire.times import parse_time

NEXT_SHOWN = 5
FIRES_SHOWN = 20
PREVIEWED, PREVIEWED_MAX = 10, 1000


class StreakView(NamedTuple):
    """Runs that are not well, one after the other. `scheduled_at` and `job` are the latest one's."""

    state: Trouble
    since: float
    told_at: float
    scheduled_at: float
    job: str | None


class ScheduleView(NamedTuple):
    """A schedule, when it fires next, and how its latest jobs have ended.

    `every` is text such as 5m, `rule` the rule in words, `job` the keys of its jobs, `cwd` where they run. `overdue`:
    it was due a while ago, and no worker has looked at it. `late`: it is overdue, or a run has not ended well in time.
    `failing`: the latest of its jobs to end is dead. `streak`: the runs that are not well just now. `idle`: how many
    fires in a row have made no job. `fires`: what became of the latest ones.
    """

    name: str
    cron: str | None
    every: str | None
    rule: str
    zone: str
    overlap: Overlap
    catch_up: CatchUp
    late_max: float | None
    jitter: float
    alert: str | None
    ping: str | None
    expect_within: float | None
    job: Mapping[str, Any]
    cwd: str | None
    pause: Pause | None
    next: Sequence[float]
    last: float | None
    idle: int
    overdue: bool
    late: bool
    failing: bool
    streak: StreakView | None
    last_success: float | None
    created_at: float
    created_by: str | None
    updated_at: float
    updated_by: str | None
    fires: Sequence[Fire] = ()

    @property
    def rule_text(self) -> str:
        """The rule as it was written."""
        return self.cron if self.cron is not None else f"every {self.every}"


FIRE = Shape(
    "Fire", Fire,
    Key("at", TIME), Key("until", TIME), Key("fires", COUNT), Key("at_least", FLAG), Key("decided_at", TIME),
    Key("job", nullable(SHOWN_TEXT)), Key("reason", nullable(SHOWN_TEXT)), Key("schedule", SHOWN_TEXT),
)  # fmt: skip
STREAK = Shape(
    "Streak", StreakView,
    Key("state", member_of(Trouble)), Key("since", TIME), Key("told_at", TIME), Key("scheduled_at", TIME),
    Key("job", nullable(SHOWN_TEXT)),
)  # fmt: skip
_KEYS = (
    Key("name", SHOWN_TEXT), Key("cron", nullable(SHOWN_TEXT)), Key("every", nullable(SHOWN_TEXT)),
    Key("rule", SHOWN_TEXT), Key("zone", SHOWN_TEXT), Key("overlap", member_of(Overlap)),
    Key("catch_up", member_of(CatchUp)), Key("late_max", nullable(NUMBER)), Key("jitter", NUMBER),
    Key("alert", nullable(SHOWN_TEXT)), Key("ping", nullable(SHOWN_TEXT)), Key("expect_within", nullable(NUMBER)),
    Key("job", AnswerKind({"type": "object"}, dict)), Key("cwd", nullable(SHOWN_TEXT)),
    Key("paused", nullable(PAUSE.kind), "pause"), Key("next", listed(TIME)), Key("last", nullable(TIME)),
    Key("idle", COUNT), Key("overdue", FLAG), Key("late", FLAG), Key("failing", FLAG),
    Key("streak", nullable(STREAK.kind)), Key("last_success", nullable(TIME)),
    Key("created_at", TIME), Key("created_by", nullable(SHOWN_TEXT)), Key("updated_at", TIME),
    Key("updated_by", nullable(SHOWN_TEXT)),
)  # fmt: skip
SCHEDULE = Shape("Schedule", ScheduleView, *_KEYS)
"""A schedule in a list."""
SHOWN = Shape("ShownSchedule", ScheduleView, *_KEYS, Key("fires", listed(FIRE.kind)))
"""A schedule with what became of its latest fires."""


class Run(NamedTuple):
    """A job that somebody had a schedule add out of turn."""

    id: str
    schedule: str
    scheduled_at: float
    queue: str


RUN = Shape(
    "", Run, Key("id", SHOWN_TEXT), Key("schedule", SHOWN_TEXT), Key("scheduled_at", TIME), Key("queue", SHOWN_TEXT)
)


# --- look -------------------------------------------------------------------------------------


def upcoming(rule: Rule, after: float, zone: str, count: int) -> list[float]:
    """The next fires by a rule; none if this machine has no rules for the zone."""
    where, found = zones.find(zone), list[float]()
    while (
        where is not None
        and len(found) < count
        and (at := next_fire(rule, found[-1] if found else after, where)) is not None
    ):
        found.append(at)
    return found


def in_zone(at: float, where: tzinfo | None) -> str:
    """A time as clocks there show it, with the weekday and the offset from UTC. None: here."""
    return f"{datetime.fromtimestamp(at, UTC).astimezone(where):%a %Y-%m-%d %H:%M:%S %z}"


Outcome = tuple[bool, float | None]


def _view(
    store: Store, kept: Schedule, outcome: Outcome, next_shown: int = 1, fires: Sequence[Fire] = ()
) -> ScheduleView:
    failing, last_success = outcome
    policy, streak = kept.policy, kept.streak
    overdue = kept.next_at is not None and kept.next_at < store.now() - ON_TIME_S
    is_late = streak is not None and streak.state is Trouble.LATE
    coming = [] if kept.nominal is None else [kept.nominal]
    if coming and next_shown > 1:
        with suppress(Invalid):  # a newer release has added it
            coming += upcoming(rule_of(kept), coming[0], kept.zone, next_shown - 1)
    return ScheduleView(
        kept.name, kept.cron, None if kept.every is None else format_every(kept.every), rule_words(kept), kept.zone,
        policy.overlap, policy.catch_up, policy.late_max, kept.jitter, *kept.watch, json.loads(kept.document),
        json.loads(kept.surroundings)["cwd"], kept.pause,
        [at + kept.offset for at in coming], kept.last, kept.idle,
        overdue, overdue or is_late, failing,
        streak and StreakView(streak.state, *streak[:2], streak.latest.at, streak.latest.job), last_success,
        kept.created_at, kept.created_by, kept.updated_at, kept.updated_by, fires,
    )  # fmt: skip


def views(store: Store, who: str) -> list[ScheduleView]:
    """Every schedule."""
    found = store.schedules()
    outcomes = store.outcomes([kept.name for kept in found])
    return [_view(store, kept, outcomes[kept.name]) for kept in found]


LIST = plain(
    "schedules", "GET", "/schedules", SCHEDULES, "List schedules", views, listed(SCHEDULE.kind), "each schedule",
    command=Command(
        name="schedule list", group=SCHEDULES, help="list schedules", examples=("queuectl schedule list",),
        description="List schedules with their rules, when they fire next, and how their latest jobs have ended.",
    ),
)  # fmt: skip


def view(store: Store, who: str, name: str, limit: int = FIRES_SHOWN) -> ScheduleView:
    """A schedule with its next fires, and what became of the latest ones. Raises `NotFound`."""
    kept = store.schedule(name)
    if kept is None:
        raise none_of(store, name)
    return _view(store, kept, store.outcomes([name])[name], NEXT_SHOWN, store.fires(name, limit))


def none_of(store: Store, name: str) -> NotFound:
    """The error for a schedule that is not there, with the nearest name."""
    known = [each.name for each in store.schedules()]
    return NotFound(f"no schedule {name[:128]}", nearest(name, known) if known else "there is none yet")


NAMED = Argument("name", Kind({"type": "string", "pattern": f"^{NAME}$"}, check_name), spelled="SCHEDULE")

SHOW = plain(
    "schedule", "GET", "/schedules/{name}", SCHEDULES, "Show a schedule", view, SHOWN.kind, "the schedule",
    fails=(404,),
    arguments=(
        NAMED,
        Argument("limit", number(0, FIRES_KEPT), "show what became of the N latest fires (default: 20)", FIRES_SHOWN,
                 "--limit N", "how many of the latest fires"),
    ),
    command=Command(
        name="schedule show", group=SCHEDULES, help="show a schedule, its next and its latest fires",
        examples=("queuectl schedule show nightly",),
        description="Show a schedule: its rule in words, its next five fires, its job, and what became of the latest "
        "fires: the job that each made, or why it made none.",
    ),
)  # fmt: skip


def zone_of(given: str | None) -> str:
    """The zone's name, which exists. Raises `Invalid`, `NoZoneData`."""
    if given is None:
        return zones.local()
    zones.named(check_filled(given, "tz"))
    return given


def preview(
    store: Store, who: str, cron: str, tz: str | None = None, from_: Any = None, count: int = PREVIEWED, name: str = ""
) -> list[float]:
    """The next fires of a cron expression."""
    return previewed(store.now(), cron, tz, from_, count, name)


def previewed(
    now: float, cron: str, tz: str | None, from_: Any, count: int, name: str, spelled: str = "from"
) -> list[float]:
    """The next fires of a cron expression after `from_` (`spelled` so in errors), for which no store is needed. A time
    without a zone is one of `tz`."""
    from queuectl.domain.cron import parse_cron

    expression = check_cron(cron, "the expression", name)
    zone = zone_of(tz)
    start = now if from_ is None else parse_time(as_json(from_), now, spelled, zones.zone(zone))
    return upcoming(parse_cron(expression, name), start, zone, count)


PREVIEW = plain(
    "preview_schedule", "GET", "/schedule-preview", SCHEDULES, "The next fires of a cron expression", preview,
    listed(TIME), "the times",
    arguments=(
        Argument("cron", Kind(schema.STORABLE, check_filled), told="the expression"),
        Argument("tz", TEXT, default=None, told="the time zone (default: the server's)"),
        Argument("from_", TEXT._replace(send=as_json), default=None, told="fires after this time (default: now)"),
        Argument("count", number(1, PREVIEWED_MAX), default=PREVIEWED, told="how many"),
        Argument("name", TEXT, default="", told="the schedule's name, by which H is drawn"),
    ),
)  # fmt: skip
