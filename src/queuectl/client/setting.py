"""Changes how many slots a live worker has, and which queues it serves."""

from __future__ import annotations

import time
from collections.abc import Sequence

from queuectl.client.acting import note
from queuectl.client.operation import ACTIVITY, FLAG, WORKERS, Argument, Command, Kind, number, plain
from queuectl.client.shapes import COUNT, TEXT, TEXTS, Key, Shape
from queuectl.client.values import WorkerView
from queuectl.client.workers import check_ready, own_rows, workers_of
from queuectl.domain.errors import Conflict, Invalid, NotFound, OperationFailed
from queuectl.domain.job import HOOKS
from queuectl.domain.served import Served
from queuectl.places import log_path
from queuectl.store.port import Store
from queuectl.store.values import FIRST_EPOCH
from queuectl.typed import Any, NamedTuple
from queuectl.wire import schema
from queuectl.wire.kinds import check_text
from queuectl.wire.workers import NAME, SLOTS_MAX, check_name, check_served, queue_names

TAKES_WITHIN_S, LOOK_EVERY_S = 10.0, 0.05
RESTARTS_WITHIN_S = 2.0
"""While a worker restarts, nothing tells it from one that has ended."""

WORKER = Kind({"type": "string", "pattern": f"^{NAME}$"}, check_text)
NAMES = Kind(schema.STORABLE, check_text)
"""A queue, or a list of queues with commas."""


class WorkerNow(NamedTuple):
    """What a worker has been set to."""

    name: str
    slots: int
    queues: tuple[str, ...]
    not_queues: tuple[str, ...]


NOW = Shape(
    "", WorkerNow,
    Key("name", TEXT), Key("slots", COUNT), Key("queues", TEXTS), Key("not_queues", TEXTS),
    Key("serves", TEXT, lambda worker: str(Served(worker.queues, worker.not_queues))),
)  # fmt: skip


def set_worker(
    store: Store, who: str, name: str, count: int | None, queues: Sequence[str], not_queues: Sequence[str],
    all_queues: bool,
) -> WorkerNow:  # fmt: skip
    """Has a live worker take these values; returns once it has. What it runs is not touched.

    Raises `NotFound` if there is no such worker, `Conflict` if it is not alive.
    """
    wanted = _wanted(count, queues, not_queues, all_queues)
    told = f"{name}: " + ", ".join(f"{key}={_text(value)}" for key, value in wanted.items() if value != ())
    ids = [row.id for row in own_rows(_alive(store, name))]
    with store.transaction():
        store.request_options(ids, wanted)
        note(store, who, "WorkerSet", told)
    return _once_taken(store, name, ids, wanted)


def _wanted(
    count: int | None, queues: Sequence[str], not_queues: Sequence[str], all_queues: bool
) -> dict[str, int | tuple[str, ...]]:
    served = Served(queue_names(queues), queue_names(not_queues))
    check_served(served)
    wanted: dict[str, int | tuple[str, ...]] = {} if count is None else {"slots": count}
    if all_queues and served != Served((), ()):
        raise Invalid("all queues and a choice of queues exclude each other", "give one of them")
    if all_queues or served != Served((), ()):
        wanted |= {"queues": tuple(served.only), "not_queues": tuple(served.but)}
    if not wanted:
        raise Invalid("nothing to set", "give a count, queues to serve or not to serve, or all queues")
    return wanted


def _text(value: Any) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _alive(store: Store, name: str) -> WorkerView:
    """The live worker of this name, which can take other values."""
    found = _named(store, name)
    if found is None:
        check_name(name)
        if not any(row.name == name for row in store.workers()) and not log_path(store, name).exists():
            raise NotFound(f"no worker {name}", "see: queuectl worker list")
        until = time.monotonic() + RESTARTS_WITHIN_S
        while (found := _named(store, name)) is None:
            if time.monotonic() > until:
                raise Conflict(f"worker {name} is not alive", "see: queuectl worker list")
            time.sleep(LOOK_EVERY_S)
    check_ready(found)
    if any(row.schema is None for row in own_rows(found)):
        raise Conflict(f"worker {name} is of a release that takes no other values", "stop it, and start a new one")
    return found


def _named(store: Store, name: str) -> WorkerView | None:
    return next((worker for worker in workers_of(store) if worker.name == name), None)


def _once_taken(store: Store, name: str, asked: Sequence[str], wanted: dict[str, Any]) -> WorkerNow:
    """What the worker has once it has taken what is wanted. One that restarts meanwhile is asked again: its supervisors
    that were `asked` may be gone before it has seen that."""
    until = time.monotonic() + TAKES_WITHIN_S
    while True:
        named = store.living([row for row in store.workers() if row.name == name])
        rows = [row for row in named if row.epoch == FIRST_EPOCH and row.queues != (HOOKS,)]
        if rows:
            now = WorkerNow(name, sum(row.slots for row in rows), rows[0].queues, rows[0].not_queues)
            if all(getattr(now, key) == value for key, value in wanted.items()):
                return now
        ids = [row.id for row in rows]
        if ids and not set(ids) & set(asked):
            store.request_options(ids, wanted)
            asked = ids
        if time.monotonic() > until:
            raise OperationFailed(f"worker {name} has not taken it yet", f"see: queuectl worker logs {name}")
        time.sleep(LOOK_EVERY_S)


SET = plain(
    "set_worker", "PATCH", "/workers/{name}", ACTIVITY, "Change the slots or queues of a live worker", set_worker,
    NOW.kind, "the worker's slots and queues, once it has taken them",
    arguments=(
        Argument("name", WORKER),
        Argument("count", number(1, SLOTS_MAX), "run up to N commands at a time", None, "--count N"),
        Argument("queues", NAMES, "serve only this queue; may be repeated", (), "-q --queue QUEUE", many=True),
        Argument("not_queues", NAMES, "serve all queues but this one; may be repeated", (), "--not-queue QUEUE",
                 many=True),
        Argument("all_queues", FLAG, "serve all queues", False, "--all-queues"),
    ),
    fails=(404, 409),
    command=Command(
        name="worker set", group=WORKERS, help="change the slots or queues of a live worker",
        said="{name}: slots {slots}, queues {serves}", bare="{name}",
        description="Change how many commands a live worker of any host runs at a time, or which queues it serves. "
        "Running commands go on. With fewer slots, it starts nothing until fewer commands run.",
        examples=("queuectl worker set night --count 8", "queuectl worker set night --not-queue video"),
    ),
)  # fmt: skip
