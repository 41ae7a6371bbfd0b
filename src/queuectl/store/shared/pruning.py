"""Which finished jobs `prune` and retention may remove."""

from __future__ import annotations

import json
from contextlib import suppress

from queuectl.domain.dependency import Dependency, parse
from queuectl.domain.errors import QueuectlError
from queuectl.domain.job import FINISHED
from queuectl.store.shared import rows
from queuectl.store.shared.session import Session
from queuectl.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from queuectl.domain.selector import Selector


def removable(store: Session, selector: Selector) -> tuple[str, list[Any]]:
    """The condition of what is removed: nothing that a schedule or an unfinished job depends on, or whose key is
    held."""
    states = tuple(state for state in selector.states or FINISHED if state in FINISHED)
    if not states:
        return "1 = 0", []
    condition, values = rows.where(selector._replace(states=states), store._dialect)
    open_child = (
        "SELECT 1 FROM {schema}.edges JOIN {schema}.jobs AS child ON child.seq = edges.child "
        f"AND child.state {rows.UNFINISHED}"
    )
    is_awaited = (
        f"(EXISTS ({open_child} WHERE edges.parent = jobs.seq) "
        f"OR jobs.batch IS NOT NULL AND EXISTS ({open_child} WHERE edges.batch = jobs.batch))"
    )
    parts = [condition, "(unique_until IS NULL OR unique_until <= ?)", f"NOT {is_awaited}"]
    values = [*values, store.now()]
    for ref in _awaited_by_schedules(store):  # a whole id, or the beginning of a generated one
        parts.append("NOT (id = ? OR generated_id AND id >= ? AND id < ?)")
        values += [ref, ref, f"{ref}\x7f"]
    return " AND ".join(parts), values


def _awaited_by_schedules(store: Session) -> list[str]:
    """The jobs that those of schedules depend on, as they spell them."""
    if store._behind:
        return []
    text = "SELECT document FROM {schema}.schedules WHERE document LIKE ? OR document LIKE ?"
    awaited = set[Dependency]()
    for (document,) in store._select(text, ["%depends%", "%after%"]):
        from queuectl.wire.requests import parse_request

        with suppress(QueuectlError):  # another release has checked it
            job = parse_request(json.loads(document), store.now())
            awaited.update(map(parse, job.columns.get("depends_on", ())))
    return sorted({each.name for each in awaited if not each.is_batch})
