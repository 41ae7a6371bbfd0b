"""How a worker fares, as far as that can be told from here: whether somebody drives a living supervisor."""

from __future__ import annotations

from pathlib import Path

from queuectl.domain.condition import Condition
from queuectl.engine.supervise import process
from queuectl.store.liveness import is_this_boot, machine_id, supervisor_folder
from queuectl.store.values import FIRST_EPOCH, WorkerRow
from queuectl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from queuectl.engine.protocol import About

ANSWERS_WITHIN_S = 0.5


def condition_of(row: WorkerRow, below: Path) -> Condition | None:
    """The condition of a living supervisor. None for one on another machine, about which only the store knows."""
    if row.machine == machine_id():
        return _by_processes(row)
    if is_this_boot(row.machine) and supervisor_folder(below, row.id).exists():
        return _by_its_answer(supervisor_folder(below, row.id))
    return None


def _by_processes(row: WorkerRow) -> Condition:
    dispatcher = process.state_of(row.dispatcher)
    if dispatcher in process.ENDED or _is_a_later_process(row):
        return Condition.ORPHANED
    if {dispatcher, process.state_of(row.pid)} & process.SUSPENDED:
        return Condition.SUSPENDED
    return Condition.DRIVEN


def _is_a_later_process(row: WorkerRow) -> bool:
    """Whether the dispatcher's pid is another process's now: a dispatcher is older than the supervisors it started."""
    mine, its = process.began(row.pid), process.began(row.dispatcher)
    return row.epoch == FIRST_EPOCH and None not in (mine, its) and its > mine  # type: ignore[operator]


def _by_its_answer(folder: Path) -> Condition:
    """In another PID namespace pids mean nothing, but sockets do."""
    state = _asked(folder)
    if state is None:
        return Condition.UNKNOWN
    return Condition.DRIVEN if state["driven"] else Condition.ORPHANED


def _asked(folder: Path) -> About | None:
    """What a supervisor says of itself. None if it does not answer in time."""
    from queuectl.engine.channel import dial
    from queuectl.engine.dispatch.wakeup import wait_readable
    from queuectl.engine.protocol import PROTOCOL, Ask, State

    try:
        channel = dial(folder)
    except OSError:
        return None
    try:
        channel.send(Ask(PROTOCOL))
        wait_readable([channel.fileno()], ANSWERS_WITHIN_S)
        return next((answer.about for answer in channel.receive() if isinstance(answer, State)), None)
    finally:
        channel.close()
