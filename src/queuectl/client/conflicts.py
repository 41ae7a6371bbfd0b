"""Adds jobs that may meet others with their ids or unique keys, each by the rule that it gives."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from queuectl.domain.errors import IdTaken, OutcomeUnknown
from queuectl.domain.job import Job
from queuectl.domain.selector import Selector
from queuectl.domain.unique import Fate, Rule
from queuectl.store.arrivals import Admitted, Arrival
from queuectl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from queuectl.store.port import Store

IDS_AT_ONCE = 500


def may_meet(arrival: Arrival) -> bool:
    """Whether a new job may be left out, or change another one."""
    return arrival.job.unique_key is not None or (arrival.rule is Rule.IGNORE and not arrival.job.generated_id)


def add(store: Store, arrivals: Iterable[Arrival]) -> list[Admitted]:
    """Adds those that nothing stands in the way of, all or none. Returns each with what became of it."""
    arrivals = list(arrivals)
    ignoring = {each.job.id for each in arrivals if each.rule is Rule.IGNORE and not each.job.generated_id}
    is_in_doubt = False
    while True:
        try:
            with store.transaction():
                return _added(store, arrivals, ignoring, is_in_doubt)
        except IdTaken as error:  # just now, by another process
            if error.id not in ignoring:
                raise
        except OutcomeUnknown:
            if is_in_doubt:
                raise
            is_in_doubt = True


def _added(store: Store, arrivals: Sequence[Arrival], ignoring: Collection[str], is_in_doubt: bool) -> list[Admitted]:
    """In their transaction. `is_in_doubt`: an unanswered commit may have added them."""
    asked = [each.job.id for each in arrivals if is_in_doubt or each.job.id in ignoring]
    pieces = (tuple(asked[start : start + IDS_AT_ONCE]) for start in range(0, len(asked), IDS_AT_ONCE))
    known = {job.id: job for piece in pieces for job in store.find(Selector(ids=piece))}
    found: dict[int, Admitted] = {}
    keyed, new = list[int](), dict[int, Job]()
    for at, (job, *_) in enumerate(arrivals):
        there = known.get(job.id)
        if there is not None and is_in_doubt and there.created_at == job.created_at:
            found[at] = Admitted(job, Fate.ADDED)
        elif there is not None and job.id in ignoring:
            found[at] = Admitted(there, Fate.ID_THERE)
        elif job.unique_key is None:
            new[at] = job
            found[at] = Admitted(job, Fate.ADDED)
        else:
            keyed.append(at)
        if job.id in ignoring:
            known.setdefault(job.id, job)
    for at, admitted in zip(keyed, store.admit([arrivals[at] for at in keyed]), strict=True):
        found[at] = admitted
        if admitted.fate in (Fate.ADDED, Fate.NEXT):
            new[at] = admitted.job
    arrived = store.insert([new[at] for at in sorted(new)]) if new else {}
    for at in new:
        found[at] = found[at]._replace(job=as_added(found[at].job, arrived))
    return [found[at] for at in range(len(arrivals))]


def as_added(job: Job, arrived: Mapping[str, Job]) -> Job:
    """A new job as it is now, by what `Store.insert` returned."""
    return arrived.get(job.id, job)._replace(seq=0)
