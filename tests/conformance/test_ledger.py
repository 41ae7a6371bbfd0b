"""Tokens, deeds, news and figures: what a store keeps and tells beside jobs."""

from __future__ import annotations

from typing import Any

import pytest

from queuectl.client import tables
from queuectl.client.facade import Client
from queuectl.client.figures import Counted, figures, program_of, with_parts, with_times
from queuectl.domain.errors import Conflict
from queuectl.domain.job import JobState, Outcome
from queuectl.domain.lifecycle import Held, Retried, Started
from queuectl.domain.selector import NO_FAULT, Selector
from queuectl.domain.token import Role, Token
from queuectl.store.past import Deed, Place
from queuectl.store.port import Store
from queuectl.store.shared import counting
from queuectl.store.shared.counting import FALLEN
from queuectl.store.shared.history import History
from queuectl.store.values import Change, Grip
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


def test_ends_and_times_of_one_queue_are_told_apart(store: Store, clock: ManualClock) -> None:
    grip = a_grip(store)
    for number, (queue, took) in enumerate((("a", 2), ("b", 4), ("a", 6))):
        store.insert([a_job(f"job{number}", queue=queue, at=NOON)])
        clock.at = NOON + 10 * (number + 1)
        finish(store, grip, claim_one(store, grip), took=took)
    assert [(tally.place, tally.number) for tally in store.tallies(NOON, NOON + 40, 4, "a")] == [(1, 1), (3, 1)]
    assert [span.ran for span in store.spans(NOON, 10, queue="a")] == [6, 2]
    assert [span.ran for span in store.spans(NOON, 10, until=NOON + 30)] == [4, 2]
    times = with_times(store, figures(store, 60.0, 6, counted=Counted(), queue="b"), "b").times
    assert [(each.run.measured, each.run.p95) for each in times if each.run.measured] == [(1, 4)]
    assert (store.tallies(NOON, NOON + 40, 4, "none"), store.spans(NOON, 10, queue="none")) == ([], [])


def test_an_end_by_a_clock_that_is_ahead_of_ours_is_counted(store: Store, clock: ManualClock) -> None:
    grip = a_grip(store)
    for number in range(2):
        store.insert([a_job(f"job{number}", at=NOON)])
        clock.at = NOON + 30 + number
        finish(store, grip, claim_one(store, grip))
    clock.at = NOON + 30.5
    found = with_times(store, figures(store, 60.0, 6))
    assert (sum(found.ended.values()), found.run.measured) == (2, 2)
    assert [ends[Outcome.COMPLETED] for _, ends in found.series] == [0, 0, 0, 0, 0, 2]
    assert [each.run.measured for each in found.times] == [0, 0, 0, 0, 0, 2]


def test_ends_of_long_ago_are_counted_once(store: Store, clock: ManualClock) -> None:
    grip, counted = a_grip(store), Counted()

    def numbers() -> list[int]:
        return [ends[Outcome.COMPLETED] for _, ends in figures(store, 40.0, 4, counted=counted).series]

    for at in (5, 15, 26):
        store.insert([a_job(f"job-{at}", at=NOON)])
        clock.at = NOON + at
        finish(store, grip, claim_one(store, grip))
    assert numbers() == [0, 1, 1, 1]
    store.delete(["job-5", "job-15", "job-26"])
    assert numbers() == [0, 1, 1, 0], "only stretches in which ends may still be recorded are counted again"
    clock.at = NOON + 36
    assert numbers() == [1, 1, 0, 0]
    assert [ends[Outcome.COMPLETED] for _, ends in figures(store, 40.0, 4, counted=Counted()).series] == [0] * 4


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


def test_figures_are_told_apart_by_queue_and_program(store: Store, clock: ManualClock) -> None:
    grip = a_grip(store)
    for name, queue, command, code in (
        ("a", "video", "ffmpeg -i x y", 0), ("b", "video", ("/usr/bin/ffmpeg", "-i", "z"), 1),
        ("c", "mail", "A=1 python3 /srv/send.py --all", 0),
    ):  # fmt: skip
        store.insert(
            [a_job(name, command=tuple(command) if isinstance(command, list) else command, queue=queue, at=NOON)]
        )
        clock.forward(4)
        finish(store, grip, claim_one(store, grip), exit_code=code, took=2)
    found = with_parts(store, figures(store, 3600.0, 1))
    assert found.parts_of == 3
    assert [(part.name, part.ended, part.failed) for part in found.queues] == [("video", 2, 1), ("mail", 1, 0)]
    assert [(part.name, part.ended, part.run.p50) for part in found.commands] == [
        ("ffmpeg", 2, 2.0), ("python3 send.py", 1, 2.0),
    ]  # fmt: skip
    assert [end.waited for end in store.ends(NOON, 10)] == [10.0, 6.0, 2.0]


def test_ends_are_read_in_pages(store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    grip = a_grip(store)
    for number, at in enumerate((1, 2, 2, 2, 3)):
        store.insert([a_job(f"job{number}", command=f"run {number}", at=NOON)])
        clock.at = NOON + at
        finish(store, grip, claim_one(store, grip), exit_code=number % 2)
    at_once = list(store.ends(NOON, 10))
    assert [end.at - NOON for end in at_once] == [3, 2, 2, 2, 1]
    monkeypatch.setattr(counting, "ENDS_PAGE", 2)
    assert list(store.ends(NOON, 10)) == at_once
    assert list(store.ends(NOON, 3)) == at_once[:3]


@pytest.mark.parametrize(
    ("command", "program"),
    [
        ("make test", "make test"), ("sh -c 'exit 1'", "sh"), ("A=1 B=2 /bin/tar cf x", "tar"), ("'my tool' x", "my"),
        ("A=1", "A=1"), ("", ""),
    ],
)  # fmt: skip
def test_a_command_is_named_by_its_program(command: str, program: str) -> None:
    assert program_of(command) == program


def test_jobs_are_found_by_how_their_id_begins(store: Store) -> None:
    store.insert([a_job(each) for each in ("b:2", "a-1", "b:1", "B", "bz", "c")])
    assert [job.id for job in store.beginning("b", 2)] == ["b:1", "b:2"]
    assert [job.id for job in store.beginning("b", 9)] == ["b:1", "b:2", "bz"]
    assert store.beginning("_", 9) == []


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


def fail(
    store: Store, clock: ManualClock, grip: Grip, *commands: str, last_line: str | None = None, **fields: Any
) -> None:
    """Jobs that fail, a second apart; those with retries wait for one."""
    retries, code = fields.pop("max_retries", 0), fields.pop("exit_code", 1)
    for command in commands:
        job = a_job(f"{command}.{clock.at:.0f}", command=command, **fields)
        store.insert([job._replace(spec=job.spec._replace(max_retries=retries))])
        clock.forward(1)
        finish(store, grip, claim_one(store, grip), exit_code=code, last_line=last_line)


def test_a_group_shows_the_job_that_failed_last(store: Store, clock: ManualClock) -> None:
    grip = a_grip(store)
    fail(store, clock, grip, "cp /a/1 x", max_retries=1)
    fail(store, clock, grip, "cp /b/2 x")
    clock.forward(3600)
    finish(store, grip, claim_one(store, grip), exit_code=1)
    (group,) = store.fault_groups(Selector(states=(JobState.DEAD,)), 10)
    assert (group.command, group.jobs) == ("cp /a/1 x", 2)


def test_all_failures_are_asked_for_in_the_words_of_their_index(store: Store) -> None:
    """More of them mislead PostgreSQL: it then thinks that few jobs have failed, and tests each in vain."""
    assert isinstance(store, History)
    condition, values = store._fallen(Selector(states=(JobState.DEAD, JobState.FAILED), hooks=None))
    assert (condition, values) == (f"{FALLEN} AND 1 = 1", [])
    condition, _ = store._fallen(Selector(states=(JobState.DEAD,)))
    assert condition != FALLEN


def test_failures_are_grouped_without_what_differs_between_alike_ones(store: Store, clock: ManualClock) -> None:
    grip = a_grip(store)
    fail(store, clock, grip, "cp /a/1 x", "cp /b/22 x", last_line="no /a/1 for id 7f3a9c2e")
    fail(store, clock, grip, "cp /c/3 x", last_line="no /a/1 for id 8f3a9c2e", max_retries=1)
    fail(store, clock, grip, "cp /c/3 x", last_line="denied")
    fail(store, clock, grip, "cp /c/3 x", last_line="denied", queue="b")
    fail(store, clock, grip, "cp /c/3 x", last_line="denied", exit_code=2)
    fail(store, clock, grip, "cp /c/3 x", exit_code=0)
    both = Selector(states=(JobState.DEAD, JobState.FAILED))
    first, *rest = store.fault_groups(both, 10)
    assert (first.command, first.exit_code, first.error, first.last_line) == (
        "cp /c/3 x", 1, "exit code 1", "no /a/1 for id 8f3a9c2e"
    )  # fmt: skip
    assert (first.jobs, first.waiting, first.first_at, first.last_at) == (3, 1, NOON + 1, NOON + 3)
    assert [group.jobs for group in rest] == [1, 1, 1]
    assert [group.jobs for group in store.fault_groups(Selector(states=(JobState.DEAD,)), 1)] == [2]
    assert first.fault
    (of_first,) = [{job.command for job in store.find(Selector(faults=(first.fault,)))}]
    assert of_first == {"cp /a/1 x", "cp /b/22 x", "cp /c/3 x"}
    told = store.fault_tallies([first.fault], NOON, NOON + 4, 4)
    assert sorted((each.fault, each.place, each.number) for each in told) == [(first.fault, at, 1) for at in (1, 2, 3)]


def test_failures_are_listed_by_when_they_failed(store: Store, clock: ManualClock) -> None:
    grip = a_grip(store)
    fail(store, clock, grip, "a", "b", "c", last_line="x")
    everything = Selector(states=(JobState.DEAD, JobState.FAILED))
    assert [job.command for job in store.fallen(everything, 2, None)] == ["c", "b"]
    first = store.fallen(everything, 2, None)[-1]
    assert first.finished_at is not None
    assert [job.command for job in store.fallen(everything, 2, (first.finished_at, first.seq))] == ["a"]
    assert store.fallen(Selector(states=(JobState.FAILED,)), 2, None) == []
    assert [job.command for job in store.fallen(everything, 9, None, since=first.finished_at)] == ["c", "b"]
    assert [store.fell_at(2, None), store.fell_at(1, first.finished_at), store.fell_at(4, None)] == [
        first.finished_at, store.fallen(everything, 3, None)[-1].finished_at, None,
    ]  # fmt: skip


def test_a_search_for_failures_ends_when_time_is_up_and_goes_on_from_there(
    store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(store, clock, a_grip(store), "oldest", "b", "c", "d", last_line="x")
    client, wanted = Client(store), Selector(states=(JobState.DEAD,), texts=("oldest",))
    assert client.search_fallen(wanted, 2)[1] is None
    monkeypatch.setattr(tables, "FIRST_WINDOW", 1)
    monkeypatch.setattr(tables, "SEARCH_S", -1.0)
    pages = [client.search_fallen(wanted, 2)]
    while (reached := pages[-1][1]) is not None:
        pages.append(client.search_fallen(wanted, 2, reached))
    assert [[job.command for job in found] for found, _ in pages] == [[], [], [], ["oldest"], []]
    assert len(client.search_fallen(Selector(states=(JobState.DEAD,)), 4)[0]) == 4
    assert client.newly_fallen(wanted, NOON, 9) == 1


def test_a_retry_forgets_how_a_job_failed_and_success_does_too(store: Store, clock: ManualClock) -> None:
    grip = a_grip(store)
    fail(store, clock, grip, "a", last_line="oops")
    (dead,) = store.find(Selector())
    assert (dead.last_line, len(dead.fault or "")) == ("oops", 12)
    store.change([dead.id], Retried(), "me")
    assert (store.get(dead.id).last_line, store.get(dead.id).fault) == (None, None)
    assert [job.id for job in store.find(Selector(faults=(NO_FAULT,)))] == [dead.id]
