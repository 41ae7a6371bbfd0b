"""Why a job is not running yet, in words. What the surroundings say is in tests/conformance/test_explaining.py."""

from __future__ import annotations

import pytest

from queuectl.client.reasons import FORM, Listing
from queuectl.domain.job import Job, JobState, Spec
from queuectl.domain.reason import Slots, closed_gates, named, ordinal, reason
from tests.builders import NOON, a_job, in_state


class Facts(Listing):
    """Surroundings without a store: asked for anything but what is given here, they fail."""

    most = 1000

    def __init__(self, slots: int = 0, busy: int = 0, ahead: int = 0, waits: str | None = None) -> None:
        self.queues = {}
        self._given = Slots(slots, busy, waits), ahead

    def slots(self, queue: str) -> Slots:
        return self._given[0]

    def awaited(self, job: Job) -> str:
        return "job a (running)"

    def ahead(self, job: Job) -> int:
        return self._given[1]


@pytest.mark.parametrize(
    ("job", "code", "words"),
    [
        (in_state(JobState.COMPLETED), None, None),
        (in_state(JobState.CANCELLED, error="cancelled"), None, None),
        (in_state(JobState.DEAD, error="exit code 1"), None, "exit code 1"),
        (in_state(JobState.PROCESSING), None, None),
        (in_state(JobState.PROCESSING, cancel_requested=True), "cancelling", "being cancelled"),
        (a_job(held=True), "held", "held"),
        (in_state(JobState.FAILED, held=True), "held", "held"),
        (a_job(run_at=NOON + 60), "scheduled", "scheduled for 2027-01-15T08:01:00Z"),
        (in_state(JobState.FAILED, attempts=2, next_retry_at=NOON + 3.14), "retry", "retry 2/3 in 3.1s"),
        (in_state(JobState.BLOCKED, unmet=1), "blocked", "waits for job a (running)"),
        (in_state(JobState.BLOCKED, unmet=1234), "blocked", "waits for job a (running) and 1,233 more"),
        (a_job(start_by=NOON, held=True), "expired", "expired: not started by 2027-01-15T08:00:00Z"),
        (a_job(start_by=NOON, spec=Spec(expires=600.0)), "expired", "expired: not started within 10m"),
        (in_state(JobState.FAILED, start_by=NOON, held=True), "held", "held"),
    ],
)
def test_a_job_explains_itself_where_it_can(job: Job, code: str | None, words: str | None) -> None:
    first = next(closed_gates(job, NOON, Facts(), FORM), None)
    assert (first and first.code, reason(job, NOON, Facts(), FORM)) == (code, words)


@pytest.mark.parametrize(
    ("slots", "busy", "ahead", "code", "words"),
    [
        (0, 0, 5, "no_worker", 'no live worker serves queue "default"'),
        (4, 0, 0, "next", "next in line"),
        (4, 2, 1, "line", "2nd in line"),
        (4, 2, 2, "line", "3rd in line"),
        (8, 8, 0, "next", "next in line"),
        (1, 1, 1, "busy", "the only slot busy, 2nd in line"),
        (8, 8, 36, "busy", "all 8 slots busy, 37th in line"),
        (8, 9, 36, "busy", "all 8 slots busy, 37th in line"),
        (8, 8, 1001, "busy", "all 8 slots busy, over 1,000 before it"),
    ],
)
def test_a_due_job_is_explained_by_the_workers_and_those_before_it(
    slots: int, busy: int, ahead: int, code: str, words: str
) -> None:
    (gate,) = closed_gates(a_job(), NOON, Facts(slots, busy, ahead), FORM)
    assert (gate.code, gate.reason) == (code, words)


def test_a_due_job_names_what_its_worker_waits_for() -> None:
    (gate,) = closed_gates(a_job(), NOON, Facts(4, 4, 0, "host load 9.1, at most 8"), FORM)
    assert (gate.code, gate.reason) == ("busy", "host load 9.1, at most 8; 1st in line")
    (gate,) = closed_gates(a_job(), NOON, Facts(8, 4, 0, "host load 9.1, at most 8"), FORM)
    assert gate.code == "next", "another worker has free slots"


def test_ordinals_are_english() -> None:
    numbers = {1: "1st", 2: "2nd", 3: "3rd", 4: "4th", 11: "11th", 12: "12th", 13: "13th", 21: "21st", 112: "112th"}
    assert {number: ordinal(number) for number in numbers} == numbers


def test_only_a_few_jobs_are_named() -> None:
    assert [named(list("abcde")[:number]) for number in (1, 2, 5)] == ["a", "a and b", "a, b and 3 more"]
