"""What a command sees, what is kept of it, and how it may fail to start."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from queuectl.client import following, waiting
from queuectl.domain.job import JobState, Spec
from queuectl.domain.lifecycle import GivenBack
from queuectl.engine.supervise.descriptors import FILES_BESIDE
from queuectl.store.values import Change
from tests.builders import a_job, a_worker
from tests.stores import on_each_store
from tests.workshop import Workshop, until


@on_each_store
def test_output_of_both_streams_is_kept_in_order(shop: Workshop) -> None:
    job = shop.enqueue("echo one; echo two >&2; echo three")
    shop.worker()
    assert shop.finished(job)[0].state is JobState.COMPLETED
    assert shop.output(job) == b"one\ntwo\nthree\n"


@on_each_store
def test_split_output_keeps_the_streams_apart(shop: Workshop) -> None:
    job = shop.enqueue("echo one; echo two >&2", split_output=True)
    shop.worker()
    shop.finished(job)
    assert (shop.output(job, stream=1), shop.output(job, stream=2)) == (b"one\n", b"two\n")


def test_outputs_never_mix_though_slots_are_reused(shop: Workshop) -> None:
    jobs = shop.enqueue_all([{"command": f"echo {n}; test $(({n} % 3)) = 0 || exit 0"} for n in range(60)])
    shop.worker(4)
    shop.finished(*jobs)
    assert [shop.output(job) for job in jobs] == [b"%d\n" % n for n in range(60)]


@on_each_store
def test_output_that_is_not_text_and_large_harms_nothing(shop: Workshop) -> None:
    binary = shop.enqueue(r"printf '\377\000\376'; head -c 100000 /dev/zero")
    huge = shop.enqueue("head -c 50000000 /dev/zero | tr '\\0' x; echo END")
    shop.worker()
    shop.finished(binary, huge)
    assert shop.output(binary) == b"\xff\0\xfe" + bytes(100000)
    (kept,) = shop.store.outputs(shop.job(huge), 1)
    assert kept.tail.endswith(b"xEND\n")
    assert len(kept.head) + kept.cut_bytes + len(kept.tail) == shop.job(huge).output_bytes == 50000004
    assert len(kept.head) + len(kept.tail) <= shop.client.settings()["output-max"]


def test_output_path_receives_the_output_and_logs_still_have_it(shop: Workshop, tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("from before")
    job = shop.enqueue("echo fresh", output_path=str(path))
    shop.worker()
    shop.finished(job)
    assert path.read_text() == "fresh\n"
    assert shop.output(job) == b"fresh\n"


@pytest.mark.parametrize("deed", ["mkdir", "mkfifo"])
def test_what_a_command_makes_of_its_output_file_hinders_no_other(shop: Workshop, tmp_path: Path, deed: str) -> None:
    path = tmp_path / "out"
    odd = shop.enqueue(f"echo before; rm {path}; {deed} {path}", output_path=str(path))
    other = shop.enqueue("echo other")
    shop.worker()
    states = [job.state for job in shop.finished(odd, other)]
    assert states == [JobState.COMPLETED, JobState.COMPLETED]
    assert (shop.output(odd), shop.output(other)) == (b"", b"other\n")


def test_what_a_command_makes_of_its_slots_file_hinders_no_other(shop: Workshop) -> None:
    folder = shop.store.folder / "workers"
    file = f"$(find {folder} -name 'slot-*')"
    odd = shop.enqueue(f'echo x; until test -e "{file}"; do sleep 0.01; done; f={file}; rm $f; mkdir $f; seq 9999')
    other = shop.enqueue("echo other")
    shop.worker(1)
    (row,) = shop.store.workers()
    states = [job.state for job in shop.finished(odd, other)]
    assert states == [JobState.COMPLETED, JobState.COMPLETED]
    assert (shop.output(odd), shop.output(other)) == (b"[queuectl: cannot be read: Is a directory]\n", b"other\n")
    shop.finished(shop.enqueue("true"))
    assert shop.store.workers() == [row]


@on_each_store
def test_a_command_sees_who_it_is_and_where_it_was_enqueued(shop: Workshop, tmp_path: Path) -> None:
    job = shop.enqueue(
        'echo "$QUEUECTL_JOB_ID $QUEUECTL_ATTEMPT $QUEUECTL_QUEUE $QUEUECTL_LEASE $QUEUECTL_DB"; '
        "pwd; umask; echo $MINE",
        id="who", queue="q1", cwd=str(tmp_path), umask="0027", env={"MINE": "yes"},
    )  # fmt: skip
    shop.worker()
    shop.finished(job)
    assert shop.output(job).decode().split("\n")[:-1] == [f"who 1 q1 1 {shop.address}", str(tmp_path), "0027", "yes"]


def test_a_captured_variable_that_was_unset_is_unset(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.store.set_config("env-capture", "VIRTUAL_ENV,LC_*")
    for name in ("VIRTUAL_ENV", "LC_ALL", "LC_TIME", "TRACEPARENT", "OTHER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LC_TIME", "C")
    told = "echo ${VIRTUAL_ENV-unset} ${LC_ALL-unset} ${LC_TIME-unset} ${TRACEPARENT-unset} $OTHER"
    job = shop.enqueue(told)
    asked = shop.enqueue(told, env={"LC_ALL": "POSIX"})
    shop.worker(VIRTUAL_ENV="/worker", LC_ALL="C.UTF-8", LC_TIME="C.UTF-8", TRACEPARENT="00-1-2-01", OTHER="worker")
    shop.finished(job, asked)
    assert shop.output(job) == b"unset unset C unset worker\n"
    assert shop.output(asked) == b"unset POSIX C unset worker\n"


def test_a_list_runs_without_a_shell(shop: Workshop) -> None:
    job = shop.enqueue(["printf", "%s|", "a b", "$HOME", "*"])
    shop.worker()
    shop.finished(job)
    assert shop.output(job) == b"a b|$HOME|*|"


def test_stdin_is_empty_unless_a_file_is_named(shop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("from a file")
    empty, filled = shop.enqueue("cat; echo end"), shop.enqueue("cat", stdin=str(tmp_path / "in"))
    shop.worker()
    shop.finished(empty, filled)
    assert (shop.output(empty), shop.output(filled)) == (b"end\n", b"from a file")


def test_commands_have_no_terminal_and_a_session_of_their_own(shop: Workshop) -> None:
    job = shop.enqueue("(: < /dev/tty) 2>/dev/null && echo tty; ps -o sid= -p $$ | tr -d ' '; echo $$")
    shop.worker()
    shop.finished(job)
    session, pid = shop.output(job).split()
    assert session == pid


def test_commands_start_with_signals_as_the_system_has_them(shop: Workshop) -> None:
    job = shop.enqueue(["grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status"])
    shop.worker()
    shop.finished(job)
    masks = [int(line.split()[1], 16) for line in shop.output(job).splitlines()]
    glibcs_own = 0b11 << 31  # signals 32 and 33, which posix_spawn itself sets aside
    assert [mask & ~glibcs_own for mask in masks] == [0, 0]


@on_each_store
def test_what_cannot_start_fails_with_the_reason(shop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("no program")
    os.mkfifo(tmp_path / "pipe")
    once = {"max_retries": 0}
    jobs = shop.enqueue_all(
        [
            {"command": ["no-such-program"], **once},
            {"command": [str(tmp_path / "plain")], **once},
            {"command": "true", "cwd": str(tmp_path / "gone"), **once},
            {"command": "true", "stdin": str(tmp_path / "gone"), **once},
            {"command": "true", "stdin": str(tmp_path / "pipe"), **once},  # to open it would stop all the others
            {"command": "true", "output_path": str(tmp_path / "gone" / "out"), **once},
            {"command": "no-such-program", **once},
        ]
    )
    shop.worker()
    found = [(job.state.value, job.exit_code, (job.error or "").partition(":")[0]) for job in shop.finished(*jobs)]
    host = os.uname().nodename
    assert found == [
        ("dead", 127, "command not found"),
        ("dead", 126, f"cannot execute {tmp_path / 'plain'}"),
        ("dead", None, f"cannot enter folder {tmp_path / 'gone'} on host {host}"),
        ("dead", None, f"cannot read stdin file {tmp_path / 'gone'}"),
        ("dead", None, f"cannot read stdin file {tmp_path / 'pipe'}"),
        ("dead", None, f"cannot write output file {tmp_path / 'gone' / 'out'}"),
        ("dead", 127, "exit code 127"),
    ]


def test_long_words_that_cannot_be_started_cost_no_worker(shop: Workshop) -> None:
    named = shop.enqueue_all([{"command": ["x" * 120_000], "max_retries": 0}] * 30)
    shop.worker()
    for job in shop.finished(*named):
        assert (job.state, job.attempts, job.lost, job.starts) == (JobState.DEAD, 1, 0, 1)
        assert job.error
        assert job.error.startswith("command not found: xxx")


def open_sockets(pid: int) -> int:
    folder = Path(f"/proc/{pid}/fd")
    found = 0
    for name in os.listdir(folder):
        with suppress(FileNotFoundError):  # just closed
            found += os.readlink(folder / name).startswith("socket:")
    return found


@contextmanager
def files_left(pid: int, number: int) -> Iterator[None]:
    """Lets a supervisor, once its dispatcher has come in, open `number` more files."""
    until(lambda: open_sockets(pid) == 2, "the dispatcher has come in")
    opened = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    free = sorted(set(range(len(opened) + 999)) - opened)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (free[number], before[1]))
    yield
    with suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def test_without_free_descriptors_one_command_waits_and_others_run_elsewhere(shop: Workshop) -> None:
    shop.worker(4)
    (row,) = shop.store.workers()
    with files_left(row.pid, 0):
        jobs = shop.enqueue_all([{"command": "echo later", "max_retries": 0}] * 4)
        until(lambda: [job.state for job in map(shop.job, jobs)].count(JobState.PENDING) == 3, "three come back")
        elsewhere = shop.worker(2)
        until(lambda: sum(job.finished for job in map(shop.job, jobs)) == 3, "another worker runs them")
        (waits,) = [job for job in map(shop.job, jobs) if not job.finished]
        assert (waits.state, waits.lease, waits.started_at) == (JobState.PROCESSING, 1, None)
    done = shop.finished(*jobs)
    assert {(job.state, job.attempts, job.lost) for job in done} == {(JobState.COMPLETED, 1, 0)}
    elsewhere.stop()
    assert shop.store.workers() == [row]


def test_a_stop_does_not_wait_for_a_machine_without_room(shop: Workshop) -> None:
    job = shop.enqueue("true")
    before = a_worker("before~1")
    shop.store.register(before)
    (claimed,) = shop.store.claim(before.grip, before.host, 1, [])
    shop.store.record(before.grip, [Change(job=claimed, event=GivenBack())])
    shop.store.deregister(before.grip)
    shop.client.hold([job])
    worker = shop.worker()
    (row,) = shop.store.workers()
    with files_left(row.pid, 0):
        shop.client.release([job])
        shop.started(job)  # on record, since it had been given back before
        assert worker.stop() == 0
        assert (shop.job(job).state, shop.job(job).attempts, shop.job(job).lost) == (JobState.PENDING, 0, 0)


def test_idle_slots_free_files_for_a_command_that_needs_two(shop: Workshop, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    shop.worker(2)
    (row,) = shop.store.workers()
    pair = shop.enqueue_all([{"command": f"while [ ! -e {gate} ]; do sleep 0.05; done"}] * 2)
    shop.started(*pair)
    with files_left(row.pid, FILES_BESIDE):
        gate.touch()
        shop.finished(*pair)
        job = shop.enqueue("echo out; echo err >&2", split_output=True)
        shop.finished(job)
    assert (shop.output(job), shop.output(job, stream=2)) == (b"out\n", b"err\n")


@on_each_store
def test_an_environment_that_is_no_text_harms_nobody_else(shop: Workshop, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    shop.worker(2)
    other = shop.enqueue(f"until test -e {gate}; do sleep 0.01; done")
    until(lambda: shop.job(other).started_at is not None, "the other one runs")
    odd = {"bytes": "\udce9", "none": "\ud800"}
    shop.store.insert(
        a_job(name, at=shop.store.now(), command='printf %s "$ODD"', spec=Spec(max_retries=0, env={"ODD": value}))
        for name, value in odd.items()
    )
    taken, refused = shop.finished(*odd)
    gate.touch()
    (unharmed,) = shop.finished(other)
    assert (unharmed.state, unharmed.starts, unharmed.lost) == (JobState.COMPLETED, 1, 0)
    assert (taken.state, shop.output("bytes")) == (JobState.COMPLETED, b"\xe9")
    assert refused.state is JobState.DEAD
    assert (refused.error or "").startswith("cannot be run with this environment")


def test_a_killed_command_tells_its_signal(shop: Workshop) -> None:
    job = shop.enqueue("kill -SEGV $$", max_retries=0)
    shop.worker()
    (dead,) = shop.finished(job)
    assert (dead.state, dead.exit_code, dead.signal, dead.error) == (JobState.DEAD, None, 11, "killed by signal 11")


def test_what_a_command_leaves_running_is_named_and_not_touched(shop: Workshop) -> None:
    left, after = shop.enqueue("sleep 300 & echo hi"), shop.enqueue("echo after")
    shop.worker(1)
    shop.finished(left, after)
    (attempt,) = shop.store.attempts(shop.job(left))
    assert shop.output(left) == b"hi\n"
    assert shop.output(after) == b"after\n"
    assert attempt.leftover
    assert "(pid " in attempt.leftover
    assert len(shop.commands()) == 1


@on_each_store
def test_time_and_memory_of_a_command_are_accounted(shop: Workshop) -> None:
    job = shop.enqueue("head -c 150000000 /dev/zero | tail -c 100000000 | wc -c >/dev/null")
    shop.worker()
    (done,) = shop.finished(job)
    assert done.cpu_time is not None
    assert done.cpu_time > 0
    assert done.max_rss is not None
    assert done.max_rss > 50_000_000


@on_each_store
def test_following_shows_a_running_commands_output_and_ends_with_it(shop: Workshop, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = shop.enqueue(f"echo early; while [ ! -e {gate} ]; do sleep 0.05; done; echo late")
    shop.worker()
    pieces = following.follow(shop.store, job, None, None)
    assert next(pieces) == (1, b"early\n")
    gate.touch()
    assert b"".join(data for _, data in pieces) == b"late\n"


@on_each_store
def test_following_goes_on_over_retries(shop: Workshop) -> None:
    job = shop.enqueue("echo try $QUEUECTL_ATTEMPT; exit 1", max_retries=2, backoff_initial=0.1, backoff_base=1)
    shop.worker()
    told = b"".join(data for _, data in following.follow(shop.store, job, None, None))
    assert told == b"try 1\ntry 2\ntry 3\n"


@on_each_store
def test_waiting_ends_with_the_last_job(shop: Workshop) -> None:
    jobs = shop.enqueue_all([{"command": "true"}, {"command": "exit 4", "max_retries": 0}])
    shop.worker()
    assert {job.exit_code for job in waiting.wait(shop.store, jobs, False, 30)} == {0, 4}


@on_each_store
def test_progress_of_a_running_command_can_be_read_in_between(shop: Workshop, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = shop.enqueue(f"seq 3; while [ ! -e {gate} ]; do sleep 0.05; done")
    shop.worker()
    shop.started(job)
    until(lambda: list(following.read(shop.store, shop.job(job), None, None, 2)) == [(1, b"2\n3\n")])
    gate.touch()
    shop.finished(job)
