"""Hooks as people see them: those of a job or a schedule."""

from __future__ import annotations

from queuectl.client.shapes import COUNT, TEXT, TIME, Key, Shape, nullable, one_of
from queuectl.domain.job import Job, JobState
from queuectl.store.port import Store
from queuectl.typed import NamedTuple
from queuectl.wire.jobs import command_line

SHOWN = 20
"""The latest hooks of a job that are shown."""


class HookView(NamedTuple):
    """A hook. `key` is what it is run for: on_success, on_failure, on_dead, alert or ping."""

    id: str
    key: str
    command: str
    state: JobState
    attempts: int
    error: str | None
    updated_at: float


HOOK = Shape(
    "Hook", HookView,
    Key("id", TEXT), Key("hook", TEXT, "key"), Key("command", TEXT), Key("state", one_of(JobState)),
    Key("attempts", COUNT), Key("error", nullable(TEXT)), Key("updated_at", TIME),
)  # fmt: skip


def of_job(store: Store, job: Job) -> list[HookView]:
    """The latest hooks of a job, oldest first."""
    return [
        HookView(
            hook.id, hook.tags[0], command_line(hook.command), hook.state, hook.attempts, hook.error, hook.updated_at
        )
        for hook in store.hooks_about("job", job.id, SHOWN)
    ]
