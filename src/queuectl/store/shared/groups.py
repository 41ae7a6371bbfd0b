"""Groups of failures that are alike."""

from __future__ import annotations

from collections.abc import Sequence

from queuectl.store.past import Group
from queuectl.store.shared.session import Session


def grouped(session: Session, condition: str, values: Sequence[object], limit: int) -> list[Group]:
    """The largest groups of the jobs that meet a condition. Reads no more of a job than the index of faults has, but
    for the last of each group.
    """
    same = "(fault = alike.fault OR (fault IS NULL AND alike.fault IS NULL))"
    latest = f"SELECT max(seq) FROM {{schema}}.jobs WHERE {condition} AND {same}"
    text = (
        "SELECT alike.fault, alike.number, alike.waiting, alike.first_at, alike.last_at, "
        f"coalesce(({latest} AND finished_at = alike.last_at), ({latest})) FROM ("
        "SELECT fault, count(*) AS number, sum(CASE WHEN state = 'failed' THEN 1 ELSE 0 END) AS waiting, "
        "min(finished_at) AS first_at, max(finished_at) AS last_at FROM {schema}.jobs "
        f"WHERE {condition} GROUP BY fault ORDER BY count(*) DESC, max(finished_at) DESC LIMIT ?"
        ") AS alike ORDER BY alike.number DESC, alike.last_at DESC"
    )
    alike = session._select(text, [*values, *values, *values, limit])
    text = "SELECT seq, queue, command, exit_code, error, last_line FROM {schema}.jobs WHERE seq "
    seqs = session._dialect.array([seq for *_, seq in alike])
    shown = {seq: job for seq, *job in session._select(text + session._dialect.any_of, [seqs])}
    return [Group(fault, *shown[seq], *counted) for fault, *counted, seq in alike if seq in shown]
