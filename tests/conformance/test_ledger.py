"""Tokens, deeds, news and figures: what a store keeps and tells beside jobs."""

from __future__ import annotations

from typing import Any

import pytest

from queuectl.domain.errors import Conflict
from queuectl.domain.job import JobState, Outcome
from queuectl.domain.lifecycle import Held, Started
from queuectl.domain.selector import Selector
from queuectl.domain.token import Role, Token
from queuectl.store.past import Deed, Place
from queuectl.store.port import Change, Store
from tests.builders import NOON, ManualClock, a_grip, a_job, claim_one, finish, record_one


def a_token(name: str = "alice", **fields: Any) -> Token:
    token = Token(id=f"id-{name}", digest=f"digest-{name}", name=name, role=Role.FULL, created_at=NOON, created_by="me")
    return token._replace(**fields)


def test_a_token_is_found_by_its_digest_and_no_other(store: Store) -> None:
    store.add_token(a_token())
    store.add_token(a_token("bob", role=Role.READ_ONLY))
    assert store.token_of("digest-bob") == a_token("bob", role=Role.READ_ONLY)
    assert store.token_of("digest-carol") is None
    assert [token.name for token in store.tokens()] == ["alice", "bob"]


def test_two_tokens_never_share_a_name(store: Store) -> None:
    store.add_token(a_token())
    with pytest.raises(Conflict, match="alice exists already"):
        store.add_token(a_token(id="other", digest="other"))
    assert store.tokens() == [a_token()]


def test_a_removed_token_is_gone(store: Store) -> None:
    store.add_token(a_token())
    assert store.remove_token("id-alice")
    assert not store.remove_token("id-alice")
    assert store.token_of("digest-alice") is None


def test_the_use_of_a_token_is_kept(store: Store) -> None:
    store.add_token(a_token())
    store.use_token("id-alice", NOON + 5)
    assert store.tokens() == [a_token(used_at=NOON + 5)]


def test_deeds_are_told_the_latest_first_and_page_by_page(store: Store) -> None:
    store.insert([a_job()])
    store.change(["job1"], Held(), "me")
    for number in range(4):
        store.add_deed(Deed(at=NOON + number, kind="SettingSet", who="me", detail=f"timeout={number}"))
    first = store.deeds(3)
    assert [deed.detail for deed in first] == ["timeout=3", "timeout=2", "timeout=1"]
    rest = store.deeds(3, before=first[-1].id)
    assert [(deed.kind, deed.job, deed.detail) for deed in rest] == [
        ("SettingSet", None, "timeout=0"),
        ("Held", "job1", None),
    ]


def test_ends_are_tallied_by_stretches_of_time(store: Store, clock: ManualClock) -> None:
    grip = a_grip(store)
    for at, code in ((0, 0), (1, 0), (1, 3), (11, 0), (19.5, 3), (20, 0)):
        store.insert([a_job(f"job-{at}-{code}", at=NOON)])
        clock.at = NOON + at
        finish(store, grip, claim_one(store, grip), exit_code=code)
    store.delete(["job-0-0"])
    found = [(tally.place, tally.outcome, tally.number) for tally in store.tallies(NOON, NOON + 20, 2)]
    assert found == [
        (0, Outcome.COMPLETED, 1),
        (0, Outcome.FAILED, 1),
        (1, Outcome.COMPLETED, 1),
        (1, Outcome.FAILED, 1),
    ]
    assert store.tallies(NOON + 30, NOON + 40, 2) == []


def test_spans_tell_how_long_executions_took_and_waited(store: Store, clock: ManualClock) -> None:
    grip = a_grip(store)
    store.insert([a_job("waits", at=NOON)])
    clock.forward(5)
    finish(store, grip, claim_one(store, grip), took=2)  # began at NOON + 3
    (span,) = store.spans(NOON, 10)
    assert (span.ran, span.waited) == (2, 3)
    assert store.spans(NOON + 6, 10) == []
    assert store.spans(NOON, 0) == []


def test_no_job_has_waited_since_before_it_was_added(store: Store, clock: ManualClock) -> None:
    grip = a_grip(store)
    store.insert([a_job(at=NOON, run_at=NOON - 3600)])
    clock.forward(5)
    finish(store, grip, claim_one(store, grip), took=2)
    assert [span.waited for span in store.spans(NOON, 10)] == [3]


def test_the_wait_of_a_retry_is_not_told(store: Store, clock: ManualClock) -> None:
    grip = a_grip(store)
    store.insert([a_job()])
    finish(store, grip, claim_one(store, grip), exit_code=1)
    clock.forward(100)
    finish(store, grip, claim_one(store, grip), exit_code=0)
    assert [span.waited for span in store.spans(NOON, 10)] == [None, 0.0]


def test_news_tell_what_happened_after_a_place(store: Store, clock: ManualClock) -> None:
    store.insert([a_job("old")])
    store.change(["old"], Held(), "me")
    clock.forward(10)
    place = store.place()
    grip = a_grip(store)
    store.insert([a_job("new", at=clock.at, owner="you")])
    job = claim_one(store, grip)
    started = record_one(store, grip, Change(job=job, event=Started(at=clock.at)))
    assert started is not None
    told = store.news(place, 10)
    assert [(each.kind, each.job) for each in told] == [("enqueued", "new"), ("started", "new")]
    assert told[0].who == "you"
    clock.forward(1)
    finish(store, grip, started, exit_code=3)
    store.add_deed(Deed(at=clock.at, kind="SettingSet", who="me", detail="timeout=1h"))
    told = store.news(place, 10)
    assert {each.kind for each in told} == {"enqueued", "ended", "SettingSet"}
    (end,) = [each for each in told if each.kind == "ended"]
    assert (end.job, end.outcome, end.exit_code, end.state) == ("new", Outcome.FAILED, 3, JobState.FAILED)
    assert [each.key for each in store.news(place, 10)] == [each.key for each in told]
    assert store.news(store.place()._replace(at=clock.at + 1), 10) == []


def test_no_more_news_of_a_kind_are_told_than_wanted(store: Store) -> None:
    store.insert([a_job(f"job{number}") for number in range(5)])
    assert [each.job for each in store.news(Place(seq=0, deed=0, at=NOON), 2)] == ["job0", "job1"]


def test_dead_jobs_are_grouped_by_how_they_failed(store: Store, clock: ManualClock) -> None:
    grip = a_grip(store)
    for number, (command, code) in enumerate([("a", 1), ("a", 1), ("a", 2), ("b", 1), ("a", 0)]):
        job = a_job(f"job{number}", command=command)
        store.insert([job._replace(spec=job.spec._replace(max_retries=0))])
        clock.forward(1)
        finish(store, grip, claim_one(store, grip), exit_code=code)
    first, *rest = store.dead_groups(Selector(), 10)
    assert (first.command, first.exit_code, first.error, first.jobs) == ("a", 1, "exit code 1", 2)
    assert (first.first_at, first.last_at) == (NOON + 1, NOON + 2)
    assert sorted((group.command, group.exit_code, group.jobs) for group in rest) == [("a", 2, 1), ("b", 1, 1)]
    assert [group.jobs for group in store.dead_groups(Selector(commands=("b",)), 10)] == [1]
    assert len(store.dead_groups(Selector(), 1)) == 1
