"""What happened in a simulated run, and whether that was right.

The history is written by the simulated machine (what ran), by the seam to the store (what was committed) and by
people (what was acknowledged). The verdict compares them with each other, and with what the store shows at the end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from queuectl.domain.job import CLAIMABLE, FINISHED, Job, JobState, Outcome
from queuectl.domain.lifecycle import (
    LOST_WITH_MACHINE,
    CancelRequested,
    Cause,
    Ended,
    Event,
    Held,
    Lost,
    Released,
    Retried,
    Started,
    outcome,
)
from queuectl.engine.protocol import End, Key
from queuectl.store.port import Store
from queuectl.store.values import Change, Grip
from tests.model.limited import Limited
from tests.model.timeline import Violation

COUNTED = frozenset({Outcome.COMPLETED, Outcome.FAILED, Outcome.TIMEOUT})
"""Ends that use up an attempt."""

MAX_LOST = 3
SIGTERM = 15


@dataclass(eq=False)
class Execution:
    """A command's process, from its spawn until it ends by itself or is ended.

    `known` is its result, once it is journalled; `seen` one that only a witness could tell of. It is `forgotten` where
    somebody removed the journal for good before it was recorded.
    """

    seq: int
    lease: int
    number: int
    supervisor: str
    pid: int
    began: float
    ignores_term: bool = False
    ended: float | None = None
    exit_code: int | None = None
    signal: int | None = None
    reaped: bool = False
    known: End | None = None
    forgotten: bool = False
    seen: End | None = None

    @property
    def key(self) -> Key:
        return self.seq, self.lease


@dataclass
class History:
    """All that happened. Executions are kept by what they are called: `seq` and lease."""

    say: Callable[..., None]
    limits: Limited
    acknowledged: dict[int, Job] = field(default_factory=dict)
    executions: dict[Key, Execution] = field(default_factory=dict)
    running: dict[int, Execution] = field(default_factory=dict)
    started: set[Key] = field(default_factory=set)
    ended: dict[Key, Ended] = field(default_factory=dict)
    lost: set[Key] = field(default_factory=set)
    lost_with_machine: set[Key] = field(default_factory=set)
    """Those of them that point to no job."""
    afresh: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    """By `seq`: the leases at which somebody retried the finished job by hand."""
    cancelled: dict[int, int] = field(default_factory=dict)
    """By `seq`: the lease at which somebody wanted it ended. Nothing later may start."""
    held: set[int] = field(default_factory=set)
    grips: set[Grip] = field(default_factory=set)
    stopped: set[str] = field(default_factory=set)
    """Supervisors that went with their machine, or with all that belonged to their worker."""
    termed: dict[Key, Callable[[], bool]] = field(default_factory=dict)
    """Executions that got SIGTERM together with the worker that drove them."""

    # --- told by the machine ----------------------------------------------------------------

    def begins(self, execution: Execution) -> None:
        """A command is spawned."""
        other = self.running.get(execution.seq)
        if other is not None:
            raise Violation(f"{_name(execution.key)} starts while {_name(other.key)} runs")
        if execution.lease > self.cancelled.get(execution.seq, execution.lease):
            raise Violation(f"{_name(execution.key)} starts although its job was cancelled")
        if execution.key in self.executions:
            raise Violation(f"{_name(execution.key)} starts twice under one lease")
        if (job := self.acknowledged.get(execution.seq)) is not None:
            known = [(self.acknowledged.get(seq), each) for seq, each in self.running.items()]
            self.limits.begins(job, [(other, each) for other, each in known if other is not None])
        self.executions[execution.key] = self.running[execution.seq] = execution

    def ends(self, execution: Execution) -> None:
        """A command's process has ended."""
        if self.running.get(execution.seq) is execution:
            del self.running[execution.seq]

    def forget(self, worker: str) -> None:
        """The journal of a dead supervisor has been removed."""
        for execution in self.executions.values():
            if execution.supervisor == worker and execution.known and execution.key not in self.ended:
                execution.forgotten = True

    def terminated(self, execution: Execution, are_well: Callable[[], bool]) -> None:
        """A command got SIGTERM from outside, and so does its worker. `are_well` tells whether since then nothing has
        kept worker and supervisor from hearing of both in time."""
        self.termed[execution.key] = are_well

    # --- told by people -----------------------------------------------------------------------

    def enqueued(self, job: Job) -> None:
        """A person was told that the job is there."""
        self.acknowledged[job.seq] = job
        if job.held:
            self.held.add(job.seq)

    def acted(self, before: Job, event: Event) -> None:
        """A person's act was acknowledged."""
        seq = before.seq
        match event:
            case CancelRequested():
                self.cancelled[seq] = before.lease
            case Retried() if before.finished:
                self.cancelled.pop(seq, None)
                self.afresh[seq].append(before.lease)
            case Held():
                self.held.add(seq)
            case Released():
                self.held.discard(seq)
            case _:
                pass

    # --- told by the store's seam, after each commit ------------------------------------------

    def claimed(self, job: Job) -> None:
        """A worker's claim was committed."""
        self.say("  claimed: %s by %s", _name((job.seq, job.lease)), job.worker)
        if job.seq in self.held:
            raise Violation(f"{job.id} is claimed although it is held")
        self.limits.claimed(job)

    def adopted(self, grip: Grip) -> None:
        """A take-over was committed."""
        if grip in self.grips:
            raise Violation(f"two have {grip.worker} in epoch {grip.epoch}")
        self.grips.add(grip)

    def recorded(self, change: Change) -> None:
        """A worker's report was accepted and committed."""
        key = change.job.seq, change.job.lease
        self.say("  on record: %s %s", _name(key), type(change.event).__name__)
        match change.event:
            case Started():
                self.started.add(key)
            case Ended():
                if key in self.ended:
                    raise Violation(f"the end of {_name(key)} is recorded twice")
                self.ended[key] = change.event
                by_itself = change.event.signal == SIGTERM and change.event.cause is None
                if by_itself and key in self.termed and self.termed[key]():
                    raise Violation(f"{_name(key)} was stopped with its worker, and counts as failed")
            case Lost():
                if change.job.started_at is not None:
                    self.lost.add(key)
                    if change.event.with_machine:
                        self.lost_with_machine.add(key)
                    elif key in self.executions and self.executions[key].supervisor in self.stopped:
                        raise Violation(f"{_name(key)} was lost with its machine, and is charged for it")
            case _:
                running = self.running.get(change.job.seq)
                if running is not None and running.key == key:
                    raise Violation(f"{_name(key)} is given back while it runs")

    # --- the verdict ------------------------------------------------------------------------

    def judge(self, store: Store) -> None:
        """Raises `Violation` where the run broke a promise. Comes when all is quiet."""
        for key in sorted(self.executions.keys() | self.ended.keys()):
            self._judge_end(key)
        for seq, enqueued in self.acknowledged.items():
            job = store.get(enqueued.id)
            if job.seq != seq:
                raise Violation(f"{job.id} is not the job that was enqueued")
            if not (job.state in FINISHED or (job.state in CLAIMABLE and job.held)):
                raise Violation(f"{job.id} was acknowledged and is {job.state} for ever")
            self._judge_job(job)
            self._judge_attempts(store, job)
        if self.running:
            raise Violation(f"{[_name(each.key) for each in self.running.values()]} still run")

    def _judge_end(self, key: Key) -> None:
        """What was journalled was recorded, just so; nothing else was."""
        execution, recorded = self.executions.get(key), self.ended.get(key)
        known = execution.known if execution else None
        if known is None and execution is not None and recorded is not None:
            known = execution.seen
        if known is None:
            if recorded is not None:
                raise Violation(f"{_name(key)} is recorded with an end that nobody saw")
            return
        if recorded is None:
            if execution is not None and execution.forgotten:
                return
            raise Violation(f"the result of {_name(key)} was journalled and never recorded")
        told = (known.exit_code, known.signal, known.cause)
        allowed = (
            {told, (None, SIGTERM, Cause.STOP)} if told == (None, SIGTERM, None) and key in self.termed else {told}
        )
        if (recorded.exit_code, recorded.signal, recorded.cause) not in allowed:
            raise Violation(f"{_name(key)} ended with {known} and is recorded as {recorded}")

    def _judge_job(self, job: Job) -> None:
        """Since it was last retried by hand: as many executions as its policy allows, and they are counted right."""
        first = max(self.afresh.get(job.seq, [0]))
        for begin, end in zip(
            [0, *self.afresh.get(job.seq, [])], [*self.afresh.get(job.seq, []), 1 << 60], strict=True
        ):
            self._judge_life(job, begin, end)
        counted = [key for key, how in self._outcomes(job.seq, first, 1 << 60) if how in COUNTED]
        if job.attempts != len(counted):
            raise Violation(f"{job.id} counts {job.attempts} attempts, but made {len(counted)}")
        lost = [key for key in self.lost if key[0] == job.seq and key[1] > first]
        if job.lost != len(lost):
            raise Violation(f"{job.id} counts {job.lost} losses, but had {len(lost)}")
        starts = {key for key in (*self.started, *self.ended) if key[0] == job.seq}
        if job.starts != len(starts):
            raise Violation(f"{job.id} counts {job.starts} starts, but had {len(starts)}")
        ends = [how for _, how in self._outcomes(job.seq, first, 1 << 60)]
        if (job.state is JobState.COMPLETED) != (Outcome.COMPLETED in ends):
            raise Violation(f"{job.id} is {job.state}, but its executions ended as {ends}")
        if job.state is JobState.DEAD:
            self._judge_death(job, counted, lost)

    def _judge_death(self, job: Job, counted: list[Key], lost: list[Key]) -> None:
        """A dead job has failed by itself for good, or one worker after the other died of it."""
        last = max((*counted, *lost), default=(0, 0))
        if last in lost:
            charged = [key for key in lost if key not in self.lost_with_machine]
            if len(charged) < MAX_LOST and len(lost) < MAX_LOST * LOST_WITH_MACHINE:
                raise Violation(f"{job.id} is dead ({job.error}), but only {len(charged)} losses point to it")
        elif last not in counted or self.ended[last].cause not in (None, Cause.TIMEOUT):
            raise Violation(f"{job.id} is dead ({job.error}), but did not end by itself")

    def _judge_life(self, job: Job, after: int, until: int) -> None:
        """Between two retries by hand nothing runs after a success, a cancel, or the last retry."""
        name = job.id
        over = False
        failures = lost = gone = 0
        outcomes = dict(self._outcomes(job.seq, after, until))
        for key in sorted(each for each in self.executions if each[0] == job.seq and after < each[1] <= until):
            if over:
                raise Violation(f"{name} ran again ({_name(key)}) after it was over")
            how = outcomes.get(key)
            failures += how in (Outcome.FAILED, Outcome.TIMEOUT)
            points_to_it = key not in self.lost_with_machine
            lost = lost + (key in self.lost and points_to_it) if how is None else 0
            gone = gone + points_to_it if how is None else 0
            if gone > MAX_LOST + 1:  # the first time its start may not have been on record
                raise Violation(f"{name} was lost {gone} times in a row")
            over = how in (Outcome.COMPLETED, Outcome.CANCELLED)
            over = over or failures > job.spec.max_retries or lost >= MAX_LOST

    def _outcomes(self, seq: int, after: int, until: int) -> list[tuple[Key, Outcome]]:
        return sorted(
            (key, outcome(event)) for key, event in self.ended.items() if key[0] == seq and after < key[1] <= until
        )

    def _judge_attempts(self, store: Store, job: Job) -> None:
        """Every execution is kept, with its own output."""
        attempts = store.attempts(job)
        if [attempt.number for attempt in attempts] != list(range(1, job.starts + 1)):
            raise Violation(f"{job.id} started {job.starts} times and shows {[each.number for each in attempts]}")
        for attempt in attempts:
            key = job.seq, attempt.lease
            recorded = self.ended.get(key)
            how = outcome(recorded) if recorded else Outcome.LOST if key in self.lost else attempt.outcome
            if attempt.outcome is not how:
                raise Violation(f"{_name(key)} was {how} and is shown as {attempt.outcome}")
            execution = self.executions.get(key)
            written = execution.known.outputs or {} if recorded and execution and execution.known else {}
            text = b"".join(output.head for output in store.outputs(job, attempt.number))
            if text != "".join(kept["text"] for kept in written.values()).encode():
                raise Violation(f"{_name(key)} wrote {written} and is kept with {text!r}")


def _name(key: Key) -> str:
    return f"job{key[0]}/{key[1]}"
