"""Has live workers restart with the installed release, or read their settings again. Running commands go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from queuectl.client.acting import note
from queuectl.client.operation import ACTIVITY, FLAG, TEXT, WORKERS, Argument, Command, plain
from queuectl.client.shapes import COUNT, Key, Shape, listed
from queuectl.client.shapes import TEXT as SHOWN
from queuectl.client.values import WorkerView
from queuectl.client.workers import check_ready, is_of_here, meant, own_rows, workers_of
from queuectl.domain.errors import Conflict, OperationFailed
from queuectl.engine.supervise import process
from queuectl.store.port import Store
from queuectl.store.values import REFUSED
from queuectl.typed import NamedTuple
from queuectl.wire.workers import RELOAD, RESTART

DOES_WITHIN_S, LOOK_EVERY_S = 30.0, 0.05


class Running(NamedTuple):
    """A worker as it is now. `commands` is how many run."""

    name: str
    host: str
    pid: int
    slots: int
    commands: int
    version: str


RUNNING = Shape(
    "", Running,
    Key("name", SHOWN), Key("host", SHOWN), Key("pid", COUNT), Key("slots", COUNT), Key("commands", COUNT),
    Key("version", SHOWN),
)  # fmt: skip


def restart(store: Store, who: str, names: Sequence[str] | None, all_hosts: bool) -> list[Running]:
    """Has workers restart in their processes; returns once the new ones serve and have taken over what runs.

    Raises `NotFound` and `Conflict` before anything is asked, `OperationFailed` where a worker cannot.
    """
    return _ask(store, who, RESTART, "WorkersRestarted", _chosen(store, names, all_hosts), _has_restarted)


def reload(store: Store, who: str, names: Sequence[str] | None, all_hosts: bool) -> list[Running]:
    """Has workers read settings and secrets again; returns once they have. Raises as `restart` does."""
    return _ask(store, who, RELOAD, "WorkersReloaded", _chosen(store, names, all_hosts), _has_reloaded)


def _chosen(store: Store, names: Sequence[str] | None, all_hosts: bool) -> list[WorkerView]:
    """The workers that are meant, all of which can be asked. Where none is named, those that leave anyway are not."""
    live = [worker for worker in workers_of(store) if not worker.orphaned or worker.name in (names or ())]
    chosen = meant(store, live, names, all_hosts)
    if names is None:
        chosen = [worker for worker in chosen if not worker.stopping] or chosen
    for worker in chosen:
        _refuse_unfit(worker)
    return chosen


def _refuse_unfit(worker: WorkerView) -> None:
    check_ready(worker)
    rows = own_rows(worker)  # others were taken over
    if any(row.schema is None for row in rows):
        raise Conflict(
            f"worker {worker.name} is of queuectl {rows[0].version}, which cannot restart by itself",
            f"start a worker of this release, then: kill -KILL {worker.pid}; its commands go on and are taken over",
        )


def _ask(
    store: Store, who: str, what: str, deed: str, workers: Sequence[WorkerView],
    done: Callable[[Store, WorkerView], bool],
) -> list[Running]:  # fmt: skip
    with store.transaction():
        for worker in workers:
            store.request_options([row.id for row in own_rows(worker)], {what: True})
        if workers:
            note(store, who, deed, ", ".join(worker.name for worker in workers))
    until = time.monotonic() + DOES_WITHIN_S
    waiting = list(workers)
    while waiting:
        waiting = [worker for worker in waiting if not done(store, worker)]
        if waiting and time.monotonic() > until:
            name = waiting[0].name
            raise OperationFailed(f"no {what} of worker {name} yet", f"see: queuectl worker logs {name}")
        time.sleep(LOOK_EVERY_S if waiting else 0.0)
    names = {worker.name for worker in workers}
    while True:  # one that has just taken over may not have told its supervisors yet, and seems to be orphaned
        found = [worker for worker in workers_of(store) if worker.name in names and not worker.orphaned]
        if len(found) >= len(names) or time.monotonic() > until:
            return [_running(worker) for worker in found]
        time.sleep(LOOK_EVERY_S)


def _running(worker: WorkerView) -> Running:
    return Running(worker.name, worker.host, worker.pid, worker.slots, len(worker.running), worker.version or "")


def _has_restarted(store: Store, worker: WorkerView) -> bool:
    """Whether another process of its name serves, and nothing that it ran is left to be taken over."""
    _raise_refusal(store, worker, RESTART)
    before = {row.id: row.epoch for row in worker.rows}
    rows = store.living(store.workers())
    is_back = any(row.name == worker.name and row.id not in before for row in rows)
    if not is_back and is_of_here(worker) and process.state_of(worker.pid) in process.ENDED:
        raise OperationFailed(
            f"worker {worker.name} has ended; its commands go on until another worker takes them over",
            f"see: queuectl worker logs {worker.name}",
        )
    return is_back and not any(before.get(row.id) == row.epoch for row in rows)


def _has_reloaded(store: Store, worker: WorkerView) -> bool:
    """Whether nothing that it was asked for is left."""
    _raise_refusal(store, worker, RELOAD)
    return not store.asked_of([row.id for row in own_rows(worker)])


def _raise_refusal(store: Store, worker: WorkerView, what: str) -> None:
    for _, answer in store.asked_of([row.id for row in own_rows(worker)]).values():
        if REFUSED in answer:
            raise OperationFailed(f"no {what} of worker {worker.name}: {answer[REFUSED]}", "it goes on as before")


_NAMES = Argument("names", TEXT, default=None, spelled="NAME", many=True, told="names of workers, or GLOBs")
_ALL_HOSTS = Argument("all_hosts", FLAG, "workers on other hosts too", False, "--all-hosts")

RESTART_ROW = plain(
    "restart_workers", "POST", "/workers/restart", ACTIVITY,
    "Have workers restart with the installed release; their commands go on", restart, listed(RUNNING.kind),
    "the workers, once they serve again", arguments=(_NAMES, _ALL_HOSTS), fails=(404, 409),
    command=Command(
        name="worker restart", group=WORKERS, help="restart workers while their commands run on",
        said="restarted {name} with queuectl {version}; running commands: {commands}", bare="{name}",
        nothing="no worker is running here",
        description="Restart the live workers of this host, or those named, on any host, with the release that is "
        "installed now and the options they have now. Each stays in its process, terminal and service; its running "
        "commands go on, and none is run twice. A release that does not start or cannot use the store is not switched "
        "to.",
        examples=("queuectl worker restart", "queuectl worker restart night", "queuectl worker restart --all-hosts"),
    ),
)  # fmt: skip

RELOAD_ROW = plain(
    "reload_workers", "POST", "/workers/reload", ACTIVITY, "Have workers read settings and secrets again now", reload,
    listed(RUNNING.kind), "the workers, once they have", arguments=(_NAMES, _ALL_HOSTS), fails=(404, 409),
    command=Command(
        name="worker reload", group=WORKERS, help="have workers read settings and secrets now",
        said="reloaded {name}", bare="{name}", nothing="no worker is running here",
        description="Have the live workers of this host, or those named, read the store's settings again and check "
        "their file of secrets. They do so by themselves within --poll; this waits until it has been done, and tells "
        "what is wrong with the secrets.",
        examples=("queuectl worker reload", "queuectl worker reload night"),
    ),
)  # fmt: skip
