"""Why a job is not running yet, in words."""

from __future__ import annotations

from typing import Any

import pytest

from queuectl.domain.job import Job, JobState
from queuectl.domain.reason import Surroundings, ordinal, reason
from queuectl.wire.times import format_duration, format_second
from tests.builders import NOON, a_job, in_state


def phrase(job: Job, **around: Any) -> str | None:
    """The phrase; without surroundings the job alone must explain it."""

    def look_around() -> Surroundings:
        assert around, "asked for more than the job"
        return Surroundings(**around)

    return reason(job, NOON, look_around, format_duration, format_second)


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (in_state(JobState.COMPLETED), None),
        (in_state(JobState.CANCELLED, error="cancelled"), None),
        (in_state(JobState.DEAD, error="exit code 1"), "exit code 1"),
        (in_state(JobState.PROCESSING), None),
        (in_state(JobState.PROCESSING, cancel_requested=True), "being cancelled"),
        (a_job(held=True), "held"),
        (in_state(JobState.FAILED, held=True), "held"),
        (a_job(run_at=NOON + 60), "scheduled for 2027-01-15T08:01:00Z"),
        (in_state(JobState.FAILED, attempts=2, next_retry_at=NOON + 3.14), "retry 2/3 in 3.1s"),
    ],
)
def test_a_job_explains_itself_where_it_can(job: Job, words: str | None) -> None:
    assert phrase(job) == words


@pytest.mark.parametrize(
    ("slots", "busy", "ahead", "words"),
    [
        (0, 0, 5, 'no live worker serves queue "default"'),
        (4, 0, 0, "next in line"),
        (4, 2, 1, "2nd in line"),
        (4, 2, 2, "3rd in line"),
        (8, 8, 0, "next in line"),
        (1, 1, 1, "the only slot busy, 2nd in line"),
        (8, 8, 36, "all 8 slots busy, 37th in line"),
        (8, 9, 36, "all 8 slots busy, 37th in line"),
        (8, 8, 1000, "all 8 slots busy, 1000 or more before it"),
    ],
)
def test_a_due_job_is_explained_by_the_workers_and_those_before_it(
    slots: int, busy: int, ahead: int, words: str
) -> None:
    assert phrase(a_job(), slots=slots, busy=busy, ahead=ahead) == words


def test_ordinals_are_english() -> None:
    numbers = {1: "1st", 2: "2nd", 3: "3rd", 4: "4th", 11: "11th", 12: "12th", 13: "13th", 21: "21st", 112: "112th"}
    assert {number: ordinal(number) for number in numbers} == numbers
