"""Hosts that are cut off, come back, or lose power: nothing is lost, and nothing runs twice while a lease holds."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from queuectl.domain.errors import StoreBusy
from queuectl.domain.job import JobState
from queuectl.store.values import WorkerRow
from tests.fault.fleet import Fleet, open_fleet
from tests.fault.history import beating_until, check, diary_command
from tests.machines import FAKE_CLOCK, Machine, why_none
from tests.needs import is_weaker, lacks
from tests.workshop import Workshop, until

LEASE_S = 10.0
"""After their lease and before the lease that workers have by default, however slow the machine."""


@pytest.fixture(scope="module")
def missing() -> str | None:
    return why_none()


@pytest.fixture
def fleet(tmp_path: Path, request: pytest.FixtureRequest, missing: str | None) -> Iterator[Fleet]:
    if missing is not None:
        lacks(f"a way to make machines ({missing})", "run as root, apt-get install iproute2")
    if FAKE_CLOCK is None:
        is_weaker(request, "clocks that differ", "apt-get install libfaketime")
    with open_fleet(tmp_path) as found:
        found.shop.store.set_config("lease-ttl", f"{LEASE_S:g}s")
        yield found


def test_a_cut_off_host_ends_its_commands_in_time_and_goes_on(fleet: Fleet, tmp_path: Path) -> None:
    shop, diary, gate = fleet.shop, tmp_path / "diary", tmp_path / "gate"
    *healthy, cut_off = fleet.hosts  # the one whose clock is before all others
    taken, kept = _running_on(cut_off, fleet, diary_command(diary, beating_until(gate, diary)))
    jobs = taken + kept

    fleet.cut_off(cut_off)
    until(lambda: all(shop.job(job).starts == 2 for job in taken), "they run elsewhere")
    assert not cut_off.processes("^/bin/sh -c"), "the commands of the cut off host have ended"
    gate.touch()
    assert {job.host for job in shop.finished(*jobs)} <= {host.name for host in healthy}
    assert {shop.job(job).starts for job in kept} == {1}, "the healthy hosts' commands were left alone"
    check(shop, diary, jobs)
    for job in taken:
        first, second = (attempt.lease for attempt in shop.store.attempts(shop.job(job)))
        assert _times(shop, diary, job, first)[-1] <= _times(shop, diary, job, second)[0]

    fleet.heal(cut_off)
    until(lambda: "its lease is over" in fleet.log_of(cut_off) or "the lease of" in fleet.log_of(cut_off))
    second_gate = tmp_path / "second gate"
    more = shop.enqueue_all(
        [{"command": diary_command(diary, f"until [ -e '{second_gate}' ]; do sleep 0.05; done")}] * 10
    )
    shop.started(*more)  # which takes all slots there are
    second_gate.touch()
    assert {job.host for job in shop.finished(*more)} == {host.name for host in fleet.hosts}
    assert [worker.process.poll() for worker in fleet.workers] == [None] * 3
    until(lambda: not any(shop.job(job).lost for job in jobs), "what it had ended itself is no loss")
    check(shop, diary, jobs + more)
    _check_times(fleet, jobs + more)


def _running_on(host: Machine, fleet: Fleet, command: str) -> tuple[list[str], list[str]]:
    """Two jobs that fill a host, and five that run on the others."""
    fleet.worker(host, 2)
    there = fleet.shop.enqueue_all([{"command": command}] * 2)
    fleet.shop.started(*there)
    for other in fleet.hosts:
        if other is not host:
            fleet.worker(other, 4)
    elsewhere = fleet.shop.enqueue_all([{"command": command}] * 5)
    fleet.shop.started(*elsewhere)
    return there, elsewhere


def _times(shop: Workshop, diary: Path, job: str, lease: int) -> list[float]:
    """When an execution gave signs of life, by the kernel's clock."""
    return sorted(float(at) for name, under, _, at in shop.events(diary) if (name, under) == (job, str(lease)))


def _check_times(fleet: Fleet, jobs: list[str]) -> None:
    """Whatever the hosts take the time for, what is stored is the server's."""
    for job in map(fleet.shop.job, jobs):
        assert job.finished_at is not None
        for attempt in fleet.shop.store.attempts(job):
            assert attempt.finished_at is not None
            assert job.created_at - 1 < attempt.started_at < attempt.finished_at + 1 < time.time() + 2


HOLD_A_LOCK = """
import sys, time
from pathlib import Path
from queuectl.store.postgres.store import PostgresStore
store = PostgresStore(sys.argv[1], Path(sys.argv[2]))
with store.transaction():
    row, = store.workers()
    assert store.send("drives", **row.grip._asdict()).fetchone()
    print("held", flush=True)
    time.sleep(1000)
"""


def test_the_server_releases_locks_of_a_cut_off_host(fleet: Fleet, tmp_path: Path) -> None:
    host, other, _ = fleet.hosts
    fleet.worker(other, 1)
    (row,) = fleet.shop.store.workers()
    words = [*host.words(), sys.executable, "-c", HOLD_A_LOCK, fleet.address, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            fleet.cut_off(host)
            fleet.shop.store.wait_at_most(0.1)
            until(lambda: _is_taken(fleet.shop, row), "somebody else gets the row")
        finally:
            host.halt()


def _is_taken(shop: Workshop, row: WorkerRow) -> bool:
    try:
        return shop.store.adopt(row, 0) is not None
    except StoreBusy:
        return False


def test_a_powerless_hosts_jobs_run_elsewhere_across_a_server_restart(fleet: Fleet, tmp_path: Path) -> None:
    shop, diary, gate = fleet.shop, tmp_path / "diary", tmp_path / "gate"
    gone, *others = fleet.hosts
    taken, kept = _running_on(gone, fleet, diary_command(diary, beating_until(gate, diary)))

    gone.halt()
    fleet.server.stop()
    fleet.server.start()
    until(lambda: all(shop.job(job).starts == 2 for job in taken), "they run elsewhere")
    gate.touch()
    assert {(job.state, job.lost, job.starts) for job in shop.finished(*taken)} == {(JobState.COMPLETED, 1, 2)}
    assert {(job.state, job.lost, job.starts) for job in shop.finished(*kept)} == {(JobState.COMPLETED, 0, 1)}
    assert {shop.job(job).host for job in taken + kept} <= {host.name for host in others}
    check(shop, diary, taken + kept)
