"""The table of states and what `apply` makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, get_args

import pytest

from queuectl.domain.errors import Conflict
from queuectl.domain.job import FINISHED, Job, JobState, Outcome, Spec
from queuectl.domain.lifecycle import (
    TRANSITIONS,
    VERBS,
    CancelRequested,
    Cause,
    Claimed,
    ClockSetBack,
    Edited,
    Ended,
    Event,
    Expired,
    GivenBack,
    Held,
    LossTakenBack,
    Lost,
    Progressed,
    Released,
    Replaced,
    Retried,
    Settled,
    Started,
    Stuck,
    apply,
    outcome,
)
from tests.builders import HOST, NOON, a_job, an_end, in_state, run

LATER = NOON + 100

EVENTS: tuple[Event, ...] = (
    Claimed(worker="w~2", host=HOST),
    Started(at=NOON),
    an_end(),
    an_end(exit_code=1),
    an_end(signal=9),
    an_end(error="command not found"),
    an_end(signal=15, cause=Cause.TIMEOUT),
    an_end(signal=15, cause=Cause.CANCEL),
    an_end(signal=15, cause=Cause.STOP),
    Progressed(progress="40 encoding"),
    Stuck(error="could not be ended: sudo (pid 1)"),
    GivenBack(),
    Lost(max_lost=3),
    Lost(max_lost=3, with_machine=True),
    LossTakenBack(later=0),
    ClockSetBack(),
    CancelRequested(),
    Retried(),
    Expired("expired: not started within 1m"),
    Settled(0),
    Settled(2),
    Settled(1, "job a is dead"),
    Replaced(a_job("later", command="new")),
    Held(),
    Released(),
    Edited({"priority": 5}),
)

CELLS = [(state, event) for state in JobState for event in VERBS]


def jobs_in(state: JobState) -> Iterator[Job]:
    """Jobs in one state that differ in all that a decision may look at."""
    for attempts, cancel, started, lost in product((0, 1, 3), (False, True), (None, NOON), (0, 2)):
        yield in_state(
            state, attempts=attempts, cancel_requested=cancel and state is JobState.PROCESSING, started_at=started,
            lost=lost, lost_in_row=lost, spec=Spec(timeout=5.0),
        )  # fmt: skip


def test_every_state_has_a_row_and_every_event_a_verb() -> None:
    assert set(TRANSITIONS) == set(JobState)
    assert set(VERBS) == set(get_args(Event))
    assert {type(event) for event in EVENTS} == set(VERBS)


@pytest.mark.parametrize(("state", "kind"), CELLS)
def test_an_event_leads_to_just_the_states_of_its_cell(state: JobState, kind: type[Event]) -> None:
    allowed = TRANSITIONS[state].get(kind)
    reached = set()
    for job, event in product(jobs_in(state), (event for event in EVENTS if type(event) is kind)):
        if allowed is None:
            with pytest.raises(Conflict, match=f"job1 is {state} and cannot {VERBS[kind]}"):
                apply(job, event, LATER)
        else:
            after = apply(job, event, LATER)
            reached.add(after.state)
            assert after.updated_at == LATER
    assert reached == (allowed or set())


def test_only_a_running_job_is_in_anybodys_hands() -> None:
    for state, job, event in ((s, j, e) for s in JobState for j in jobs_in(s) for e in EVENTS):
        if type(event) not in TRANSITIONS[state]:
            continue
        after = apply(job, event, LATER)
        if after.state is not JobState.PROCESSING:
            assert not after.cancel_requested
            assert (after.next_retry_at is not None) == (after.state is JobState.FAILED)
        assert after.lease == job.lease + isinstance(event, Claimed)


# --- claims ---------------------------------------------------------------------------------


def test_a_claim_raises_the_fencing_token_and_forgets_the_earlier_execution() -> None:
    failed = in_state(JobState.FAILED, lease=4, exit_code=1)
    claimed = apply(failed, Claimed(worker="w~2", host="there"), LATER)
    assert (claimed.lease, claimed.worker, claimed.host) == (5, "w~2", "there")
    assert (claimed.started_at, claimed.finished_at, claimed.next_retry_at) == (None, None, None)


def test_a_held_job_is_not_claimable() -> None:
    assert a_job().claimable
    assert not apply(a_job(), Held(), LATER).claimable
    assert apply(apply(a_job(), Held(), LATER), Released(), LATER).claimable


def test_only_pending_and_failed_jobs_are_claimable() -> None:
    claimable = {state for state in JobState if in_state(state).claimable}
    assert claimable == {state for state in JobState if Claimed in TRANSITIONS[state]}


# --- retries --------------------------------------------------------------------------------


@pytest.mark.parametrize("max_retries", [0, 1, 3])
def test_a_job_that_always_fails_runs_max_retries_plus_one_times(max_retries: int) -> None:
    job = a_job(spec=Spec(max_retries=max_retries))
    runs = 0
    while job.state is not JobState.DEAD:
        job = run(job, job.due_at, exit_code=1)
        runs += 1
        assert job.attempts == runs
    assert runs == max_retries + 1


def test_a_failure_waits_two_four_and_eight_seconds() -> None:
    job, waits = a_job(), []
    for _ in range(3):
        job = run(job, NOON, exit_code=1)
        waits.append(job.due_at - NOON)
    assert waits == [2, 4, 8]


def test_the_delay_counts_from_the_executions_end() -> None:
    failed = apply(in_state(JobState.PROCESSING), an_end(NOON, exit_code=1), LATER)
    assert failed.next_retry_at == NOON + 2


def test_a_failed_job_says_how_it_failed() -> None:
    job = in_state(JobState.PROCESSING, spec=Spec(timeout=1.5))
    assert apply(job, an_end(exit_code=3), LATER).error == "exit code 3"
    assert apply(job, an_end(signal=9), LATER).error == "killed by signal 9"
    assert apply(job, an_end(signal=15, cause=Cause.TIMEOUT), LATER).error == "timed out after 1.5s"
    assert apply(job, an_end(exit_code=127, error="no such program"), LATER).error == "no such program"


def test_a_success_after_failures_leaves_no_error() -> None:
    done = run(run(a_job(), NOON, exit_code=1), LATER)
    assert (done.state, done.attempts, done.error, done.exit_code) == (JobState.COMPLETED, 2, None, 0)


def test_a_fatal_exit_code_is_not_retried() -> None:
    dead = run(a_job(spec=Spec(fatal_on=(2,))), NOON, exit_code=2)
    assert (dead.state, dead.attempts, dead.next_retry_at) == (JobState.DEAD, 1, None)
    assert dead.error == "exit code 2 (not retried: fatal exit code)"
    other = run(a_job(spec=Spec(retry_on=(75,))), NOON, exit_code=74)
    assert other.error == "exit code 74 (not retried: not one of retry-on)"


def test_retry_on_makes_other_exit_codes_fatal_but_not_signals() -> None:
    job = a_job(spec=Spec(retry_on=(75,), timeout=1))
    assert run(job, NOON, exit_code=75).state is JobState.FAILED
    assert run(job, NOON, exit_code=1).state is JobState.DEAD
    assert run(job, NOON, signal=9).state is JobState.FAILED
    assert run(job, NOON, exit_code=1, cause=Cause.TIMEOUT).state is JobState.FAILED


# --- first cause wins -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cause", "end"),
    [
        (Cause.TIMEOUT, Outcome.TIMEOUT),
        (Cause.CANCEL, Outcome.CANCELLED),
        (Cause.STOP, Outcome.STOPPED),
        (None, Outcome.COMPLETED),
    ],
)
def test_what_ended_an_execution_first_is_its_outcome_whatever_its_exit_code(cause: Cause | None, end: Outcome) -> None:
    assert outcome(an_end(exit_code=0, cause=cause)) is end


def test_an_exit_before_the_signal_of_a_cancel_stands() -> None:
    wished = apply(in_state(JobState.PROCESSING), CancelRequested(), NOON)
    done = apply(wished, an_end(), LATER)
    assert (done.state, done.cancel_requested) == (JobState.COMPLETED, False)


def test_a_failure_after_a_cancel_request_is_not_retried() -> None:
    wished = apply(in_state(JobState.PROCESSING), CancelRequested(), NOON)
    for end in (an_end(exit_code=1), an_end(signal=15, cause=Cause.TIMEOUT)):
        after = apply(wished._replace(spec=Spec(timeout=1)), end, LATER)
        assert (after.state, after.attempts) == (JobState.CANCELLED, 1)


def test_a_cancelled_execution_is_not_counted() -> None:
    after = apply(in_state(JobState.PROCESSING), an_end(signal=15, cause=Cause.CANCEL), LATER)
    assert (after.state, after.attempts, after.error) == (JobState.CANCELLED, 0, "cancelled")


@pytest.mark.parametrize(
    "event", [Lost(max_lost=3), GivenBack(), an_end(signal=15, cause=Cause.STOP)], ids=["lost", "given back", "stopped"]
)
@pytest.mark.parametrize("attempts", [0, 2])
@pytest.mark.parametrize("started_at", [None, NOON])
def test_a_wish_to_cancel_survives_the_worker(event: Event, attempts: int, started_at: float | None) -> None:
    job = in_state(JobState.PROCESSING, attempts=attempts, started_at=started_at, lost_in_row=2)
    after = apply(apply(job, CancelRequested(), NOON), event, LATER)
    assert (after.state, after.cancel_requested, after.error) == (JobState.CANCELLED, False, "cancelled")


def test_a_cancel_keeps_the_times_of_the_last_execution() -> None:
    failed = run(a_job(), NOON, exit_code=1)
    assert apply(failed, CancelRequested(), LATER).duration == failed.duration
    assert apply(a_job(), CancelRequested(), LATER).finished_at == LATER


# --- what is given back, and what is lost ---------------------------------------------------


def test_a_stopped_execution_is_not_counted_and_stays_due() -> None:
    stopped = an_end(NOON, signal=15, cause=Cause.STOP)
    first = apply(in_state(JobState.PROCESSING, started_at=NOON, starts=1), stopped, LATER)
    assert (first.state, first.attempts, first.lost, first.starts) == (JobState.PENDING, 0, 0, 1)
    assert (first.started_at, first.signal, first.worker) == (None, None, None)
    assert first.due_at == first.run_at


def test_a_retry_that_is_stopped_waits_again_with_its_earlier_failure() -> None:
    failed = run(a_job(), NOON, exit_code=3)
    claimed = apply(failed, Claimed(worker="w~1", host=HOST), LATER)
    back = apply(claimed, an_end(LATER, signal=15, cause=Cause.STOP), LATER)
    assert (back.state, back.attempts, back.exit_code, back.signal) == (JobState.FAILED, 1, 3, None)
    assert (back.error, back.next_retry_at) == ("exit code 3", LATER)


def test_a_claim_given_back_leaves_the_job_as_it_was() -> None:
    job = a_job(priority=3)
    claimed = apply(job, Claimed(worker="w~1", host=HOST), NOON)
    assert apply(claimed, GivenBack(), NOON) == job._replace(lease=1)


def test_a_loss_without_a_recorded_start_is_a_claim_given_back() -> None:
    claimed = in_state(JobState.PROCESSING, lost_in_row=2, lost=2)
    assert apply(claimed, Lost(max_lost=3), LATER) == apply(claimed, GivenBack(), LATER)


def test_a_lost_execution_counts_as_lost_and_not_as_an_attempt() -> None:
    after = apply(in_state(JobState.PROCESSING, started_at=NOON, starts=1), Lost(max_lost=3), LATER)
    assert (after.state, after.attempts, after.lost, after.starts) == (JobState.PENDING, 0, 1, 1)


def test_a_lost_retry_is_failed_and_due_at_once() -> None:
    after = apply(in_state(JobState.PROCESSING, attempts=1, started_at=NOON), Lost(max_lost=3), LATER)
    assert (after.state, after.next_retry_at) == (JobState.FAILED, LATER)


def lose(job: Job, max_lost: int = 3, with_machine: bool = False) -> Job:
    claimed = apply(job, Claimed(worker="w~1", host=HOST), NOON)
    return apply(apply(claimed, Started(at=NOON), NOON), Lost(max_lost=max_lost, with_machine=with_machine), NOON)


def test_a_job_that_loses_max_lost_workers_in_a_row_is_dead() -> None:
    job = lose(lose(a_job()))
    assert job.state is JobState.PENDING
    dead = lose(job)
    assert (dead.state, dead.lost, dead.attempts, dead.exit_code) == (JobState.DEAD, 3, 0, None)
    assert dead.error == "lost 3 workers in a row while it ran (max_lost 3)"


def test_an_execution_that_ended_begins_the_count_of_losses_afresh() -> None:
    job = run(lose(lose(a_job())), NOON, exit_code=1)
    assert (job.lost, job.lost_in_row) == (2, 0)
    assert lose(job).state is JobState.FAILED


def stop(job: Job) -> Job:
    claimed = apply(job, Claimed(worker="w~1", host=HOST), NOON)
    return apply(claimed, an_end(NOON, signal=15, cause=Cause.STOP), NOON)


@pytest.mark.parametrize("before", [0, 1, 2])
@pytest.mark.parametrize("between", [0, 1])
@pytest.mark.parametrize("later", [0, 1, 2])
def test_a_loss_taken_back_counts_as_given_back(before: int, between: int, later: int) -> None:
    told_late = told_in_time = a_job()
    for _ in range(before):
        told_late, told_in_time = lose(told_late, 9), lose(told_in_time, 9)
    told_late, told_in_time = lose(told_late, 9), stop(told_in_time)
    for _ in range(between):
        told_late, told_in_time = stop(told_late), stop(told_in_time)
    for _ in range(later):
        told_late, told_in_time = lose(told_late, 9), lose(told_in_time, 9)
    assert apply(told_late, LossTakenBack(later=later), NOON) == told_in_time


def test_a_loss_before_a_retry_by_hand_takes_none_back() -> None:
    again = lose(apply(lose(a_job(), max_lost=1), Retried(), NOON))
    assert again.lost == 1
    assert apply(again, LossTakenBack(later=1), NOON) == again
    assert apply(apply(lose(a_job(), max_lost=1), Retried(), NOON), LossTakenBack(later=0), NOON).lost == 0


def test_a_job_dead_by_losses_stays_dead_after_one_is_taken_back() -> None:
    dead = lose(lose(a_job(), max_lost=2), max_lost=2)
    after = apply(dead, LossTakenBack(later=0), LATER)
    assert (after.state, after.lost, after.error) == (JobState.DEAD, 1, dead.error)


def test_a_job_dead_by_losses_has_no_old_exit_code() -> None:
    dead = lose(run(a_job(), NOON, exit_code=3), max_lost=1)
    assert (dead.state, dead.exit_code) == (JobState.DEAD, None)


def test_every_start_is_numbered_once_whether_or_not_it_was_recorded_apart() -> None:
    claimed = in_state(JobState.PROCESSING, starts=5)
    together = apply(claimed, an_end(), LATER)
    apart = apply(apply(claimed, Started(at=NOON), NOON), an_end(), LATER)
    assert together.starts == apart.starts == 6


# --- retry by hand --------------------------------------------------------------------------


def test_retrying_a_failed_job_makes_it_due_with_its_attempts() -> None:
    job = run(a_job(), NOON, exit_code=1)
    after = apply(job, Retried(), NOON + 1)
    assert (after.state, after.attempts, after.due_at) == (JobState.FAILED, 1, NOON + 1)
    assert after.error == "exit code 1"


def test_a_retry_by_hand_never_puts_a_job_back_in_line() -> None:
    failed = run(a_job(), NOON, exit_code=1)
    assert apply(failed, Retried(), LATER).due_at == failed.due_at
    assert apply(a_job(), Retried(), LATER).due_at == NOON


def test_a_retry_by_hand_brings_a_scheduled_job_forward() -> None:
    assert apply(a_job(run_at=LATER), Retried(), NOON).due_at == NOON


def test_a_time_before_the_job_was_enqueued_counts_as_that_moment() -> None:
    assert a_job(run_at=NOON - 1e8).due_at == NOON
    assert a_job(run_at=NOON + 60).due_at == NOON + 60


@pytest.mark.parametrize("state", sorted(FINISHED))
def test_a_finished_job_that_runs_again_waits_from_then_on(state: JobState) -> None:
    assert apply(in_state(state, finished_at=NOON), Retried(), LATER).due_at == LATER


@pytest.mark.parametrize("state", sorted(FINISHED))
def test_retrying_a_finished_job_resets_it_and_keeps_its_history(state: JobState) -> None:
    job = in_state(
        state, attempts=4, lost=2, lost_in_row=1, starts=6, lease=6, error="exit code 1", exit_code=1, signal=9,
        started_at=NOON, finished_at=NOON, cpu_time=1.0, max_rss=1, output_bytes=1, worker="w~1", host=HOST,
    )  # fmt: skip
    assert apply(job, Retried(), LATER) == a_job()._replace(starts=6, lease=6, run_at=LATER, updated_at=LATER)


@pytest.mark.parametrize("state", [JobState.CANCELLED, JobState.PENDING])
@pytest.mark.parametrize(
    ("fields", "start_by"),
    [
        ({"start_by": LATER + 9}, LATER + 9),
        ({"start_by": LATER}, None),  # who retries it wants it to run, though it is late
        ({"start_by": LATER, "spec": Spec(expires=60.0)}, LATER + 60),
    ],
)
def test_a_job_that_never_started_keeps_its_expiry_when_it_runs_again(
    state: JobState, fields: dict[str, Any], start_by: float | None
) -> None:
    assert apply(in_state(state, **fields), Retried(), LATER).start_by == start_by


def test_a_job_that_has_started_once_never_expires() -> None:
    expiring = {"start_by": LATER, "spec": Spec(expires=60.0)}
    for state in FINISHED:
        assert apply(in_state(state, starts=1, **expiring), Retried(), LATER).start_by is None
    claimed = in_state(JobState.PROCESSING, started_at=None, **expiring)
    running = in_state(JobState.PROCESSING, started_at=NOON, starts=1, **expiring)
    assert [apply(job, GivenBack(), LATER).start_by for job in (claimed, running)] == [LATER, None]
    assert [apply(job, Lost(max_lost=3), LATER).start_by for job in (claimed, running)] == [LATER, None]
    assert apply(claimed, an_end(cause=Cause.STOP), LATER).start_by is None


def test_a_job_that_is_replaced_expires_by_its_new_time_though_it_has_run() -> None:
    failed = in_state(JobState.FAILED, starts=1, attempts=1, next_retry_at=LATER, start_by=NOON)
    replaced = apply(failed, Replaced(a_job(start_by=LATER)), NOON)
    assert (replaced.state, replaced.start_by) == (JobState.PENDING, LATER)
    assert apply(replaced, Retried(), NOON).start_by == LATER
    assert apply(replaced, Retried(), LATER).start_by is None


def test_an_expiry_moves_with_a_job_that_is_brought_forward() -> None:
    job = a_job(run_at=LATER, start_by=LATER + 60, spec=Spec(expires=60.0))
    assert apply(job, Retried(), NOON).start_by == NOON + 60
    assert apply(job, Retried(), LATER + 1) == job._replace(updated_at=LATER + 1)


@pytest.mark.parametrize(
    ("fields", "start_by"),
    [
        ({"start_by": LATER + 9}, LATER + 9),
        ({"start_by": NOON}, NOON),  # nobody has asked for this job itself: it never starts late
        ({"start_by": NOON, "spec": Spec(expires=60.0)}, LATER + 60),
    ],
)
@pytest.mark.parametrize("unmet", [0, 1])
def test_a_dependent_that_is_revived_keeps_its_expiry(
    fields: dict[str, Any], start_by: float | None, unmet: int
) -> None:
    job = in_state(JobState.CANCELLED, unmet=1, error="job a is dead", finished_at=NOON, **fields)
    assert apply(job, Settled(unmet), LATER).start_by == start_by


def test_holding_changes_nothing_but_the_flag() -> None:
    for state in JobState:
        if Held in TRANSITIONS[state]:
            job = in_state(state)
            held = apply(job, Held(), LATER)
            assert held == job._replace(held=True, updated_at=LATER)
            assert apply(held, Released(), LATER) == job._replace(updated_at=LATER)


def test_an_end_with_an_error_fails_despite_exit_code_0() -> None:
    assert outcome(Ended(started_at=NOON, finished_at=NOON, exit_code=0, error="output lost")) is Outcome.FAILED


def test_losses_with_the_machine_do_not_condemn_a_job_before_thirty() -> None:
    job = a_job()
    for losses in range(1, 30):
        job = lose(job, max_lost=3, with_machine=True)
        assert (job.state, job.lost, job.lost_in_row) == (JobState.PENDING, losses, 0)
    job = lose(job, max_lost=3, with_machine=True)
    assert (job.state, job.error) == (JobState.DEAD, "lost 30 times with the machine it ran on (30 are too many)")


def test_losses_with_the_machine_leave_the_row_of_others_as_it_is() -> None:
    job = lose(lose(lose(a_job(), max_lost=3), max_lost=3, with_machine=True), max_lost=3)
    assert (job.lost, job.lost_in_row) == (3, 2)
    assert lose(job, max_lost=3).error == "lost 3 workers in a row while it ran (max_lost 3)"


def test_unkillable_processes_are_named_until_the_job_is_given_back() -> None:
    stuck = apply(in_state(JobState.PROCESSING, started_at=NOON), Stuck(error="could not be ended: x"), LATER)
    assert (stuck.state, stuck.error) == (JobState.PROCESSING, "could not be ended: x")
    ended = apply(stuck, an_end(signal=9, cause=Cause.STOP, error="could not be ended: x"), LATER)
    assert (ended.state, ended.error) == (JobState.PENDING, None)
