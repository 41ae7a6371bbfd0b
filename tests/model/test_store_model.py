"""A store, step by step, beside a model of it that knows no SQL.

The model is a dict of jobs and `lifecycle.apply`. Several workers claim and report; some are taken over by
others and go on as zombies, with grips and leases that are no longer theirs. People enqueue, hold, cancel,
retry and delete in between, and the clock moves. After every step the store must show just what the model
shows, and must have refused just what the model refuses.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from queuectl.domain.errors import Conflict, NotFound, QueuectlError
from queuectl.domain.job import FINISHED, Attempt, Job, JobState, Outcome, Spec
from queuectl.domain.lifecycle import (
    TRANSITIONS,
    CancelRequested,
    Cause,
    Claimed,
    Edited,
    Ended,
    Event,
    GivenBack,
    Held,
    Lost,
    Released,
    Retried,
    Started,
    apply,
    outcome,
)
from queuectl.domain.selector import Selector
from queuectl.store.port import Store
from queuectl.store.postgres.store import PostgresStore
from queuectl.store.sqlite.store import SqliteStore
from queuectl.store.values import Change, Grip, Superseded
from tests.builders import HOST, NOON, ManualClock, a_job, a_worker, an_end, make_sqlite_store
from tests.model.gates import ModelGates

QUEUES = ("default", "slow", "zoo")
IDS = tuple("abcdef")
SPECS = (Spec(max_retries=0), Spec(max_retries=1, timeout=1, fatal_on=(2,)), Spec(max_retries=2, backoff_jitter=0.5))
ENDS: tuple[dict[str, Any], ...] = (
    {"exit_code": 0, "cpu_time": 0.5, "max_rss": 4096, "output_bytes": 3},
    {"exit_code": 1, "draw": 0.25},
    {"exit_code": 2},
    {"signal": 9},
    {"error": "no such program"},
    {"exit_code": 0, "cause": Cause.TIMEOUT},
    {"signal": 15, "cause": Cause.CANCEL},
    {"signal": 15, "cause": Cause.STOP},
)

pick = st.integers(0, 23)
"""Chooses among whatever there is at that moment."""


@dataclass
class Dispatcher:
    """One process that drives a supervisor, or believes that it does.

    `jobs` is what it believes to hold, `past` some of what it held: a report may come twice.
    """

    grip: Grip
    store: Store
    jobs: list[Job] = field(default_factory=list)
    past: list[Job] = field(default_factory=list)


@dataclass
class Known:
    """A job as the model knows it, with its executions by number; `losses` are the numbers of those in `job.lost`."""

    job: Job
    attempts: dict[int, Attempt] = field(default_factory=dict)
    losses: list[int] = field(default_factory=list)


class StoreAgainstModel(RuleBasedStateMachine):
    """The steps. Those that take `pick` choose among the jobs or dispatchers there are."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = ManualClock()
        self.make()
        self.stores = [self.connect(), self.connect()]
        self.known: dict[int, Known] = {}
        self.epochs: dict[str, int] = {}
        self.dispatchers: list[Dispatcher] = []
        self.workers_made = 0
        self.gates = ModelGates(self.stores[0], is_on=False)

    def make(self) -> None:
        make_sqlite_store(Path(self.folder.name) / "queuectl.db")

    def connect(self) -> Store:
        return SqliteStore(Path(self.folder.name) / "queuectl.db", self.clock)

    def teardown(self) -> None:
        for store in self.stores:
            store.close()
        self.folder.cleanup()

    # --- the model ---------------------------------------------------------------------------

    @property
    def now(self) -> float:
        return self.clock.at

    def by_id(self, id: str) -> Known | None:
        return next((known for known in self.known.values() if known.job.id == id), None)

    def holds(self, me: Dispatcher) -> bool:
        return self.epochs.get(me.grip.worker) == me.grip.epoch

    def held_by(self, worker: str) -> list[Job]:
        jobs = [known.job for known in self.known.values()]
        return [job for job in jobs if job.state is JobState.PROCESSING and job.worker == worker]

    def holders_job(self, me: Dispatcher, job: Job) -> Known | None:
        """What the model knows of a job, if `me` really holds it with this lease."""
        known = self.known.get(job.seq)
        if known is None or known.job.state is not JobState.PROCESSING:
            return None
        return known if (known.job.worker, known.job.lease) == (me.grip.worker, job.lease) else None

    def to_be_claimed(self, limit: int, queues: tuple[str, ...]) -> list[Known]:
        """Those that a claim takes, with their units. What has expired is cancelled by then."""
        for known in self.known.values():
            known.job = self.gates.expired(known.job, self.now)
        due = [
            known
            for known in self.known.values()
            if known.job.claimable and known.job.due_at <= self.now and known.job.queue in (queues or QUEUES)
        ]
        due.sort(key=lambda known: (-known.job.priority, known.job.due_at, known.job.seq))
        jobs = [known.job for known in self.known.values()]
        taken = self.gates.claimable(jobs, [known.job for known in due], limit, self.now)
        for seq, units in taken.items():
            self.known[seq].job = self.known[seq].job._replace(units=units)
        return [self.known[seq] for seq in taken]

    def note_attempt(self, known: Known, after: Job, event: Event) -> None:
        job = known.job
        assert job.worker is not None
        assert job.host is not None
        if isinstance(event, Started):
            attempt = Attempt(
                number=after.starts, lease=job.lease, worker=job.worker, host=job.host, started_at=event.at
            )
            known.attempts[attempt.number] = attempt
        elif isinstance(event, Ended):
            known.attempts[after.starts] = Attempt(
                number=after.starts, lease=job.lease, worker=job.worker, host=job.host, started_at=event.started_at,
                finished_at=event.finished_at, outcome=outcome(event), exit_code=event.exit_code, signal=event.signal,
                error=event.error or (None if outcome(event) is Outcome.STOPPED else after.error),
                cpu_time=event.cpu_time, max_rss=event.max_rss, output_bytes=event.output_bytes,
            )  # fmt: skip
        elif isinstance(event, Lost) and job.started_at is not None:
            lost = known.attempts[job.starts]
            known.attempts[job.starts] = lost._replace(
                finished_at=self.now, outcome=Outcome.LOST, error="its worker was lost"
            )
            known.losses.append(job.starts)

    # --- people ------------------------------------------------------------------------------

    @initialize(is_limited=st.booleans())
    def begin_with_work_and_workers(self, is_limited: bool) -> None:
        self.gates = ModelGates(self.stores[0], is_on=is_limited)
        for number, id in enumerate(IDS[:4]):
            queue = QUEUES[number % 2] if not is_limited else ("zoo", "zoo", "slow", "default")[number]
            locks = ((), ("x",), ("x=2",), ("x",))[number]
            self.enqueue(id, queue, 0, 0, False, SPECS[number % 3], locks, 3 if number == 1 else None, number)
        for choice in range(2):
            self.start_worker(choice)

    @rule(
        id=st.sampled_from(IDS), queue=st.sampled_from(QUEUES), priority=st.integers(-1, 1),
        delay=st.sampled_from([0, 0, 0, 3, 50]), held=st.sampled_from([False, False, True]),
        spec=st.sampled_from(SPECS), locks=st.sampled_from([(), (), ("x",), ("x",), ("x=2",)]),
        within=st.sampled_from([None, None, None, 3]), choice=pick,
    )  # fmt: skip
    def enqueue(
        self, id: str, queue: str, priority: int, delay: float, held: bool, spec: Spec, locks: tuple[str, ...],
        within: float | None, choice: int,
    ) -> None:  # fmt: skip
        job = a_job(
            id, at=self.now, queue=queue, priority=priority, run_at=self.now + delay, held=held, spec=spec,
            locks=locks if self.gates.is_on else (),
            start_by=self.now + delay + within if within and self.gates.is_on else None,
        )  # fmt: skip
        store = self.stores[choice % 2]
        try:
            store.insert([job])
        except Conflict:
            assert self.by_id(id) is not None
            return
        assert self.by_id(id) is None
        seq = store.get(id).seq
        assert seq > max(self.known, default=0)
        self.known[seq] = Known(job._replace(seq=seq))

    @rule(
        ids=st.lists(st.sampled_from(IDS), min_size=1, max_size=3, unique=True),
        event=st.sampled_from([CancelRequested(), Held(), Released(), Released(), Retried(), Retried()]),
        choice=pick,
    )
    def change(self, ids: list[str], event: Event, choice: int) -> None:
        results = self.stores[choice % 2].change(ids, event, "me")
        for id, result in zip(ids, results, strict=True):
            known = self.by_id(id)
            if known is None:
                assert isinstance(result, NotFound)
            elif type(event) not in TRANSITIONS[known.job.state]:
                assert isinstance(result, Conflict)
            else:
                if isinstance(event, Retried) and known.job.finished:
                    known.losses.clear()
                known.job = apply(known.job, event, self.now)
                assert result == known.job

    @rule(
        id=st.sampled_from(IDS), choice=pick,
        values=st.sampled_from([{"priority": 1}, {"queue": "zoo", "command": "x"}, {"place": NOON}, {"spec": Spec()}]),
    )  # fmt: skip
    def edit(self, id: str, choice: int, values: dict[str, Any]) -> None:
        (result,) = self.stores[choice % 2].edit([id], lambda _: (values, "something"), "me")
        known = self.by_id(id)
        if known is None:
            assert isinstance(result, NotFound)
        elif Edited not in TRANSITIONS[known.job.state]:
            assert isinstance(result, Conflict)
        else:
            known.job = apply(known.job, Edited(values), self.now)
            assert result == known.job

    def delete(self, id: str, choice: int) -> None:
        (result,) = self.stores[choice % 2].delete([id])
        known = self.by_id(id)
        if known is None or known.job.state is JobState.PROCESSING:
            assert isinstance(result, QueuectlError)
        else:
            assert result == known.job
            del self.known[known.job.seq]

    def prune(self, state: JobState, choice: int) -> None:
        gone = [seq for seq, known in self.known.items() if known.job.state is state and state in FINISHED]
        assert self.stores[choice % 2].prune(Selector(states=(state,)), 100) == len(gone)
        for seq in gone:
            del self.known[seq]

    @rule(id=st.sampled_from(IDS), state=st.sampled_from(JobState), what=st.integers(0, 3), choice=pick)
    def tidy_up(self, id: str, state: JobState, what: int, choice: int) -> None:
        """One rule for all that only takes away, so that most steps do not."""
        match what:
            case 3:
                self.gates.toggle_pause(self.stores[choice % 2], self.now)
            case 0:
                self.delete(id, choice)
            case 1:
                self.prune(state, choice)
            case _:
                self.end_worker(choice)

    @rule(seconds=st.sampled_from([0.5, 4, 60]))
    def time_goes_by(self, seconds: float) -> None:
        self.clock.forward(seconds)

    # --- workers -----------------------------------------------------------------------------

    def start_worker(self, choice: int) -> None:
        self.workers_made += 1
        row = a_worker(f"w~{self.workers_made}")
        store = self.stores[choice % 2]
        store.register(row)
        self.epochs[row.id] = row.epoch
        self.dispatchers.append(Dispatcher(row.grip, store))

    @rule(choice=pick, limit=st.integers(0, 4), queues=st.sampled_from([(), (), (), ("slow",), ("zoo", "default")]))
    def claim(self, choice: int, limit: int, queues: tuple[str, ...]) -> None:
        me = self.dispatchers[choice % len(self.dispatchers)]
        try:
            claimed = me.store.claim(me.grip, HOST, limit, queues)
        except Superseded:
            assert not self.holds(me)
            return
        assert self.holds(me) or not claimed, "who finds nothing need not learn of it"
        expected = self.to_be_claimed(limit, queues)
        for known in expected:
            units = known.job.units
            known.job = apply(known.job, Claimed(worker=me.grip.worker, host=HOST), self.now)._replace(units=units)
            self.gates.claimed(known.job)
        assert claimed == [known.job for known in expected]
        me.jobs += claimed

    @rule(choice=pick)
    def claim_and_start(self, choice: int) -> None:
        """What a worker with free slots does: it starts all that it can get, and says so at once."""
        me = self.dispatchers[choice % len(self.dispatchers)]
        self.claim(choice, 3, ())
        waiting = [job for job in me.jobs if job.started_at is None]
        self.record(me, [Change(job=job, event=Started(at=self.now)) for job in waiting])

    @precondition(lambda self: any(me.jobs for me in self.dispatchers))
    @rule(choice=pick, which=pick, end=st.sampled_from([Started(at=0), *ENDS, *ENDS, GivenBack(), Lost(max_lost=2)]))
    def report(self, choice: int, which: int, end: Started | GivenBack | Lost | dict[str, Any]) -> None:
        """One dispatcher, zombie or not, reports on one of the jobs that it believes to hold."""
        holding = [me for me in self.dispatchers if me.jobs]
        me = holding[choice % len(holding)]
        job = [*me.jobs, *me.jobs, *me.past][which % (2 * len(me.jobs) + len(me.past))]
        event = an_end(self.now, **end) if isinstance(end, dict) else end
        if isinstance(event, Started):
            event = Started(at=self.now)
        if isinstance(event, Started | GivenBack) and job.started_at is not None:
            return  # no worker does that
        self.record(me, [Change(job=job, event=event)])

    @precondition(lambda self: any(me.jobs for me in self.dispatchers))
    @rule(choice=pick, exit_code=st.integers(0, 1))
    def report_all_and_claim(self, choice: int, exit_code: int) -> None:
        """The usual step of a dispatcher: all ends and the next claim in one transaction."""
        holding = [me for me in self.dispatchers if me.jobs]
        me = holding[choice % len(holding)]
        changes = [Change(job=job, event=an_end(self.now, exit_code=exit_code)) for job in me.jobs]
        try:
            with me.store.transaction():
                self.record(me, changes)
                self.claim(self.dispatchers.index(me), 2, ())
                if not self.holds(me):
                    raise Superseded("give up the transaction")
        except Superseded:
            assert not self.holds(me)

    def record(self, me: Dispatcher, changes: list[Change]) -> None:
        try:
            results = me.store.record(me.grip, changes)
        except Superseded:
            assert not self.holds(me)
            return
        assert self.holds(me)
        for change, result in zip(changes, results, strict=True):
            known = self.holders_job(me, change.job)
            if known is None:
                assert result is None
            else:
                after = apply(known.job, change.event, self.now)
                assert result == after
                self.note_attempt(known, after, change.event)
                self.gates.recorded(change.job, change.event, self.now)
                known.job = after
            if result is not None and result.state is JobState.PROCESSING:
                me.jobs = [result if job == change.job else job for job in me.jobs]
            else:
                me.jobs = [job for job in me.jobs if job != change.job]
                me.past = [*(job for job in me.past if job != change.job), change.job, *filter(None, [result])][-4:]

    @rule(choice=pick, stale=st.sampled_from([False, False, True]))
    def adopt(self, choice: int, stale: bool) -> None:
        """Another process takes a supervisor over. The one that drove it goes on, as a zombie."""
        if len(self.epochs) < 2:
            self.start_worker(choice)
        worker = list(self.epochs)[choice % len(self.epochs)]
        epoch = self.epochs[worker]
        store = self.stores[choice % 2]
        grip = store.adopt(a_worker(worker, epoch=epoch - stale), 99)
        if stale:
            assert grip is None
            return
        assert grip == Grip(worker=worker, epoch=epoch + 1)
        self.epochs[worker] = epoch + 1
        self.dispatchers = [*self.dispatchers[-4:], Dispatcher(grip, store, store.running(worker))]

    @precondition(lambda self: self.running_workers())
    @rule(choice=pick)
    def lose_a_machine(self, choice: int) -> None:
        """Another machine counts all that a supervisor runs as lost, and forgets it."""
        running = self.running_workers()
        worker = running[choice % len(running)]
        self.adopt(list(self.epochs).index(worker), stale=False)
        me = self.dispatchers[-1]
        self.record(me, [Change(job=job, event=Lost(max_lost=3)) for job in me.jobs])
        me.store.deregister(me.grip)
        del self.epochs[worker]

    @precondition(lambda self: self.lost_attempts())
    @rule(choice=pick, which=pick, too_late=st.sampled_from([False, False, True]))
    def take_back_a_loss(self, choice: int, which: int, too_late: bool) -> None:
        """A worker that somebody has counted as lost tells that it had ended the command itself."""
        lost = self.lost_attempts()
        known, attempt = lost[which % len(lost)]
        assert attempt.finished_at is not None
        ended_at = attempt.finished_at + (0.5 if too_late else -0.5)
        told = {(known.job.seq, attempt.lease): ended_at}
        results = self.stores[choice % 2].take_back_losses(attempt.worker, told)
        if too_late:
            assert results == []
            return
        known.losses = [number for number in known.losses if number != attempt.number]
        in_row = min(known.job.lost_in_row, sum(number > attempt.number for number in known.losses))
        known.job = known.job._replace(lost=len(known.losses), lost_in_row=in_row, updated_at=self.now)
        known.attempts[attempt.number] = attempt._replace(finished_at=ended_at, outcome=Outcome.STOPPED, error=None)
        assert results == [known.job]

    def running_workers(self) -> list[str]:
        """Those with an execution whose start is on record."""
        return [worker for worker in self.epochs if any(job.started_at for job in self.held_by(worker))]

    def lost_attempts(self) -> list[tuple[Known, Attempt]]:
        return [(known, known.attempts[number]) for known in self.known.values() for number in self.all_lost(known)]

    def all_lost(self, known: Known) -> list[int]:
        """The numbers of the job's executions that count as lost, also of those before a retry by hand."""
        return [number for number, attempt in known.attempts.items() if attempt.outcome is Outcome.LOST]

    def end_worker(self, choice: int) -> None:
        me = self.dispatchers[choice % len(self.dispatchers)]
        held = bool(self.held_by(me.grip.worker))
        try:
            me.store.deregister(me.grip)
        except Superseded:
            assert not self.holds(me)
        except Conflict:
            assert held
        else:
            assert self.holds(me)
            assert not held
            del self.epochs[me.grip.worker]

    # --- what must always hold ---------------------------------------------------------------

    @invariant()
    def the_store_shows_what_the_model_shows(self) -> None:
        for store in self.stores:
            assert store.find(Selector()) == [known.job for known in self.known.values()]

    @invariant()
    def counts_are_a_recount(self) -> None:
        recount = Counter((known.job.queue, known.job.state) for known in self.known.values())
        assert self.stores[0].counts() == recount

    @invariant()
    def every_execution_is_kept(self) -> None:
        for known in self.known.values():
            assert self.stores[1].attempts(known.job) == list(known.attempts.values())

    @invariant()
    def every_loss_since_a_retry_by_hand_is_counted(self) -> None:
        for known in self.known.values():
            assert known.job.lost == len(known.losses)
            assert known.job.lost_in_row <= known.job.lost

    @invariant()
    def workers_see_their_jobs_and_what_people_want(self) -> None:
        for worker in self.epochs:
            held = self.held_by(worker)
            assert sorted(self.stores[0].running(worker), key=lambda job: job.seq) == held
            assert sorted(self.stores[0].cancel_requests(worker)) == [job.seq for job in held if job.cancel_requested]

    @invariant()
    def no_job_is_in_two_hands(self) -> None:
        held = [(job.seq, job.lease) for me in self.dispatchers if self.holds(me) for job in self.really_held(me)]
        assert len(held) == len(set(held))

    def really_held(self, me: Dispatcher) -> list[Job]:
        return [job for job in me.jobs if self.holders_job(me, job)]

    @invariant()
    def what_waits_is_known(self) -> None:
        waiting = [known.job for known in self.known.values() if known.job.claimable]
        opens_at = self.stores[0].gates.reopens_at  # type: ignore[attr-defined]
        ends = [known.job for known in self.known.values() if known.job.state is JobState.PENDING]
        expiries = [job.start_by for job in ends if job.start_by is not None]
        times = [*(job.due_at for job in waiting if job.due_at > self.now), *expiries, opens_at]
        later = min((at for at in times if at is not None), default=None)
        due = self.stores[0].next_due()
        assert due == later or (due is not None and due <= self.now and any(job.due_at == due for job in waiting))
        oldest = min((job.due_at for job in waiting if job.due_at <= self.now), default=None)
        backlog = self.stores[0].backlog(1)
        assert backlog.oldest_due == oldest or any(job.locks for job in waiting)  # those in line are no backlog


def test_sqlite_does_what_the_model_does() -> None:
    run_state_machine_as_test(StoreAgainstModel, settings=settings(max_examples=40, stateful_step_count=50))


def test_postgres_does_what_the_model_does(emptied_url: str) -> None:
    """Fewer examples, for a server answers more slowly; each begins with an emptied store."""

    class PostgresAgainstModel(StoreAgainstModel):
        def make(self) -> None:
            pass  # the first to connect does

        def connect(self) -> Store:
            return PostgresStore(emptied_url, Path(self.folder.name), self.clock)

        def teardown(self) -> None:
            store = self.stores[0]
            assert isinstance(store, PostgresStore)
            store.reset()
            super().teardown()

    run_state_machine_as_test(PostgresAgainstModel, settings=settings(max_examples=12, stateful_step_count=50))
