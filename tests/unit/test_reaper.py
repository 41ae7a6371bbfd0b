"""When a supervisor counts as orphaned: what it says of itself, against what the store says of it. What one that the
store does not know any more has left to tell."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from queuectl import ids
from queuectl.domain.errors import StoreUnavailable
from queuectl.domain.job import Job, Outcome
from queuectl.domain.lifecycle import Held, Lost, Started
from queuectl.engine.dispatch.host import LEFT_AFTER_S, Host
from queuectl.engine.dispatch.reaper import HELLO_WITHIN_S, LEFT_TO_OWN_S, LOOK_EVERY_S, Reaper
from queuectl.engine.dispatch.report import Witness
from queuectl.engine.protocol import JOURNAL_NAME, About, End, Message, State, encode
from queuectl.engine.supervise import process
from queuectl.engine.supervise.journal import Journal
from queuectl.settings import Settings
from queuectl.store.liveness import DRIVER_LOCK_NAME, LOCK_NAME, hold_lock
from queuectl.store.sqlite.store import SqliteStore
from queuectl.store.values import Change
from tests.builders import HOST, a_job, a_worker, claim_one, record_one
from tests.workshop import PATIENCE_S

NOBODY = (1 << 31) - 1
"""A pid that no process has."""

ORPHANED: About = {"epoch": 1, "driven": False, "silent": 60.0}
Taken = Callable[[float, About], bool]


class Line:
    """A connection to a supervisor, with its answer already on it."""

    closed = False

    def __init__(self, state: About) -> None:
        self._state = state

    def send(self, *messages: Message) -> None:
        pass

    def receive(self) -> list[Message]:
        return [State(self._state)]

    def close(self) -> None:
        pass


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    """One with a living supervisor in it."""
    store = SqliteStore(tmp_path / "queuectl.db")
    row = a_worker(machine=Host(tmp_path).machine)
    store.register(row)
    host = Host(store.folder)
    host.folder(row.id).mkdir(parents=True)
    hold_lock(host.folder(row.id))
    return store


@pytest.fixture
def taken(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> Taken:
    """Whether a reaper takes the supervisor over, at a time and with an answer."""
    host = Host(store.folder)
    reaper = Reaper(store, host, lambda: Settings({}))

    def ask(now: float, state: About) -> bool:
        monkeypatch.setattr(host, "dial", lambda worker: Line(state))
        assert reaper.look(frozenset(), now) == []
        return bool(reaper.hear(now, may_adopt=True))

    return ask


def test_the_undriven_is_taken_at_once(taken: Taken) -> None:
    assert taken(0.0, ORPHANED)


def test_the_driven_is_left_alone(taken: Taken) -> None:
    assert not taken(0.0, {"epoch": 1, "driven": True, "silent": 1.0})


def test_one_whose_line_to_a_living_dispatcher_has_broken_is_left_to_it_for_a_while(
    store: SqliteStore, taken: Taken
) -> None:
    """Its dispatcher calls it again at once, unless it is frozen or has let go of it."""
    (row,) = store.workers()
    store.adopt(row, dispatcher=os.getppid())
    theirs = Host(store.folder)
    theirs.drive(row.id)
    assert not taken(0.0, {"epoch": 2, "driven": False, "silent": 0.1})
    theirs.let_go(row.id)
    assert taken(1.0, {"epoch": 2, "driven": False, "silent": 1.1})


def test_a_machine_knows_whether_others_have_supervisors_on_it(tmp_path: Path) -> None:
    host = Host(tmp_path)
    assert [host.has_others() for _ in range(3)] == [False] * 3
    for at, name in enumerate(("mine~1", "theirs~1")):
        host.folder(name).mkdir(parents=True)
        os.utime(host.folder(name).parent, (at, at))  # the kernel's clock may not have ticked
        host.drive("mine~1")
        assert [host.has_others() for _ in range(4)] == [name == "theirs~1"] * 4
    host.remove("theirs~1")
    assert [host.has_others() for _ in range(4)] == [False] * 4
    host.let_go("mine~1")
    assert host.has_others(), "it is nobody's now, in the same folder"


def test_one_that_its_living_dispatcher_does_not_call_again_is_taken(store: SqliteStore, taken: Taken) -> None:
    (row,) = store.workers()
    store.adopt(row, dispatcher=os.getppid())
    theirs = Host(store.folder)
    theirs.drive(row.id)
    assert taken(0.0, {"epoch": 2, "driven": False, "silent": 60.0})
    theirs.let_go(row.id)


def test_a_new_driver_in_the_store_has_time_to_connect(store: SqliteStore, taken: Taken) -> None:
    (row,) = store.workers()
    store.adopt(row, dispatcher=12)
    assert not taken(0.0, ORPHANED)
    assert not taken(HELLO_WITHIN_S - 0.1, ORPHANED)
    assert taken(HELLO_WITHIN_S + 0.1, ORPHANED), "who took it has died on the way"


def test_every_take_over_has_its_own_time(store: SqliteStore, taken: Taken) -> None:
    for now in (0.0, HELLO_WITHIN_S + 0.1):
        (row,) = store.workers()
        store.adopt(row, dispatcher=12)
        assert not taken(now, ORPHANED)


def test_one_that_has_yet_to_notice_its_dispatchers_death_is_waited_for(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.register(a_worker("v~1", machine=Host(store.folder).machine, dispatcher=NOBODY))
    host = Host(store.folder)
    host.folder("v~1").mkdir(parents=True)
    lock = hold_lock(host.folder("v~1"))
    monkeypatch.setattr(host, "dial", lambda worker: Line({"epoch": 1, "driven": True, "silent": 0.0}))
    reaper = Reaper(store, host, lambda: Settings({}))
    for now, expected in ((0.0, True), (LOOK_EVERY_S, False)):  # one more look has to tell
        reaper.look(frozenset(), now)
        assert reaper.hear(now, may_adopt=True) == []
        assert reaper.expects_news(now) is expected
    os.close(lock)


# --- another PID namespace ----------------------------------------------------------------------


def test_a_dead_supervisor_of_another_namespace_is_left_to_its_dispatcher(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "queuectl.db")
    here, there = Host(store.folder), Host(store.folder)
    row = a_worker(machine=f"{here.machine.partition('/')[0]}/another")
    store.register(row)
    there.folder(row.id).mkdir(parents=True)
    os.close(hold_lock(there.folder(row.id)))
    there.drive(row.id)
    reaper = Reaper(store, here, lambda: Settings({}))
    assert reaper.clean_up(0.0) == reaper.clean_up(100.0) == []
    there.let_go(row.id)
    assert [settled.worker for settled in reaper.clean_up(100.0)] == [row.id]


# --- what is left to a supervisor's own dispatcher --------------------------------------------


def a_dead_supervisor(tmp_path: Path, dispatcher: int, tag: int = 7) -> tuple[SqliteStore, Host]:
    """One that has a job in hand, and whose process is gone."""
    store = SqliteStore(tmp_path / "queuectl.db")
    host = Host(store.folder)
    store.register(a_worker(machine=host.machine, dispatcher=dispatcher, pid=NOBODY, tag=tag))
    store.insert([a_job(at=0.0)])
    (row,) = store.workers()
    store.claim(row.grip, HOST, 1, ())
    return store, host


def test_a_dead_supervisor_is_left_to_its_dispatcher_while_that_is_awake(tmp_path: Path) -> None:
    store, host = a_dead_supervisor(tmp_path, dispatcher=os.getppid())
    reaper = Reaper(store, host, lambda: Settings({}))
    looks = [reaper.clean_up(now) for now in (0.0, LOOK_EVERY_S, LEFT_TO_OWN_S - 0.1)]
    assert looks == [[], [], []]
    (settled,) = reaper.clean_up(LEFT_TO_OWN_S + 0.1)
    assert [job.id for job in settled.lost] == ["job1"]


def test_a_dispatchers_time_starts_again_after_an_outage(tmp_path: Path) -> None:
    store, host = a_dead_supervisor(tmp_path, dispatcher=os.getppid())
    reaper = Reaper(store, host, lambda: Settings({}))
    assert reaper.clean_up(0.0) == []
    assert reaper.clean_up(2 * LEFT_TO_OWN_S) == []


def test_a_dead_supervisor_without_dispatcher_is_settled_at_once(tmp_path: Path) -> None:
    store, host = a_dead_supervisor(tmp_path, dispatcher=NOBODY)
    assert len(Reaper(store, host, lambda: Settings({})).clean_up(0.0)) == 1


# --- what is left of those that the store does not know any more ------------------------------


def counted_as_lost(store: SqliteStore, worker: str) -> Job:
    """A job whose worker another machine has counted as lost: as that worker knew it."""
    row = a_worker(worker, machine="elsewhere")
    store.register(row)
    store.insert([a_job(worker.replace("~", "-"), at=store.now() - 1)])
    job = claim_one(store, row.grip)
    job = record_one(store, row.grip, Change(job=job, event=Started(at=store.now()))) or job
    record_one(store, row.grip, Change(job=job, event=Lost(max_lost=3)))
    store.deregister(row.grip)
    store.change([job.id], Held(), None)
    return job


def lost_at(store: SqliteStore, job: Job) -> float:
    """When it was counted as lost."""
    at = store.attempts(job)[0].finished_at
    assert at is not None
    return at


def leave(host: Host, worker: str, age_s: float, **result: Any) -> None:
    """What a supervisor leaves behind: its folder, with one result in the journal."""
    folder = host.folder(worker)
    folder.mkdir(parents=True)
    Journal(folder / JOURNAL_NAME).append(encode(result))
    os.utime(folder, (time.time() - age_s,) * 2)


def test_losses_are_taken_back_when_a_supervisors_folder_is_found(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "queuectl.db")
    host = Host(store.folder)
    stopped, ended, late = (counted_as_lost(store, f"w~{number}") for number in range(3))
    ends = ((stopped, "stop", -0.5), (ended, None, -0.5), (late, "stop", 60.0))
    for number, (job, cause, after_s) in enumerate(ends):
        at = lost_at(store, job) + after_s
        leave(host, f"w~{number}", LEFT_AFTER_S + 1, seq=job.seq, lease=job.lease, finished_at=at, cause=cause)
    (settled,) = Reaper(store, host, lambda: Settings({})).clean_up(0.0)
    assert (settled.worker, [job.id for job in settled.taken_back]) == ("w~0", [stopped.id])
    assert [store.get(job.id).lost for job in (stopped, ended, late)] == [0, 1, 1]
    assert [store.attempts(job)[0].outcome for job in (stopped, ended)] == [Outcome.STOPPED, Outcome.LOST]
    assert not any(host.has(f"w~{number}") for number in range(3))


def test_a_fenced_supervisor_is_not_mistaken_for_a_starting_one(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "queuectl.db")
    host = Host(store.folder)
    job = counted_as_lost(store, "w~1")
    leave(host, "w~1", 0.0, seq=job.seq, lease=job.lease, finished_at=lost_at(store, job) - 0.5, cause="stop")
    reaper = Reaper(store, host, lambda: Settings({}))
    assert reaper.clean_up(0.0) == []
    assert host.has("w~1")
    reaper.fenced.add("w~1")
    assert [settled.worker for settled in reaper.clean_up(0.0)] == ["w~1"]
    assert (store.get(job.id).lost, host.has("w~1"), reaper.fenced) == (0, False, set())


# --- whether a worker went with its machine ---------------------------------------------------


def a_stopped_worker(tmp_path: Path, dispatcher: int) -> tuple[SqliteStore, Host]:
    """One of which nothing is left but its files; its job had started."""
    store, host = a_dead_supervisor(tmp_path, dispatcher, ids.tag_bits())
    (job,) = store.running("w~1")
    record_one(store, store.workers()[0].grip, Change(job=job, event=Started(at=0.0)))
    host.folder("w~1").mkdir(parents=True)
    for name in (LOCK_NAME, DRIVER_LOCK_NAME):
        os.close(hold_lock(host.folder("w~1"), name))
    return store, host


def a_living_supervisor(store: SqliteStore, host: Host, id: str, dispatcher: int) -> None:
    store.register(a_worker(id, machine=host.machine, dispatcher=dispatcher, pid=NOBODY))
    host.folder(id).mkdir(parents=True)
    hold_lock(host.folder(id))


def lost_in_row(reaper: Reaper) -> list[int]:
    return [job.lost_in_row for settled in reaper.clean_up(0.0) for job in settled.lost]


def fail_once(store: SqliteStore, monkeypatch: pytest.MonkeyPatch, reaper: Reaper) -> None:
    """Has the disk be full when a loss is recorded, once."""
    with monkeypatch.context() as failing:
        failing.setattr(store, "deregister", Mock(side_effect=StoreUnavailable("the disk is full")))
        with pytest.raises(StoreUnavailable):
            reaper.clean_up(0.0)


@pytest.mark.parametrize("by", ["the same worker", "another worker"])
def test_a_second_try_to_settle_takes_nobody_for_a_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    store, host = a_stopped_worker(tmp_path, dispatcher=NOBODY)
    a_living_supervisor(store, host, "v~1", dispatcher=host.pid)  # of the worker that settles
    reaper = Reaper(store, host, lambda: Settings({}))
    fail_once(store, monkeypatch, reaper)
    if by == "another worker":
        host = Host(store.folder)
        host.pid = NOBODY - 1
        reaper = Reaper(store, host, lambda: Settings({}))
    assert lost_in_row(reaper) == [0]


def test_a_second_try_to_settle_remembers_what_the_first_one_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, host = a_stopped_worker(tmp_path, dispatcher=NOBODY)
    reaper = Reaper(store, host, lambda: Settings({}))
    (row,) = store.workers()
    tag = {"QUEUECTL_TAG": str(process.tag(row.tag, 1))}
    with subprocess.Popen(["sleep", "300"], env=os.environ | tag) as left:
        try:
            fail_once(store, monkeypatch, reaper)
            assert left.wait(PATIENCE_S) == -signal.SIGKILL
        finally:
            left.kill()
    assert lost_in_row(reaper) == [1]


def test_a_second_try_to_settle_knows_what_was_testified_to_the_first_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, host = a_stopped_worker(tmp_path, dispatcher=NOBODY)
    (row,), (job,) = store.workers(), store.running("w~1")
    end = End(job.seq, job.lease, started_at=0.0, finished_at=1.0, exit_code=0)
    testified = [Witness((end,), {}), Witness((), {})]  # a process can be reaped once
    reaper = Reaper(store, host, lambda: Settings({}))
    with monkeypatch.context() as failing:
        failing.setattr(store, "deregister", Mock(side_effect=StoreUnavailable("the disk is full")))
        with pytest.raises(StoreUnavailable):
            reaper.settle(row, lambda: testified.pop(0))
    settled = reaper.settle(row, lambda: testified.pop(0))
    assert settled is not None
    assert ([each.id for each in settled.recorded], settled.lost) == ([job.id], [])


def test_a_later_process_with_the_dispatchers_pid_is_no_rest(tmp_path: Path) -> None:
    store, host = a_stopped_worker(tmp_path, dispatcher=os.getpid())
    a_living_supervisor(store, host, "v~1", dispatcher=os.getpid())
    host.drive("v~1")
    assert lost_in_row(Reaper(store, host, lambda: Settings({}))) == [0]


def test_what_a_later_process_with_the_dispatchers_pid_has_left_is_no_rest(tmp_path: Path) -> None:
    store, host = a_stopped_worker(tmp_path, dispatcher=os.getpid())
    a_living_supervisor(store, host, "v~1", dispatcher=os.getpid())
    for worker, began in (("w~1", 1), ("v~1", 2)):
        os.close(hold_lock(host.folder(worker), DRIVER_LOCK_NAME, f"{os.getpid()} {began}"))
    assert lost_in_row(Reaper(store, host, lambda: Settings({}))) == [0]


def test_a_supervisor_that_nobody_drives_is_a_rest_of_its_worker(tmp_path: Path) -> None:
    store, host = a_stopped_worker(tmp_path, dispatcher=os.getpid())
    a_living_supervisor(store, host, "w~2", dispatcher=os.getpid())
    os.close(hold_lock(host.folder("w~2"), DRIVER_LOCK_NAME))
    assert lost_in_row(Reaper(store, host, lambda: Settings({}))) == [1]


def test_a_dispatcher_that_holds_its_lock_is_a_rest(tmp_path: Path) -> None:
    store, host = a_stopped_worker(tmp_path, dispatcher=NOBODY)
    there = Host(store.folder)
    there.drive("w~1")
    assert lost_in_row(Reaper(store, host, lambda: Settings({}))) == [1]


def test_a_dispatcher_whose_lock_was_removed_is_known_by_its_pid(tmp_path: Path) -> None:
    store, host = a_stopped_worker(tmp_path, dispatcher=os.getpid())
    (host.folder("w~1") / DRIVER_LOCK_NAME).unlink()
    assert lost_in_row(Reaper(store, host, lambda: Settings({}))) == [1]
