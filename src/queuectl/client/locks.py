"""Locks: their units, who holds them, and how many jobs wait for them. One that nobody has set has one unit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from queuectl.client.acting import note
from queuectl.client.documents import HOLD
from queuectl.client.operation import LIMITS, NAME, Argument, Command, Kind, plain
from queuectl.client.shapes import COUNT, FLAG, TEXT, TEXTS, Key, Shape, listed, nullable
from queuectl.domain.errors import Invalid, NotFound
from queuectl.domain.likeness import nearest
from queuectl.domain.limits import CAPACITY_MAX, Hold, Lock, numbered, requests_of
from queuectl.store.port import Store
from queuectl.typed import Any, NamedTuple
from queuectl.wire import schema
from queuectl.wire.kinds import NONE, check_queue, check_text, whole_number
from queuectl.wire.limits import VARIABLE, check_units, check_variable

KEYS = ("units", "env")
"""What `lock set` takes as `KEY=VALUE`, besides a capacity."""


class LockView(NamedTuple):
    """A lock, who holds its units, and how many jobs that have yet to start need it. `is_set`: somebody has set it.
    `needed`: the most units that any of these jobs needs.
    """

    name: str
    units: Sequence[str]
    env: str | None
    is_set: bool
    waiting: int
    needed: int
    holders: Sequence[Hold]

    @property
    def capacity(self) -> int:
        return len(self.units)

    @property
    def held(self) -> int:
        """How many units are held: more than there are once some were taken away."""
        return sum(len(hold.units) for hold in self.holders)


LOCK = Shape(
    "Lock", LockView,
    Key("name", TEXT), Key("capacity", COUNT, lambda lock: lock.capacity), Key("units", TEXTS),
    Key("env", nullable(TEXT)), Key("set", FLAG, "is_set"), Key("held", COUNT, lambda lock: lock.held),
    Key("waiting", COUNT), Key("needed", COUNT), Key("holders", listed(HOLD.kind)),
)  # fmt: skip


def _views(store: Store) -> dict[str, LockView]:
    """Every lock that is set or used, by name."""
    known, holders = {lock.name: lock for lock in store.locks()}, store.held()
    waiting, needed = Counter[str](), Counter[str]()
    for locks, jobs in store.needs():
        for name, units in requests_of(locks):
            waiting[name] += jobs
            needed[name] = max(units, needed[name])
    views = {}
    for name in sorted({*known, *holders, *waiting}):
        lock = known.get(name) or Lock(name)
        views[name] = LockView(
            name, lock.units, lock.env, name in known, waiting[name], needed[name], holders.get(name, [])
        )
    return views


def views(store: Store, who: str) -> list[LockView]:
    """Every lock that somebody has set, or that jobs hold or need."""
    return list(_views(store).values())


LIST = plain(
    "locks", "GET", "/locks", LIMITS, "List locks", views, listed(LOCK.kind), "each lock that is set or used",
    command=Command(
        name="lock list", group=LIMITS, help="list locks with who holds them", examples=("queuectl lock list",),
        description="List the locks that somebody has set or that jobs use, with their units, who holds them since "
        "when, and how many jobs need them and have yet to start.",
    ),
)  # fmt: skip


def view(store: Store, who: str, name: str) -> LockView:
    """A lock. Raises `NotFound` if nobody has set it and no job uses it."""
    found = _views(store)
    if name not in found:
        raise NotFound(f"no lock {name[:128]}", nearest(name, list(found)) if found else "nobody has set or uses any")
    return found[name]


SHOW = plain(
    "lock", "GET", "/locks/{name}", LIMITS, "Show a lock", view, LOCK.kind, "the lock", fails=(404,),
    arguments=(Argument("name", NAME, spelled="LOCK"),),
    command=Command(
        name="lock show", group=LIMITS, help="show a lock and who holds it", examples=("queuectl lock show gpu",),
        description="Show a lock: its units, who holds which since when, and how many jobs wait for it.",
    ),
)  # fmt: skip


def set_units(store: Store, who: str, name: str, capacity: Any = None, units: Any = None, env: Any = None) -> LockView:
    """Sets how many units a lock has, or their names, and another variable that names them to commands.

    What is not given stays. Raises `Invalid`.
    """
    name = check_queue(name, "lock")
    if capacity is not None and units is not None:
        raise Invalid("a capacity and units exclude each other", "the capacity is the number of units")
    given: dict[str, Any] = {}
    if capacity is not None:
        number = whole_number(1, CAPACITY_MAX)(capacity, f"the units of lock {name}")
        given = {"units": numbered(number), "named": False}
    elif units is not None:
        given = {"units": check_units(units, "units"), "named": True}
    if env is not None:
        given["env"] = None if env == NONE else check_variable(env, "env")
    if not given:
        raise Invalid("nothing to set", "such as: queuectl lock set gpu 4; or: queuectl lock set gpu units=0,1,2,3")
    with store.transaction():
        lock = store.change_lock(name, lambda lock: lock._replace(**given))
        how = f"units={','.join(lock.units)}" if lock.named else str(lock.capacity)
        note(store, who, "LockSet", f"{name} {how}{f' env={lock.env}' if lock.env else ''}")
    return view(store, who, name)


_NUMBER = whole_number(1, CAPACITY_MAX)
SET = plain(
    "set_lock", "PATCH", "/locks/{name}", LIMITS, "Set the units of a lock: how many, or their names", set_units,
    LOCK.kind, "the lock", fails=(404,),
    arguments=(
        Argument("name", NAME),
        Argument("capacity", Kind({"type": "integer", "minimum": 1, "maximum": CAPACITY_MAX}, _NUMBER), default=None),
        Argument("units", Kind({**schema.listed(NAME.schema), "minItems": 1}, check_units, list), default=None),
        Argument("env", Kind({"type": "string", "pattern": f"^(?!QUEUECTL_){VARIABLE}$"}, check_text), default=None),
    ),
)  # fmt: skip


def read_words(words: Sequence[str], settings: Mapping[str, str]) -> dict[str, Any]:
    """The arguments of `set_units` for `4` or nothing, and the `KEY=VALUE` words."""
    if len(words) > 1:
        raise Invalid(f"unexpected word {words[1]!r}", "see: queuectl lock set --help")
    return {**({"capacity": words[0]} if words else {}), **settings}


def delete(store: Store, who: str, name: str) -> LockView:
    """Forgets what is set for a lock, so that it has one unit. Raises `NotFound`, and `Conflict` while it is in use."""
    found = view(store, who, name)
    store.delete_lock(name)
    return found


DELETE = plain(
    "delete_lock", "DELETE", "/locks/{name}", LIMITS, "Forget the units of a lock: it has one then", delete, LOCK.kind,
    "the lock as it was", deed=("LockDeleted", "{name}"), fails=(404, 409),
    arguments=(Argument("name", NAME, spelled="LOCK", each=True),),
    command=Command(
        name="lock delete", group=LIMITS, help="forget a lock's units", said="deleted {name}", bare="{name}",
        description="Forget the units that were set for locks. A lock that is held or waited for is refused.",
        examples=("queuectl lock delete gpu",),
    ),
)  # fmt: skip
