"""Commands that keep a diary, and what may be read from it: who ran when, under which lease."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from queuectl.domain.job import FINISHED, JobState, Outcome
from tests.workshop import Workshop

LINE = 'read up _ < /proc/uptime; printf "%s %s %s %s\\n" "$QUEUECTL_JOB_ID" "$QUEUECTL_LEASE"'


def diary_command(diary: Path, body: str) -> str:
    """A command that writes its start and its end, each as one atomic line, around `body`.

    The time on each is of the kernel's clock, which all machines of a test share, whatever time of day they believe in.
    """
    return f"{LINE} start $up >> {diary}; {body}; {LINE} end $up >> {diary}"


def beating_until(gate: Path, diary: Path) -> str:
    """A body that notes ten times a second that it lives, until a file is there."""
    return f"while [ ! -e {gate} ]; do {LINE} beat $up >> {diary}; sleep 0.1; done"


def check(shop: Workshop, diary: Path, jobs: list[str]) -> None:
    """Every acknowledged job has ended; no two executions overlapped; nothing that was recorded ran again."""
    found = [shop.job(job) for job in jobs]
    assert {job.state for job in found} <= FINISHED
    leases: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for job_id, lease, what, _ in shop.events(diary):
        leases[job_id].append((int(lease), what))
    for job in found:
        _check_no_overlap(job.id, leases[job.id])
        attempts = shop.store.attempts(job)
        final = [each for each in attempts if each.outcome is Outcome.COMPLETED]
        if job.state is JobState.COMPLETED:
            assert len(final) == 1, f"{job.id} was recorded as completed {len(final)} times"
            assert max(lease for lease, _ in leases[job.id]) == final[0].lease, f"{job.id} ran again after its end"
        assert [each.number for each in attempts] == sorted({each.number for each in attempts})


def _check_no_overlap(job_id: str, entries: list[tuple[int, str]]) -> None:
    """The diary of one job goes through its leases in order: an execution that began later ends the earlier one."""
    highest = 0
    for lease, what in entries:
        assert lease >= highest, f"{job_id}: lease {lease} wrote {what} after lease {highest} had begun"
        assert what != "start" or lease > highest, f"{job_id}: lease {lease} began twice"
        highest = lease
