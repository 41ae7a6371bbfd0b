"""Writes many jobs that changed in the same way by one statement. What they change into the lifecycle has said."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from itertools import compress
from operator import is_not

from queuectl.domain.job import Job
from queuectl.store.shared import rows
from queuectl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from queuectl.store.shared.session import Session

FEW = 4
"""At most this many jobs are written one by one."""

LIFE = frozenset(rows.LIFE)
_NAMES = Job._fields
_UPDATED_AT = _NAMES.index("updated_at")
DUE_BY = ("next_retry_at", "run_at")
"""The values that the time of being due follows from, in addition to the time of being enqueued."""


def write_alike(session: Session, changed: Sequence[tuple[Job, Job]], now: float) -> None:
    """Replaces jobs, each (before, after), that this transaction has locked as they were before."""
    alike: dict[tuple[object, ...], list[tuple[Job, Job]]] = {}
    same: list[int] = []
    for pair in changed:
        before, after = pair
        differs = tuple(map(is_not, before, after))  # an event leaves the other values as they are
        if after.locks and not any(differs[:_UPDATED_AT] + differs[_UPDATED_AT + 1 :]):
            same.append(after.seq)
            continue
        key = differs, tuple(compress(after, differs)), rows.is_ready(after, now)
        alike.setdefault(key, []).append(pair)
    is_once = len({before.seq for before, _ in changed}) == len(changed)
    rest: list[tuple[Job, Job]] = []
    for pairs in alike.values():
        if is_once and len(pairs) > FEW:
            _write_all(session, pairs, now)
        else:
            rest += pairs
    if rest:
        session._write(rest, now)
    if same:  # they stay in the line of their locks, and keep the units that are kept for them
        text = f"UPDATE {{schema}}.jobs SET updated_at = ? WHERE seq {session._dialect.any_of}"
        session._execute(text, [now, session._dialect.array(sorted(same))])


def _write_all(session: Session, pairs: Sequence[tuple[Job, Job]], now: float) -> None:
    """Writes jobs that have the same new values."""
    before, after = pairs[0]
    names = [name for name in compress(_NAMES, map(is_not, before, after)) if name in LIFE]
    sets, values = [f"ready = {rows.is_ready(after, now)}"], list[object]()
    for name in names:
        value = getattr(after, name)
        if isinstance(value, bool):  # a word that both databases have
            sets.append(f"{name} = {value}")
        else:
            sets.append(f"{name} = ?")
            values.append(value.value if isinstance(value, Enum) else value)
    if not {*DUE_BY}.isdisjoint(names):
        retry, run = ("?" if name in names else name for name in DUE_BY)
        values += [getattr(after, name) for name in DUE_BY if name in names]
        sets.append(f"due_at = coalesce({retry}, {session._dialect.greatest}({run}, created_at))")
    seqs = session._dialect.array(sorted(job.seq for job, _ in pairs))
    text = f"UPDATE {{schema}}.jobs SET {', '.join(sets)} WHERE seq {session._dialect.any_of}"
    session._execute(text, [*values, seqs])
