"""What people do with jobs: add, find, change, delete them. Every store keeps these facts."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any

import pytest

from queuectl.client import looking
from queuectl.domain.errors import Conflict, Invalid, NotFound, QueuectlError
from queuectl.domain.job import Job, JobState, Outcome, Spec
from queuectl.domain.lifecycle import CancelRequested, Event, GivenBack, Held, Released, Retried, Started, apply
from queuectl.domain.selector import Selector
from queuectl.places import open_archive
from queuectl.store.port import Store
from queuectl.store.postgres.store import PostgresStore
from queuectl.store.sqlite.store import SqliteStore
from queuectl.store.values import Change, Note, Output
from tests.builders import HOST, NOON, ManualClock, a_grip, a_job, an_end, claim_one, finish, in_state, record_one
from tests.conformance.conftest import StoreFactory
from tests.workshop import until

EVERYTHING = Selector()


def ids_of(jobs: list[Job]) -> list[str]:
    return [job.id for job in jobs]


def change_one(store: Store, id: str, event: Event) -> Job | QueuectlError:
    (after,) = store.change([id], event, "me")
    return after


# --- insert and get -------------------------------------------------------------------------


def test_a_job_comes_back_as_it_was_inserted(store: Store) -> None:
    job = a_job(
        command=("echo", "a b", "é"), queue="q", priority=-3, tags=("x", "y"), owner="me", held=True,
        generated_id=True, run_at=NOON + 7.25,
        spec=Spec(retry_on=(75,), env={"A": "é\n", "B": "\udcff"}, umask=0o27, timeout=1.5, cwd="/tmp"),
    )  # fmt: skip
    store.insert([job])
    assert store.get("job1")._replace(seq=0) == job


def test_jobs_are_inserted_all_or_none(store: Store) -> None:
    store.insert([a_job("taken")])
    with pytest.raises(Conflict, match="job taken exists already"):
        store.insert([a_job("new1"), a_job("taken"), a_job("new2")])
    assert ids_of(store.find(EVERYTHING)) == ["taken"]
    assert sum(store.counts().values()) == 1


def test_many_jobs_are_inserted_all_or_none_in_their_order(store: Store) -> None:
    store.insert([a_job("taken", created_at=NOON - 1)])
    many = [a_job(f"new{number}") for number in range(1500)]
    with pytest.raises(Conflict, match="job taken exists already"):
        store.insert([*many, a_job("taken"), a_job("last")])
    assert ids_of(store.find(EVERYTHING)) == ["taken"]
    store.insert(many)
    assert ids_of(store.find(EVERYTHING, limit=3)) == ["taken", "new0", "new1"]
    assert sum(store.counts().values()) == 1501


def test_many_jobs_keep_every_sign_of_their_texts(store: Store) -> None:
    commands = [
        "echo 'a\tb'",
        "a\\nb\\",
        "two\nlines\r\n",
        "\\N",
        "\\.",
        "Zürich € \x01 {NULL}",
        '"',
        ("a b", "\t", ""),
    ]
    jobs = [
        a_job(f"job{number}", command=commands[number % len(commands)], tags=("x", "y"), owner=None)
        for number in range(1200)
    ]
    store.insert(jobs)
    assert [job._replace(seq=0) for job in store.find(EVERYTHING)] == jobs


def test_many_jobs_that_differ_in_everything_come_back_as_inserted(store: Store) -> None:
    draw = random.Random(7)
    specs = [Spec(max_retries=n, env={"N": str(n)}, expires=5.0 if n == 3 else None) for n in range(4)]
    jobs = [
        a_job(
            f"j{number}", command=draw.choice(["true", ("a", "b c")]), spec=draw.choice(specs), queue=f"q{number % 3}",
            priority=draw.choice([-1, 0, 5]), tags=draw.choice([(), ("x",)]), held=draw.random() < 0.5,
            locks=draw.choice([(), ("gpu=2",)]), generated_id=draw.random() < 0.5, owner=draw.choice([None, "o'me"]),
            created_at=NOON + 1 / 3, run_at=NOON + draw.choice([0, 0.1, 7 / 9]), updated_at=NOON + 1e-6,
            start_by=draw.choice([None, NOON + 99 / 7]),
        )
        for number in range(2300)
    ]  # fmt: skip
    store.insert(jobs)
    assert [job._replace(seq=0) for job in store.find(EVERYTHING)] == jobs
    assert store.counts() == dict(Counter((job.queue, job.state) for job in jobs))


def test_an_error_while_jobs_are_read_leaves_nothing(store: Store) -> None:
    def read() -> Iterator[Job]:
        yield from (a_job(f"a{number}") for number in range(2500))
        raise Boom

    with pytest.raises(Boom):
        store.insert(read())
    assert (store.count(EVERYTHING), sum(store.counts().values())) == (0, 0)


def test_jobs_of_states_and_queues_are_counted_without_reading_them(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.insert([a_job(str(number), queue=f"q{number % 2}", tags=("t",)) for number in range(5)])
    grip = a_grip(store)
    finish(store, grip, claim_one(store, grip))
    read: list[str] = []
    select = type(store)._select  # type: ignore[attr-defined]

    def noted(self: Store, text: str, values: Any = ()) -> Any:
        read.append(text)
        return select(self, text, values)

    monkeypatch.setattr(type(store), "_select", noted)
    assert store.count(Selector()) == 5
    assert store.count(Selector(states=(JobState.PENDING,))) == 4
    assert store.count(Selector(states=(JobState.COMPLETED, JobState.DEAD))) == 1
    assert store.count(Selector(queues=("q1", "none"))) == 2
    assert not [text for text in read if "{schema}.jobs " in text]
    assert store.count(Selector(tags=("t",))) == 5


def test_many_jobs_can_be_added_within_a_larger_step(store: Store) -> None:
    with store.transaction():
        store.insert([a_job(f"a{number}") for number in range(600)])
        store.insert([a_job(f"b{number}") for number in range(600)])
    with suppress(Boom), store.transaction():
        store.insert([a_job(f"c{number}") for number in range(600)])
        raise Boom
    assert store.count(EVERYTHING) == 1200


def test_an_id_that_comes_twice_is_refused_by_name(store: Store) -> None:
    with pytest.raises(Conflict, match="id a comes twice"):
        store.insert([a_job("a"), a_job("b"), a_job("a")])
    far = [a_job("a"), *(a_job(f"b{number}") for number in range(2400)), a_job("a")]
    with pytest.raises(Conflict, match="id a comes twice"):
        store.insert(far)
    with pytest.raises(Conflict, match="id a comes twice"), store.transaction():
        store.insert(far)
    assert store.find(EVERYTHING) == []


def test_a_job_is_refused_by_its_id_alone_whatever_else_differs(store: Store) -> None:
    store.insert([a_job(command="old")])
    with pytest.raises(Conflict):
        store.insert([a_job(command="new", queue="other", spec=Spec(max_retries=9))])
    assert store.get("job1").command == "old"


def test_an_exact_id_wins_over_a_prefix(store: Store) -> None:
    store.insert([a_job("abcd", command="exact"), a_job("abcdefgh", generated_id=True)])
    assert store.get("abcd").command == "exact"


def test_a_generated_id_is_found_by_a_unique_prefix_of_four_signs(store: Store) -> None:
    store.insert([a_job("abcdefgh", generated_id=True), a_job("abcxefgh", generated_id=True)])
    assert store.get("abcd").id == "abcdefgh"
    with pytest.raises(NotFound, match="no job abc"):
        store.get("abc")


def test_a_prefix_of_several_ids_names_them(store: Store) -> None:
    store.insert([a_job("abcdefgh", generated_id=True), a_job("abcdxfgh", generated_id=True)])
    with pytest.raises(Invalid, match="abcdefgh or abcdxfgh"):
        store.get("abcd")


def test_an_id_that_a_user_chose_has_no_prefix(store: Store) -> None:
    store.insert([a_job("nightly-backup")])
    with pytest.raises(NotFound, match="no job nightly"):
        store.get("nightly")


@pytest.mark.parametrize("ref", ["", "a", "%%%%", "____", "****", "' OR 1=1", "\udcff" * 5, "\U0010ffff" * 5, "a\0bc"])
def test_what_names_no_job_is_not_found(store: Store, ref: str) -> None:
    store.insert([a_job("abcdefgh", generated_id=True)])
    with pytest.raises(NotFound):
        store.get(ref)


def test_the_number_of_a_deleted_job_is_never_used_again(store: Store) -> None:
    store.insert([a_job("a")])
    seq = store.get("a").seq
    store.delete(["a"])
    store.insert([a_job("a")])
    assert store.get("a").seq > seq


# --- find -----------------------------------------------------------------------------------


@pytest.fixture
def crowd(store: Store, clock: ManualClock) -> Store:
    """Jobs of many kinds: a, b and c are pending, d has failed, e is dead, f cancelled, g completed."""
    grip = a_grip(store)
    for id, end in (("d", {"exit_code": 3}), ("e", {"error": "No such Program"}), ("g", {"exit_code": 0})):
        spec = Spec(max_retries=0) if id == "e" else Spec()
        store.insert([a_job(id, command=("run", id, "x y"), queue="done", spec=spec, owner="you")])
        finish(store, grip, claim_one(store, grip), **end)
    clock.forward(10)
    store.insert(
        [
            a_job("a", command="echo a", tags=("red", "5")),
            a_job("b", command="echo b", tags=("blue",), queue="other"),
            a_job("c", command="sleep 1", tags=("red", "blue"), owner="me"),
            a_job("f"),
        ]
    )
    change_one(store, "f", CancelRequested())
    return store


@pytest.mark.parametrize(
    ("selector", "ids"),
    [
        (EVERYTHING, "d e g a b c f"),
        (Selector(ids=("a", "g", "nobody")), "g a"),
        (Selector(states=(JobState.PENDING,)), "a b c"),
        (Selector(states=(JobState.DEAD, JobState.CANCELLED)), "e f"),
        (Selector(queues=("other", "done")), "d e g b"),
        (Selector(tags=("red",)), "a c"),
        (Selector(tags=("red", "blue")), "a b c"),
        (Selector(tags=("re",)), ""),
        (Selector(tags=("5",)), "a"),
        (Selector(owners=("me",)), "c"),
        (Selector(exit_codes=(0, 3)), "d g"),
        (Selector(commands=("echo *",)), "a b"),
        (Selector(commands=("echo a", "sleep*")), "a c"),
        (Selector(commands=("run [de] 'x y'",)), "d e"),
        (Selector(commands=("ECHO*",)), ""),
        (Selector(errors=("such program",)), "e"),
        (Selector(errors=("exit code", "cancel")), "d f"),
        (Selector(errors=("%",)), ""),
        (Selector(texts=("X Y",)), "d e g"),
        (Selector(texts=("blue", "OTHER")), "b c"),
        (Selector(texts=("exit CODE", "such prog")), "d e"),
        (Selector(texts=("%",)), ""),
        (Selector(outcomes=(Outcome.FAILED,)), "d e"),
        (Selector(ended_after=NOON, ended_before=NOON + 1), "d e g"),
        (Selector(ended_after=NOON + 1), ""),
        (Selector(ended_before=NOON), ""),
        (Selector(before=NOON + 10), "d e g a b c"),
        (Selector(before=NOON), ""),
        (Selector(queues=("done",), states=(JobState.FAILED,), exit_codes=(3,)), "d"),
        (Selector(queues=("done",), owners=("me",)), ""),
        (Selector(queues=("'; DROP TABLE jobs; --",)), ""),
    ],
)
def test_a_selector_joins_criteria_by_and_and_values_by_or(crowd: Store, selector: Selector, ids: str) -> None:
    assert ids_of(crowd.find(selector)) == ids.split()
    assert crowd.count(selector) == len(ids.split())


def test_jobs_are_found_in_the_order_of_enqueueing_or_the_reverse(crowd: Store) -> None:
    assert ids_of(crowd.find(EVERYTHING, limit=2)) == ["d", "e"]
    assert ids_of(crowd.find(EVERYTHING, limit=2, newest_first=True)) == ["f", "c"]
    assert crowd.find(EVERYTHING, limit=0) == []


def test_a_listing_goes_on_behind_a_job(crowd: Store) -> None:
    seq = crowd.get("a").seq
    assert ids_of(crowd.find(EVERYTHING, after_seq=seq)) == ["b", "c", "f"]
    assert ids_of(crowd.find(EVERYTHING, after_seq=seq, newest_first=True, limit=2)) == ["g", "e"]
    assert ids_of(crowd.find(Selector(tags=("red",), errors=()), after_seq=seq)) == ["c"]
    assert ids_of(crowd.find(EVERYTHING, up_to_seq=seq)) == ["d", "e", "g", "a"]
    assert ids_of(crowd.find(EVERYTHING, limit=2, up_to_seq=seq, newest_first=True)) == ["a", "g"]


def test_the_newest_jobs_of_a_selection_begin_behind_a_job(crowd: Store) -> None:
    assert crowd.before_newest(EVERYTHING, 3) == crowd.get("a").seq
    assert crowd.before_newest(Selector(tags=("red",)), 99) is None
    assert crowd.latest() == crowd.before_newest(EVERYTHING, 0)


def test_a_listing_in_pages_leaves_out_what_comes_meanwhile(crowd: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "PAGE", 2)
    pages = looking.pages(crowd, EVERYTHING, newest=5)
    first = next(pages)
    crowd.insert([a_job("later")])
    assert ids_of([*first, *(job for page in pages for job in page)]) == ids_of(crowd.find(EVERYTHING)[-6:-1])


@pytest.mark.parametrize(
    "selector", [Selector(queues=("\udcff",)), Selector(commands=("\udcff*",)), Selector(exit_codes=(10**30,))]
)
def test_a_value_that_no_store_can_hold_is_bad_input(store: Store, selector: Selector) -> None:
    with pytest.raises(Invalid):
        store.find(selector)


def test_a_job_for_a_time_in_the_past_jumps_no_queue(store: Store, clock: ManualClock) -> None:
    store.insert([a_job("first")])
    clock.forward(5)
    store.insert([a_job("past", at=NOON + 5, run_at=NOON - 1e8), a_job("last", at=NOON + 6)])
    clock.forward(5)
    assert store.backlog(5).oldest_due == NOON
    assert store.ahead(store.get("past"), 10) == 1
    grip = a_grip(store)
    assert ids_of(store.claim(grip, HOST, 1, ())) == ["first"]
    assert store.backlog(5).oldest_due == NOON + 5
    (claimed,) = store.claim(grip, HOST, 1, ())
    store.record(grip, [Change(job=claimed, event=GivenBack())])
    assert ids_of(store.claim(grip, HOST, 2, ())) == ["past", "last"]


# --- change ---------------------------------------------------------------------------------


@pytest.mark.parametrize("event", [Held(), Released(), CancelRequested(), Retried()])
def test_a_change_is_what_the_lifecycle_says(store: Store, clock: ManualClock, event: Event) -> None:
    store.insert([a_job(run_at=NOON + 60)])
    before = store.get("job1")
    clock.forward(5)
    assert change_one(store, "job1", event) == store.get("job1") == apply(before, event, NOON + 5)


def test_each_job_of_a_change_is_taken_or_refused_by_itself(store: Store) -> None:
    store.insert([a_job("a"), a_job("b"), a_job("c")])
    change_one(store, "b", CancelRequested())
    first, second, third, fourth = store.change(["a", "b", "nobody", "c"], Held(), "me")
    assert (isinstance(first, Job), isinstance(fourth, Job)) == (True, True)
    assert isinstance(second, Conflict)
    assert isinstance(third, NotFound)
    assert [store.get(id).held for id in "abc"] == [True, False, True]


def test_a_persons_change_is_noted_and_a_refusal_is_not(store: Store, clock: ManualClock) -> None:
    store.insert([a_job()])
    store.change(["job1"], Held(), "me")
    clock.forward(1)
    store.change(["job1"], CancelRequested(), None)
    store.change(["job1"], Released(), "me")
    assert store.notes(store.get("job1")) == [
        Note(at=NOON, kind="Held", who="me"),
        Note(at=NOON + 1, kind="CancelRequested", who=None),
    ]


def test_a_retry_by_hand_keeps_the_history_and_its_numbers(store: Store) -> None:
    store.insert([a_job(spec=Spec(max_retries=0))])
    grip = a_grip(store)
    finish(store, grip, claim_one(store, grip), exit_code=1)
    change_one(store, "job1", Retried())
    finish(store, grip, claim_one(store, grip), exit_code=0)
    job = store.get("job1")
    assert (job.state, job.attempts, job.lease) == (JobState.COMPLETED, 1, 2)
    assert [(attempt.number, attempt.exit_code) for attempt in store.attempts(job)] == [(1, 1), (2, 0)]


# --- delete and prune -----------------------------------------------------------------------


def test_a_running_job_is_not_deleted(store: Store) -> None:
    store.insert([a_job("a"), a_job("b")])
    claim_one(store, a_grip(store))
    refused, deleted = store.delete(["a", "b"])
    assert isinstance(refused, Conflict)
    assert isinstance(deleted, Job)
    assert ids_of(store.find(EVERYTHING)) == ["a"]


def test_a_deleted_job_takes_its_history_with_it(store: Store) -> None:
    store.insert([a_job()])
    grip = a_grip(store)
    job = claim_one(store, grip)
    record_one(store, grip, Change(job=job, event=an_end(), outputs=[Output(stream=1, head=b"x")]))
    store.change(["job1"], Retried(), "me")
    store.delete(["job1"])
    assert (store.attempts(job), store.outputs(job, 1), store.notes(job)) == ([], [], [])
    assert store.counts() == {}
    with pytest.raises(NotFound):
        store.get("job1")


def test_pruning_removes_finished_jobs_only(crowd: Store) -> None:
    assert crowd.prune(EVERYTHING, 100) == 3
    assert ids_of(crowd.find(EVERYTHING)) == ["d", "a", "b", "c"]
    assert crowd.prune(EVERYTHING, 100) == 0


def test_pruning_states_that_are_not_finished_removes_nothing(crowd: Store) -> None:
    assert crowd.prune(Selector(states=(JobState.PENDING, JobState.FAILED, JobState.PROCESSING)), 100) == 0
    assert crowd.count(EVERYTHING) == 7


def test_pruning_removes_what_matches_up_to_its_limit(crowd: Store) -> None:
    assert crowd.prune(Selector(states=(JobState.DEAD, JobState.PENDING)), 100) == 1
    assert crowd.prune(Selector(before=NOON + 10), 1) == 1
    assert ids_of(crowd.find(EVERYTHING)) == ["d", "a", "b", "c", "f"]


def test_what_another_process_pruned_does_not_break_what_this_one_inserts(store_factory: StoreFactory) -> None:
    mine, other = store_factory(), store_factory()
    spec = Spec(max_retries=7)
    mine.insert([a_job("a", spec=spec)])
    change_one(mine, "a", CancelRequested())
    assert other.prune(EVERYTHING, 100) == 1
    mine.insert([a_job("b", spec=spec)])
    assert other.get("b").spec == mine.get("b").spec == spec


def test_adding_no_jobs_is_no_error(store: Store) -> None:
    store.insert([])
    assert store.counts() == {}


@pytest.mark.parametrize("deleted", [False, True])
def test_a_spec_goes_with_the_last_job_that_has_it(store: Store, deleted: bool) -> None:
    for id in ("a", "b", "c"):
        store.insert([a_job(id, spec=Spec(max_retries=7 if id < "c" else 8))])
    with closing(open_archive(store.address)) as archive:
        for id, left in (("a", 2), ("b", 1), ("c", 0)):
            change_one(store, id, CancelRequested())
            removed = len(store.delete([id])) if deleted else store.prune(Selector(ids=(id,)), 100)
            assert removed == 1
            assert archive.count("specs") == left


# --- counts and backlog ---------------------------------------------------------------------


def test_counts_are_what_a_recount_finds(crowd: Store) -> None:
    jobs = crowd.find(EVERYTHING)
    assert crowd.counts() == Counter((job.queue, job.state) for job in jobs)


def test_the_backlog_knows_the_oldest_due_job_and_the_next_retries(store: Store, clock: ManualClock) -> None:
    assert store.backlog(5).oldest_due is None
    grip = a_grip(store)
    for id, wait in (("late", 60), ("soon", 2)):
        store.insert([a_job(id, spec=Spec(backoff_initial=wait))])
        finish(store, grip, claim_one(store, grip), exit_code=1)
    assert store.backlog(5).oldest_due is None
    assert ids_of(list(store.backlog(5).next_retries)) == ["soon", "late"]
    assert ids_of(list(store.backlog(1).next_retries)) == ["soon"]
    clock.forward(3)
    store.insert([a_job("new", at=clock.at)])
    assert store.backlog(5).oldest_due == NOON + 2


def test_the_jobs_before_one_in_its_queue_are_counted(store: Store) -> None:
    store.insert(
        [a_job("a"), a_job("b"), a_job("urgent", priority=1), a_job("held", held=True), a_job("x", queue="other")]
    )
    jobs = store.find(Selector(queues=("default",)))
    assert {job.id: store.ahead(job, 9) for job in jobs} == {"a": 1, "b": 2, "urgent": 0, "held": 3}
    assert {job.id: store.ahead(job, 2) for job in jobs} == {"a": 1, "b": 2, "urgent": 0, "held": 2}
    assert store.ahead(store.get("x"), 9) == 0
    assert store.ahead(store.get("x"), 9, ("other", "default")) == 3  # one line, as a worker of both claims
    assert store.ahead(store.get("urgent"), 9, ("other", "default")) == 0


# --- transactions and settings --------------------------------------------------------------


class Boom(Exception):
    pass


def test_what_happens_in_a_transaction_happens_together_or_not_at_all(store_factory: StoreFactory) -> None:
    mine, other = store_factory(), store_factory()
    with suppress(Boom), mine.transaction():
        mine.insert([a_job("a")])
        with mine.transaction():
            mine.set_config("timeout", "5")
        assert mine.get("a").id == "a"
        assert other.find(EVERYTHING) == []
        raise Boom
    assert (mine.find(EVERYTHING), mine.config()) == ([], {})
    with mine.transaction():
        mine.insert([a_job("b")])
        mine.set_config("timeout", "6")
    assert (ids_of(other.find(EVERYTHING)), other.config()) == (["b"], {"timeout": "6"})


def test_a_refused_insert_inside_a_transaction_leaves_the_rest_of_it_alone(store_factory: StoreFactory) -> None:
    mine, other = store_factory(), store_factory()
    with mine.transaction():
        mine.insert([a_job("a")])
        with pytest.raises(Conflict, match="job a exists already"):
            mine.insert([a_job("b"), a_job("a")])
        mine.insert([a_job("c")])
    assert ids_of(other.find(EVERYTHING)) == ["a", "c"]


def test_a_spec_of_a_transaction_that_failed_is_not_remembered(store: Store) -> None:
    spec = Spec(max_retries=8)
    with suppress(Boom), store.transaction():
        store.insert([a_job("a", spec=spec)])
        assert store.get("a").spec == spec
        raise Boom
    store.insert([a_job("b", spec=Spec(max_retries=9)), a_job("c", spec=spec)])
    assert (store.get("b").spec.max_retries, store.get("c").spec.max_retries) == (9, 8)


def test_settings_are_kept_changed_and_forgotten(store_factory: StoreFactory) -> None:
    mine, other = store_factory(), store_factory()
    mine.set_config("timeout", "5s")
    mine.set_config("timeout", "é '6s'")
    mine.set_config("durability", "full")
    mine.set_config("durability", None)
    mine.set_config("never-set", None)
    assert other.config() == {"timeout": "é '6s'"}


def test_changes_of_another_process_are_noticed_and_own_ones_are_not(store_factory: StoreFactory) -> None:
    mine, other = store_factory(), store_factory()
    mine.changed()
    mine.insert([a_job("a")])
    assert not mine.changed()
    other.insert([a_job("b")])
    until(mine.changed)
    assert not mine.changed()


def test_a_started_job_shows_where_its_output_can_be_followed(store: Store) -> None:
    store.insert([a_job()])
    grip = a_grip(store)
    job = claim_one(store, grip)
    record_one(store, grip, Change(job=job, event=Started(at=NOON), output_files=("w/0.out", "w/0.err")))
    (attempt,) = store.attempts(job)
    assert (attempt.number, attempt.host, attempt.output_files) == (1, HOST, ("w/0.out", "w/0.err"))
    assert (attempt.outcome, attempt.finished_at) == (None, None)


# --- what it costs --------------------------------------------------------------------------

OTHERS = 3000


def effort(store: Store, look: Callable[[], object]) -> int:
    """What a look costs the database, in rows read (PostgreSQL) or in steps of its machine, some ten a row (SQLite)."""
    if isinstance(store, SqliteStore):
        steps = itertools.count()
        store._db.set_progress_handler(lambda: next(steps) < 0, 1)
        look()
        store._db.set_progress_handler(None, 0)
        return next(steps)
    assert isinstance(store, PostgresStore)
    told = (
        "SELECT idx_tup_fetch + seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'jobs' AND schemaname = %s"
    )
    with store.transaction():
        look()
        return int(store._select(told, [store._address.schema])[0][0])


@pytest.mark.parametrize("states", [*((state,) for state in JobState), (JobState.FAILED, JobState.DEAD)])
def test_the_newest_jobs_of_a_state_are_found_by_index(store: Store, states: tuple[JobState, ...]) -> None:
    other = JobState.COMPLETED if JobState.PENDING in states else JobState.PENDING
    wanted = Selector(states=states)
    store.insert([in_state(states[number % len(states)], id=f"wanted-{number}") for number in range(3)])
    store.insert([in_state(other, id=f"other-{number}") for number in range(OTHERS)])
    if isinstance(store, PostgresStore):
        store._line.execute(f'ANALYZE "{store._address.schema}".jobs')
        store._line.open().prepare_threshold = 1
        for _ in range(10):  # from then on the server may keep a plan for all values
            store.find(wanted, limit=3, newest_first=True)
    found: list[Job] = []
    cost = effort(store, lambda: found.extend(store.find(wanted, limit=3, newest_first=True)))
    assert [job.id for job in found] == ["wanted-2", "wanted-1", "wanted-0"]
    assert 3 <= cost < OTHERS
