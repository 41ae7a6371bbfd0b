"""Answers of a `Client` as JSON, for `--json` and the REST API. Jobs are in wire/jobs.py."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from queuectl.client.figures import Figures, Part, Percentiles
from queuectl.client.hooks import HOOK
from queuectl.client.shapes import (
    COUNT,
    FLAG,
    INTEGER,
    NUMBER,
    TEXT,
    TEXTS,
    TIME,
    Key,
    Kind,
    Shape,
    listed,
    nullable,
    numbers,
    one_of,
    rounded,
)
from queuectl.client.values import Explanation, History, Status, WorkerView
from queuectl.domain.condition import Condition
from queuectl.domain.finding import LEVELS, Finding
from queuectl.domain.job import STARTING, Attempt, Job, JobState, Outcome
from queuectl.domain.limits import Hold, Pause
from queuectl.domain.reason import Code, Gate
from queuectl.domain.selector import NO_FAULT
from queuectl.domain.token import Role, Token
from queuectl.settings import SETTINGS, Settings, with_unit
from queuectl.store.past import Deed, Group, News
from queuectl.typed import Any, NamedTuple
from queuectl.wire import schema
from queuectl.wire.jobs import job_to_json, worker_name
from queuectl.wire.kinds import JsonObject
from queuectl.wire.schema import fixed, ref
from queuectl.wire.times import format_duration, format_time

IRREGULAR = {"CancelRequested": "cancelled", "SettingSet": "setting_changed"}
"""Kinds of actions whose event has another name in JSON than `WorkersStopped`: `workers_stopped`."""
NOT_BY_PEOPLE = frozenset({"enqueued", "started", "ended"})


def event_of(kind: str) -> str:
    """The name in JSON of an event of this kind."""
    return IRREGULAR.get(kind) or re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind).lower()


def kind_of(event: str) -> str:
    """The inverse of `event_of`, for what people did."""
    return next((kind for kind, name in IRREGULAR.items() if name == event), event.title().replace("_", ""))


def deed_words(kind: str) -> str:
    """The event's name for people."""
    return event_of(kind).replace("_", " ")


def slots(workers: Sequence[WorkerView]) -> int:
    """How many slots there are."""
    return sum(worker.slots for worker in workers)


def busy(workers: Sequence[WorkerView]) -> int:
    """The number of busy slots. Commands that outlive their worker take no slot."""
    return sum(len(worker.running) for worker in workers if not worker.orphaned)


def starting(workers: Sequence[WorkerView]) -> Counter[str]:
    """The number of jobs of each queue that are claimed ahead of a free slot: `processing`, but not running yet."""
    return Counter(job.queue for worker in workers for job in worker.starting)


def seen_counts(found: Status, queue: str | None = None) -> dict[str, int]:
    """Jobs (of a queue) by state for people, with `starting` apart from `processing`."""
    by_queue = starting(found.workers)
    counted, ahead = found.counts, by_queue.total()
    if queue is not None:
        counted, ahead = found.queues.get(queue) or dict.fromkeys(JobState, 0), by_queue[queue]
    running = max(0, counted[JobState.PROCESSING] - ahead)  # the two were not read at the same time
    seen = {state.value: number for state, number in counted.items()} | {JobState.PROCESSING.value: running}
    return {**seen, STARTING: ahead}


def retry_text(job: Job, now: float) -> str:
    """The number of a failed job's next retry, and when it is due."""
    left = job.due_at - now
    due = "now" if left <= 0 else f"in {format_duration(round(left) if left >= 10 else left)}"
    return f"retry {job.attempts}/{job.spec.max_retries} {due}"


def history_to_json(history: History) -> JsonObject:
    """The job's JSON with its `executions` (every start; `attempts` stays a number), its `events` and its `hooks`."""
    return {
        **job_to_json(history.job, history.reason),
        "executions": list(map(EXECUTION.json, history.attempts)),
        "events": list(map(EVENT.json, events(history))),
        "hooks": list(map(HOOK.json, history.hooks)),
    }


class Event(NamedTuple):
    """Something that happened to a job: it was `enqueued`, an attempt `started` or `ended`, or a person acted on it
    (see `event_of`). `note` is what it changed."""

    at: float
    name: str
    who: str | None = None
    attempt: Attempt | None = None
    note: str | None = None

    @property
    def words(self) -> str:
        """What happened, for people."""
        if self.attempt is None:
            return self.name.replace("_", " ")
        ending = ENDINGS.get(self.attempt.outcome, "ended") if self.attempt.outcome else "ended"
        return f"attempt {self.attempt.number} {ending if self.name == 'ended' else self.name}"

    @property
    def detail(self) -> str:
        """Where an attempt started, or how it ended; or what a person changed."""
        if self.attempt is None:
            return self.note or ""
        return how_it_ended(self.attempt) if self.name == "ended" else f"on {worker_name(self.attempt.worker)}"


ENDINGS = {
    Outcome.COMPLETED: "completed", Outcome.FAILED: "failed", Outcome.TIMEOUT: "timed out",
    Outcome.CANCELLED: "was cancelled", Outcome.STOPPED: "was given back", Outcome.LOST: "was lost",
}  # fmt: skip


def events(history: History) -> list[Event]:
    """What happened to a job, in order."""
    job = history.job
    found = [Event(job.created_at, "enqueued", who=job.owner)]
    for attempt in history.attempts:
        found.append(Event(attempt.started_at, "started", attempt=attempt))
        if attempt.finished_at is not None and attempt.outcome:
            found.append(Event(attempt.finished_at, "ended", attempt=attempt))
    found += [Event(note.at, event_of(note.kind), who=note.who, note=note.detail) for note in history.notes]
    return sorted(found, key=lambda event: event.at)


def how_it_ended(attempt: Attempt) -> str:
    """An execution's end in a few words."""
    if attempt.outcome is Outcome.COMPLETED:
        return f"exit code {attempt.exit_code or 0}"
    return attempt.error or ""


class SettingView(NamedTuple):
    """A setting: its value, the same as text, and what it means."""

    name: str
    value: Any
    text: str
    default: str
    set: bool
    help: str

    @classmethod
    def of(cls, settings: Settings, name: str) -> SettingView:
        """The setting of this name."""
        return cls(
            name=name, value=shown(name, settings[name]), text=shown(name, setting_text(settings, name)),
            default=settings.default(name),
            set=not settings.is_default(name), help=SETTINGS[name].help,
        )  # fmt: skip


def shown(name: str, value: Any) -> Any:
    """A setting's value, masked if it is a secret."""
    return "***" if value and SETTINGS[name].is_secret else value


def setting_text(settings: Settings, name: str) -> str:
    """The value as written; for one that follows another setting, also its value."""
    text = settings.text(name)
    return with_unit(name, settings.text(text)) if text in SETTINGS else text


def finding_to_json(finding: Finding) -> JsonObject:
    """A finding; `fix` is null if there is nothing to do."""
    return {**finding._asdict(), "fix": finding.fix or None}


FINDING = fixed(
    level={"type": "string", "enum": list(LEVELS)}, code=schema.TEXT, message=schema.TEXT,
    fix=schema.nullable(schema.TEXT),
)  # fmt: skip


def news_to_json(news: News) -> JsonObject:
    """An event of a job, or of the audit log."""
    return {
        "at": format_time(news.at), "event": event_of(news.kind), "job": news.job,
        "queue": news.queue, "state": news.state.value if news.state else None, "attempt": news.number,
        "outcome": news.outcome.value if news.outcome else None, "exit_code": news.exit_code, "error": news.error,
        "worker": news.worker, "by": news.who, "detail": news.detail,
    }  # fmt: skip


_TEXT_OR_NULL, _NUMBER_OR_NULL = schema.nullable(schema.TEXT), schema.nullable(schema.INTEGER)
NEWS = fixed(
    at=schema.TIME, event=schema.TEXT, job=_TEXT_OR_NULL, queue=_TEXT_OR_NULL, state=schema.nullable(schema.STATE),
    attempt=_NUMBER_OR_NULL, outcome=schema.nullable(schema.OUTCOME), exit_code=_NUMBER_OR_NULL, error=_TEXT_OR_NULL,
    worker=_TEXT_OR_NULL, by=_TEXT_OR_NULL, detail=_TEXT_OR_NULL,
)  # fmt: skip


# --- one row a key -----------------------------------------------------------------------------

WORKER = Shape(
    "Worker", WorkerView,
    Key("name", TEXT), Key("host", TEXT), Key("pid", INTEGER), Key("slots", COUNT),
    Key("busy", COUNT, lambda worker: len(worker.running)), Key("queues", TEXTS), Key("started_at", TIME),
    Key("seen_at", TIME), Key("stopping", FLAG), Key("orphaned", FLAG, lambda worker: worker.orphaned),
    Key("condition", one_of(Condition)), Key("jobs", TEXTS, lambda worker: [job.id for job in worker.running]),
    Key("starting", TEXTS, lambda worker: [job.id for job in worker.starting]), Key("not_queues", TEXTS),
    Key("memory_limits", nullable(TEXT)), Key("waits", nullable(TEXT)), Key("version", nullable(TEXT)),
)  # fmt: skip
"""A live worker. No queues: it serves all but `not_queues`."""

COUNTS = numbers(JobState)._replace(schema=ref("Counts"))
PAUSE = Shape(
    "Pause", Pause,
    Key("since", TIME), Key("until", nullable(TIME)), Key("by", nullable(TEXT)), Key("reason", nullable(TEXT)),
)  # fmt: skip
"""A queue's pause."""
PAUSED = Kind(
    {"type": "object", "additionalProperties": ref("Pause")},
    lambda paused: {queue: PAUSE.json(pause) for queue, pause in paused.items()},
    lambda document: {queue: PAUSE.value(pause) for queue, pause in document.items()},
)
QUEUES = Kind(
    {"type": "object", "additionalProperties": ref("Counts")},
    lambda queues: {queue: COUNTS.show(counts) for queue, counts in queues.items()},
    lambda document: {queue: COUNTS.read(counts) for queue, counts in document.items()},
)

STATUS = Shape(
    "Status", Status,
    Key("store", TEXT, "url"), Key("at", TIME),
    Key("workers", listed(WORKER.kind), lambda found: found.workers),
    Key("slots", Kind(fixed(total=COUNT.schema, busy=COUNT.schema)),
        lambda found: {"total": slots(found.workers), "busy": busy(found.workers)}),
    Key("counts", COUNTS), Key("starting", COUNT, lambda found: starting(found.workers).total()), Key("queues", QUEUES),
    Key("paused", PAUSED),
    Key("oldest_waiting_since", nullable(TIME), "oldest_due"),
    Key("oldest_waiting", nullable(rounded(3)),
        lambda found: None if found.oldest_due is None else max(0.0, found.at - found.oldest_due)),
    Key("next_retries", Kind(schema.listed(ref("Job"))),
        lambda found: [job_to_json(job, retry_text(job, found.at)) for job in found.next_retries]),
)  # fmt: skip


EXECUTION = Shape(
    "Execution", Attempt,
    Key("number", COUNT), Key("outcome", nullable(one_of(Outcome))), Key("started_at", TIME),
    Key("finished_at", nullable(TIME)),
    Key("duration", nullable(rounded(6)), lambda attempt: attempt.duration),
    Key("worker", Kind(schema.nullable(schema.TEXT), worker_name)),
    Key("host", nullable(TEXT)), Key("lease", COUNT),
    *(Key(name, nullable(INTEGER)) for name in ("exit_code", "signal")), Key("error", nullable(TEXT)),
    Key("cpu_time", nullable(rounded(6))), *(Key(name, nullable(COUNT)) for name in ("max_rss", "output_bytes")),
    Key("leftover", nullable(TEXT)), Key("note", nullable(TEXT)),
)  # fmt: skip


HOLD = Shape("", Hold, Key("job", TEXT), Key("since", TIME), Key("units", TEXTS))
GATE = Shape(
    "", Gate,
    Key("reason_code", one_of(Code), "code"), Key("reason", TEXT), Key("text", TEXT, "told"),
    Key("opens_at", nullable(TIME)), Key("lock", nullable(TEXT), "name"), Key("holders", listed(HOLD.kind)),
    Key("place", nullable(COUNT)), Key("waiting", nullable(COUNT)), Key("fix", nullable(TEXT)),
)  # fmt: skip
EXPLANATION = Shape(
    "Explanation", Explanation,
    Key("id", TEXT), Key("state", one_of(JobState)), Key("reason", nullable(TEXT)),
    Key("reason_code", nullable(one_of(Code))), Key("explanation", TEXT), Key("gates", listed(GATE.kind)),
    Key("starts_at", nullable(TIME)), Key("runs", COUNT), Key("mean_run", nullable(rounded(3))),
)  # fmt: skip


def _ended(name: str) -> Callable[[Event], Any]:
    """A value of an execution, in the event of its end."""
    return lambda event: getattr(event.attempt, name) if event.name == "ended" else None


EVENT = Shape(
    "Event", Event,
    Key("at", TIME), Key("event", TEXT, "name"), Key("by", nullable(TEXT), "who"),
    Key("attempt", nullable(COUNT), lambda event: event.attempt and event.attempt.number),
    Key("worker", nullable(TEXT), lambda event: event.attempt and worker_name(event.attempt.worker)),
    Key("outcome", nullable(one_of(Outcome)), _ended("outcome")),
    *(Key(name, nullable(INTEGER), _ended(name)) for name in ("exit_code", "signal")),
    Key("error", nullable(TEXT), _ended("error")), Key("detail", nullable(TEXT), "note"),
)  # fmt: skip


def _selector(group: Group) -> JsonObject:
    """The selector of a group's jobs."""
    states = ["dead", "failed"] if group.waiting else ["dead"]
    return {"state": states, "fault": [group.fault or NO_FAULT]}


GROUP = Shape(
    "Group", Group,
    Key("fault", nullable(TEXT)), Key("jobs", COUNT), Key("waiting", COUNT), Key("queue", TEXT), Key("command", TEXT),
    Key("exit_code", nullable(INTEGER)), Key("error", nullable(TEXT)), Key("last_line", nullable(TEXT)),
    Key("recent", listed(COUNT)), Key("first_at", nullable(TIME)), Key("last_at", nullable(TIME)),
    Key("selector", Kind(ref("Selector")), _selector),
)  # fmt: skip

PERCENTILES = Shape(
    "Percentiles", Percentiles,
    Key("measured", COUNT), *(Key(name, nullable(NUMBER)) for name in ("p50", "p90", "p95", "p99", "max")),
)  # fmt: skip
ENDED = numbers(Outcome)
SERIES = Kind(
    schema.listed(fixed(at=schema.TIME, **ENDED.schema["properties"])),
    lambda series: [{"at": format_time(at), **ENDED.show(ended)} for at, ended in series],
    lambda documents: [(TIME.read(each["at"]), ENDED.read(each)) for each in documents],
)
PART = Shape(
    "Part", Part,
    Key("name", TEXT), Key("ended", COUNT), Key("failed", COUNT), Key("rate", rounded(3)),
    Key("run", PERCENTILES.kind), Key("wait", PERCENTILES.kind),
)  # fmt: skip
"""A queue's or a program's part of the figures."""
FIGURES = Shape(
    "Figures", Figures,
    Key("since", TIME), Key("until", TIME), Key("window", rounded(3), lambda found: found.until - found.since),
    Key("ended", ENDED), Key("rate", rounded(3)), Key("failure_rate", rounded(4)), Key("run", PERCENTILES.kind),
    Key("wait", PERCENTILES.kind), Key("stretch", NUMBER), Key("series", SERIES),
    Key("parts_of", COUNT), Key("parts_since", TIME), Key("queues", listed(PART.kind)),
    Key("commands", listed(PART.kind)),
)  # fmt: skip

DEED_KIND = Kind(schema.TEXT, event_of, kind_of)
DEED = Shape(
    "Deed", Deed,
    Key("id", COUNT), Key("at", TIME), Key("event", DEED_KIND, "kind"), Key("by", nullable(TEXT), "who"),
    Key("job", nullable(TEXT)), Key("detail", nullable(TEXT)),
)  # fmt: skip
"""An entry of the audit log."""

TOKEN = Shape(
    "Token", partial(Token, digest=""),
    Key("id", TEXT), Key("name", TEXT), Key("role", one_of(Role)), Key("created_at", TIME),
    Key("created_by", nullable(TEXT)), Key("used_at", nullable(TIME)),
)  # fmt: skip
"""A token without its text."""

NEW_TOKEN = Kind(
    ref("NewToken"),
    lambda made: {**TOKEN.json(made[0]), "token": made[1]},
    lambda document: (TOKEN.value(document), str(document["token"])),
)
"""A token and its text."""

SETTING = Shape(
    "Setting", SettingView,
    Key("name", Kind({"type": "string", "enum": list(SETTINGS)})),
    Key("value", Kind({}, lambda value: list(value) if isinstance(value, tuple) else value)),
    *(Key(name, TEXT) for name in ("text", "default")), Key("set", FLAG), Key("help", TEXT),
)  # fmt: skip
