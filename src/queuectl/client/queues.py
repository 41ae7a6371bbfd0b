"""Queues: what runs and waits in them, their limits, and their pauses.

A queue exists once a job or a setting names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from queuectl.client.acting import note
from queuectl.client.documents import COUNTS, PAUSE, slots
from queuectl.client.operation import DURATION, FLAG, LIMITS, NAME, TEXT, Argument, Command, Kind, plain
from queuectl.client.shapes import COUNT, TIME, Key, Shape, listed, nullable
from queuectl.client.shapes import TEXT as SHOWN_TEXT
from queuectl.client.shapes import Kind as AnswerKind
from queuectl.client.workers import serves, workers_of
from queuectl.domain.errors import Invalid, NotFound
from queuectl.domain.job import FINISHED, JobState
from queuectl.domain.likeness import nearest
from queuectl.domain.limits import Pause, Queue, Rate
from queuectl.store.port import Store
from queuectl.typed import Any, NamedTuple
from queuectl.wire import schema
from queuectl.wire.keywords import as_json, seconds_of
from queuectl.wire.kinds import NONE, check_queue, check_text, whole_number
from queuectl.wire.limits import RATE, format_rate, parse_rate, pause_reason
from queuectl.wire.requests import ALIASES, SPEC_KEYS
from queuectl.wire.times import format_duration, format_second, parse_time
from queuectl.wire.words import ago

CONCURRENCY_MAX = 1_000_000
HOOK_KEYS = ("on_success", "on_failure", "on_dead")
POLICY = (
    "max_retries", "timeout", "kill_grace", "backoff_base", "backoff_initial", "backoff_max", "backoff_jitter",
    *HOOK_KEYS,
)  # fmt: skip
"""Keys of jobs for which a queue may have a default."""
_NUMBERS = ("max_retries", "backoff_base", "backoff_jitter")
CHECKS: Mapping[str, Callable[[Any, str], Any]] = {
    "concurrency": whole_number(1, CONCURRENCY_MAX), "rate": parse_rate, **{key: SPEC_KEYS[key] for key in POLICY},
}  # fmt: skip
"""What may be set for a queue."""

RATE_KIND = AnswerKind(schema.TEXT, format_rate, lambda text: parse_rate(text, "rate"))


class QueueView(NamedTuple):
    """A queue: its jobs by state, the workers that serve it, its limits, its pause if it is paused now, and what is set
    for jobs enqueued from now on. `oldest_due`: since when the oldest due job has waited."""

    name: str
    counts: Mapping[JobState, int]
    workers: int
    slots: int
    concurrency: int | None = None
    rate: Rate | None = None
    pause: Pause | None = None
    defaults: Mapping[str, Any] = {}
    oldest_due: float | None = None

    @property
    def running(self) -> int:
        return self.counts[JobState.PROCESSING]

    @property
    def waiting(self) -> int:
        """How many jobs have yet to start, those of a later time and held ones included."""
        return sum(jobs for state, jobs in self.counts.items() if state not in FINISHED) - self.running


QUEUE = Shape(
    "Queue", QueueView,
    Key("name", SHOWN_TEXT), Key("counts", COUNTS), Key("workers", COUNT), Key("slots", COUNT),
    Key("concurrency", nullable(COUNT)), Key("rate", nullable(RATE_KIND)), Key("paused", nullable(PAUSE.kind), "pause"),
    Key("defaults", AnswerKind({"type": "object"}, dict)), Key("running", COUNT, lambda queue: queue.running),
    Key("waiting", COUNT, lambda queue: queue.waiting), Key("oldest_waiting_since", nullable(TIME), "oldest_due"),
)  # fmt: skip


def _views(store: Store) -> dict[str, QueueView]:
    """Every queue, by name."""
    now, set_for, workers = store.now(), {queue.name: queue for queue in store.queues()}, workers_of(store)
    counts: dict[str, dict[JobState, int]] = {}
    for (name, state), jobs in store.counts().items():
        counts.setdefault(name, dict.fromkeys(JobState, 0))[state] = jobs
    oldest = store.oldest_waiting()
    views = {}
    for name in sorted({*set_for, *counts}):
        queue, serving = set_for.get(name) or Queue(name), [worker for worker in workers if serves(worker, name)]
        pause = queue.pause if queue.pause and queue.pause.lasts(now) else None
        views[name] = QueueView(
            name, counts.get(name) or dict.fromkeys(JobState, 0), len(serving), slots(serving), queue.concurrency,
            queue.rate, pause, queue.defaults, oldest.get(name),
        )  # fmt: skip
    return views


def policy_text(key: str, value: Any) -> str:
    """The value of a default as people type it."""
    if key in HOOK_KEYS:
        return str(value)
    return f"{value:g}" if key in _NUMBERS else format_duration(value)


def _none(name: str, known: Sequence[str]) -> NotFound:
    return NotFound(f"no queue {name[:128]}", nearest(name, known) if known else "no job and no setting names any")


def views(store: Store, who: str) -> list[QueueView]:
    """Every queue."""
    return list(_views(store).values())


LIST = plain(
    "queues", "GET", "/queues", LIMITS, "List queues", views, listed(QUEUE.kind),
    "each queue that a job or a setting names",
    command=Command(
        name="queue list", group=LIMITS, help="list queues with their limits", examples=("queuectl queue list",),
        description="List queues with what runs and waits in them, their limits and pauses. 3/2 means that 3 jobs run "
        "where 2 may: a lowered limit ends nothing. Jobs of a later time and held ones wait too.",
    ),
)  # fmt: skip


def view(store: Store, who: str, name: str) -> QueueView:
    """A queue. Raises `NotFound`."""
    found = _views(store)
    if name not in found:
        raise _none(name, list(found))
    return found[name]


SHOW = plain(
    "queue", "GET", "/queues/{name}", LIMITS, "Show a queue", view, QUEUE.kind, "the queue", fails=(404,),
    arguments=(Argument("name", NAME, spelled="QUEUE"),),
    command=Command(
        name="queue show", group=LIMITS, help="show a queue", examples=("queuectl queue show video",),
        description="Show a queue: its jobs by state, its workers, its limits and pause, its defaults for new jobs.",
    ),
)  # fmt: skip


# --- limits -----------------------------------------------------------------------------------


def set_limits(store: Store, who: str, name: str, **given: Any) -> QueueView:
    """Sets or lifts what is given. Raises `Invalid`."""
    name = check_queue(name, "queue")
    values = {key: _checked(key, value) for key, value in given.items() if value is not None}
    if not values:
        raise Invalid("nothing to set", "such as: queuectl queue set video concurrency=4 rate=100/h")

    def change(queue: Queue) -> Queue:
        limits = {key: value for key, value in values.items() if key not in POLICY}
        policy = {**queue.defaults, **{key: value for key, value in values.items() if key in POLICY}}
        return queue._replace(**limits, defaults={key: policy[key] for key in POLICY if policy.get(key) is not None})

    with store.transaction():
        store.change_queue(name, change)
        said = [f"{key.replace('_', '-')}={as_json(value)}" for key, value in given.items() if value is not None]
        note(store, who, "QueueSet", f"{name}: {' '.join(said)}")
    return _after(store, name)


def _checked(key: str, value: Any) -> Any:
    value = as_json(value)
    return None if value == NONE else CHECKS[key](value, key)


def _after(store: Store, name: str) -> QueueView:
    """A queue that was named just now; it may not exist any more once all of its limits are lifted."""
    return _views(store).get(name) or QueueView(name, dict.fromkeys(JobState, 0), 0, 0)


def parse_settings(words: Sequence[str], keys: Mapping[str, Any] = CHECKS) -> dict[str, str]:
    """What `KEY=VALUE` words set. Raises `Invalid`."""
    given: dict[str, str] = {}
    for word in words:
        typed, sign, value = word.partition("=")
        key = typed.replace("-", "_")
        key = ALIASES.get(key, key)
        spelled = [each.replace("_", "-") for each in keys]
        if not sign:
            raise Invalid(f"{word!r} is not KEY=VALUE", f"known keys: {', '.join(spelled)}")
        if key not in keys:
            raise Invalid(f"unknown key {typed!r}", nearest(typed, spelled))
        if key in given:
            raise Invalid(f"{typed} comes twice", "give it once")
        given[key] = value
    return given


def _or_none(known: schema.Schema) -> Kind:
    """Text or a number that the function checks, or `none`."""
    shown = {"anyOf": [known, {"type": "string", "enum": [NONE]}]}
    return Kind(shown, lambda value, key: value if type(value) in (int, float) else check_text(value, key), as_json)


_NUMBER = {"type": "number", "minimum": 0}
_SCHEMAS: Mapping[str, schema.Schema] = {
    "concurrency": {"type": "integer", "minimum": 1, "maximum": CONCURRENCY_MAX},
    "rate": {"type": "string", "pattern": f"^{RATE}$"},
    "max_retries": {"type": "integer", "minimum": 0, "maximum": 1_000_000},
    "timeout": {"type": "number", "minimum": 1, "maximum": 3153600000},
    "backoff_base": {"type": "number", "minimum": 1, "maximum": 1000},
    "backoff_jitter": {"type": "number", "minimum": 0, "maximum": 1},
    **dict.fromkeys(HOOK_KEYS, schema.STORABLE),
}  # fmt: skip

SET = plain(
    "set_queue", "PATCH", "/queues/{name}", LIMITS,
    "Set limits of a queue, and defaults of jobs enqueued from now on; `none` lifts one, null leaves it",
    set_limits, QUEUE.kind, "the queue", fails=(404,),
    arguments=(
        Argument("name", NAME),
        *(Argument(key, _or_none(_SCHEMAS.get(key, schema.DURATION)), default=None) for key in CHECKS),
    ),
)  # fmt: skip


# --- pauses -----------------------------------------------------------------------------------


def pause(
    store: Store, who: str, names: Sequence[str] = (), all: bool = False, duration: Any = None, until: Any = None,
    reason: str | None = None,
) -> list[QueueView]:  # fmt: skip
    """Pauses these queues, or all that exist: none of their jobs starts. Raises `Invalid`."""
    if duration is not None and until is not None:
        raise Invalid("a duration and an end of the pause exclude each other", "give one of them")
    now = store.now()
    ends = None if duration is None else now + seconds_of(duration)
    ends = parse_time(as_json(until), now, "until") if until is not None else ends
    if ends is not None and ends <= now:
        raise Invalid(f"the pause would have ended {ago(now - ends)}", "give a later time")
    made = Pause(now, ends, who, pause_reason(reason))
    said = f"{f' until {format_second(ends)}' if ends is not None else ''}{f': {reason}' if reason else ''}"

    def change(queue: Queue) -> Queue:
        lasts = queue.pause is not None and queue.pause.lasts(now)
        return queue._replace(pause=made._replace(since=queue.pause.since) if lasts and queue.pause else made)

    with store.transaction():
        chosen = _chosen(store, names, all)
        for name in chosen:
            store.change_queue(name, change)
            note(store, who, "QueuePaused", f"{name}{said}")
    return [_after(store, name) for name in chosen]


def _chosen(store: Store, names: Sequence[str], all: bool, known: bool = False) -> list[str]:
    """The queues that are named, or all that exist. `known`: those named must exist. Raises `Invalid`, `NotFound`."""
    names = [names] if isinstance(names, str) else names
    if not (all or names):
        raise Invalid("no queue given", "name queues, or say that all are meant")
    if all and names:
        raise Invalid("named queues and all queues exclude each other", "give one of them")
    there = sorted(known_queues(store))
    for name in names:
        check_queue(name, "queue")
        if known and name not in there:
            raise _none(name, there)
    return there if all else list(dict.fromkeys(names))


def known_queues(store: Store) -> set[str]:
    """The names of all queues that exist."""
    return {*(queue.name for queue in store.queues()), *(queue for queue, _ in store.counts())}


_NAMES = Argument("names", NAME, default=(), spelled="QUEUE", many=True, told="the queues")
_ALL = "all queues that exist now"

PAUSE_ROW = plain(
    "pause_queues", "POST", "/queues/pause", LIMITS, "Pause queues: none of their jobs starts", pause,
    listed(QUEUE.kind), "the queues", fails=(404,),
    arguments=(
        _NAMES, Argument("all", FLAG, _ALL, False, "--all"),
        Argument("duration", DURATION, "pause for this long", None, "--for DURATION"),
        Argument("until", TEXT._replace(send=as_json), "pause until this time", None, "--until TIME"),
        Argument("reason", TEXT, "say why", None, "--reason TEXT"),
    ),
    command=Command(
        name="queue pause", group=LIMITS, help="start no job of a queue", makes_store=True,
        description="Pause queues: running commands finish, no other job starts. Jobs may still be added. --all means "
        "the queues that exist now: one that is named for the first time later is not paused.",
        examples=("queuectl queue pause video --reason 'disk full'", "queuectl queue pause --all --for 1h"),
    ),
)  # fmt: skip


def resume(store: Store, who: str, names: Sequence[str] = (), all: bool = False) -> list[QueueView]:
    """Lets jobs of paused queues start again. Raises `Invalid`, `NotFound`."""
    with store.transaction():
        chosen = _chosen(store, names, all, known=True)
        paused = {queue.name for queue in store.queues() if queue.pause}
        for name in chosen if not all else [name for name in chosen if name in paused]:
            store.change_queue(name, lambda queue: queue._replace(pause=None))
            note(store, who, "QueueResumed", name)
    return [_after(store, name) for name in chosen if not all or name in paused]


RESUME = plain(
    "resume_queues", "POST", "/queues/resume", LIMITS, "Let jobs of paused queues start again", resume,
    listed(QUEUE.kind), "the queues", fails=(404,), arguments=(_NAMES, Argument("all", FLAG, _ALL, False, "--all")),
    command=Command(
        name="queue resume", group=LIMITS, help="let jobs of a paused queue start", nothing="no queue is paused",
        said="resumed {name}", bare="{name}", description="End pauses. Workers take the jobs at once.",
        examples=("queuectl queue resume video", "queuectl queue resume --all"),
    ),
)  # fmt: skip
