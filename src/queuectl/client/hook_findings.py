"""Finds hooks that gave up, and hooks that no worker runs."""

from __future__ import annotations

from collections.abc import Iterator

from queuectl.client.workers import living
from queuectl.domain.condition import Condition
from queuectl.domain.finding import PROBLEM, Finding
from queuectl.domain.job import HOOKS, JobState
from queuectl.domain.selector import Selector
from queuectl.store.port import Store
from queuectl.wire.words import counted

NOTICED_WITHIN_S = 30.0
"""A worker notices hooks within a second, and then starts a process for them; on a busy machine that takes longer."""
LOOKED_AT = 1000
SERVING = (Condition.DRIVEN, Condition.UNKNOWN)


def findings(store: Store, since: float = 0.0) -> Iterator[Finding]:
    """Hooks that gave up since then, and those that no worker runs."""
    yield from _unserved(store)
    if not store.hooks_given_up():
        return
    dead = Selector(states=(JobState.DEAD,), hooks=True)
    number = store.count(dead) - (store.count(dead._replace(before=since)) if since else 0)
    if number <= 0:
        return
    (latest,) = store.find(dead, limit=1, newest_first=True)
    key, about = latest.tags
    kind, _, name = about.partition(":")
    what = f"{counted(number, 'hook')} gave up; the latest, {key} of {kind} {name}: {latest.error}"
    yield Finding(PROBLEM, "hooks_gave_up", what, "queuectl dlq list --hooks")


def _unserved(store: Store) -> Iterator[Finding]:
    """Finds hooks that wait although workers live. A worker that runs hooks starts a supervisor for them when it sees
    the first one, so where none has, all were started with `--no-hooks`."""
    if not store.has_hooks():
        return
    now = store.now()
    serving = [each for each in living(store) if each.condition in SERVING and not each.stopping]
    if not serving or any(row.queues == (HOOKS,) for each in serving for row in each.rows):
        return
    if any(queue.name == HOOKS and queue.pause and queue.pause.lasts(now) for queue in store.queues()):
        return
    waiting = store.find(Selector(states=(JobState.PENDING, JobState.FAILED), hooks=True), limit=LOOKED_AT)
    due = [hook.due_at for hook in waiting if not hook.held and hook.due_at <= now]
    since = max(min(due, default=now), *(each.started_at for each in serving))
    if now - since < NOTICED_WITHIN_S:
        return
    number = f"{counted(len(due), 'hook')}{' or more' if len(waiting) == LOOKED_AT else ''}"
    waits = "waits" if len(due) == 1 else "wait"
    what = f"{number} {waits}, and no live worker runs hooks: each was started with --no-hooks"
    yield Finding(PROBLEM, "hooks_unserved", what, "queuectl worker start")
