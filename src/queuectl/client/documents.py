"""What a `Client` answers, as JSON: the same documents from `--json` and from the REST API. Jobs are wire's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from queuectl.client.figures import Figures
from queuectl.client.values import History, Status, WorkerView
from queuectl.client.workers import serves
from queuectl.domain.finding import Finding
from queuectl.domain.job import STARTING, Attempt, Job, JobState, Outcome
from queuectl.domain.token import Token
from queuectl.settings import SETTINGS, Settings, with_unit
from queuectl.store.past import Deed, Group, News
from queuectl.wire.jobs import attempt_to_json, job_to_json, worker_name
from queuectl.wire.kinds import JsonObject
from queuectl.wire.selections import exactly
from queuectl.wire.times import format_duration, format_time

DEEDS = {
    "CancelRequested": "cancelled", "Retried": "retried", "Held": "held", "Released": "released",
    "Deleted": "deleted", "Pruned": "pruned", "SettingSet": "setting_changed", "SettingUnset": "setting_unset",
    "WorkersStarted": "workers_started", "WorkersStopped": "workers_stopped", "TokenCreated": "token_created",
    "TokenRevoked": "token_revoked", "ClockSetBack": "clock_set_back",
}  # fmt: skip
"""What people did, by the kind that the store keeps: the event's name in JSON, which people see with blanks."""


def event_of(kind: str) -> str:
    """The event's name in JSON. A kind that a newer release keeps is its own name."""
    return DEEDS.get(kind, kind)


def deed_words(kind: str) -> str:
    """What was done, for people."""
    return event_of(kind).replace("_", " ")


def status_to_json(found: Status) -> JsonObject:
    """The status as JSON."""
    return {
        "store": found.url,
        "at": format_time(found.at),
        "workers": [worker_to_json(worker) for worker in found.workers],
        "slots": {"total": slots(found.workers), "busy": busy(found.workers)},
        "counts": {state.value: number for state, number in found.counts.items()},
        "starting": starting(found.workers).total(),
        "queues": {
            queue: {state.value: number for state, number in counts.items()} for queue, counts in found.queues.items()
        },
        "oldest_waiting_since": format_time(found.oldest_due),
        "oldest_waiting": None if found.oldest_due is None else round(max(0.0, found.at - found.oldest_due), 3),
        "next_retries": [job_to_json(job, retry_text(job, found.at)) for job in found.next_retries],
    }


def worker_to_json(worker: WorkerView) -> JsonObject:
    """A live worker as JSON. No queues: it serves all."""
    return {
        "name": worker.name, "host": worker.host, "pid": worker.pid, "slots": worker.slots,
        "busy": len(worker.running), "queues": list(worker.queues), "started_at": format_time(worker.started_at),
        "seen_at": format_time(worker.seen_at), "stopping": worker.stopping, "orphaned": worker.orphaned,
        "condition": worker.condition.value,
        "jobs": [job.id for job in worker.running], "starting": [job.id for job in worker.starting],
    }  # fmt: skip


def slots(workers: Sequence[WorkerView]) -> int:
    """How many slots there are."""
    return sum(worker.slots for worker in workers)


def busy(workers: Sequence[WorkerView]) -> int:
    """How many of them run a command. What outlives its worker is in nobody's slot."""
    return sum(len(worker.running) for worker in workers if not worker.orphaned)


def starting(workers: Sequence[WorkerView]) -> Counter[str]:
    """How many jobs of which queue are claimed ahead of a free slot. They are `processing`, but nothing runs yet."""
    return Counter(job.queue for worker in workers for job in worker.starting)


def seen_counts(found: Status, queue: str | None = None) -> dict[str, int]:
    """Jobs (of a queue) by state for people: what is only starting is told apart from what runs."""
    by_queue = starting(found.workers)
    counted, ahead = (found.counts, by_queue.total()) if queue is None else (found.queues[queue], by_queue[queue])
    running = max(0, counted[JobState.PROCESSING] - ahead)  # the two were read one after the other
    seen = {state.value: number for state, number in counted.items()} | {JobState.PROCESSING.value: running}
    return {**seen, STARTING: ahead}


def retry_text(job: Job, now: float) -> str:
    """Which retry a failed job waits for, and how long."""
    left = job.due_at - now
    due = "now" if left <= 0 else f"in {format_duration(round(left) if left >= 10 else left)}"
    return f"retry {job.attempts}/{job.spec.max_retries} {due}"


def history_to_json(history: History) -> JsonObject:
    """The job's JSON with its `executions` (every start; `attempts` stays a number) and its `events`."""
    return {
        **job_to_json(history.job, history.reason),
        "executions": [attempt_to_json(attempt) for attempt in history.attempts],
        "events": [event_to_json(event) for event in events(history)],
    }


class Event(NamedTuple):
    """Something that happened to a job: it was `enqueued`, an attempt `started` or `ended`, or a person acted on it
    (see `DEEDS`)."""

    at: float
    name: str
    who: str | None = None
    attempt: Attempt | None = None

    @property
    def words(self) -> str:
        """What happened, for people."""
        if self.attempt is None:
            return self.name.replace("_", " ")
        ending = ENDINGS.get(self.attempt.outcome, "ended") if self.attempt.outcome else "ended"
        return f"attempt {self.attempt.number} {ending if self.name == 'ended' else self.name}"

    @property
    def detail(self) -> str:
        """Where an attempt started, or how it ended."""
        if self.attempt is None:
            return ""
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
    found += [Event(note.at, event_of(note.kind), who=note.who) for note in history.notes]
    return sorted(found, key=lambda event: event.at)


def event_to_json(event: Event) -> JsonObject:
    """An event as JSON: what its attempt is or came to, as fields."""
    attempt, ended = event.attempt, event.attempt if event.name == "ended" else None
    return {
        "at": format_time(event.at), "event": event.name, "by": event.who,
        "attempt": attempt.number if attempt else None,
        "worker": worker_name(attempt.worker) if attempt else None,
        "outcome": ended.outcome.value if ended and ended.outcome else None,
        "exit_code": ended.exit_code if ended else None, "signal": ended.signal if ended else None,
        "error": ended.error if ended else None,
    }  # fmt: skip


def how_it_ended(attempt: Attempt) -> str:
    """An execution's end in a few words."""
    if attempt.outcome is Outcome.COMPLETED:
        return f"exit code {attempt.exit_code or 0}"
    return attempt.error or ""


def setting_to_json(settings: Settings, name: str) -> JsonObject:
    """A setting's value, also as text, and what it means."""
    value = settings[name]
    return {
        "name": name, "value": list(value) if isinstance(value, tuple) else value, "text": setting_text(settings, name),
        "default": settings.default(name), "set": not settings.is_default(name), "help": SETTINGS[name].help,
    }  # fmt: skip


def setting_text(settings: Settings, name: str) -> str:
    """The value as written; one that follows another setting shows what it comes to."""
    text = settings.text(name)
    return with_unit(name, settings.text(text)) if text in SETTINGS else text


def queue_to_json(found: Status, queue: str) -> JsonObject:
    """A queue: its jobs by state, and who serves it."""
    serving = [worker for worker in found.workers if serves(worker, queue)]
    return {
        "name": queue, "counts": {state.value: number for state, number in found.queues[queue].items()},
        "workers": len(serving), "slots": slots(serving),
    }  # fmt: skip


def group_to_json(group: Group) -> JsonObject:
    """Dead jobs that failed alike, with the selector that means them."""
    selector: dict[str, object] = {"state": ["dead"], "queue": [group.queue], "command": [exactly(group.command)]}
    if group.exit_code is not None:
        selector["exit_code"] = [group.exit_code]
    if group.error:
        selector["error"] = [group.error]
    return {
        "jobs": group.jobs, "queue": group.queue, "command": group.command, "exit_code": group.exit_code,
        "error": group.error, "first_at": format_time(group.first_at), "last_at": format_time(group.last_at),
        "selector": selector,
    }  # fmt: skip


def finding_to_json(finding: Finding) -> JsonObject:
    """A finding of a check; `fix` is null where there is nothing to do."""
    return {**finding._asdict(), "fix": finding.fix or None}


def figures_to_json(found: Figures) -> JsonObject:
    """What has ended in a stretch of time."""
    return {
        "since": format_time(found.since), "until": format_time(found.until),
        "window": round(found.until - found.since, 3),
        "ended": {outcome.value: number for outcome, number in found.ended.items()},
        "rate": round(found.rate, 3), "failure_rate": round(found.failure_rate, 4),
        "run": found.run._asdict(), "wait": found.wait._asdict(), "stretch": found.stretch,
        "series": [
            {"at": format_time(at), **{outcome.value: number for outcome, number in ended.items()}}
            for at, ended in found.series
        ],
    }  # fmt: skip


def deed_to_json(deed: Deed) -> JsonObject:
    """Something that a person did."""
    return {
        "id": deed.id, "at": format_time(deed.at), "event": event_of(deed.kind), "by": deed.who,
        "job": deed.job, "detail": deed.detail,
    }  # fmt: skip


def news_to_json(news: News) -> JsonObject:
    """Something that happened."""
    return {
        "at": format_time(news.at), "event": event_of(news.kind), "job": news.job,
        "queue": news.queue, "state": news.state.value if news.state else None, "attempt": news.number,
        "outcome": news.outcome.value if news.outcome else None, "exit_code": news.exit_code, "error": news.error,
        "worker": news.worker, "by": news.who, "detail": news.detail,
    }  # fmt: skip


def token_to_json(token: Token) -> JsonObject:
    """What may be known of a token."""
    return {
        "id": token.id, "name": token.name, "role": token.role.value, "created_at": format_time(token.created_at),
        "created_by": token.created_by, "used_at": format_time(token.used_at),
    }  # fmt: skip
