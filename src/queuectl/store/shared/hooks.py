"""Hooks of jobs and of schedules, added in the transaction of what makes them due."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from queuectl import ids
from queuectl.domain import hooks
from queuectl.domain.events import Ended, GivenBack, Lost, Started
from queuectl.domain.job import Job, JobState
from queuectl.domain.lifecycle import begun
from queuectl.store.shared import rows
from queuectl.store.values import Change, Output
from queuectl.typed import Any
from queuectl.wire.jobs import job_to_json

Told = tuple[Job, str, str]
"""A hook, its input, and whom it tells of what."""


def has_hooks(job: Job) -> bool:
    """Whether anything is run when something becomes of the job."""
    spec = job.spec
    return spec.on_dead is not None or spec.on_failure is not None or spec.on_success is not None


def add_hooks(store: Any, counts: Sequence[tuple[Change, Job]], now: float) -> None:
    """Adds the hooks that these changes make due, each with its input: the job as it is now."""
    told: list[Told] = []
    for change, after in counts:
        for key, command in hooks.due(change.event, after) if has_hooks(after) else ():
            hook = hooks.hook_of(after, key, command, ids.job_id(), now)
            text = json.dumps({**job_to_json(after), "output_tail": _tail(change)})
            told.append((hook, text, hooks.tells("job", after.id, command)))
    if any(after.schedule is not None for _, after in counts):
        told += _of_runs(store, counts, now)
    if told:
        insert_hooks(store, told)


def _tail(change: Change, most: int = hooks.TAIL_BYTES) -> str:
    return hooks.tail_text(((output.head, output.tail) for output in change.outputs), most)


def insert_hooks(store: Any, told: Sequence[Told]) -> None:
    """Adds hooks. Each waits for an earlier one that tells the same one of the same, whatever becomes of that."""
    any_of, array = store._dialect.any_of, store._dialect.array
    text = f"SELECT tells, id FROM {{schema}}.jobs WHERE tells {any_of} AND state {rows.UNFINISHED} ORDER BY seq"
    text += (
        f" {store._dialect.kept} SKIP LOCKED" if store._dialect.kept else ""
    )  # nobody removes it, or it is not minded
    last: dict[str, str] = dict(store._select(text, [array(sorted({of for *_, of in told}))]))
    added: dict[str, Told] = {}
    for hook, given, of in told:
        if of in last:
            hook = begun(hook._replace(depends_on=(f"{last[of]}:any",)))
        added[hook.id], last[of] = (hook, given, of), hook.id
    store.insert([hook for hook, *_ in added.values()])
    found = store._select(f"SELECT seq, id FROM {{schema}}.jobs WHERE id {any_of}", [array(list(added))])
    for seq, hook_id in found:
        store._execute("UPDATE {schema}.jobs SET tells = ? WHERE seq = ?", [added[hook_id][2], seq])
    store._send_rows("write_output", [_input_row(seq, *added[hook_id][:2]) for seq, hook_id in found])
    store.hooks_added = True


def _input_row(seq: int, hook: Job, text: str) -> tuple[object, ...]:
    change = Change(job=hook._replace(seq=seq), event=GivenBack())
    return rows.output_row(change, hook, Output(stream=0, head=text.encode()))


# --- runs of schedules ------------------------------------------------------------------------


def _of_runs(store: Any, counts: Sequence[tuple[Change, Job]], now: float) -> Iterator[Told]:
    """The pings that starts and ends of runs make due. Ends of schedules that keep streaks are noted: whoever looks
    next at the schedule decides whether that is to be told. Here nobody may wait for a schedule."""
    starts = {id(change) for change, after in counts if _is_first_start(change, after)}
    ends = {id(change) for change, after in counts if _is_end(change, after)}
    names = sorted({str(after.schedule) for change, after in counts if id(change) in starts | ends})
    text = (
        "SELECT name, ping, alert IS NOT NULL OR expect_within IS NOT NULL FROM {schema}.schedules "
        f"WHERE name {store._dialect.any_of} AND (ping IS NOT NULL OR alert IS NOT NULL OR expect_within IS NOT NULL)"
    )
    array = store._dialect.array(names)
    watched = {name: rest for name, *rest in store._select(text, [array])} if names else {}
    for change, after in counts:
        ping, has_streaks = watched.get(after.schedule, (None, False))
        if ping and id(change) in starts:
            yield _ping(after, ping, hooks.pinged(ping, "start"), "", now)
        if id(change) not in ends:
            continue
        well = after.state is JobState.COMPLETED
        if ping:
            tail = "" if well else _tail(change, hooks.PING_BYTES)
            yield _ping(after, ping, ping if well else hooks.pinged(ping, "fail"), tail, now)
        if has_streaks:
            ended_at = after.finished_at if after.finished_at is not None else now
            store._execute(
                "INSERT INTO {schema}.run_ends (schedule, job, at, ended_at, well, why) VALUES (?, ?, ?, ?, ?, ?)",
                [after.schedule, after.id, after.scheduled_at or now, ended_at, int(well), after.error],
            )
            store.runs_ended = True
            store._announce()


def _is_first_start(change: Change, after: Job) -> bool:
    return after.schedule is not None and after.starts == 1 and change.job.started_at is None and isinstance(
        change.event, Started | Ended
    )  # fmt: skip


def _is_end(change: Change, after: Job) -> bool:
    is_over = after.state is JobState.COMPLETED or after.state is JobState.DEAD
    return after.schedule is not None and is_over and isinstance(change.event, Ended | Lost)


def _ping(job: Job, ping: str, url: str, text: str, now: float) -> Told:
    hook = hooks.hook_of(job, hooks.PING, url, ids.job_id(), now)
    return hook._replace(start_by=now + hooks.PING_WITHIN_S), text, hooks.tells("schedule", str(job.schedule), ping)
