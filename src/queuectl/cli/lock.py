"""`lock set`, and what `lock list` and `lock show` tell people."""

from __future__ import annotations

from collections.abc import Sequence

from queuectl.cli.call import Call
from queuectl.cli.render import Cell, Column
from queuectl.client import locks
from queuectl.client.locks import LOCK, LockView
from queuectl.client.queues import parse_settings
from queuectl.domain.limits import Hold, numbered
from queuectl.typed import TYPE_CHECKING
from queuectl.wire.words import age, counted

if TYPE_CHECKING:
    from queuectl.client.facade import Client

COLUMNS = (
    Column("LOCK", least=8), Column("HELD", right=True), Column("WAITING", right=True),
    Column("HOLDERS", least=16, wrap=True), Column("UNITS", least=8), Column("ENV"),
)  # fmt: skip
HOLDERS_SHOWN = 5


def set_units(call: Call) -> int:
    """Sets the units of a lock."""
    name, *words = call.words
    settings = parse_settings([word for word in words if "=" in word], dict.fromkeys(locks.KEYS))
    given = locks.read_words([word for word in words if "=" not in word], settings)
    with call.client() as client:
        names = _names(client, name) if "capacity" in given else ()
        done = client.do(locks.SET, name=locks.SET.arguments[0].read(name, "lock"), **given)
    told = f"{done.name}: {_units(done)}{f', env={done.env}' if done.env else ''}"
    call.console.answer(LOCK.json(done), done.name, told)
    if names:
        text = f"its units are numbered from 0 now; their names were {','.join(names)}"
        call.console.note(text, "units_numbered")
    if done.needed > done.capacity:
        text = f"a job waits for {done.needed:,} units of lock {done.name}, and does not start with fewer"
        call.console.note(text, "lock_too_small")
    return 0


def _names(client: Client, name: str) -> Sequence[str]:
    """The names that somebody gave a lock's units; empty if they are numbered."""
    return next((lock.units for lock in client.do(locks.LIST) if lock.name == name and _is_named(lock)), ())


def _units(lock: LockView) -> str:
    """The names of the units, if somebody gave them names."""
    count = counted(lock.capacity, "unit")
    return f"{count}: {','.join(lock.units)}" if _is_named(lock) else count


def _is_named(lock: LockView) -> bool:
    return tuple(lock.units) != numbered(lock.capacity)


def print_all(call: Call, found: Sequence[LockView], now: float) -> None:
    """Lists locks."""
    if call.console.named(COLUMNS, found, lambda lock: _row(lock, now)):
        call.console.note(f"no lock yet; a job uses one with: {call.command('enqueue --lock NAME -- CMD')}", "no_lock")


def _row(lock: LockView, now: float) -> Sequence[str | Cell]:
    shown = [_holder(hold, now) for hold in lock.holders[:HOLDERS_SHOWN]]
    more = [f"{len(lock.holders) - HOLDERS_SHOWN} more"] if len(lock.holders) > HOLDERS_SHOWN else []
    return (
        lock.name, Cell(f"{lock.held:,}/{lock.capacity:,}", "yellow" if lock.held > lock.capacity else ""),
        f"{lock.waiting:,}", ", ".join([*shown, *more]), ",".join(lock.units) if lock.is_set else "", lock.env or "",
    )  # fmt: skip


def _holder(hold: Hold, now: float) -> str:
    return f"{hold.job} ({age(now - hold.since)})"


def print_one(call: Call, lock: LockView, now: float) -> None:
    """A lock, a line for each fact and each holder."""
    facts = {
        "lock": lock.name, "units": _units(lock) if lock.is_set else "1 unit, as nobody has set any", "env": lock.env,
        "held": f"{lock.held:,} of {lock.capacity:,}",
        "waiting": f"{counted(lock.waiting, 'job')} yet to start",
    }  # fmt: skip
    if call.console.facts(lock.name, facts):
        call.console.lines(
            f"{'held by' if hold is lock.holders[0] else '':<12} {_holder(hold, now)}: {','.join(hold.units)}"
            for hold in lock.holders
        )
