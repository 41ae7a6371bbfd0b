"""Schedules as people write them: rules, names, policies."""

from __future__ import annotations

import json
import re
from functools import lru_cache

from queuectl.domain.cron import Cron, parse_cron
from queuectl.domain.errors import Invalid
from queuectl.domain.schedule import Every, Rule
from queuectl.domain.scheduled import Schedule
from queuectl.typed import Any
from queuectl.wire.kinds import check_filled, shown
from queuectl.wire.requests import LIFTED_BY_NULL, parse_request
from queuectl.wire.times import format_second, parse_duration

NAME = r"[A-Za-z0-9._:-]{1,111}"
"""With the time of a fire it is a job's id."""
FIXED = {
    "id": "the job of each fire has the schedule's name and the time as its id",
    "run_at": "a schedule says when",
    "start_by": "give expires, which counts from each fire",
}
"""Keys that the jobs of a schedule cannot have, and why."""


def check_name(value: object, key: str) -> str:
    """A schedule's name. Raises `Invalid`."""
    if isinstance(value, str) and re.fullmatch(NAME, value):
        return value
    raise Invalid(f"{key} {shown(value)} is not valid", "1 to 111 of A-Z a-z 0-9 . _ : -")


def check_every(value: object, key: str) -> float:
    """The seconds of an interval. Raises `Invalid`."""
    seconds = parse_duration(value, key)
    if seconds < 1 or seconds != int(seconds):
        raise Invalid(f"{key} must be whole seconds, at least 1s, not {shown(value)}", "write it as 30s, 5m, 1h30m, 2d")
    return seconds


@lru_cache(maxsize=4096)
def _parsed(text: str, name: str) -> Cron:
    return parse_cron(text, name)


def check_cron(value: object, key: str, name: str = "") -> str:
    """The expression, with single blanks. Raises `Invalid`."""
    return _parsed(check_filled(value, key), name).text


def rule_of(schedule: Schedule) -> Rule:
    """When a schedule fires."""
    if schedule.cron is not None:
        return _parsed(schedule.cron, schedule.name)
    assert schedule.every is not None
    return Every(schedule.every, schedule.anchor)


def rule_words(schedule: Schedule) -> str:
    """When a schedule fires, in words."""
    try:
        rule = rule_of(schedule)
    except Invalid as error:
        return f"not understood by this release: {error.message}"
    if isinstance(rule, Every):
        return f"every {format_every(rule.seconds)}, counted from {format_second(rule.anchor)}"
    from queuectl.domain.cron_words import described

    return described(rule)


def format_every(seconds: float) -> str:
    """The inverse of `check_every`."""
    text, left = "", int(seconds)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")):
        if count := left // size:
            text += f"{count}{unit}"
            left %= size
    return text


def rule_text(schedule: Schedule) -> str:
    """When a schedule fires, as it was written."""
    return schedule.cron if schedule.cron is not None else f"every {format_every(schedule.every or 0.0)}"


def check_document(document: object, now: float) -> dict[str, Any]:
    """The keys of a schedule's jobs, as `enqueue` takes them. Raises `Invalid`."""
    if isinstance(document, dict):
        for key, why in FIXED.items():
            if document.get(key) is not None:
                raise Invalid(f"the job of a schedule has no {key}", why)
    parse_request(document, now)
    assert isinstance(document, dict)
    return {
        key: value for key, value in document.items() if value is not None or key.replace("-", "_") in LIFTED_BY_NULL
    }


def document_text(document: dict[str, Any]) -> str:
    """The keys as a schedule keeps them."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
