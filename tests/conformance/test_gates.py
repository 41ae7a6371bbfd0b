"""What keeps due jobs from starting: limits and pauses of queues, locks, expiry."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from queuectl.domain.errors import Conflict, NotFound
from queuectl.domain.job import Job, JobState, Spec
from queuectl.domain.lifecycle import CancelRequested, Cause, Ended, Event, GivenBack, Lost, Released, Retried, Started
from queuectl.domain.limits import Lock, Pause, Queue, Rate, numbered
from queuectl.store.port import Store
from queuectl.store.postgres.store import PostgresStore
from queuectl.store.shared.limits import GATES_SCHEMA
from queuectl.store.values import Change, Grip, Heard, Superseded
from tests.builders import HOST, NOON, ManualClock, a_grip, a_job, a_worker, an_end, record_one
from tests.conformance.conftest import StoreFactory
from tests.workshop import until


def add(store: Store, *ids: str, **fields: Any) -> None:
    store.insert([a_job(id, **{"at": store.now(), **fields}) for id in ids])


def claim(store: Store, grip: Grip, limit: int = 10, *queues: str, **more: Any) -> list[str]:
    return [job.id for job in store.claim(grip, HOST, limit, queues, **more)]


def end(store: Store, grip: Grip, id: str, event: Event | None = None) -> Job:
    """The job after its execution, which has ended well unless `event` says more."""
    change = Change(job=store.get(id), event=an_end(store.now()) if event is None else event)  # type: ignore[arg-type]
    (after,) = store.record(grip, [change])
    assert after is not None
    return after


@pytest.fixture
def grip(store: Store) -> Grip:
    return a_grip(store)


# --- queues ---------------------------------------------------------------------------------


def test_a_queue_starts_no_more_than_its_concurrency(store: Store, grip: Grip) -> None:
    store.set_queue(Queue("q", concurrency=2))
    add(store, "a", "b", "c", queue="q")
    add(store, "free")
    assert claim(store, grip) == ["a", "b", "free"]
    assert claim(store, grip) == []
    end(store, grip, "b")
    assert claim(store, grip) == ["c"]


def test_a_place_that_ends_in_a_transaction_is_taken_in_it(store: Store, grip: Grip) -> None:
    store.set_queue(Queue("q", concurrency=1))
    add(store, "a", "b", queue="q")
    claim(store, grip)
    with store.transaction():
        end(store, grip, "a")
        assert claim(store, grip) == ["b"]
    assert claim(store, grip) == []


@pytest.mark.parametrize("event", [GivenBack(), Lost(max_lost=3)])
def test_what_is_given_back_or_lost_frees_its_place(store: Store, grip: Grip, event: Event) -> None:
    store.set_queue(Queue("q", concurrency=1))
    add(store, "a", "b", queue="q")
    claim(store, grip)
    end(store, grip, "a", event)
    assert claim(store, grip) == ["a"]


def test_changes_of_a_queue_at_one_time_are_all_kept(store_factory: StoreFactory) -> None:
    def raise_it(_: int) -> None:
        store = store_factory.open_in_thread()
        for _ in range(5):
            store.change_queue("q", lambda queue: queue._replace(concurrency=(queue.concurrency or 0) + 1))
        store.close()

    first = store_factory()
    first.set_queue(Queue("q", rate=Rate(1, 1.0)))
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(raise_it, range(3)))
    assert first.queues() == [Queue("q", concurrency=15, rate=Rate(1, 1.0))]


def test_lowering_a_limit_ends_nothing(store: Store, grip: Grip) -> None:
    add(store, "a", "b", "c", queue="q")
    assert claim(store, grip, 2) == ["a", "b"]
    store.set_queue(Queue("q", concurrency=1))
    assert claim(store, grip) == []
    end(store, grip, "a")
    assert claim(store, grip) == []
    end(store, grip, "b")
    assert claim(store, grip) == ["c"]


def test_a_paused_queue_starts_nothing_until_it_is_resumed(store: Store, grip: Grip) -> None:
    add(store, "a", queue="q")
    store.set_queue(Queue("q", pause=Pause(NOON, by="ann", reason="disk")))
    assert claim(store, grip) == []
    assert store.queues() == [Queue("q", pause=Pause(NOON, None, "ann", "disk"))]
    assert not store.has_work(())
    store.set_queue(Queue("q"))
    assert store.queues() == []
    assert claim(store, grip) == ["a"]


def test_a_pause_ends_at_its_time(store: Store, grip: Grip, clock: ManualClock) -> None:
    add(store, "a", queue="q")
    store.set_queue(Queue("q", pause=Pause(NOON, until=NOON + 60)))
    assert claim(store, grip) == []
    assert store.next_due() == NOON + 60
    clock.forward(60)
    assert claim(store, grip) == ["a"]


def test_a_rate_counts_real_starts_in_any_window(store: Store, grip: Grip, clock: ManualClock) -> None:
    store.set_queue(Queue("q", rate=Rate(2, 10.0)))
    add(store, *"abcd", queue="q")
    assert claim(store, grip) == ["a", "b"]
    assert store.next_due() is None  # nobody knows yet when they start
    clock.forward(5)
    end(store, grip, "a", Started(at=NOON + 4))
    end(store, grip, "b", Ended(started_at=NOON + 1, finished_at=NOON + 5, exit_code=0))
    assert claim(store, grip) == []
    assert store.next_due() == NOON + 11
    clock.forward(6.5)
    assert claim(store, grip) == ["c"]
    assert claim(store, grip) == []


def test_a_start_is_counted_though_a_claim_has_found_nothing_since(
    store: Store, grip: Grip, clock: ManualClock
) -> None:
    store.set_queue(Queue("q", rate=Rate(1, 10.0)))
    add(store, "a", queue="q")
    assert claim(store, grip) == ["a"]
    assert claim(store, grip) == []
    clock.forward(1)
    end(store, grip, "a", Started(at=NOON + 0.5))
    add(store, "b", queue="q")
    assert claim(store, grip) == []
    assert store.next_due() == NOON + 10.5
    clock.forward(9.6)
    assert claim(store, grip) == ["b"]


def test_a_claim_given_back_returns_its_start(store: Store, grip: Grip) -> None:
    store.set_queue(Queue("q", rate=Rate(1, 10.0)))
    add(store, "a", "b", queue="q")
    assert claim(store, grip) == ["a"]
    end(store, grip, "a", GivenBack())
    assert claim(store, grip) == ["a"]


def test_an_even_rate_spaces_its_starts(store: Store, grip: Grip, clock: ManualClock) -> None:
    store.set_queue(Queue("q", rate=Rate(5, 10.0, even=True)))
    add(store, *"abc", queue="q")
    assert claim(store, grip) == ["a"]
    end(store, grip, "a", Started(at=NOON))
    assert claim(store, grip) == []
    assert store.next_due() == NOON + 2
    clock.forward(2)
    assert claim(store, grip) == ["b"]


def test_nothing_limited_is_claimed_ahead_nor_passed_by(store: Store, grip: Grip) -> None:
    store.set_queue(Queue("q", concurrency=5))
    add(store, "a")
    add(store, "b", queue="q")
    add(store, "c")
    assert claim(store, grip, ahead=True) == ["a"]
    assert claim(store, grip, ahead=True) == []
    assert claim(store, grip) == ["b", "c"]


def test_a_foreseen_start_counts_from_the_real_one(store: Store, grip: Grip, clock: ManualClock) -> None:
    store.set_queue(Queue("q", rate=Rate(1, 10.0)))
    add(store, "a", "b", queue="q")
    assert claim(store, grip) == ["a"]
    end(store, grip, "a", Started(NOON, is_foreseen=True))
    clock.forward(20)
    assert claim(store, grip) == []
    assert end(store, grip, "a", Started(NOON + 19)).starts == 1
    assert claim(store, grip) == []
    assert store.next_due() == NOON + 29


def test_a_start_that_nobody_noted_ends_with_its_claim(
    store_factory: StoreFactory, grip: Grip, clock: ManualClock
) -> None:
    """A worker that knows of no rate records what another one had claimed by it."""
    store, other = store_factory(), store_factory()
    add(other, "a", "b", queue="q")
    assert claim(other, grip, 0) == []
    store.set_queue(Queue("q", rate=Rate(1, 10.0)))
    assert claim(store, grip) == ["a"]
    end(other, grip, "a")
    assert claim(store, grip) == []
    assert store.next_due() == NOON + 10
    clock.forward(11)
    assert claim(store, grip) == ["b"]


def test_who_takes_over_notes_starts(store_factory: StoreFactory, grip: Grip, clock: ManualClock) -> None:
    store, other = store_factory(), store_factory()
    assert claim(other, grip, 0) == []
    store.set_queue(Queue("q", rate=Rate(1, 10.0)))
    add(store, "a", "b", queue="q")
    assert claim(store, grip) == ["a"]
    taken_over = other.adopt(a_worker(grip.worker), 99)
    assert taken_over
    end(other, taken_over, "a", Started(NOON + 1))
    assert claim(other, taken_over) == []
    assert other.next_due() == NOON + 11


def test_a_start_of_unknown_time_closes_an_even_rate(store: Store, grip: Grip) -> None:
    store.set_queue(Queue("q", rate=Rate(5, 10.0, even=True)))
    add(store, "a", "b", queue="q")
    assert claim(store, grip) == ["a"]
    assert claim(store, grip) == []
    assert store.next_due() is None


def test_a_full_queue_hides_no_other(store: Store, grip: Grip) -> None:
    store.set_queue(Queue("a", concurrency=1))
    add(store, *(f"a{n}" for n in range(100)), queue="a")
    add(store, "b", queue="b", priority=-1)
    assert claim(store, grip, 2) == ["a0", "b"]


def test_many_suspects_hide_no_other(store: Store, grip: Grip) -> None:
    store.set_queue(Queue("other", concurrency=1))
    add(store, *(f"s{n}" for n in range(50)), lost_in_row=2)
    add(store, "free")
    store._execute("UPDATE {schema}.jobs SET lost_in_row = 2 WHERE id <> 'free'")  # type: ignore[attr-defined]
    assert claim(store, grip, 2, suspects=1) == ["s0", "free"]


def test_defaults_alone_limit_nothing(store: Store, grip: Grip) -> None:
    store.set_queue(Queue("q", defaults={"timeout": 5}))
    add(store, "a", queue="q")
    assert claim(store, grip, ahead=True) == ["a"]


def tells(store_factory: StoreFactory, step: Callable[[], object]) -> bool:
    """Another session hears of a step."""
    listener = store_factory()
    listener.changed()
    listener.changed()
    step()
    return until(listener.changed) is not None


def test_whoever_frees_what_others_wait_for_tells_them(store_factory: StoreFactory, grip: Grip) -> None:
    """Also a worker that does not claim itself, and had not heard of a limit."""
    store, waiting = store_factory(), store_factory()
    store.set_queue(Queue("q", concurrency=1, rate=Rate(1, 5.0)))
    add(store, "a", queue="q")
    assert claim(store, grip) == ["a"]
    add(store, "b", queue="q")
    add(store, "c", queue="q", locks=("x",))
    assert claim(waiting, grip) == []
    assert tells(store_factory, lambda: end(store, grip, "a", Started(NOON)))
    assert claim(waiting, grip) == []
    assert tells(store_factory, lambda: end(store, grip, "a"))


def test_a_place_that_is_taken_at_once_is_told_to_nobody(store_factory: StoreFactory, grip: Grip) -> None:
    """Else each end in a queue with a limit would wake all workers in vain."""
    store, waiting = store_factory(), store_factory()
    if not isinstance(store, PostgresStore):
        pytest.skip("every commit to a file is seen")
    store.set_queue(Queue("q", concurrency=1))
    add(store, "a", "b", "c", queue="q")
    assert claim(store, grip) == ["a"]
    assert claim(waiting, grip) == []
    until(lambda: not waiting.changed())  # it has heard all that was said until now
    heard = []
    for ended, claimed in ("a", ["b"]), ("b", ["c"]), ("c", []):
        with store.transaction():
            end(store, grip, ended)
            assert claim(store, grip, 1) == claimed
        store.set_config("history", None)  # is said to all, after what else there is to say
        heard.append(until(waiting.changed))
    silence = Heard(1, more=True)
    assert [each == silence for each in heard] == [True, True, False]


def test_what_runs_out_within_a_claim_is_told_too(store_factory: StoreFactory, grip: Grip) -> None:
    store = store_factory()
    store.set_queue(Queue("q", concurrency=1))
    add(store, "a", "b", queue="q")
    assert claim(store, grip) == ["a"]
    assert tells(store_factory, lambda: end(store, grip, "a"))


def test_a_place_for_a_job_in_an_open_line_is_told(store_factory: StoreFactory, grip: Grip) -> None:
    store = store_factory()
    store.set_queue(Queue("q", concurrency=1))
    add(store, "a", locks=("x",))
    add(store, "b", locks=("x",), queue="q")
    assert claim(store, grip) == ["a"]
    add(store, "c", queue="q")
    assert claim(store, grip) == ["c"]
    end(store, grip, "a")
    assert claim(store, grip) == []  # the unit is free, the place is not
    assert tells(store_factory, lambda: end(store, grip, "c"))
    assert claim(store, grip) == ["b"]


# --- locks ----------------------------------------------------------------------------------


def test_a_lock_has_one_unit_unless_set(store: Store, grip: Grip) -> None:
    add(store, "a", "b", locks=("gpu",))
    add(store, "free")
    assert claim(store, grip) == ["a", "free"]
    assert store.holders("gpu") == [(store.get("a").seq, ["0"])]
    assert store.waiting_for("gpu") == 1
    assert store.has_work(())
    end(store, grip, "a")
    assert store.holders("gpu") == []
    assert store._select("SELECT count(*) FROM {schema}.holds") == [(0,)]  # type: ignore[attr-defined]
    assert claim(store, grip) == ["b"]


def test_a_claim_tells_that_the_end_of_a_job_may_let_others_in(store: Store, grip: Grip) -> None:
    add(store, "a", "b", locks=("x",))
    claim(store, grip)
    assert store.held_up
    assert (claim(store, grip), store.held_up) == ([], True)  # though it looks at no line that is closed
    end(store, grip, "a")
    assert claim(store, grip) == ["b"]
    end(store, grip, "b")
    assert claim(store, grip) == []  # removes the empty line
    assert (claim(store, grip), store.held_up) == ([], False)


def test_locks_with_the_same_variable_name_the_units_of_all(store: Store, grip: Grip) -> None:
    for name, unit in (("gpu_a", "1"), ("gpu-a", "0")):
        store.set_lock(Lock(name, (unit,), env="CUDA", named=True))
    add(store, "a", locks=("gpu_a", "gpu-a"))
    (job,) = store.claim(grip, HOST, 9, ())
    assert json.loads(job.units or "{}") == {"QUEUECTL_LOCK_GPU_A": "0,1", "CUDA": "0,1"}


def test_units_are_given_out_first_to_last(store: Store, grip: Grip) -> None:
    store.set_lock(Lock("gpu", ("x", "y", "y"), env="CUDA", named=True))
    add(store, "a", locks=("gpu",))
    add(store, "b", locks=("gpu=2",))
    held = {job.id: json.loads(job.units or "{}") for job in store.claim(grip, HOST, 9, ())}
    assert held == {"a": {"QUEUECTL_LOCK_GPU": "x", "CUDA": "x"}, "b": {"QUEUECTL_LOCK_GPU": "y,y", "CUDA": "y,y"}}
    assert store.get("b").units == json.dumps(held["b"])
    assert store.lock("gpu") == Lock("gpu", ("x", "y", "y"), "CUDA", named=True)


def test_a_job_that_needs_a_lock_no_more_is_told_of_no_units(store: Store, grip: Grip) -> None:
    store.insert([a_job("a", locks=("gpu",))])
    (job,) = store.claim(grip, HOST, 1, ())
    record_one(store, grip, Change(job, GivenBack()))
    store.edit(["a"], lambda job: ({"locks": ()}, "locks: none"), None)
    (job,) = store.claim(grip, HOST, 1, ())
    assert (job.units, store.get("a").units) == (None, None)


@pytest.mark.parametrize("units", [("0", "1"), ("x", "y")])
def test_a_lock_with_fewer_units_than_holders_gives_none_out(store: Store, grip: Grip, units: tuple[str, ...]) -> None:
    store.set_lock(Lock("gpu", numbered(4)))
    add(store, *"abcdefg", locks=("gpu",))
    assert claim(store, grip) == ["a", "b", "c", "d"]
    end(store, grip, "a")
    end(store, grip, "b")
    store.set_lock(Lock("gpu", units, named=units[0] == "x"))
    assert claim(store, grip) == []  # c and d hold units 2 and 3
    end(store, grip, "c")
    assert claim(store, grip) == ["e"]
    end(store, grip, "d")
    assert claim(store, grip) == ["f"]


def test_a_job_takes_all_its_locks_or_none(store: Store, grip: Grip) -> None:
    add(store, "a", locks=("x",))
    add(store, "b", locks=("x", "y"))
    add(store, "c", locks=("y",))
    assert claim(store, grip) == ["a", "c"]
    end(store, grip, "a")
    assert claim(store, grip) == []
    end(store, grip, "c")
    assert claim(store, grip) == ["b"]


def test_what_waits_for_a_lock_goes_by_priority_and_age(store: Store, grip: Grip) -> None:
    add(store, "a", "b", "c", locks=("x",))
    add(store, "d", locks=("x",), priority=1)
    order = []
    for _ in range(4):
        (id,) = claim(store, grip)
        order.append(id)
        assert claim(store, grip) == []
        end(store, grip, id)
    assert order == ["d", "a", "b", "c"]


def test_a_line_is_listed_in_the_order_of_claiming(store: Store, grip: Grip, clock: ManualClock) -> None:
    add(store, "holder", locks=("a/b", "c"))
    assert claim(store, grip) == ["holder"]
    add(store, "two", "one", queue="q", locks=("a/b",))
    add(store, "urgent", queue="q", priority=5, locks=("c",))
    assert claim(store, grip) == []
    clock.at += 1
    add(store, "new", queue="q", locks=("a/b",))
    store.insert([a_job("later", at=store.now(), run_at=store.now() + 60, queue="q")])
    assert [job.id for job in store.line("q", 10)] == ["urgent", "two", "one", "new"]
    assert [job.id for job in store.line("q", 2)] == ["urgent", "two"]
    in_line, others = store.lock_line("a/b", 10)
    assert ([job.id for job in in_line], [job.id for job in others]) == (["two", "one"], ["new"])
    in_line, others = store.lock_line("a/b", 1)
    assert ([job.id for job in in_line], others) == (["two"], [])
    assert store.lock_line("other", 10) == ([], [])


def test_a_worker_takes_from_a_line_only_what_it_serves(store: Store, grip: Grip) -> None:
    add(store, "a", locks=("x",))
    add(store, "b", locks=("x",), queue="other")
    add(store, "c", locks=("x",), queue="mine")
    assert claim(store, grip) == ["a"]
    assert claim(store, grip) == []
    end(store, grip, "a")
    assert claim(store, grip, 9, "mine") == ["c"]
    end(store, grip, "c")
    assert claim(store, grip, 9, "mine") == []
    assert claim(store, grip, 9, "other") == ["b"]


def test_many_that_wait_do_not_hide_what_is_free(store: Store, grip: Grip) -> None:
    add(store, *(f"w{n:04}" for n in range(1500)), locks=("x",))
    add(store, "free")
    assert claim(store, grip, 2)[0] == "w0000"
    assert claim(store, grip, 2) + claim(store, grip, 2) == ["free"]
    assert store.waiting_for("x") == 1499
    assert store.needs() == [(["x"], 1499)]


def test_more_units_open_a_line(store: Store, grip: Grip) -> None:
    add(store, "a", "b", locks=("x",))
    assert claim(store, grip) == ["a"]
    assert claim(store, grip) == []
    store.set_lock(Lock("x", ("0", "1")))
    assert claim(store, grip) == ["b"]


def test_whoever_was_passed_by_for_long_keeps_freed_units(store: Store, grip: Grip, clock: ManualClock) -> None:
    store.set_lock(Lock("x", ("0", "1")))
    add(store, "a", "b", locks=("x",))
    assert claim(store, grip) == ["a", "b"]
    add(store, "big", locks=("x=2",))
    add(store, *(f"small{n}" for n in range(5)), locks=("x",))
    end(store, grip, "a")
    assert claim(store, grip) == ["small0"]
    clock.forward(301)
    end(store, grip, "small0")
    assert claim(store, grip) == []
    end(store, grip, "b")
    assert claim(store, grip) == ["big"]


def test_a_cancelled_job_keeps_no_units_for_itself(store: Store, grip: Grip, clock: ManualClock) -> None:
    store.set_lock(Lock("x", ("0", "1")))
    add(store, "a", "b", locks=("x",))
    assert claim(store, grip) == ["a", "b"]
    add(store, "big", locks=("x=2",))
    add(store, "small0", "small1", locks=("x",))
    end(store, grip, "a")
    assert claim(store, grip) == ["small0"]
    clock.forward(301)
    end(store, grip, "small0")
    assert claim(store, grip) == []
    store.change(["big"], CancelRequested(), "ann")
    assert claim(store, grip) == ["small1"]


def test_older_releases_are_shut_out_by_the_first_limit(store: Store, grip: Grip) -> None:
    older = a_grip(store, "old~1")
    store._execute("UPDATE {schema}.workers SET schema = NULL WHERE id = 'old~1'")  # type: ignore[attr-defined]
    assert claim(store, older) == []
    add(store, "a", locks=("x",))
    with pytest.raises(Superseded):
        claim(store, older)
    assert claim(store, grip) == ["a"]
    readers = store._select("SELECT value FROM {schema}.meta WHERE name LIKE ?", ["oldest reader%"])  # type: ignore[attr-defined]
    assert {int(reader) for (reader,) in readers} == {GATES_SCHEMA}


def test_changes_by_hand_keep_a_waiting_job_in_line(store: Store, grip: Grip) -> None:
    add(store, "a", "b", "c", locks=("x",))
    assert claim(store, grip) == ["a"]
    store.change(["b"], Retried(), "ann")
    assert claim(store, grip) == []
    store.change(["b"], CancelRequested(), "ann")
    end(store, grip, "a")
    assert claim(store, grip) == ["c"]


def test_a_lock_in_use_is_not_deleted(store: Store, grip: Grip) -> None:
    store.set_lock(Lock("x", ("0",)))
    add(store, "a", locks=("x",))
    claim(store, grip)
    with pytest.raises(Conflict):
        store.delete_lock("x")
    end(store, grip, "a")
    store.delete_lock("x")
    with pytest.raises(NotFound):
        store.delete_lock("x")


def test_a_unit_freed_in_a_transaction_is_taken_in_it(store: Store, grip: Grip) -> None:
    add(store, "a", "b", locks=("x",))
    assert claim(store, grip) == ["a"]
    with store.transaction():
        end(store, grip, "a")
        assert claim(store, grip) == ["b"]


def test_who_parks_many_looks_again_at_once(store: Store, grip: Grip) -> None:
    add(store, *(f"w{n:04}" for n in range(1500)), locks=("x",))
    add(store, "free")
    assert claim(store, grip) == ["w0000"]
    assert store.next_due() == NOON
    assert claim(store, grip) == ["free"]
    assert store.next_due() is None


def test_a_job_that_somebody_is_changing_is_not_parked(store_factory: StoreFactory, grip: Grip) -> None:
    """Else a claim and a change wait for each other, or a cancelled job stands in a line."""
    people, store = store_factory(), store_factory.impatient()
    add(people, "a", "b", locks=("x",))
    assert claim(people, grip, 1) == ["a"]
    if isinstance(people, PostgresStore):  # in a file nobody claims meanwhile
        with people.transaction():
            people._select("SELECT 1 FROM {schema}.jobs WHERE id = 'b' FOR UPDATE")
            assert claim(store, grip) == []
            people.change(["b"], CancelRequested(), "ann")
        end(people, grip, "a")
        assert claim(store, grip) == []


def test_a_need_that_cannot_be_met_any_more_keeps_nothing(store: Store, grip: Grip, clock: ManualClock) -> None:
    store.set_lock(Lock("x", ("0", "1")))
    add(store, "a", "b", locks=("x",))
    assert claim(store, grip) == ["a", "b"]
    add(store, "big", locks=("x=2",))
    add(store, *(f"small{n}" for n in range(3)), locks=("x",))
    end(store, grip, "a")
    assert claim(store, grip) == ["small0"]
    store.set_lock(Lock("x", ("0",)))
    clock.forward(301)
    end(store, grip, "b")
    end(store, grip, "small0")
    assert claim(store, grip) == ["small1"]


@pytest.mark.parametrize("how", ["paused", "expired", "unserved"])
def test_a_line_opens_when_nobody_keeps_its_units_any_more(
    store: Store, grip: Grip, clock: ManualClock, how: str
) -> None:
    """However that comes about: here nothing ends any more that could open it."""
    store.set_lock(Lock("x", ("0", "1")))
    add(store, "a", "b", locks=("x",))
    assert claim(store, grip, 9, "default") == ["a", "b"]
    other = a_worker("other~1", queues=("big",))
    store.register(other)
    store._execute("UPDATE {schema}.workers SET queues = ? WHERE id = 'w~1'", ['["default"]'])  # type: ignore[attr-defined]
    add(store, "big", locks=("x=2",), queue="big", start_by=NOON + 400)
    add(store, "small0", "small1", locks=("x",))
    assert claim(store, other.grip, 9, "big") == []
    end(store, grip, "a")
    assert claim(store, grip, 9, "default") == ["small0"]
    clock.forward(301)
    end(store, grip, "b")
    end(store, grip, "small0")
    assert claim(store, grip, 9, "default") == []  # kept for the big one
    match how:
        case "paused":
            store.set_queue(Queue("big", pause=Pause(NOON)))
        case "expired":
            clock.forward(100)
        case _:
            store.deregister(other.grip)
    assert claim(store, grip, 9, "default") == ["small1"]


@pytest.mark.parametrize("event", [Retried(), Released()])
def test_what_changes_nothing_in_a_job_leaves_it_the_units_that_are_kept_for_it(
    store: Store, grip: Grip, clock: ManualClock, event: Event
) -> None:
    store.set_lock(Lock("x", ("0", "1")))
    add(store, "a", "b", locks=("x",))
    assert claim(store, grip) == ["a", "b"]
    add(store, "big", locks=("x=2",))
    add(store, "small0", "small1", locks=("x",))
    end(store, grip, "a")
    assert claim(store, grip) == ["small0"]
    clock.forward(301)
    assert store.change(["big"], event, "ann") == [store.get("big")]
    assert store.notes(store.get("big"))
    end(store, grip, "b")
    assert claim(store, grip) == []
    end(store, grip, "small0")
    assert claim(store, grip) == ["big"]


def test_what_was_held_leaves_nothing_behind(store: Store, grip: Grip) -> None:
    add(store, "a", locks=("x", "y"))
    claim(store, grip)
    end(store, grip, "a")
    assert store._select("SELECT * FROM {schema}.holds") == []  # type: ignore[attr-defined]


# --- expiry ---------------------------------------------------------------------------------


def test_a_job_that_has_not_started_in_time_is_cancelled(store: Store, grip: Grip, clock: ManualClock) -> None:
    add(store, "late", spec=Spec(expires=60.0), start_by=NOON + 60)
    add(store, "held", start_by=NOON + 60, held=True)
    add(store, "in-time", start_by=NOON + 60)
    assert store.next_due() == NOON + 60
    (seen,) = store.claim(grip, HOST, 1, ())
    assert seen.id == "late"
    end(store, grip, "late", GivenBack())
    clock.forward(60)
    assert claim(store, grip) == []
    assert [store.get(id).error for id in ("late", "held")] == [
        "expired: not started within 1m",
        "expired: not started by 2027-01-15T08:01:00Z",
    ]
    assert store.get("in-time").state is JobState.CANCELLED


def test_a_retry_never_expires(store: Store, grip: Grip, clock: ManualClock) -> None:
    add(store, "a", start_by=NOON + 60)
    claim(store, grip)
    end(store, grip, "a", an_end(NOON, exit_code=1))
    clock.forward(100)
    assert claim(store, grip) == ["a"]
    add(store, "b", start_by=NOON + 160)
    clock.forward(60)
    claim(store, grip, 0)
    store.change(["b"], Retried(), "ann")
    assert claim(store, grip) == ["b"]


def test_what_was_stopped_after_its_start_expires_no_more(store: Store, grip: Grip, clock: ManualClock) -> None:
    add(store, "a", start_by=NOON + 60)
    claim(store, grip)
    end(store, grip, "a", an_end(NOON, cause=Cause.STOP))
    assert (store.get("a").state, store.get("a").start_by) == (JobState.PENDING, None)
    clock.forward(60)
    assert claim(store, grip) == ["a"]


def test_what_has_expired_is_work_for_whoever_drains(store: Store, grip: Grip, clock: ManualClock) -> None:
    add(store, "a", start_by=NOON + 60, queue="nobodys")
    assert not store.has_work(["default"])
    clock.forward(60)
    assert store.has_work(["default"])
    assert store.claim(grip, HOST, 1, ["default"]) == []
    assert (store.get("a").state, store.has_work(["default"])) == (JobState.CANCELLED, False)


def test_nothing_that_expires_is_claimed_ahead(store: Store, grip: Grip) -> None:
    add(store, "a", start_by=NOON + 60)
    assert claim(store, grip, ahead=True) == []


# --- what has ended, and is recorded later --------------------------------------------------


def vacated(store: Store, *ids: str, **more: Any) -> list[str]:
    """What a claim takes that counts the places and locks of these jobs as free."""
    with store.transaction(), store.vacating([store.get(id) for id in ids]):
        return claim(store, **more)


def test_a_place_is_taken_before_its_end_is_recorded_and_only_once(store: Store, grip: Grip) -> None:
    store.set_queue(Queue("q", concurrency=2))
    add(store, "a", "b", "c", "d", "e", queue="q")
    assert claim(store, grip) == ["a", "b"]
    assert store.holds_back(store.get("a"))
    assert not store.holds_back(a_job("elsewhere"))
    assert vacated(store, "a", grip=grip) == ["c"]
    assert claim(store, grip) == []
    assert vacated(store, "a", grip=grip) == []
    end(store, grip, "a")
    assert claim(store, grip) == []
    end(store, grip, "b")
    assert claim(store, grip) == ["d"]


def test_units_are_taken_before_their_end_is_recorded_and_only_once(store: Store, grip: Grip) -> None:
    store.set_lock(Lock("gpu", ("0", "1", "2"), named=True))
    for number, id in enumerate("abcd"):
        add(store, id, locks=("gpu=2",) if number % 2 else ("gpu",))
    assert claim(store, grip) == ["a", "b"]
    assert store.holds_back(store.get("b"))
    assert vacated(store, "b", grip=grip) == ["c"]
    assert store.get("c").units == '{"QUEUECTL_LOCK_GPU": "1"}'
    assert vacated(store, "b", grip=grip) == []  # one unit of two that it needs
    assert claim(store, grip) == []
    end(store, grip, "b")
    assert claim(store, grip) == []
    end(store, grip, "a")
    assert claim(store, grip) == ["d"]


def test_a_job_that_runs_again_keeps_its_place_whoever_says_it_ended(store: Store, grip: Grip) -> None:
    store.set_queue(Queue("q", concurrency=1))
    add(store, "a", "b", queue="q")
    claim(store, grip)
    before = store.get("a")
    end(store, grip, "a", GivenBack())
    assert claim(store, grip, 1) == ["a"]
    with store.transaction(), store.vacating([before]):
        assert claim(store, grip) == []


def test_a_later_job_in_its_line_takes_no_patience_from_the_first(store: Store, grip: Grip, clock: ManualClock) -> None:
    store.set_lock(Lock("x", ("0", "1")))
    add(store, "a", "b", locks=("x",))
    assert claim(store, grip) == ["a", "b"]
    add(store, "big", locks=("x=2",))
    add(store, "small0", "small1", "small2", locks=("x",))
    end(store, grip, "a")
    assert claim(store, grip) == ["small0"]
    clock.forward(301)
    add(store, "later", locks=("x=2",))
    assert claim(store, grip) == []
    end(store, grip, "small0")
    assert claim(store, grip) == []
    end(store, grip, "b")
    assert claim(store, grip) == ["big"]
    end(store, grip, "big")
    assert claim(store, grip) == ["small1", "small2"]


def test_a_job_is_not_passed_by_before_it_is_there(store: Store, grip: Grip, clock: ManualClock) -> None:
    store.set_lock(Lock("x", ("0", "1")))
    add(store, "a", "b", locks=("x",))
    assert claim(store, grip) == ["a", "b"]
    add(store, "big", locks=("x=2",))
    add(store, "small0", locks=("x",))
    end(store, grip, "a")
    assert claim(store, grip) == ["small0"]
    clock.forward(299)
    add(store, "later", locks=("x=2",))
    assert claim(store, grip) == []
    store.change(["big"], CancelRequested(), "ann")
    add(store, "small1", locks=("x",))
    end(store, grip, "small0")
    assert claim(store, grip) == ["small1"]
    clock.forward(2)
    add(store, "small2", locks=("x",))
    end(store, grip, "small1")
    assert claim(store, grip) == ["small2"]
    clock.forward(299)
    add(store, "small3", locks=("x",))
    end(store, grip, "small2")
    assert claim(store, grip) == []


def test_patience_ends_in_time_after_the_clock_was_set_back(store: Store, grip: Grip, clock: ManualClock) -> None:
    store.set_lock(Lock("x", ("0", "1")))
    add(store, "a", "b", locks=("x",))
    assert claim(store, grip) == ["a", "b"]
    add(store, "big", at=NOON - 7200, locks=("x=2",))
    add(store, *(f"small{n}" for n in range(3)), at=NOON - 7200, locks=("x",))
    end(store, grip, "a")
    assert claim(store, grip) == ["small0"]
    clock.forward(-3600)
    end(store, grip, "small0")
    assert claim(store, grip) == ["small1"]
    clock.forward(301)
    end(store, grip, "small1")
    assert claim(store, grip) == []
