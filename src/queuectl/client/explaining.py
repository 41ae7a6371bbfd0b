"""Explains in full why a job is not running: every closed gate, who keeps it closed, and when it may start."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from queuectl.client.documents import EXPLANATION
from queuectl.client.facts import explanation, reason_words
from queuectl.client.operation import JOB, JOBS, Argument, plain
from queuectl.client.reasons import FORM, Listing
from queuectl.client.values import Explanation
from queuectl.domain.batch import batch_of
from queuectl.domain.condition import SAID, Condition
from queuectl.domain.job import DEFAULT_QUEUE, Job, JobState
from queuectl.domain.limits import Hold, enough_for, requests_of
from queuectl.domain.proposed import named, option
from queuectl.domain.reason import Code, Gate, closed_gates, ordinal
from queuectl.domain.selector import Selector
from queuectl.store.port import Store
from queuectl.wire.times import format_second
from queuectl.wire.words import age, counted, short

HOLDERS_MAX, HOLDERS_TOLD = 100, 5
WORKER = "queuectl worker start"
RUNS = 100
"""How many of the latest runs of a queue an estimate goes by."""
SLOTS = frozenset({Code.BUSY, Code.LINE, Code.NEXT})
"""Gates of which the line for a slot is one."""


class Around(Listing):
    """The surroundings of jobs, with longer lines counted."""

    most = 10_000

    def ahead(self, job: Job) -> int | None:
        return self._before(job)

    def running(self, queue: str) -> list[Hold]:
        """The jobs of a queue that are in process, as who holds its places."""
        found = self.store.find(Selector(states=(JobState.PROCESSING,), queues=(queue,)), limit=HOLDERS_MAX)
        holds = [Hold(job.id, job.started_at or job.updated_at, ()) for job in found]
        return sorted(holds, key=lambda hold: hold.since)


class _Explaining:
    """What is said of one job."""

    def __init__(self, around: Around, job: Job, time: Callable[[float], str]) -> None:
        self._around = around
        self._time = time
        self._job = job
        self._store = around.store
        self._now = around.now
        self._mean: float | None = None
        self._runs = 0

    def explanation(self) -> Explanation:
        job, now = self._job, self._now
        gates = [self._in_full(gate) for gate in closed_gates(job, now, self._around, FORM)]
        reason = job.error if job.state is JobState.DEAD else gates[0].reason if gates else None
        starts_at = self._starts_at(gates)
        told = explanation(job, reason, now, self._time) + ("" if gates else self._of_worker())
        return Explanation(
            id=job.id, state=job.state, reason=reason, reason_code=gates[0].code if gates else None, explanation=told,
            gates=gates, starts_at=starts_at, runs=self._runs, mean_run=self._mean,
        )  # fmt: skip

    def _of_worker(self) -> str:
        """What people must know of the worker that runs the job; empty if nothing."""
        if self._job.state is JobState.PROCESSING and not self._around.live:
            return "; that worker is gone, and the next one records the end, or runs it again"
        condition = self._condition()
        return f"; its worker {SAID[condition]}" if condition in SAID and condition is not Condition.UNABLE else ""

    def _condition(self) -> Condition:
        """The condition of the worker that runs the job."""
        if self._job.state is not JobState.PROCESSING:
            return Condition.DRIVEN
        runs = (each for each in self._around.live if any(job.id == self._job.id for job in each.running))
        return next((each.condition for each in runs), Condition.DRIVEN)

    # --- a gate -----------------------------------------------------------------------------

    def _in_full(self, gate: Gate) -> Gate:
        job, queue = self._job, self._job.queue
        match gate.code:
            case Code.HELD:
                return gate._replace(told=self._since("held", "Held"), fix=f"queuectl release {named(job.id)}")
            case Code.EXPIRED if all(each.stopping or each.orphaned for each in self._around.live):
                told = reason_words(job, gate.reason, self._now, self._time)
                return gate._replace(told=f"{told}; the next worker cancels it", fix=f"queuectl retry {named(job.id)}")
            case Code.CANCELLING:
                fix = f"queuectl cancel {named(job.id)}" if self._condition() is Condition.ORPHANED else None
                return gate._replace(told=self._since(gate.reason, "CancelRequested") + self._of_worker(), fix=fix)
            case Code.SCHEDULED:
                told = reason_words(job, gate.reason, self._now, self._time) or ""
                return gate._replace(told=told, fix=f"queuectl retry {named(job.id)}")
            case Code.EXPIRED:
                return gate._replace(told=reason_words(job, gate.reason, self._now, self._time) or "")
            case Code.RETRY:
                told = f"{gate.reason}: {job.error}" if job.error else gate.reason
                return gate._replace(told=told, fix=f"queuectl retry {named(job.id)}")
            case Code.BLOCKED:
                return self._blocked(gate)
            case Code.PAUSED:
                return gate._replace(told=self._pause(), fix=f"queuectl queue resume {named(queue)}")
            case Code.NO_WORKER:
                served = f"queuectl worker start {option('--queue', queue)}"
                return gate._replace(told=gate.reason, fix=WORKER if queue == DEFAULT_QUEUE else served)
            case Code.CONCURRENCY | Code.RATE:
                return self._of_queue(gate)
            case Code.LOCK:
                return self._of_lock(gate)
            case Code.BUSY:
                waits = self._around.slots(queue).waits
                return gate._replace(told=gate.reason, fix=None if waits else WORKER)
            case Code.NEXT if (slots := self._around.slots(queue)).busy >= slots.all:
                told = f"{gate.reason}; {slots.in_words} busy"
                return gate._replace(told=told, fix=WORKER)
            case _:
                return gate._replace(told=gate.reason)

    def _since(self, what: str, kind: str) -> str:
        """What a person did to the job, when, and who it was."""
        deeds = [note for note in self._store.notes(self._job) if note.kind == kind]
        if not deeds:
            return f"{what} since it was added"
        by = f" by {deeds[-1].who}" if deeds[-1].who else ""
        return f"{what} for {age(self._now - deeds[-1].at)}{by}"

    def _blocked(self, gate: Gate) -> Gate:
        awaited = self._store.parents(self._job, HOLDERS_MAX, undecided=True)
        more = self._job.unmet - len(awaited[:HOLDERS_TOLD])
        told = ", ".join(map(str, awaited[:HOLDERS_TOLD])) + (f" and {more:,} more" if more > 0 else "")
        holders = [Hold(each.job, each.since or self._job.created_at, ()) for each in awaited if each.job]
        held = next((f"queuectl release {named(each.job)}" for each in awaited if each.job and each.held), None)
        return gate._replace(told=f"waits for {told}" if awaited else gate.reason, holders=holders, fix=held)

    def _pause(self) -> str:
        pause = self._around.queues[self._job.queue].pause
        assert pause is not None
        told = f"queue {self._job.queue} paused for {age(self._now - pause.since)}"
        told += f" by {pause.by}" if pause.by else ""
        told += f", until {self._time(pause.until)} (in {short(pause.until - self._now)})" if pause.until else ""
        return told + (f": {pause.reason}" if pause.reason else "")

    def _of_queue(self, gate: Gate) -> Gate:
        queue, now = self._around.queues[self._job.queue], self._now
        ahead = self._store.ahead(self._job, self._around.most + 1, [queue.name])
        gate = gate._replace(place=ahead + 1)
        if gate.code is Code.CONCURRENCY:
            running, holders = self._around.running_in(queue.name), self._around.running(queue.name)
            told = f"queue {queue.name}: {running} of {queue.concurrency} running{_by(holders, running, now)}"
            fix = f"queuectl queue set {named(queue.name)} concurrency={running + 1}"
            return gate._replace(told=f"{told}; {self._place(ahead)}", holders=holders, fix=fix)
        assert queue.rate is not None
        told = f"queue {queue.name}: no more than {counted(queue.rate.starts, 'start')} in {short(queue.rate.window_s)}"
        told += ", evenly" if queue.rate.even else ""
        told += f"; the next in {short(max(0.0, gate.opens_at - now))}" if gate.opens_at else ""
        fix = f"queuectl queue set {named(queue.name)} rate=none"
        return gate._replace(told=f"{told}; {self._place(ahead)}", fix=fix)

    def _of_lock(self, gate: Gate) -> Gate:
        assert gate.name is not None
        most, lock = self._around.most, self._around.lock(gate.name)
        (units,) = (each.units for each in requests_of(self._job.locks) if each.lock == lock.name)
        held = [unit for hold in gate.holders for unit in hold.units]
        free, keepers = len(lock.free(held)), self._around.kept(self._job, lock.name)
        told = f"lock {lock.name}: needs {units}, {free} of {lock.capacity} free"
        if batch := batch_of(lock.name):
            told = f"batch {batch}: at most {lock.capacity} run at once, {free} free"
        told += _by(gate.holders, len(gate.holders), self._now).replace(":", "; held by", 1)
        if keepers:
            told += "; kept for " + ", ".join(
                f"{each.job} (passed by for {age(self._now - each.since)})" for each in keepers
            )
        ahead, waiting = self._store.before_in_line(self._job, lock.name, most + 1), None
        if ahead is not None:
            waiting = self._store.waiting_for(lock.name, most + 1)
            of = f"{waiting:,}" if waiting <= most else f"over {most:,}"
            told += f"; {self._place(ahead).removesuffix(' in line')}" + (f" of {of}" if ahead <= most else "")
        enough = None if lock.named else enough_for(units + sum(len(each.units) for each in keepers), held)
        fix = None if enough is None else f"queuectl lock set {named(lock.name)} {enough}"
        place = None if ahead is None else ahead + 1
        return gate._replace(told=told, place=place, waiting=waiting, fix=fix)

    def _place(self, ahead: int) -> str:
        most = self._around.most
        return f"{ordinal(ahead + 1)} in line" if ahead <= most else f"over {most:,} before it"

    # --- when it may start ------------------------------------------------------------------

    def _starts_at(self, gates: Sequence[Gate]) -> float | None:
        """When the job is likely to start; None if that depends on people, or nobody knows how long runs take."""
        opens = [self._opens_at(gate) for gate in gates]
        known = [at for at in opens if at is not None]
        return max(known) if known and len(known) == len(opens) else None

    def _opens_at(self, gate: Gate) -> float | None:
        if gate.code is Code.RATE:
            rate = self._around.queues[self._job.queue].rate
            assert rate is not None
            return (gate.opens_at or self._now) + ((gate.place or 1) - 1) * rate.window_s / rate.starts
        if gate.opens_at is not None or gate.width is None:
            return gate.opens_at
        before = gate.place or 1
        if gate.code in SLOTS:
            slots = self._around.slots(self._job.queue)
            if slots.waits:
                return None
            before -= slots.all - slots.busy
        if before <= 0:
            return self._now
        if not self._runs:
            runs = self._store.runs(self._job.queue, RUNS)
            self._runs, self._mean = len(runs), sum(runs) / len(runs) if runs else None
        return None if self._mean is None else self._now + before * self._mean / gate.width


def _by(holders: Sequence[Hold], number: int, now: float) -> str:
    """`: a (12m), b (2m) and 3 more`: who holds something, and for how long."""
    if not holders:
        return ""
    told = ", ".join(f"{hold.job} ({age(now - hold.since)})" for hold in holders[:HOLDERS_TOLD])
    more = number - len(holders[:HOLDERS_TOLD])
    return f": {told}" + (f" and {more:,} more" if more > 0 else "")


def explanations(store: Store, jobs: Sequence[Job], time: Callable[[float], str] = format_second) -> list[Explanation]:
    """Each job's explanation, with times as `time` tells them; what they share is read once."""
    around = Around(store)
    return [_Explaining(around, job, time).explanation() for job in jobs]


def explain(store: Store, who: str, id: str) -> Explanation:
    """A job's explanation. Raises `NotFound`."""
    return explanations(store, [store.get(id)])[0]


EXPLAIN = plain(
    "explain", "GET", "/jobs/{id}/explanation", JOBS, "Explain why a job is not running", explain, EXPLANATION.kind,
    "every closed gate, and when the job is likely to start", arguments=(Argument("id", JOB),), fails=(404,),
)  # fmt: skip
