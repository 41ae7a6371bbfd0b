"""What the REST API says, as what a client answers: the inverse of `wire.job_to_json` and of documents.py.

What is not told over HTTP has its default: `seq`, `starts`, `generated_id`, a worker's `rows`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from queuectl.client.documents import DEEDS
from queuectl.client.figures import Figures, Percentiles
from queuectl.client.values import History, Status, WorkerView
from queuectl.domain.condition import Condition
from queuectl.domain.fields import FIELDS, Field
from queuectl.domain.job import Attempt, Job, JobState, Outcome, Spec
from queuectl.domain.token import Role, Token
from queuectl.settings import SETTINGS, Settings
from queuectl.store.past import Deed, Group
from queuectl.store.port import Note

Document = Mapping[str, Any]

SAME_IN_ATTEMPT = (
    "number", "lease", "worker", "host", "exit_code", "signal", "error", "cpu_time", "max_rss", "output_bytes",
    "leftover",
)  # fmt: skip
KINDS = {name: kind for kind, name in DEEDS.items()}


def job_of(document: Document) -> Job:
    """The inverse of `wire.job_to_json`, as far as it goes. A server of an older version lacks newer keys."""
    known = {field.name: _value(field, document[field.name]) for field in _KEPT if field.name in document}
    spec = {name: known.pop(name) for name in Spec._fields if name in known}
    return Job(spec=Spec(**spec), **known)


def _value(field: Field, value: Any) -> Any:
    if value is None or field.kind not in _OF_JSON:
        return value
    return _OF_JSON[field.kind](value)


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _time(text: str | None) -> float | None:
    return None if text is None else _moment(text)


_KEPT = [field for field in FIELDS if field.shown and field.place != "nowhere"]
_OF_JSON: dict[str, Callable[[Any], Any]] = {
    "command": lambda command: command if isinstance(command, str) else tuple(command),
    "names": tuple,
    "exit codes": tuple,
    "time": _moment,
    "umask": lambda text: int(text, 8),
    "state": JobState,
}
"""A value from its JSON, by its kind; other kinds stand as they are."""


def history_of(document: Document) -> History:
    """The inverse of `history_to_json`."""
    events = [event for event in document["events"] if event["event"] in KINDS]
    return History(
        job=job_of(document), reason=document["reason"], attempts=[_attempt(each) for each in document["executions"]],
        notes=[Note(at=_moment(event["at"]), kind=KINDS[event["event"]], who=event["by"]) for event in events],
    )  # fmt: skip


def _attempt(document: Document) -> Attempt:
    outcome = document["outcome"]
    return Attempt(
        started_at=_moment(document["started_at"]), finished_at=_time(document["finished_at"]),
        outcome=None if outcome is None else Outcome(outcome), **{name: document[name] for name in SAME_IN_ATTEMPT},
    )  # fmt: skip


def worker_of(document: Document, running: Mapping[str, Job]) -> WorkerView:
    """The inverse of `worker_to_json`; `running` has the jobs that it names, as far as they still run."""
    return WorkerView(
        name=document["name"], host=document["host"], pid=document["pid"], slots=document["slots"],
        queues=tuple(document["queues"]), started_at=_moment(document["started_at"]),
        seen_at=_moment(document["seen_at"]), stopping=document["stopping"],
        condition=Condition(document["condition"]), rows=(),
        running=[running[job] for job in document["jobs"] if job in running],
        starting=[running[job] for job in document.get("starting", ()) if job in running],
    )  # fmt: skip


def status_of(document: Document, workers: Sequence[WorkerView]) -> Status:
    """The inverse of `status_to_json`."""
    return Status(
        url=document["store"], at=_moment(document["at"]), workers=workers, counts=_counts(document["counts"]),
        queues={queue: _counts(counts) for queue, counts in document["queues"].items()},
        oldest_due=_time(document["oldest_waiting_since"]), next_retries=list(map(job_of, document["next_retries"])),
    )  # fmt: skip


def _counts(document: Document) -> dict[JobState, int]:
    return {state: document[state.value] for state in JobState}


def settings_of(documents: Sequence[Document]) -> Settings:
    """The settings in force. One that follows another goes on to."""
    stored = {each["name"]: each["text"] for each in documents if each["set"]}
    others = [each for each in documents if not each["set"] and each["name"] in SETTINGS]
    return Settings(stored, {each["name"]: each["text"] for each in others if each["default"] not in SETTINGS})


def figures_of(document: Document) -> Figures:
    """The inverse of `figures_to_json`."""
    return Figures(
        since=_moment(document["since"]), until=_moment(document["until"]), stretch=document["stretch"],
        ended=_ends(document["ended"]), rate=document["rate"], failure_rate=document["failure_rate"],
        run=Percentiles(**document["run"]), wait=Percentiles(**document["wait"]),
        series=[(_moment(each["at"]), _ends(each)) for each in document["series"]],
    )  # fmt: skip


def _ends(document: Document) -> dict[Outcome, int]:
    return {outcome: document[outcome.value] for outcome in Outcome}


def token_of(document: Document) -> Token:
    """The inverse of `token_to_json`. Nobody is told its digest."""
    return Token(
        id=document["id"], digest="", name=document["name"], role=Role(document["role"]),
        created_at=_moment(document["created_at"]), created_by=document["created_by"],
        used_at=_time(document["used_at"]),
    )  # fmt: skip


def deed_of(document: Document) -> Deed:
    """The inverse of `deed_to_json`."""
    event: str = document["event"]
    return Deed(
        id=document["id"], at=_moment(document["at"]), kind=KINDS.get(event, event), who=document["by"],
        job=document["job"], detail=document["detail"],
    )  # fmt: skip


def group_of(document: Document) -> Group:
    """The inverse of `group_to_json`."""
    same = ("queue", "command", "exit_code", "error", "jobs")
    first_at, last_at = _time(document["first_at"]), _time(document["last_at"])
    return Group(**{name: document[name] for name in same}, first_at=first_at, last_at=last_at)
