"""The actions on jobs, one row each: words for messages, possible jobs, the function, and the operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from queuectl.client import acting
from queuectl.client.operation import (
    API,
    CURSOR,
    DLQ,
    FLAG,
    JOB,
    JOBS,
    JSON,
    SELECTION,
    TEXT,
    Answer,
    Argument,
    Kind,
    Operation,
    number,
)
from queuectl.client.values import Changed, Progress
from queuectl.domain.job import Job, JobState
from queuectl.domain.lifecycle import TRANSITIONS, CancelRequested, Edited, Event, Held, Released, Retried
from queuectl.domain.selector import Selector
from queuectl.store.port import Store
from queuectl.store.selections import Refs
from queuectl.typed import Any, NamedTuple
from queuectl.wire.requests import NOTHING, parse_changes
from queuectl.wire.schema import ref

Do = Callable[[Store, str, Refs, Progress | None], Changed]

LIMIT_MAX = 100_000
A_JOB = Answer(ref("Job"), "the job as it is now")
CHANGED = Answer(ref("Changed"), "counts, the first 1,000 changed jobs, and the first 100 refusals")


class Action(NamedTuple):
    """A verb in the forms that messages need, the states it can change, its function, and its operation on many jobs.

    A selection without `--state` means the `usual` states (None: all it can change), and jobs that are `held` or not
    (None: all) and that it `concerns` (None: all). A `final` verb on a selection needs `--yes` if nobody can be asked.
    `more` are further arguments of the operation.
    """

    verb: str
    done: str
    states: tuple[JobState, ...]
    do: Do
    many: Operation[Any]
    usual: tuple[JobState, ...] = ()
    held: bool | None = None
    concerns: Callable[[Job], bool] | None = None
    final: bool = False
    more: Mapping[str, Any] = NOTHING

    def among(self, selector: Selector) -> Selector | None:
        """What of a selection it may change, apart from what it `concerns`; None if that is nothing."""
        possible = self.states if selector.states else self.usual or self.states
        states = tuple(state for state in selector.states or tuple(JobState) if state in possible)
        return selector._replace(states=states, held=self.held) if states else None


def _one(verb: str, summary: str, *more: Argument) -> Operation[Any]:
    path, arguments = f"{API}/jobs/{{id}}/{verb}", (Argument("id", JOB), *more)
    return Operation(f"{verb}_job", "POST", path, JOBS, summary, (A_JOB,), arguments, fails=(404, 409))


WHICH = (
    Argument("ids", TEXT, default=(), many=True), Argument("selector", SELECTION, default=None),
    Argument("dry_run", FLAG, default=False), Argument("limit", number(1, LIMIT_MAX), default=None),
    Argument("cursor", CURSOR, default=None),
)  # fmt: skip


def _many(name: str, path: str, tag: str, summary: str, *more: Argument, schema: str = "Selection") -> Operation[Any]:
    body, arguments = {JSON: ref(schema)}, (*WHICH, *more)
    return Operation(name, "POST", API + path, tag, summary, (CHANGED,), arguments, body=body, body_required=True)


def _jobs(verb: str) -> Operation[Any]:
    return _many(f"{verb}_jobs", f"/jobs/{verb}", JOBS, f"{verb.capitalize()} many jobs")


def _by(event: Event) -> Do:
    """Has the event happen to the jobs."""
    return lambda store, who, refs, progress: acting.change(store, who, refs, event, progress)


def _allowed(event: type[Event]) -> tuple[JobState, ...]:
    """The states in which an event is possible: what a selection for it may match."""
    return tuple(state for state, events in TRANSITIONS.items() if event in events)


CASCADE = Argument(
    "cascade", FLAG, default=False, told="also what depends on them and has finished or not begun, after them"
)
RETRY = Action(
    verb="retry", done="retried", states=_allowed(Retried), do=_by(Retried()),
    many=_many("retry_jobs", "/jobs/retry", JOBS, "Retry many jobs", CASCADE, schema="RetriedSelection"),
    usual=(JobState.FAILED, JobState.DEAD, JobState.CANCELLED),
)  # fmt: skip
RETRY_DOWN = RETRY._replace(do=acting.retry_down, more={"cascade": True})
CANCEL = Action(
    verb="cancel", done="cancelled", states=_allowed(CancelRequested), do=_by(CancelRequested()), many=_jobs("cancel")
)
HOLD = Action(
    verb="hold", done="held", states=_allowed(Held), do=_by(Held()), many=_jobs("hold"),
    held=False,
)  # fmt: skip
RELEASE = Action(
    verb="release", done="released", states=_allowed(Released), do=_by(Released()), many=_jobs("release"),
    held=True,
)  # fmt: skip
DELETE = Action(
    verb="delete", done="deleted", do=acting.delete, many=_jobs("delete"), final=True,
    states=tuple(state for state in JobState if state is not JobState.PROCESSING),
)  # fmt: skip
RETRY_DEAD = Action(
    verb="retry", done="retried", states=(JobState.DEAD,), do=acting.retry_dead,
    many=_many("retry_dead", "/dlq/retry", DLQ, "Move dead jobs back to their queues"),
)  # fmt: skip
PURGE_DEAD = Action(
    verb="delete", done="deleted", states=(JobState.DEAD,), do=acting.purge, final=True,
    many=_many("purge_dead", "/dlq/purge", DLQ, "Delete dead jobs"),
)  # fmt: skip

CHANGES = Argument("changes", Kind(ref("Edit"), lambda given, _: given))
"""Keys of a job's JSON with new values; read by `wire.requests.parse_changes`."""
SET_JOBS = _many(
    "set_jobs", "/jobs/set", JOBS, "Change what many jobs are to do that are not running", CHANGES,
    schema="EditedSelection",
)  # fmt: skip
SET_JOB: Operation[Any] = Operation(
    "set_job", "PATCH", f"{API}/jobs/{{id}}", JOBS, "Change what a job is to do that is not running", (A_JOB,),
    (Argument("id", JOB),), body={JSON: ref("Edit")}, body_required=True, fails=(404, 409),
)  # fmt: skip


def setting(document: object, now: float, spelled: Mapping[str, str] = NOTHING) -> Action:
    """The action that makes these changes; `wire.requests.parse_changes` says what they are. Raises `Invalid`.

    Of a selection, a text to replace concerns the jobs whose command contains it.
    """
    from queuectl.client import editing

    changes = parse_changes(document, now, spelled)
    replace = changes.replace
    return Action(
        verb="change", done="changed", states=_allowed(Edited), many=SET_JOBS,
        do=lambda store, who, refs, progress: editing.change(store, who, refs, changes, progress),
        usual=(JobState.BLOCKED, JobState.PENDING, JobState.FAILED), more={"changes": document},
        concerns=None if replace is None else lambda job: editing.contains(job, replace),
    )  # fmt: skip


ACTIONS = (RETRY, CANCEL, HOLD, RELEASE, DELETE, RETRY_DEAD, PURGE_DEAD)
"""In the order of the API's document."""
ON_ONE = (
    (RETRY, _one("retry", "Run a job again", CASCADE._replace(by_query=True))),
    (CANCEL, _one("cancel", "Cancel a job")),
    (HOLD, _one("hold", "Hold a job: no worker starts it")),
    (RELEASE, _one("release", "Release a held job")),
)
"""The actions that have an operation on one job, with that."""
