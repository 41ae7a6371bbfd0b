"""Workers for people: their supervisors, condition and jobs."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence

from queuectl.client.values import WorkerView
from queuectl.domain.condition import Condition
from queuectl.domain.errors import Conflict, Invalid, NotFound, OperationFailed
from queuectl.domain.job import HOOKS, Job
from queuectl.settings import Settings
from queuectl.store.liveness import UNABLE_FOLDER
from queuectl.store.values import FIRST_EPOCH, WorkerRow
from queuectl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from queuectl.store.port import Store


def workers_of(store: Store) -> list[WorkerView]:
    """Live workers, supervisors that outlived their worker, and workers that have lost all supervisors."""
    return _with_unable(store, _registered(store))


def living(store: Store) -> list[WorkerView]:
    """`workers_of` without workers that have no supervisor."""
    views = _registered(store)
    return _with_unable(store, views) if views else []


def _registered(store: Store) -> list[WorkerView]:
    by_dispatcher: dict[tuple[str, int], list[WorkerRow]] = {}
    for row in store.living(store.workers()):
        by_dispatcher.setdefault((row.machine, row.dispatcher), []).append(row)
    if not by_dispatcher:
        return []
    ids = [row.id for rows in by_dispatcher.values() for row in rows]
    seen, claimed = store.seen(ids), dict[str, list[Job]]()
    for job in store.running(*ids):
        claimed.setdefault(str(job.worker), []).append(job)
    silent_max_s = Settings(store.config(), store.defaults)["lease-ttl"] / 2 if store.shared_by_machines else 0.0
    views = []
    for rows in by_dispatcher.values():
        seen_at = max(seen.get(row.id, row.started_at) for row in rows)
        condition = _condition(store, rows, renews=store.now() - seen_at < silent_max_s)
        views.append(_view(rows, claimed, condition, seen_at))
    return views


def _with_unable(store: Store, views: list[WorkerView]) -> list[WorkerView]:
    """Adds workers that cannot start commands: one without supervisors has no row in the store."""
    if not (store.folder / UNABLE_FOLDER).is_dir():
        return views
    from queuectl.engine.dispatch.unable import Notes

    notes = {note.pid: note for note in Notes(store.folder).living()}
    for at, view in enumerate(views):
        note = notes.pop(view.pid, None) if is_of_here(view) else None
        if note is not None and view.condition is Condition.DRIVEN:
            views[at] = view._replace(condition=Condition.UNABLE)
    for note in notes.values():
        gone = WorkerView(
            name=note.name, host=note.host, pid=note.pid, slots=0, queues=note.queues, not_queues=note.not_queues,
            started_at=note.started_at, seen_at=store.now(), running=(), stopping=False, condition=Condition.UNABLE,
            rows=(),
        )  # fmt: skip
        views.append(gone)
    return views


def _view(
    rows: Sequence[WorkerRow], claimed_by: Mapping[str, list[Job]], condition: Condition, seen_at: float
) -> WorkerView:
    """A worker of these supervisors. `claimed_by`: jobs by their supervisor's id."""
    in_slots = [row for row in rows if row.queues != (HOOKS,)] or rows
    own = [row for row in in_slots if row.epoch == FIRST_EPOCH] or in_slots
    is_orphaned = condition is Condition.ORPHANED
    claimed = [(row, _in_order(claimed_by.get(row.id, []))) for row in in_slots]
    return WorkerView(
        name=own[0].name, host=own[0].host, pid=rows[0].dispatcher, queues=own[0].queues, not_queues=own[0].not_queues,
        condition=condition, waits=next((row.waits for row in own if row.waits), None),
        slots=0 if is_orphaned else sum(row.slots for row in own if row.epoch == FIRST_EPOCH),
        started_at=min(row.started_at for row in own), seen_at=seen_at, stopping=any(row.stop for row in own),
        rows=rows, running=[job for row, jobs in claimed for job in jobs[: _in_slots(row, jobs)]],
        starting=[job for row, jobs in claimed for job in jobs[_in_slots(row, jobs) :]], memory_limits=own[0].limits,
        version=max(own, key=lambda row: row.started_at).version,
    )  # fmt: skip


def _condition(store: Store, rows: Sequence[WorkerRow], *, renews: bool) -> Condition:
    """The worst condition of a worker's supervisors. On another machine, one that renews its lease has a dispatcher."""
    from queuectl.engine.dispatch.condition import condition_of

    found = {condition_of(row, store.folder) for row in rows}
    if None in found:
        return Condition.DRIVEN if renews else Condition.UNKNOWN
    return next(each for each in reversed(list(Condition)) if each in found)


def _in_order(claimed: Iterable[Job]) -> list[Job]:
    """The jobs that a supervisor has claimed: first those in its slots, then those to start next."""
    return sorted(claimed, key=lambda job: job.started_at is None)


def _in_slots(row: WorkerRow, claimed: Sequence[Job]) -> int:
    """How many of the claimed jobs are in slots. With fewer slots than before, more may run for a while."""
    return max(row.slots, sum(job.started_at is not None for job in claimed))


def serves(worker: WorkerView, queue: str) -> bool:
    """Whether a worker takes jobs of a queue. One that is stopping takes none any more."""
    is_there = worker.condition in (Condition.DRIVEN, Condition.UNKNOWN)
    return is_there and not worker.stopping and worker.served.has(queue)


def is_of_here(worker: WorkerView) -> bool:
    """Whether the worker's pids are valid here: same boot, same PID namespace. Others are never signalled."""
    from queuectl.store.liveness import machine_id

    return all(row.machine == machine_id() for row in worker.rows)


def line_of(serving: Sequence[WorkerView], queue: str, waiting: Collection[str]) -> list[str]:
    """The queues that share a line with `queue`: every worker that serves it serves them too. `waiting` are the queues
    in which jobs wait."""
    return sorted({queue, *(each for each in waiting if all(serves(worker, each) for worker in serving))})


def meant(store: Store, live: Sequence[WorkerView], names: Sequence[str] | None, all_hosts: bool) -> list[WorkerView]:
    """Those of these workers that are named (GLOBs work); None: those of this host, or of all hosts.

    Raises `NotFound` if a name matches none, `Invalid` for an empty list of names.
    """
    from fnmatch import fnmatchcase

    if names is None:
        everywhere, here = all_hosts or not store.shared_by_machines, os.uname().nodename
        return [worker for worker in live if everywhere or worker.host == here]
    if not names:
        raise Invalid("no worker given", "name workers, or leave names out for all of them")
    for name in names:
        if not any(fnmatchcase(worker.name, name) for worker in live):
            raise NotFound(f"no live worker {name}", "see: queuectl worker list")
    return [worker for worker in live if any(fnmatchcase(worker.name, name) for name in names)]


def ask_to_stop(
    store: Store, who: str, names: Sequence[str] | None, *, now: bool, all_hosts: bool, orphaned: bool
) -> list[WorkerView]:
    """Asks workers to stop: all of this host, or of all hosts, or those named (GLOBs work). Returns them.

    Raises `NotFound` if a name matches none. Continues suspended workers so that they can react. An orphaned one cannot
    react: it is asked only if the caller then drives it (see engine/dispatch/guardian.py).
    """
    live = [worker for worker in workers_of(store) if not worker.orphaned or (orphaned and is_of_here(worker))]
    asked = meant(store, live, names, all_hosts)
    how = "now" if now else "graceful"
    for worker in asked:
        if worker.suspended:
            resume(worker)  # first: one that was suspended in a transaction keeps the store locked
    _ask(store, asked, how)
    if asked:
        from queuectl.client.acting import note

        note(store, who, "WorkersStopped", f"{how}: {', '.join(worker.name for worker in asked)}")
    return asked


def stopping_first(workers: Sequence[WorkerView], queuectl: str = "queuectl") -> str:
    """The hint where these workers have to be stopped before anything else. `queuectl`: how a command begins."""
    stop = f"first: {queuectl} worker stop"
    return stop if all(worker.host == os.uname().nodename for worker in workers) else f"{stop} --all-hosts"


def _ask(store: Store, workers: Sequence[WorkerView], how: str) -> None:
    """Asks workers to stop: in the store, or for one without a row there, in its folder."""
    store.request_stop([row.id for worker in workers for row in worker.rows], how)
    for worker in workers:
        if worker.condition is Condition.UNABLE:
            from queuectl.engine.dispatch.unable import Notes

            Notes(store.folder).ask_to_stop(worker.name, how)


def unserved(store: Store, queues: Iterable[str]) -> list[str]:
    """Which of these queues no live worker serves."""
    live = living(store)
    return [queue for queue in dict.fromkeys(queues) if not any(serves(worker, queue) for worker in live)]


def own_rows(worker: WorkerView) -> list[WorkerRow]:
    """The supervisors that give a worker its slots."""
    return [row for row in worker.rows if row.epoch == FIRST_EPOCH and row.queues != (HOOKS,)]


def check_ready(worker: WorkerView) -> None:
    """Raises `Conflict` for a worker that does not do what it is asked for."""
    if worker.condition not in (Condition.DRIVEN, Condition.UNKNOWN):
        raise Conflict(f"worker {worker.name} is {worker.condition}", "see: queuectl worker list")
    if worker.stopping:
        raise Conflict(f"worker {worker.name} is stopping", "start another one")


def process_lives(worker: WorkerView) -> bool:
    """Whether the process that drives a worker of this machine still runs; False for workers of others."""
    from queuectl.engine.supervise import process

    return is_of_here(worker) and process.state_of(worker.pid) not in process.ENDED


def is_still_there(store: Store, worker: WorkerView) -> bool:
    """Whether a worker has not exited. Its dispatcher may exit before a supervisor, which keeps commands that cannot be
    ended."""
    from queuectl.engine.supervise import process

    was_driven = worker.condition is not Condition.ORPHANED and is_of_here(worker)
    if was_driven and process.state_of(worker.pid) in process.ENDED:
        return False
    return not worker.rows or any(map(store.alive, worker.rows))


def resume(worker: WorkerView) -> None:
    """Continues a suspended worker. Raises `OperationFailed` if it belongs to another user."""
    from queuectl.engine.supervise import process

    try:
        for pid in (worker.pid, *(row.pid for row in worker.rows)):
            process.resume(pid)
    except PermissionError:
        raise OperationFailed(
            f"worker {worker.name} is suspended, and belongs to another user", f"as its user: kill -CONT {worker.pid}"
        ) from None
