"""Measures the recovery times of a fleet that `docs/guarantees.md` states. Prints a row for each case:

python -m tests.docs.fleet_recovery_times [ROUNDS]

Machines of our own (root; see tests/machines.py), a database host and two for workers, a real PostgreSQL server, real
faults, at a random moment between two renewals. `lease-ttl` is 15 s. Takes some ten minutes.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

from queuectl.store.values import LEASE_S
from tests.docs.recovery_times import since
from tests.fault.fleet import SUPERVISOR, Fleet, open_fleet
from tests.fault.history import beating_until, diary_command
from tests.fault.test_failover import of_both
from tests.machines import Machine, why_none
from tests.server import new_schema, start_server
from tests.workshop import open_workshop, until


class Scene(NamedTuple):
    """A job that runs on one host, and can run on another; what its command does is in the diary."""

    fleet: Fleet
    host: Machine
    other: Machine
    job: str
    diary: Path


@contextmanager
def scene() -> Iterator[Scene]:
    with tempfile.TemporaryDirectory() as folder, open_fleet(Path(folder), (0.0, 0.0)) as fleet:
        host, other = fleet.hosts
        diary = Path(folder, "diary")
        fleet.worker(host, 1)
        job = fleet.shop.enqueue(diary_command(diary, beating_until(Path(folder, "gate"), diary)))
        fleet.shop.started(job)
        fleet.worker(other, 4)
        time.sleep(random.random() * LEASE_S / 5)
        yield Scene(fleet, host, other, job, diary)


def runs_again(at: Scene) -> None:
    until(lambda: at.fleet.shop.job(at.job).starts == 2, "it runs again")


def host_loses_power() -> float:
    """From the end of everything on a host until its job runs on another."""
    with scene() as at:
        began = time.monotonic()
        at.host.halt()
        runs_again(at)
        return since(began)


def host_cut_off() -> float:
    """From the moment a host is cut off until its job runs on another."""
    with scene() as at:
        began = time.monotonic()
        at.fleet.cut_off(at.host)
        runs_again(at)
        return since(began)


def host_cut_off_until_its_command_has_ended() -> float:
    """The same until its command has ended there."""
    with scene() as at:
        began = time.monotonic()
        at.fleet.cut_off(at.host)
        until(lambda: not at.host.processes("^/bin/sh -c"), "the command ends")
        return since(began)


def host_back() -> float:
    """From the moment a host that was cut off for 20 s is back until it runs a new job."""
    with scene() as at:
        at.fleet.cut_off(at.host)
        time.sleep(20)
        until(lambda: at.fleet.shop.job(at.job).starts == 2)
        at.fleet.shop.enqueue_all([{"command": "sleep 300"}] * 4)  # three for the other host, one for this one
        began = time.monotonic()
        at.fleet.heal(at.host)
        until(lambda: at.host.processes("^sleep 300"), "it runs a job")
        return since(began)


def dispatcher_killed_no_other_on_its_host() -> float:
    """From SIGKILL of a dispatcher, alone on its host, until its job runs on another."""
    with scene() as at:
        began = time.monotonic()
        for pid in at.host.processes("-m queuectl worker"):
            os.kill(pid, signal.SIGKILL)
        runs_again(at)
        return since(began)


def all_killed_until_the_command_has_ended() -> float:
    """From SIGKILL of dispatcher and supervisor, alone on their host, until their command has ended."""
    with scene() as at:
        began = time.monotonic()
        for pid in at.host.processes(f"-m queuectl worker|{SUPERVISOR}"):
            os.kill(pid, signal.SIGKILL)
        until(lambda: not at.host.processes("^/bin/sh -c"), "the command ends")
        return since(began)


def cancelled_from_elsewhere() -> float:
    """From `cancel` on another machine until the command is gone."""
    with scene() as at:
        began = time.monotonic()
        at.fleet.shop.client.cancel([at.job])
        until(lambda: not at.host.processes("^/bin/sh -c"), "the command ends")
        return since(began)


def server_restarted(how: int) -> Callable[[], float]:
    """From the moment that the server answers again until a result that waited for it is recorded."""

    def measured() -> float:
        with scene() as at:
            at.fleet.server.stop(how)
            Path(at.diary.parent, "gate").touch()
            time.sleep(1 + random.random())
            at.fleet.server.start()
            began = time.monotonic()
            until(lambda: any(state == "completed" for (_, state) in _counts(at)), "it is recorded")
            return since(began)

    measured.__name__ = f"server_restarted_{signal.Signals(how).name}"
    return measured


def _counts(at: Scene) -> set[tuple[str, str]]:
    return {(queue, state.value) for (queue, state), jobs in at.fleet.shop.store.counts().items() if jobs}


def failover() -> float:
    """From the promotion of a synchronous standby until a result that waited for it is recorded."""
    primary = start_server()
    standby = start_server(primary=primary)
    try:
        primary.commit_with_standbys()
        url = new_schema(of_both(primary, standby))
        with tempfile.TemporaryDirectory() as folder, open_workshop(Path(folder), url) as shop:
            shop.worker(1)
            job = shop.enqueue("sleep 1")
            shop.started(job)
            primary.stop(signal.SIGKILL)
            time.sleep(1.5 + random.random())
            standby.promote()
            began = time.monotonic()
            shop.finished(job)
            return since(began)
    finally:
        standby.remove()
        primary.remove()


CASES: tuple[tuple[Callable[[], float], int], ...] = (
    (server_restarted(signal.SIGINT), 6),
    (server_restarted(signal.SIGQUIT), 6),
    (failover, 6),
    (cancelled_from_elsewhere, 8),
    (host_loses_power, 6),
    (host_cut_off, 6),
    (host_cut_off_until_its_command_has_ended, 6),
    (host_back, 6),
    (dispatcher_killed_no_other_on_its_host, 6),
    (all_killed_until_the_command_has_ended, 6),
)


def main() -> int:
    if missing := why_none():
        print(f"no machines can be made here (root?): {missing}", file=sys.stderr)
        return 1
    rounds = int(sys.argv[1]) if sys.argv[1:] else None
    print(f"{'case':<44}{'rounds':>7}{'median':>9}{'longest':>9}", flush=True)
    for case, usual in CASES:
        times = [case() for _ in range(rounds or usual)]
        print(f"{case.__name__:<44}{len(times):>7}{median(times):>8.2f}s{max(times):>8.2f}s", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
