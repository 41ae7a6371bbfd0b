"""`schedule add`, `set`, `preview`, and what `schedule list` and `show` tell people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from queuectl import zones
from queuectl.cli.call import Call
from queuectl.cli.forms import command_of, options
from queuectl.cli.keys import spelled
from queuectl.cli.notes import note_missing_of, note_unserved
from queuectl.cli.render import Cell, Column, visible
from queuectl.client import schedule_views as views
from queuectl.client import schedules
from queuectl.client.schedule_views import SHOWN, ScheduleView, in_zone
from queuectl.clock import SystemClock
from queuectl.domain.cron import parse_cron
from queuectl.domain.cron_words import described
from queuectl.domain.errors import Invalid
from queuectl.domain.job import DEFAULT_QUEUE
from queuectl.domain.schedule import CatchUp, Overlap
from queuectl.domain.scheduled import IDLE_TOLD, Fire
from queuectl.typed import Any
from queuectl.wire.kinds import NONE, JsonObject
from queuectl.wire.requests import LIFTED_BY_NULL, UNLIMITED, parse_request
from queuectl.wire.times import format_duration, format_second, parse_time
from queuectl.wire.words import age, ago, local_time

COLUMNS = (
    Column("SCHEDULE", least=8), Column("RULE", least=10), Column("ZONE"), Column("NEXT", right=True),
    Column("LAST", right=True), Column("STATE", least=12, wrap=True), Column("COMMAND", least=12),
)  # fmt: skip
POLICY = (
    "cron", "every", "tz", "overlap", "catch_up", "late_max", "jitter", "alert", "ping", "expect_within"
)  # fmt: skip
ONE_AT_A_TIME = (Overlap.SKIP, Overlap.QUEUE)
NEVER_LIFTED = frozenset(("queue", "script")) | LIFTED_BY_NULL | UNLIMITED
"""Keys of which `none` may be the value; of a hook or a time limit it says that the job has none, whatever its queue
has."""


def add(call: Call) -> int:
    """Adds a schedule."""
    (name,) = call.words
    keys = options(call.args)
    if not call.after and call.args.shell_command is None:
        raise Invalid("there is no command", f"write: queuectl schedule add {name} --every 5m -- CMD, or -c 'CMD'")
    job = {**command_of(call.args, call.after), **keys}
    parse_request(job, SystemClock().now(), spelled(keys))  # names options
    given = _policy(call)
    if "cron" in given:
        given.setdefault("tz", zones.local())
    with call.client() as client:
        done = client.do(schedules.ADD, name=name, job=job, replace=call.args.replace, paused=call.args.paused, **given)
        _print_done(call, done, client.now(), "added")
        if not call.console.quiet:
            note_missing_of(call, done.job, done.cwd or "/")
            note_unserved(call, client.unserved([done.job.get("queue", DEFAULT_QUEUE)]))
    return 0


def change(call: Call) -> int:
    """Changes a schedule."""
    (name,) = call.words
    keys = _lifted(options(call.args))
    typed = call.after is not None or call.args.shell_command is not None or "script" in keys
    job = {**keys, **command_of(call.args, call.after)} if typed else keys
    parse_request({"command": "true", **job}, SystemClock().now(), spelled(keys))
    with call.client() as client:
        done = client.do(schedules.SET, name=name, job=job, **_policy(call))
        _print_done(call, done, client.now(), "changed")
        if not call.console.quiet:
            note_missing_of(call, job, done.cwd or "/")
    return 0


def _lifted(keys: JsonObject) -> JsonObject:
    """The keys, with None for those that go back to their defaults."""
    return {key: None if value in (NONE, [NONE]) and key not in NEVER_LIFTED else value for key, value in keys.items()}


def _policy(call: Call) -> dict[str, Any]:
    given = {key: getattr(call.args, key) for key in POLICY}
    arguments = {each.name: each for each in schedules.ADD.arguments}
    return {
        key: arguments[key].read(value, f"--{key.replace('_', '-')}")
        for key, value in given.items()
        if value is not None
    }


def _print_done(call: Call, done: ScheduleView, now: float, verb: str) -> None:
    when = f"next {local_time(done.next[0])} ({_in(done.next[0] - now)})" if done.next else "paused"
    call.console.answer(SHOWN.json(done), done.name, f"{verb} {done.name}: {_rule(done)}; {when}")
    if done.catch_up is CatchUp.ALL and done.overlap in ONE_AT_A_TIME and not call.console.quiet:
        fix = call.command(f"schedule set {done.name} --overlap allow")
        what = f"of fires that were missed, overlap {done.overlap.value} lets the earliest alone make a job"
        call.console.note(f"{what}; to make up all: {fix}", "info")


def _rule(each: ScheduleView) -> str:
    """The rule in words, for people: its one moment is in the reader's zone."""
    if each.every is None:
        return visible(each.rule)
    words, _, anchor = each.rule.rpartition(" ")
    return f"{words} {local_time(parse_time(anchor, 0.0))}"


def preview(call: Call) -> int:
    """Shows when a cron expression fires."""
    (expression,) = call.words
    arguments = {each.name: each for each in views.PREVIEW.arguments}
    count = views.PREVIEWED if call.args.count is None else arguments["count"].read(call.args.count, "-n")
    zone, now = call.args.tz or zones.local(), SystemClock().now()
    fires = views.previewed(now, expression, zone, call.args.from_, count, call.args.name, "--from")
    if call.console.as_json:
        call.console.json_array([format_second(at) for at in fires])
        return 0
    if not call.console.quiet:
        call.console.print(f"{visible(described(parse_cron(expression, call.args.name)))}, in {zone}")
    where = zones.zone(zone)
    for at in fires:
        here = in_zone(at, where)
        line = format_second(at) if call.console.quiet else f"{here}   {format_second(at)}   {_in(at - now)}"
        call.console.print(line)
    return 0


def _in(seconds: float) -> str:
    return f"in {age(seconds)}" if seconds >= 0 else f"{age(-seconds)} ago"


# --- list and show ----------------------------------------------------------------------------


def print_all(call: Call, found: Sequence[ScheduleView], now: float) -> None:
    """Lists schedules."""
    if call.console.named(COLUMNS, found, lambda each: _row(each, now)):
        example = call.command('schedule add NAME --cron "0 3 * * *" -- CMD')
        call.console.note(f"no schedule yet; add one with: {example}", "no_schedule")


def _row(each: ScheduleView, now: float) -> Sequence[str | Cell]:
    return (
        each.name, each.rule_text, each.zone if each.cron is not None else "",
        _in(each.next[0] - now) if each.next else "", "" if each.last is None else ago(now - each.last),
        _state(each), visible(_command(each)),
    )  # fmt: skip


def _state(each: ScheduleView) -> Cell:
    words = list(state_words(each))
    is_bad = each.late or each.failing or each.idle >= IDLE_TOLD
    return Cell(", ".join(words), "red" if is_bad else "yellow" if each.pause else "")


def state_words(each: ScheduleView) -> Iterator[str]:
    """What is special about a schedule."""
    if each.pause:
        yield "paused"
    if each.late:
        yield "late"
    if each.failing:
        yield "failing"
    if each.idle >= IDLE_TOLD:
        yield f"{each.idle:,} fires without a job"


def _command(each: ScheduleView) -> str:
    from queuectl.wire.jobs import command_line

    command = each.job["command"]
    return command_line(command if isinstance(command, str) else tuple(command))


def _worded(value: Any) -> str:
    """The value of a job's key: a list with commas, and other things in JSON."""
    if isinstance(value, list):
        return ",".join(map(_worded, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def print_one(call: Call, each: ScheduleView, now: float) -> None:
    """A schedule, a line for each fact, each of the next fires, and each of the latest."""
    where = zones.find(each.zone) if each.cron is not None else None
    job = {key: value for key, value in each.job.items() if key != "command"}
    paused = ""
    if each.pause:
        reason = f": {visible(each.pause.reason)}" if each.pause.reason else ""
        paused = f"since {local_time(each.pause.since)} by {each.pause.by}{reason}"
    facts = {
        "schedule": each.name, "rule": each.rule_text, "means": _rule(each),
        "zone": each.zone if each.cron is not None else "",
        "command": visible(_command(each)), "folder": "" if "cwd" in job else visible(each.cwd or ""),
        "job": ", ".join(f"{key} {visible(_worded(value))}" for key, value in job.items()),
        "overlap": each.overlap.value, "catch-up": each.catch_up.value,
        "late-max": "" if each.late_max is None else format_duration(each.late_max),
        "jitter": format_duration(each.jitter) if each.jitter else "",
        "alert": visible(each.alert or ""), "ping": visible(each.ping or ""),
        "expected": "" if each.expect_within is None else f"to succeed within {format_duration(each.expect_within)}",
        "state": ", ".join(word for word in state_words(each) if word != "paused"),
        "streak": _streak(each, now), "paused": paused,
        "last success": "" if each.last_success is None else ago(now - each.last_success),
        "added": f"{ago(now - each.created_at)} by {each.created_by}",
        "changed": f"{ago(now - each.updated_at)} by {each.updated_by}" if each.updated_at > each.created_at else "",
    }  # fmt: skip
    if not call.console.facts(each.name, facts):
        return
    for number, at in enumerate(each.next):
        label = "" if number else "next"
        call.console.print(f"{label:<12} {in_zone(at, where)}   {format_second(at)}   {_in(at - now)}")
    for number, fire in enumerate(each.fires):
        label = "" if number else "fires"
        call.console.print(f"{label:<12} {_fire(fire, where)}")


def _streak(each: ScheduleView, now: float) -> str:
    if each.streak is None:
        return ""
    told = f"; told {ago(now - each.streak.told_at)}" if each.alert else ""
    return f"{each.streak.state} since {local_time(each.streak.since)}{told}"


def _fire(fire: Fire, where: Any) -> str:
    at = in_zone(fire.at, where)
    if fire.job is not None:
        late = fire.decided_at - fire.at
        more = visible(fire.reason) if fire.reason else f"{age(late)} late" if late >= 60 else ""
        return f"{at}   {fire.job}" + (f"   {more}" if more else "")
    more = "over " if fire.at_least else ""
    several = f" ({more}{fire.fires:,} fires, to {in_zone(fire.until, where)})" if fire.fires > 1 else ""
    return f"{at}   no job: {visible(fire.reason or '')}{several}"
