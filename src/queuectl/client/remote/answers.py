"""Turns answers of the REST API into values of a client.

Attributes that HTTP does not carry have their default: `seq`, `starts`, `generated_id`, a worker's `rows`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from queuectl.client.documents import EXECUTION, NOT_BY_PEOPLE, STATUS, WORKER, kind_of
from queuectl.client.hooks import HOOK
from queuectl.client.shapes import moment
from queuectl.client.values import History, Status, WorkerView
from queuectl.domain.fields import FIELDS, Field
from queuectl.domain.job import Job, JobState, Spec
from queuectl.settings import SETTINGS, Settings
from queuectl.store.values import Note
from queuectl.typed import Any

Document = Mapping[str, Any]

_KEPT = [field for field in FIELDS if field.shown and field.place != "nowhere"]
_OF_JSON: dict[str, Callable[[Any], Any]] = {
    "command": lambda command: command if isinstance(command, str) else tuple(command),
    "names": tuple,
    "locks": tuple,
    "secrets": tuple,
    "dependencies": tuple,
    "exit codes": tuple,
    "time": moment,
    "umask": lambda text: int(text, 8),
    "state": JobState,
    "json": lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":")),
}
"""Converters of JSON values by kind; other kinds need none."""


def job_of(document: Document) -> Job:
    """The inverse of `wire.job_to_json`. A server of an older version lacks newer keys."""
    known = {field.name: _value(field, document[field.name]) for field in _KEPT if field.name in document}
    spec = {name: known.pop(name) for name in Spec._fields if name in known}
    return Job(spec=Spec(**spec), **known)


def _value(field: Field, value: Any) -> Any:
    if value is None or field.kind not in _OF_JSON:
        return value
    return _OF_JSON[field.kind](value)


def history_of(document: Document) -> History:
    """The inverse of `history_to_json`."""
    events = [event for event in document["events"] if event["event"] not in NOT_BY_PEOPLE]
    return History(
        job=job_of(document), reason=document["reason"], attempts=list(map(EXECUTION.value, document["executions"])),
        notes=[
            Note(moment(event["at"]), kind_of(event["event"]), event["by"], event.get("detail")) for event in events
        ],
        hooks=list(map(HOOK.value, document.get("hooks", ()))),
    )  # fmt: skip


def worker_of(document: Document, running: Mapping[str, Job]) -> WorkerView:
    """A worker; `running` has those of its named jobs that still run."""
    return WORKER.value(
        document, rows=(), running=[running[job] for job in document["jobs"] if job in running],
        starting=[running[job] for job in document.get("starting", ()) if job in running],
    )  # fmt: skip


def status_of(document: Document, workers: Sequence[WorkerView]) -> Status:
    """The status; the document only names the jobs of its workers."""
    return STATUS.value(document, workers=workers, next_retries=list(map(job_of, document["next_retries"])))


def settings_of(documents: Sequence[Document]) -> Settings:
    """The settings. One that follows another setting still does."""
    stored = {each["name"]: each["text"] for each in documents if each["set"]}
    others = [each for each in documents if not each["set"] and each["name"] in SETTINGS]
    return Settings(stored, {each["name"]: each["text"] for each in others if each["default"] not in SETTINGS})
