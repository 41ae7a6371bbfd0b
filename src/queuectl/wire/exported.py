"""Jobs as they were, from their JSON: the inverse of `job_to_json`, with every value checked."""

from __future__ import annotations

import json
from collections.abc import Mapping

from queuectl.domain.errors import Invalid
from queuectl.domain.fields import FIELDS, Field
from queuectl.domain.job import HOOKS, Job, JobState, Spec
from queuectl.typed import Any
from queuectl.wire import kinds
from queuectl.wire.requests import PRINTED_BESIDE, unknown_key
from queuectl.wire.times import parse_time

_FIELDS = {field.name: field for field in FIELDS if field.shown}
_NEEDED = ("id", "command")
HINT = "give a file that `export` has made"
RESULT_BYTES_MAX = 64 << 10
COUNT_MAX = (1 << 62) - 1


class AsTheyWere:
    """Makes jobs of exported lines. Neighbours mostly differ in little else than id and command, so what is as in the
    line before is not checked again."""

    def __init__(self, now: float) -> None:
        self._now = now
        self._before: dict[str, Any] = {}
        self._values: dict[str, Any] = {}
        self._spec = Spec(env={})

    def job(self, document: object) -> Job:
        """The job. Keys that are missing or null have a job's own defaults, not the store's. Raises `Invalid` with the
        key."""
        if not isinstance(document, dict):
            raise Invalid(f"a job must be a JSON object, not {kinds.shown(document)}", HINT)
        if document.get("queue") == HOOKS:
            raise Invalid("this is a hook of another job, and hooks are not imported", "export without --hooks")
        found: dict[str, Any] = {}
        spec: dict[str, Any] = {}
        for key, value in document.items():
            field = _FIELDS.get(key)
            if field is None and key not in PRINTED_BESIDE:
                raise unknown_key(key)
            if field is not None and field.place != "nowhere" and value is not None:
                is_same = key in self._values and type(value) is type(self._before[key]) and value == self._before[key]
                read = self._values[key] if is_same else _read(field, value, self._now)
                (spec if field.place == "spec" else found)[key] = read
        if missing := [key for key in _NEEDED if key not in found]:
            raise Invalid(f"the job has no {missing[0]}", f"{HINT}; new jobs: enqueue --file")
        self._before, self._values = document, {**found, **spec}
        created_at = found.setdefault("created_at", self._now)
        found.setdefault("run_at", created_at)
        found.setdefault("updated_at", created_at)
        made = Spec(**{"env": {}, **spec})
        self._spec = self._spec if made == self._spec else made
        if made.unique_for is not None:
            found["unique_until"] = created_at + made.unique_for
        return Job(spec=self._spec, **found)


def _read(field: Field, value: Any, now: float) -> Any:
    """A key's value, checked."""
    if field.kind == "time":
        return parse_time(value, now, field.name)
    if field.kind == "hook":  # what is over stays as it was
        return kinds.check_filled(value, field.name)
    if field.setter == "user":
        return kinds.check_of(field)(value, field.name)
    return _READ[field.kind](value, field.name)


def _state(value: Any, key: str) -> JobState:
    try:
        return JobState(value)
    except ValueError:
        from queuectl.domain.likeness import nearest

        raise Invalid(f"unknown state {kinds.shown(value)}", nearest(str(value), list(JobState))) from None


def _seconds(value: Any, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < COUNT_MAX:
        raise Invalid(f"{key} must be a number of seconds, not {kinds.shown(value)}")
    return float(value)


def _result(value: Any, key: str) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if len(text.encode(errors="surrogatepass")) > RESULT_BYTES_MAX:
        raise Invalid(f"{key} has more than {RESULT_BYTES_MAX:,} bytes")
    return text


_READ: Mapping[str, Any] = {
    "state": _state, "whole number": kinds.whole_number(0, COUNT_MAX), "worker": kinds.check_text,
    "text": kinds.check_text, "name": kinds.check_text, "seconds": _seconds, "json": _result,
}  # fmt: skip
