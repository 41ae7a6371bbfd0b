"""What new jobs bring along besides their rows, in the transaction that adds them: edges to what they depend on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from queuectl.domain.dependency import Dependency, in_order, is_met, parse, why_not
from queuectl.domain.errors import Invalid, NotFound
from queuectl.domain.job import FINISHED, Job, JobState
from queuectl.store.shared import rows
from queuectl.store.shared.session import Session
from queuectl.store.shared.settling import OPEN, Parent, settle_children, settle_ends


def arrive(store: Session, jobs: Sequence[Job]) -> dict[str, Job]:
    """Adds what these new jobs, whose rows are written, bring along. Returns those that are not as they were given any
    more, by their id. Raises `NotFound` for what one depends on, and `Invalid` for jobs that wait for each other."""
    wanted = {job.id: [*map(parse, job.depends_on)] for job in jobs if job.depends_on}
    if not wanted:
        return {}
    array, any_of = store._dialect.array, store._dialect.any_of
    text = f"SELECT id, seq FROM {{schema}}.jobs WHERE id {any_of}"
    seqs: dict[str, int] = dict(store._select(text, [array(list(wanted))]))
    found = [job._replace(seq=seqs[job.id]) for job in in_order([job for job in jobs if job.id in wanted])]
    spelled = {each.name for of_job in wanted.values() for each in of_job if not each.is_batch}
    parents = _parents(store, spelled)
    batches = _batches(store, {each.name for of_job in wanted.values() for each in of_job if each.is_batch})
    edges, early, changed = [], [], {}
    for job in found:
        given = wanted[job.id]
        refs = tuple(dict.fromkeys(str(_full(each, parents)) for each in given))
        if refs != job.depends_on:
            store._execute(
                "UPDATE {schema}.jobs SET depends_on = ?, unmet = ? WHERE seq = ?",
                [rows.list_text(refs), len(refs), job.seq],
            )
            changed[job.id] = job._replace(depends_on=refs, unmet=len(refs))
        mine = [edge_of(job, parse(ref), parents, batches) for ref in refs]
        edges += mine
        if any(verdict is not None for *_, verdict, _ in mine):
            early.append(changed.get(job.id, job))
    store._send_rows("add_edge", sorted(edges, key=lambda edge: (edge[2] or 0, edge[0])))
    check_batches(store, found)
    changed.update((job.id, job) for job in settle_children(store, early))
    settle_ends(store)
    cancelled = [job.id for job in changed.values() if job.finished]
    if cancelled:  # perhaps others of these with it
        again = store._jobs(f"WHERE id {any_of} AND state = 'cancelled'", [array(list(wanted))])
        changed.update((job.id, job) for job in again)
    return changed


Parents = Mapping[str, tuple[str, int, JobState]]
"""The id, the `seq` and the state of each job that others depend on, by what they call it."""


def parents_of(store: Session, ids: set[str]) -> dict[str, tuple[str, int, JobState]]:
    """Those of these jobs that are there."""
    text = f"SELECT id, seq, state FROM {{schema}}.jobs WHERE id {store._dialect.any_of}"
    found = store._select(text, [store._dialect.array(sorted(ids))])
    return {id_: (id_, seq, JobState(state)) for id_, seq, state in found}


def _parents(store: Session, spelled: set[str]) -> Parents:
    parents = parents_of(store, spelled)
    for ref in sorted(spelled - parents.keys()):
        job = rows.only_one(ref, lambda condition, values: store._jobs(f"WHERE {condition}", values))
        parents[ref] = parents[job.id] = job.id, job.seq, job.state
    return parents


def _full(dependency: Dependency, parents: Parents) -> Dependency:
    """The dependency with the whole id of what it means."""
    return dependency if dependency.is_batch else dependency._replace(name=parents[dependency.name][0])


def _batches(store: Session, names: set[str]) -> Mapping[str, Parent]:
    """How these batches stand."""
    found = batches_there(store, names)
    if missing := sorted(names - found.keys()):
        raise NotFound(f"no batch {missing[0]}", "see them with: queuectl batch list")
    return found


def batches_there(store: Session, names: set[str]) -> dict[str, Parent]:
    """How those of these batches stand that there are. They are looked at again once this transaction is over: others
    may be changing them just now."""
    if not names:
        return {}
    from queuectl.store.shared.batch_ends import counted

    found = counted(store, sorted(names))
    for batch in found:
        store._execute("INSERT INTO {schema}.settlements (batch) VALUES (?)", [batch.name])
    return {batch.name: Parent(None, batch.end, batch.is_done, batch.name) for batch in found}


def check_batches(store: Session, jobs: Sequence[Job]) -> None:
    """Raises `Invalid` for one of these jobs, whose rows and edges are written, that waits for its own batch, perhaps
    over others."""
    by_batch: dict[str, list[Job]] = {}
    for job in jobs:
        if job.batch is not None:
            by_batch.setdefault(job.batch, []).append(job)
    for batch, mine in by_batch.items():
        if _between(store, mine, batch) is None:
            continue
        for job in mine:
            if (other := _between(store, [job], batch)) == job.id:
                raise _own_batch(job)
            if other is not None:
                told = f"{job.id} of batch {batch} after {other} after batch:{batch}"
                raise Invalid(f"jobs wait for each other: {told}", "leave out one of these")


def _own_batch(job: Job) -> Invalid:
    return Invalid(f"job {job.id} cannot wait for its own batch {job.batch}", "leave one of the two out")


def _between(store: Session, jobs: Sequence[Job], batch: str) -> str | None:
    """The first job that waits for this batch, of those that these wait for, be it over others or their batches."""
    if not store._select("SELECT 1 FROM {schema}.edges WHERE batch = ? LIMIT 1", [batch]):
        return None
    text = (
        f"WITH RECURSIVE up (seq) AS (SELECT seq FROM {{schema}}.jobs WHERE seq {store._dialect.any_of} UNION "
        f"SELECT next.seq FROM up JOIN {{schema}}.edges ON edges.child = up.seq AND {OPEN} "
        "JOIN {schema}.jobs AS next ON (next.seq = edges.parent OR next.batch = edges.batch) "
        "AND next.state = 'blocked') "
        "SELECT job.id FROM up JOIN {schema}.edges ON edges.child = up.seq JOIN {schema}.jobs AS job "
        f"ON job.seq = up.seq WHERE edges.batch = ? AND {OPEN} ORDER BY job.seq LIMIT 1"
    )
    found = store._select(text, [store._dialect.array([job.seq for job in jobs]), batch])
    return found[0][0] if found else None


def edge_of(job: Job, on: Dependency, parents: Parents, batches: Mapping[str, Parent]) -> tuple[object, ...]:
    """The values of the query `add_edge`."""
    child = job.seq
    if on.is_batch:
        if job.batch == on.name:
            raise _own_batch(job)
        batch = batches[on.name]
        decided = int(is_met(on.wants, batch.state)) if batch.is_over else None
        return child, str(on), None, on.name, on.wants.value, decided, None if decided != 0 else batch.why_not("")
    _, seq, state = parents[on.name]
    verdict, why = None, None
    if state in FINISHED:
        verdict = int(is_met(on.wants, state))
        why = None if verdict else why_not(on.name, state)
    return child, str(on), seq, None, on.wants.value, verdict, why
