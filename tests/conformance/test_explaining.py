"""Why a job is not running: its reason, and every closed gate. What is read costs the same whatever waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from queuectl.client.doctor import out_of_order
from queuectl.client.facade import Client
from queuectl.client.reasons import Listing
from queuectl.client.values import Explanation
from queuectl.client.workers import workers_of
from queuectl.domain.condition import Condition
from queuectl.domain.job import Job, Spec
from queuectl.domain.lifecycle import CancelRequested, Held, Started, begun
from queuectl.domain.limits import Lock, Pause, Queue, Rate, numbered
from queuectl.domain.selector import ALL_JOBS
from queuectl.store.port import Store
from queuectl.store.values import Change, Grip
from tests.builders import HOST, NOON, ManualClock, a_job, a_worker, an_end


class Shop:
    """A store with a worker of two slots, whose clock moves by hand."""

    def __init__(self, store: Store, clock: ManualClock) -> None:
        self.store, self.clock, self.client = store, clock, Client(store, "tests")

    def worker(self, name: str = "w", **fields: Any) -> Grip:
        row = a_worker(f"{name}~1", slots=2, dispatcher=hash(name) % 9999, **fields)
        self.store.register(row)
        return row.grip

    def add(self, *ids: str, **fields: Any) -> None:
        self.store.insert([a_job(id, at=self.store.now(), **fields) for id in ids])

    def start(self, grip: Grip, limit: int = 2) -> list[Job]:
        """Claims, and reports the starts."""
        jobs = self.store.claim(grip, HOST, limit, ())
        started = Started(at=self.store.now())
        self.store.record(grip, [Change(job=job, event=started) for job in jobs])
        return jobs

    def explain(self, id: str) -> Explanation:
        return self.client.explain(id)

    def told(self, id: str) -> list[str]:
        return [gate.told for gate in self.explain(id).gates]

    def reason(self, id: str) -> str | None:
        """As a listing has it; it must agree with the explanation."""
        reason = self.client.reason(self.store.get(id))
        assert reason == self.explain(id).reason
        return reason


@pytest.fixture
def shop(store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setattr(store, "alive", lambda row: True)
    monkeypatch.setattr("queuectl.engine.dispatch.condition.condition_of", lambda row, folder: Condition.DRIVEN)
    return Shop(store, clock)


# --- one gate -------------------------------------------------------------------------------


def test_a_held_job_says_since_when_and_by_whom(shop: Shop) -> None:
    shop.worker()
    shop.add("a")
    shop.add("b", held=True)
    shop.store.change(["a"], Held(), "ann")
    shop.clock.forward(120)
    found = shop.explain("a")
    (gate,) = found.gates
    assert (found.reason_code, gate.told, gate.fix) == ("held", "held for 2m by ann", "queuectl release a")
    assert (found.starts_at, shop.told("b")) == (None, ["held since it was added"])


def test_a_paused_queue_says_by_whom_why_and_until_when(shop: Shop) -> None:
    shop.worker()
    shop.store.set_queue(Queue("q", pause=Pause(NOON, NOON + 3600, "ann", "disk full")))
    shop.add("a", queue="q")
    shop.clock.forward(600)
    assert shop.reason("a") == "queue paused"
    found = shop.explain("a")
    (gate,) = found.gates
    assert gate.told.startswith("queue q paused for 10m by ann, until ")
    assert gate.told.endswith(" (in 50m): disk full")
    assert (gate.fix, found.starts_at) == ("queuectl queue resume q", NOON + 3600)
    shop.clock.forward(3000)
    assert shop.reason("a") == "next in line"


def test_a_full_queue_says_what_runs_in_it(shop: Shop) -> None:
    grip = shop.worker()
    shop.store.set_queue(Queue("q", concurrency=1))
    shop.add("a", "b", "c", queue="q")
    shop.start(grip)
    shop.clock.forward(60)
    assert shop.reason("c") == "queue at its concurrency limit (1)"
    (gate,) = shop.explain("c").gates
    assert gate.told == "queue q: 1 of 1 running: a (1m); 2nd in line"
    assert (gate.code, gate.place, gate.fix) == ("concurrency", 2, "queuectl queue set q concurrency=2")
    assert [hold.job for hold in gate.holders] == ["a"]


def test_an_exhausted_rate_says_when_the_next_may_start(shop: Shop) -> None:
    grip = shop.worker()
    shop.store.set_queue(Queue("q", rate=Rate(1, 100.0)))
    shop.add("a", "b", "c", queue="q")
    shop.start(grip)
    shop.clock.forward(40)
    assert shop.reason("b") == "rate limit"
    (gate,) = shop.explain("b").gates
    assert gate.told == "queue q: no more than 1 start in 1m40s; the next in 1m; 1st in line"
    assert (gate.opens_at, shop.explain("b").starts_at) == (NOON + 100, NOON + 100)
    assert shop.explain("c").starts_at == NOON + 200


def test_a_lock_says_what_is_free_and_who_holds_the_rest(shop: Shop) -> None:
    grip = shop.worker()
    shop.store.set_lock(Lock("gpu", tuple("0123")))
    shop.add("enc-3", locks=("gpu=2",))
    shop.start(grip)
    shop.clock.forward(600)
    shop.add("enc-5", locks=("gpu=1",))
    shop.start(grip)
    shop.clock.forward(120)
    shop.add("x", "y", "z", locks=("gpu=2",))
    shop.start(grip)  # parks them
    assert shop.reason("z") == "waits for lock gpu=2 (held by enc-3 and enc-5)"
    lock, slots = shop.explain("z").gates
    assert lock.told == "lock gpu: needs 2, 1 of 4 free; held by enc-3 (12m), enc-5 (2m); 3rd of 3"
    assert (lock.code, lock.name, lock.place, lock.waiting) == ("lock", "gpu", 3, 3)
    assert (lock.fix, slots.code) == ("queuectl lock set gpu 5", "busy")
    shop.store.set_lock(Lock("gpu", ("0",)))
    assert shop.reason("z") == "waits for lock gpu=2 (there are 1)"  # whatever the others do


def test_a_lock_that_nobody_looked_at_has_no_line_yet(shop: Shop) -> None:
    grip = shop.worker()
    shop.add("a", locks=("gpu",))
    shop.start(grip)
    shop.add("b", locks=("gpu",))
    assert shop.told("b") == ["lock gpu: needs 1, 0 of 1 free; held by a (0s)"]


def test_units_that_are_kept_for_another_job_are_told(shop: Shop) -> None:
    grip = shop.worker()
    shop.store.set_lock(Lock("gpu", ("0", "1")))
    shop.add("a", locks=("gpu",))
    shop.add("big", locks=("gpu=2",))
    shop.add("b", locks=("gpu",))
    shop.start(grip)
    shop.clock.forward(400)
    shop.add("c", locks=("gpu",))
    shop.store.record(grip, [Change(job=shop.store.get("b"), event=an_end(shop.store.now()))])
    assert shop.start(grip) == []
    assert shop.reason("c") == "waits for lock gpu (kept for big)"
    (gate,) = shop.explain("c").gates
    assert gate.told == (
        "lock gpu: needs 1, 1 of 2 free; held by a (6m40s); kept for big (passed by for 6m40s); 2nd of 2"
    )


def test_the_way_out_of_a_lock_lets_the_job_start(shop: Shop) -> None:
    grip = shop.worker()
    shop.store.set_lock(Lock("gpu", numbered(4)))
    shop.add("a", locks=("gpu=3",))
    shop.start(grip, 1)
    shop.add("b", locks=("gpu",))
    shop.start(grip, 1)
    shop.store.set_lock(Lock("gpu", numbered(1)))
    shop.add("c", locks=("gpu=2",))
    assert shop.start(grip, 1) == []
    (gate, _) = shop.explain("c").gates
    assert (gate.told[:36], gate.fix) == ("lock gpu: needs 2, 0 of 1 free; held", "queuectl lock set gpu 6")
    assert shop.explain("c").starts_at is None  # nobody's end lets it start
    shop.store.set_lock(Lock("gpu", numbered(5)))
    assert shop.start(grip, 1) == []
    shop.store.set_lock(Lock("gpu", numbered(6)))
    assert [job.id for job in shop.start(grip, 1)] == ["c"]


@pytest.mark.parametrize(("needs", "enough"), [(1, 5), (2, 6)])
def test_the_way_out_of_a_lock_minds_what_is_kept_for_others(shop: Shop, needs: int, enough: int) -> None:
    grip = shop.worker()
    shop.store.set_lock(Lock("gpu", numbered(3)))
    shop.add("a", locks=("gpu=2",))
    shop.add("big", locks=("gpu=2",))
    shop.add("small", locks=("gpu",))
    shop.start(grip)
    shop.store.record(grip, [Change(job=shop.store.get("small"), event=an_end(shop.store.now()))])
    shop.clock.forward(400)
    shop.add("c", locks=(f"gpu={needs}",))
    assert shop.start(grip) == []
    (gate,) = shop.explain("c").gates
    assert "; kept for big (passed by for 6m40s); " in gate.told
    assert gate.fix == f"queuectl lock set gpu {enough}"
    shop.store.set_lock(Lock("gpu", numbered(enough)))
    assert [job.id for job in shop.start(grip)] == ["big", "c"]


def test_a_blocked_job_tells_which_of_those_it_waits_for_is_held(shop: Shop) -> None:
    shop.worker()
    shop.add("a", held=True)
    shop.add("b")
    shop.store.insert([begun(a_job("c", depends_on=("b", "a:any")))])
    (gate,) = shop.explain("c").gates
    assert gate.told == "waits for job a (held), job b (pending)"
    assert (gate.fix, shop.reason("c")) == ("queuectl release a", "waits for job a (held) and 1 more")


def test_a_queue_without_workers_says_how_to_start_one(shop: Shop) -> None:
    shop.worker(queues=("other",))
    shop.add("a", queue="q")
    (gate,) = shop.explain("a").gates
    assert (gate.told, gate.fix) == ('no live worker serves queue "q"', "queuectl worker start --queue q")


def test_what_has_expired_unswept_says_so(shop: Shop) -> None:
    shop.worker()
    shop.add("a", start_by=NOON + 10, spec=Spec(expires=10.0))
    assert shop.reason("a") == "next in line"
    shop.clock.forward(10)
    assert shop.reason("a") == "expired: not started within 10s"
    assert shop.explain("a").reason_code == "expired"


def test_what_nobody_cancels_that_has_expired_says_what_would(shop: Shop) -> None:
    shop.add("a", start_by=NOON)
    (gate,) = shop.explain("a").gates
    assert gate.told == "expired: not started by 2027-01-15T08:00:00Z; the next worker cancels it"
    assert gate.fix == "queuectl retry a", "which runs it after all, once there is a worker"
    shop.worker()
    (gate,) = shop.explain("a").gates
    assert (gate.told, gate.fix) == ("expired: not started by 2027-01-15T08:00:00Z", None)


def test_a_job_being_cancelled_says_by_whom(shop: Shop) -> None:
    grip = shop.worker()
    shop.add("a")
    shop.start(grip)
    shop.store.change(["a"], CancelRequested(), "ann")
    shop.clock.forward(5)
    assert shop.told("a") == ["being cancelled for 5s by ann"]


# --- several gates --------------------------------------------------------------------------


def test_every_closed_gate_is_told_the_most_decisive_first(shop: Shop) -> None:
    grip = shop.worker()
    shop.store.set_queue(Queue("q", concurrency=1))
    shop.add("a", queue="q", locks=("gpu",))
    shop.add("b")
    shop.start(grip)
    shop.add("c", queue="q", locks=("gpu",))
    codes = [gate.code for gate in shop.explain("c").gates]
    assert codes == ["concurrency", "lock", "busy"]
    shop.store.set_queue(Queue("q", concurrency=1, pause=Pause(NOON)))
    assert [gate.code for gate in shop.explain("c").gates] == ["paused", *codes]
    shop.store.change(["c"], Held(), None)
    assert [gate.code for gate in shop.explain("c").gates] == ["held", "paused"]


def test_the_next_in_line_says_that_every_slot_is_busy(shop: Shop) -> None:
    grip = shop.worker()
    shop.add("a", "b", "c")
    assert shop.told("a") == ["next in line"]
    shop.start(grip)
    (gate,) = shop.explain("c").gates
    assert (gate.code, gate.reason, gate.told) == ("next", "next in line", "next in line; all 2 slots busy")
    assert gate.fix == "queuectl worker start"


def test_jobs_of_a_closed_queue_are_in_nobodys_way(shop: Shop) -> None:
    shop.worker()
    shop.add("a", "b", queue="q")
    shop.add("c")
    assert shop.reason("c") == "3rd in line"
    shop.store.set_queue(Queue("q", pause=Pause(NOON)))
    assert shop.reason("c") == "next in line"


# --- when it may start ----------------------------------------------------------------------


def test_an_estimate_goes_by_the_latest_runs_of_the_queue(shop: Shop) -> None:
    grip = shop.worker()
    shop.add("old", queue="q")
    for job in shop.start(grip):
        shop.clock.forward(60)
        shop.store.record(grip, [Change(job=job, event=an_end(shop.store.now(), took=60))])
    shop.add("other")
    for job in shop.start(grip):
        shop.store.record(grip, [Change(job=job, event=an_end(shop.store.now(), took=0.5))])
    shop.add("a", "b", "c", "d", queue="q")
    shop.start(grip)
    found = shop.explain("d")
    assert (found.reason, found.runs, found.mean_run) == ("all 2 slots busy, 2nd in line", 1, 60.0)
    assert found.starts_at == shop.store.now() + 60
    assert shop.explain("a").starts_at is None


# --- what it costs --------------------------------------------------------------------------


def counting(store: Store, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], int]:
    """A function that says how many statements another one runs."""
    statements = 0
    select = store._select  # type: ignore[attr-defined]

    def counted(*args: Any) -> Any:
        nonlocal statements
        statements += 1
        return select(*args)

    monkeypatch.setattr(store, "_select", counted)

    def count(call: Callable[[], object]) -> int:
        before = statements
        call()
        return statements - before

    return count


def test_a_listing_asks_for_each_kind_of_fact_once(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    grip = shop.worker()
    shop.store.set_queue(Queue("full", concurrency=1))
    shop.store.set_queue(Queue("rated", rate=Rate(1, 100.0)))
    for number in range(100):
        shop.add(f"full{number}", queue="full")
        shop.add(f"rated{number}", queue="rated")
        shop.add(f"lock{number}", locks=("gpu",))
    shop.start(grip, 3)
    count = counting(shop.store, monkeypatch)
    waiting = [job for job in shop.store.find(ALL_JOBS) if not job.lease]
    few, many = (count(lambda jobs=jobs: Listing(shop.store).reasons(jobs)) for jobs in (waiting[:3], waiting))  # type: ignore[misc]
    assert few == many


def test_workers_are_told_of_by_as_many_questions_however_many_there_are(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = counting(shop.store, monkeypatch)

    def asked(workers: range) -> list[int]:
        for number in workers:
            shop.store.register(a_worker(f"w{number}~1", machine="another:1", dispatcher=number, slots=1))
        told = (lambda: workers_of(shop.store), lambda: list(out_of_order(shop.store)))
        return [count(tell) for tell in told]

    assert asked(range(1, 3)) == asked(range(3, 30))
