"""Hooks of jobs, added in the transaction of what makes them due."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from queuectl import ids
from queuectl.domain import hooks
from queuectl.domain.events import GivenBack
from queuectl.domain.job import Job
from queuectl.store.port import Change, Output
from queuectl.store.shared import rows
from queuectl.wire.jobs import job_to_json


def has_hooks(job: Job) -> bool:
    """Whether anything is run when something becomes of the job."""
    spec = job.spec
    return spec.on_dead is not None or spec.on_failure is not None or spec.on_success is not None


def add_hooks(store: Any, counts: Sequence[tuple[Change, Job]], now: float) -> None:
    """Adds the hooks that these changes make due, each with its input: the job as it is now."""
    added: dict[str, tuple[Job, str]] = {}
    for change, after in counts:
        for key, command in hooks.due(change.event, after) if has_hooks(after) else ():
            hook = hooks.hook_of(after, key, command, ids.job_id(), now)
            added[hook.id] = hook, json.dumps({**job_to_json(after), "output_tail": _tail(change.outputs)})
    if not added:
        return
    store.insert([hook for hook, _ in added.values()])
    text = f"SELECT seq, id FROM {{schema}}.jobs WHERE id {store._dialect.any_of}"
    found = store._select(text, [store._dialect.array(list(added))])
    store._send_rows("write_output", [_input_row(seq, *added[hook_id]) for seq, hook_id in found])
    store.hooks_added = True


def _input_row(seq: int, hook: Job, text: str) -> tuple[object, ...]:
    change = Change(job=hook._replace(seq=seq), event=GivenBack())
    return rows.output_row(change, hook, Output(stream=0, head=text.encode()))


def _tail(outputs: Iterable[Output]) -> str:
    """The last that an execution wrote."""
    tails = [(output.head + output.tail)[-hooks.TAIL_BYTES :] for output in outputs]
    return b"".join(tails)[-hooks.TAIL_BYTES :].decode("utf-8", "replace")
