"""How a worker works through a queue, stops, and leaves nothing behind."""

from __future__ import annotations

import itertools
import re
import signal
import time
from pathlib import Path

import pytest

from queuectl.client.reasons import Listing
from queuectl.client.setting import set_worker
from queuectl.client.workers import workers_of
from queuectl.domain.errors import Conflict, NotFound
from queuectl.domain.job import JobState, Outcome
from queuectl.domain.lifecycle import GivenBack
from queuectl.domain.served import Served
from queuectl.store.values import Change
from tests.builders import a_worker
from tests.stores import on_each_store
from tests.workshop import Workshop, until

pytestmark = on_each_store


def test_two_workers_share_a_hundred_jobs_and_run_each_once(shop: Workshop, tmp_path: Path) -> None:
    out = tmp_path / "out"
    jobs = shop.enqueue_all([{"command": f"echo {n} >> {out}"} for n in range(100)])
    shop.worker(4)
    shop.worker(4)
    shop.finished(*jobs)
    assert sorted(int(line) for line in out.read_text().split()) == list(range(100))


def test_no_more_commands_run_than_there_are_slots(shop: Workshop, tmp_path: Path) -> None:
    out = tmp_path / "out"
    jobs = shop.enqueue_all(
        [{"command": f"echo + $QUEUECTL_SLOT >> {out}; sleep 0.05; echo - $QUEUECTL_SLOT >> {out}"}] * 30
    )
    shop.worker(3)
    shop.finished(*jobs)
    busy: set[str] = set()
    for what, slot in shop.events(out):
        assert (slot in busy) == (what == "-")
        busy ^= {slot}
        assert len(busy) <= 3
        assert int(slot) < 3


@pytest.mark.parametrize("lock", [(), ("one",)])
def test_what_waits_for_an_end_starts_before_that_is_recorded(shop: Workshop, lock: tuple[str, ...]) -> None:
    if not lock:
        shop.client.set_queue("q", concurrency=1)
    jobs = shop.enqueue_all([{"command": "true", "queue": "q", "locks": list(lock)}] * 30)
    shop.worker(2)
    done = sorted(shop.finished(*jobs), key=lambda job: job.started_at or 0.0)
    pairs = list(itertools.pairwise(done))
    assert all((before.finished_at or 0.0) <= (after.started_at or 0.0) for before, after in pairs)
    if not shop.store.shared_by_machines:  # there each transaction is synced
        assert any((after.started_at or 0.0) < before.updated_at for before, after in pairs)


GATED = "while [ ! -e {} ]; do sleep 0.05; done"


def test_a_live_worker_takes_other_slots_and_queues(shop: Workshop, tmp_path: Path) -> None:
    gate, out = tmp_path / "gate", tmp_path / "out"
    shop.worker(2, "--name", "night")
    running = shop.enqueue_all([{"command": GATED.format(gate)}] * 5)
    shop.started(*running[:2])
    assert set_worker(shop.store, "me", "night", 5, (), (), False).slots == 5
    shop.started(*running)
    set_worker(shop.store, "me", "night", 1, (), ("other",), False)
    (worker,) = workers_of(shop.store)
    assert (worker.slots, worker.served, len(worker.running)) == (1, Served((), ("other",)), 5)
    line = f"echo + $QUEUECTL_SLOT >> {out}; sleep 0.02; echo - $QUEUECTL_SLOT >> {out}"
    later = shop.enqueue_all([{"command": line}] * 6)
    other = shop.enqueue("true", queue="other")
    gate.touch()
    shop.finished(*running, *later)
    assert [(what, slot) for what, slot in shop.events(out)] == [("+", "0"), ("-", "0")] * 6
    assert {shop.job(job).lost for job in running} == {0}
    assert shop.job(other).state is JobState.PENDING
    set_worker(shop.store, "me", "night", None, (), (), True)
    shop.finished(other)
    assert [deed.kind for deed in shop.store.deeds(9)] == ["WorkerSet"] * 3


def test_a_worker_starts_nothing_while_its_machine_is_busy(shop: Workshop) -> None:
    waits = "free memory .* at least 1024 GiB"
    shop.worker(1, "--name", "picky", "--min-free-memory", "1t", "--max-load", "9999")
    until(lambda: workers_of(shop.store)[0].waits, "it waits")
    job = shop.enqueue("true")
    assert re.match(waits, Listing(shop.store).reasons([shop.job(job)])[0] or "")
    shop.worker(1)
    (done,) = shop.finished(job)
    assert done.worker
    assert not done.worker.startswith("picky~")
    assert len(re.findall("starting nothing for now: " + waits, "\n".join(_log(shop)))) == 1


def test_what_is_not_started_in_time_is_cancelled_while_all_slots_are_busy(shop: Workshop, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    shop.worker(1)
    busy = shop.enqueue(GATED.format(gate))
    shop.started(busy)
    late = shop.enqueue("true", expires=0.1)
    after = shop.enqueue("true", depends_on=[late])
    assert [job.error for job in shop.finished(late, after)] == [
        "expired: not started within 100ms",
        f"job {late} is cancelled",
    ]
    assert not shop.job(busy).finished
    gate.touch()
    shop.finished(busy)
    assert f" {late} cancelled: expired: not started within 100ms\n" in _log(shop)[0]


def test_the_log_says_which_jobs_an_end_has_cancelled(shop: Workshop) -> None:
    shop.worker(1)
    parent = shop.enqueue("exit 3", id="parent", max_retries=0, batch="b", max_fails="0", held=True)
    shop.enqueue_all([
        {"command": "true", "id": "child", "depends_on": ["parent"]},
        {"command": "true", "id": "grandchild", "depends_on": ["child"]},
        {"command": "true", "id": "rest", "batch": "b", "held": True},
    ])  # fmt: skip
    shop.client.release([parent])
    shop.finished("child", "grandchild", "rest")
    told = [" child cancelled: job parent is dead\n", " grandchild cancelled: job child is cancelled\n",
            " rest cancelled: batch b: more than 0 of its jobs are dead\n"]  # fmt: skip
    until(lambda: [_log(shop)[0].count(line) for line in told] == [1, 1, 1])


def test_the_log_says_what_expired_before_the_worker_started(shop: Workshop) -> None:
    late = shop.enqueue("true", expires=0.1)
    until(lambda: shop.store.now() > (shop.job(late).start_by or 0.0), "it is late")
    shop.worker(1)
    shop.finished(late, shop.enqueue("true"))
    assert _log(shop)[0].count(f" {late} cancelled: expired: not started within 100ms\n") == 1


def test_what_a_failed_batch_is_given_is_cancelled_while_all_slots_are_busy(shop: Workshop, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    shop.worker(1)
    failed = shop.enqueue("false", batch="b", max_fails="0", max_retries=0)
    shop.finished(failed)
    busy = shop.enqueue(GATED.format(gate))
    shop.started(busy)
    (given,) = shop.finished(shop.enqueue("true", batch="b"))
    assert given.error == "batch b: more than 0 of its jobs are dead"
    assert not shop.job(busy).finished
    gate.touch()
    shop.finished(busy)


@pytest.mark.parametrize("more", [{}, {"at_most": 1}], ids=["", "one at a time"])
def test_nothing_of_a_batch_starts_once_too_many_of_it_are_dead(shop: Workshop, more: dict[str, int]) -> None:
    one = {"command": "exit 1", "batch": "b", "max_fails": "1", "max_retries": 0, **more}
    shop.enqueue_all([one] * 100)
    shop.worker(1)
    until(lambda: shop.client.batch("b").status().is_done)
    counts = shop.client.batch("b").status().counts
    assert (counts[JobState.DEAD], counts[JobState.CANCELLED]) == (2, 98)


def test_only_a_live_worker_can_be_set(shop: Workshop) -> None:
    with pytest.raises(NotFound, match="no worker night"):
        set_worker(shop.store, "me", "night", 1, (), (), False)
    shop.worker(1, "--name", "night").stop()
    with pytest.raises(Conflict, match="worker night is not alive"):
        set_worker(shop.store, "me", "night", 1, (), (), False)


def test_no_job_waits_for_one_supervisor_while_another_has_free_slots(shop: Workshop, tmp_path: Path) -> None:
    shop.worker(8)
    shop.finished(*shop.enqueue_all([{"command": "sleep 0.02"}] * 30))
    gate = tmp_path / "gate"
    long = shop.enqueue_all([{"command": GATED.format(gate)}] * 8)
    shop.started(*long)
    assert [shop.job(each).lease for each in long] == [1] * 8  # none was held ready and given back
    gate.touch()
    shop.finished(*long)


def test_full_workers_do_not_pass_a_doubtful_job_to_and_fro(shop: Workshop, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    for name in ("one", "two"):
        shop.worker(1, "--queue", name, "--queue", "shared")
        shop.finished(*shop.enqueue_all([{"command": "sleep 0.02", "queue": name}] * 6))
        shop.started(shop.enqueue(GATED.format(gate), queue=name))
    doubtful = shop.enqueue("true", queue="shared", held=True)
    # Claimed once, by somebody who said nothing more of it.
    shop.store._select("UPDATE {schema}.jobs SET lease = 1 WHERE id = ? RETURNING 1", [doubtful])  # type: ignore[attr-defined]
    shop.client.release([doubtful])
    time.sleep(1.0)
    assert shop.job(doubtful).lease < 5
    gate.touch()
    shop.finished(doubtful)


def test_suspect_jobs_run_one_by_one_whatever_the_clock(shop: Workshop) -> None:
    jobs = shop.enqueue_all([{"command": "true"}] * 30)
    row = a_worker("before~1")
    shop.store.register(row)
    claimed = shop.store.claim(row.grip, row.host, len(jobs), [])
    shop.store.record(row.grip, [Change(job=job, event=GivenBack()) for job in claimed])
    shop.store.deregister(row.grip)
    shop.worker(2, "--poll", "3600")
    assert {job.state for job in shop.finished(*jobs)} == {JobState.COMPLETED}


def test_an_idle_worker_starts_what_its_own_end_has_released(shop: Workshop) -> None:
    shop.worker(2, "--poll", "3600")
    shop.finished(shop.enqueue("true"))  # from here on it knows of nothing to claim
    names = ["first", "second", "third"]
    for name, before in zip(names, [[], ["first"], ["second"]], strict=True):
        shop.enqueue("sleep 0.2", id=name, depends_on=before)
    assert {job.state for job in shop.finished(*names)} == {JobState.COMPLETED}


def test_priority_goes_first_then_age(shop: Workshop, tmp_path: Path) -> None:
    out = tmp_path / "out"
    order = [("a", 0), ("b", 5), ("c", 0), ("d", 9), ("e", 5)]
    jobs = shop.enqueue_all([{"command": f"echo {name} >> {out}", "priority": rank} for name, rank in order])
    shop.worker(1)
    shop.finished(*jobs)
    assert out.read_text().split() == ["d", "b", "e", "a", "c"]


def test_a_failing_job_is_retried_with_doubled_delays(shop: Workshop) -> None:
    job = shop.enqueue("exit 3", max_retries=3, backoff_initial=0.2, backoff_base=2)
    shop.worker()
    (dead,) = shop.finished(job)
    attempts = shop.store.attempts(dead)
    assert (dead.state, dead.attempts, [each.exit_code for each in attempts]) == (JobState.DEAD, 4, [3, 3, 3, 3])
    gaps = [b.started_at - (a.finished_at or 0) for a, b in itertools.pairwise(attempts)]
    assert all(gap >= wanted for gap, wanted in zip(gaps, (0.2, 0.4, 0.8), strict=True))


def test_a_delayed_job_waits_for_its_time(shop: Workshop) -> None:
    job = shop.enqueue("true", delay="300ms")
    shop.worker()
    (done,) = shop.finished(job)
    assert (done.started_at or 0) >= done.run_at > done.created_at


def test_ctrl_c_lets_the_running_command_finish(shop: Workshop, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    running = shop.enqueue(f"while [ ! -e {gate} ]; do sleep 0.05; done; echo done")
    worker = shop.worker(1)
    shop.started(running)
    waiting = shop.enqueue("true")
    worker.signal(signal.SIGINT)
    until(lambda: "stopping" in "".join(_log(shop)))
    assert shop.client.workers()[0].running
    gate.touch()
    assert worker.wait() == 0
    assert shop.job(running).state is JobState.COMPLETED
    assert shop.job(waiting).state is JobState.PENDING
    assert (shop.left_files(), shop.commands(), shop.store.workers()) == ([], [], [])


def test_a_second_ctrl_c_ends_the_command_and_gives_the_attempt_back(shop: Workshop) -> None:
    job = shop.enqueue("sleep 300")
    worker = shop.worker()
    shop.started(job)
    worker.signal(signal.SIGINT)
    until(lambda: "stopping" in "".join(_log(shop)))
    worker.signal(signal.SIGINT)
    assert worker.wait() == 0
    back = shop.job(job)
    assert (back.state, back.attempts, back.starts, back.lost) == (JobState.PENDING, 0, 1, 0)
    (attempt,) = shop.store.attempts(back)
    told = "ended when its worker was stopped, so it does not count"
    assert (attempt.outcome, attempt.error, attempt.note) == (Outcome.STOPPED, None, told)
    assert (shop.left_files(), shop.commands()) == ([], [])


def _log(shop: Workshop) -> list[str]:
    return [path.read_text() for path in (shop.store.folder / "logs").glob("*.log")]


def test_stop_reaches_the_workers_alive_now_and_no_later_one(shop: Workshop) -> None:
    assert shop.client.ask_to_stop(None) == []
    first = shop.worker(1, "--name", "first")
    second = shop.worker(1, "--name", "second")
    assert [worker.name for worker in shop.client.ask_to_stop(["first"])] == ["first"]
    assert first.wait() == 0
    assert second.process.poll() is None
    shop.client.ask_to_stop(None)
    assert second.wait() == 0
    later = shop.worker(1, "--name", "first")
    shop.finished(shop.enqueue("true"))
    assert later.process.poll() is None


def test_a_stop_timeout_ends_what_does_not_finish(shop: Workshop) -> None:
    job = shop.enqueue("sleep 300")
    worker = shop.worker(1, "--stop-timeout", "0.2")
    shop.started(job)
    assert worker.stop() == 0
    assert shop.job(job).state is JobState.PENDING


@pytest.mark.parametrize("state", ["gone", "leaving"])
def test_draining_leaves_no_supervisor_of_a_killed_worker_listed(shop: Workshop, state: str) -> None:
    shop.worker(1).kill()
    if state == "gone":
        until(lambda: not shop.supervisors(), "without a dispatcher it leaves")
    assert shop.worker(1, "--drain").wait() == 0
    assert shop.store.workers() == []


def test_draining_ends_the_worker_when_all_is_done(shop: Workshop) -> None:
    jobs = shop.enqueue_all([{"command": "exit 1", "max_retries": 1, "backoff_initial": 0.2}, {"command": "true"}])
    held = shop.enqueue("true", held=True)
    assert shop.worker(2, "--drain").wait() == 0
    assert [shop.job(job).state.value for job in jobs] == ["dead", "completed"]
    assert shop.job(held).state is JobState.PENDING


def test_a_worker_serves_only_the_queues_it_was_given(shop: Workshop) -> None:
    mine, other = shop.enqueue("true", queue="mine"), shop.enqueue("true", queue="other")
    assert shop.worker(1, "--queue", "mine", "--drain").wait() == 0
    assert shop.job(mine).state is JobState.COMPLETED
    assert shop.job(other).state is JobState.PENDING


def test_a_time_limit_ends_the_whole_tree_whatever_it_does(shop: Workshop) -> None:
    stubborn = (
        "trap '' TERM; (setsid sh -c \"trap '' TERM; while :; do sleep 1; done\" &); "
        "env -i setsid sh -c \"trap '' TERM; while :; do sleep 1; done\""
    )
    job = shop.enqueue(stubborn, timeout=0.5, kill_grace=0.3, max_retries=1, backoff_initial=0.1, backoff_base=1)
    shop.worker()
    (dead,) = shop.finished(job)
    assert (dead.state, dead.attempts, dead.error) == (JobState.DEAD, 2, "timed out after 0.5s")
    assert [each.outcome for each in shop.store.attempts(dead)] == [Outcome.TIMEOUT, Outcome.TIMEOUT]
    assert shop.commands() == []


def test_a_command_that_exits_0_on_sigterm_has_still_timed_out(shop: Workshop) -> None:
    job = shop.enqueue("trap 'exit 0' TERM; while :; do sleep 0.05; done", timeout=0.3, max_retries=0)
    shop.worker()
    assert shop.finished(job)[0].state is JobState.DEAD


def test_cancelling_ends_a_running_command_and_its_children(shop: Workshop) -> None:
    job = shop.enqueue("sleep 300 & sleep 300 & wait")
    shop.worker()
    shop.started(job)
    shop.client.cancel([job])
    assert shop.finished(job)[0].state is JobState.CANCELLED
    assert shop.commands() == []


def test_a_hold_on_a_running_job_holds_its_next_attempt(shop: Workshop, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = shop.enqueue(f"while [ ! -e {gate} ]; do sleep 0.05; done; exit 1", backoff_initial=0)
    shop.worker()
    shop.started(job)
    shop.client.hold([job])
    gate.touch()
    until(lambda: shop.job(job).state is JobState.FAILED)
    assert shop.finished(shop.enqueue("true"))
    assert (shop.job(job).starts, shop.client.reason(shop.job(job))) == (1, "held")
    shop.client.release([job])
    until(lambda: shop.job(job).starts > 1)


def test_a_worker_that_stays_uses_no_more_files_than_slots(shop: Workshop) -> None:
    worker = shop.worker(2)
    for _ in range(5):
        shop.finished(*shop.enqueue_all([{"command": "seq 20000; sleep 60 &"}] * 4))
    folder = shop.store.folder / "workers"
    until(lambda: len([path for path in folder.rglob("slot-*") if path.stat().st_size]) == 0)
    assert worker.stop() == 0
    assert shop.left_files() == []


def test_the_log_shows_nothing_that_a_terminal_obeys(shop: Workshop) -> None:
    job = shop.enqueue(["no-such\x1b[31m\nfaked line"], max_retries=0)
    shop.worker(1)
    shop.finished(job)
    until(lambda: "command not found" in "".join(_log(shop)))
    assert not re.search(r"\x1b|^faked", "".join(_log(shop)), re.MULTILINE)


def test_a_worker_removes_as_many_old_jobs_as_there_are(shop: Workshop) -> None:
    jobs = shop.enqueue_all([{"command": "true", "held": True}] * 1200)
    shop.client.cancel(jobs)
    shop.client.set_setting("retention-cancelled", "0s")
    shop.worker(1)
    until(lambda: sum(shop.store.counts().values()) == 0, "all are removed")
