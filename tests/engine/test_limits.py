"""Limits of a command: its memory, its niceness, its user."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from queuectl.domain.job import JobState, Outcome
from queuectl.engine.supervise import memory, oom
from tests.server import UNPRIVILEGED
from tests.workshop import Workshop

PYTHON = sys.executable
HOG = f"{PYTHON} -c 'import time; kept = bytearray(150 << 20); time.sleep(600)'"
"""Takes 150 MB and keeps it."""
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="run the tests as root")


def test_of_ten_commands_only_the_hog_fails_and_says_why(shop: Workshop, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    quiet = [shop.enqueue(f"until test -e {gate}; do sleep 0.1; done", memory_max="64m") for _ in range(9)]
    hog = shop.enqueue(f"{HOG} & {HOG} & wait", memory_max="250m", max_retries=0)
    shop.worker(10)
    (ended,) = shop.finished(hog)
    assert (ended.state, ended.signal) == (JobState.DEAD, 9)
    assert ended.error is not None
    assert ended.error.startswith("memory limit 250m exceeded (")
    assert [attempt.outcome for attempt in shop.client.history(hog).attempts] == [Outcome.FAILED]
    gate.touch()
    assert {job.state for job in shop.finished(*quiet)} == {JobState.COMPLETED}


SHARING = """
import mmap, os, sys, time
shared = bytearray(b"x") * (64 << 20)
whole = mmap.mmap(os.open(sys.argv[1], os.O_RDONLY), 0, access=mmap.ACCESS_READ)
sum(whole[::4096])
children = [os.fork() or time.sleep(600) for _ in range(3)]
print(os.getpid(), *children, flush=True)
time.sleep(600)
"""


ONCE_LARGE = """
import os
from queuectl.engine.supervise import process
bytearray(b"x") * (200 << 20)
words = {"shell": "/bin/sh", "may_skip_shell": True, "env": {}, "stdin": None, "stdout": 1, "stderr": 2, "tag": 1}
print(os.wait4(process.spawn(["/bin/true"], **words), 0)[2].ru_maxrss)
"""


def test_a_command_is_not_told_to_have_held_what_its_supervisor_once_held() -> None:
    done = subprocess.run([PYTHON, "-c", ONCE_LARGE], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100 << 10


SMALL = """
import os, sys
from types import SimpleNamespace
from queuectl.engine.supervise.cgroups import Group
from queuectl.engine.supervise.execution import Run
pid = os.fork() or os.execv("/bin/true", ["true"])
tree, group = SimpleNamespace(pid=pid), Group(sys.argv[1])
run = SimpleNamespace(exit=(0, None), cpu_time=None, max_rss=None, tree=tree, group=group)
Run.account(run)
print(run.max_rss)
"""


def test_a_small_command_in_a_control_group_has_the_figure_of_the_group(tmp_path: Path) -> None:
    def told() -> str:
        return subprocess.check_output([PYTHON, "-c", SMALL, tmp_path], text=True).strip()

    assert told() == "None"
    (tmp_path / "memory.peak").write_text("2097152\n")
    assert told() == "2097152"


def test_shared_memory_counts_once_and_mapped_files_not_at_all(disk_path: Path) -> None:
    file = disk_path / "large"
    file.write_bytes(bytes(64 << 20))
    with subprocess.Popen([PYTHON, "-c", SHARING, file], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        try:
            assert sum(map(memory.resident, pids)) > 5 * (64 << 20)
            assert 64 << 20 < sum(map(memory.share, pids)) < 2 * (64 << 20)
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGKILL)


def test_the_message_names_limit_and_use_as_people_write_sizes() -> None:
    assert memory.exceeded(4 << 30, (4 << 30) + 1) == "memory limit 4g exceeded (4.1g)"
    assert memory.exceeded(64 << 20, 152_000_000) == "memory limit 64m exceeded (145m)"


def test_a_retry_follows_an_end_for_memory(shop: Workshop, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    job = shop.enqueue(f"test -e {mark} || {{ touch {mark}; {HOG}; }}", memory_max="64m", backoff_initial=0)
    shop.worker(1)
    (ended,) = shop.finished(job)
    assert (ended.state, ended.attempts) == (JobState.COMPLETED, 2)


def test_a_worker_tells_what_keeps_memory_limits(shop: Workshop) -> None:
    shop.worker(1)
    (worker,) = shop.client.workers()
    assert worker.memory_limits in ("cgroup", "look")


def test_a_command_has_the_niceness_it_asked_for(shop: Workshop) -> None:
    job = shop.enqueue("nice; cat /proc/self/autogroup 2>/dev/null | sed 's/.* //' | grep -v '^7$' || true", nice=7)
    plain = shop.enqueue("nice")
    shop.worker(1)
    shop.finished(job, plain)
    assert (shop.output(job), shop.output(plain)) == (b"7\n", b"%d\n" % os.nice(0))


@needs_root
def test_a_command_runs_as_its_user_and_is_ended_as_any(shop: Workshop, tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    told = "id -u; id -G; echo $HOME $USER $LOGNAME; echo again > /dev/stdout"
    job = shop.enqueue(told, user="nobody", cwd="/")
    given = shop.enqueue("echo $HOME", user="nobody", cwd="/", env={"HOME": "/given"})
    slow = shop.enqueue(
        "trap '' TERM; sleep 600 & sleep 600", user="nobody", cwd="/", timeout=1, kill_grace=0, max_retries=0
    )
    shop.worker(1, HOME="/root", USER="root", LOGNAME="root")
    shop.finished(job, given, slow)
    uid, gid, home = nobody.pw_uid, nobody.pw_gid, nobody.pw_dir
    assert shop.output(job).decode() == f"{uid}\n{gid}\n{home} nobody nobody\nagain\n"
    assert shop.output(given) == b"/given\n"
    assert shop.job(slow).error == "timed out after 1s"


@needs_root
def test_a_user_that_is_not_there_fails_the_job_with_its_name_and_host(shop: Workshop) -> None:
    job = shop.enqueue("true", user="no-such-user", max_retries=0)
    shop.worker(1)
    (ended,) = shop.finished(job)
    assert ended.error == f"cannot run as user no-such-user: host {os.uname().nodename} has no such user"


@needs_root
def test_files_are_opened_as_the_user(shop: Workshop, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    job = shop.enqueue("true", user="nobody", cwd=str(tmp_path), max_retries=0)
    shop.worker(1)
    (ended,) = shop.finished(job)
    assert ended.error == f"cannot enter folder {tmp_path} on host {os.uname().nodename}: Permission denied"


def test_a_worker_that_is_not_root_refuses_what_only_root_may(shop: Workshop) -> None:
    user = shop.enqueue("true", user="root", cwd="/", max_retries=0)
    nice = shop.enqueue("true", nice=-5, cwd="/", max_retries=0)
    shop.worker(1, under=UNPRIVILEGED)
    errors = [job.error for job in shop.finished(user, nice)]
    host = os.uname().nodename
    assert errors == [
        f"cannot run as user root on host {host}: the worker is not root",
        f"cannot run with niceness -5 on host {host}: only root may set it so low",
    ]


KILLED = b"Killed process 321 (python3) total-vm:166992kB, anon-rss:146252kB, UID:0 pgtables:356kB oom_score_adj:0"


@pytest.mark.parametrize(
    ("record", "is_it"),
    [
        (b"3,1234,90000000,-;Out of memory: " + KILLED, True),
        (b"3,1234,90000000,-;Memory cgroup out of memory: " + KILLED, True),
        (b"3,1234,79000000,-;Out of memory: " + KILLED, False),
        (b"3,1234,90000000,-;Out of memory: " + KILLED.replace(b"321", b"3210"), False),
        (b"3,1234,90000000,-;Out of memory: " + KILLED.replace(b"python3", b"postgres"), False),
        (b"6,1234,90000000,-;oom_reaper: reaped process 321 (python3)", False),
        (b"", False),
    ],
)
def test_the_kernels_log_names_a_process_by_pid_name_and_time(record: bytes, is_it: bool) -> None:
    assert oom.is_named(record, 321, b"python3", since=80.0) is is_it


def test_an_end_that_the_kernel_counts_explains_one_command(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = [7]
    monkeypatch.setattr(oom, "ends", lambda: counted[0])
    killer = oom.OomKiller()
    run: Any = SimpleNamespace(pid=0, exit=(None, 9), tree=SimpleNamespace(since=0.0))
    counted[0] += 1
    verdicts = [killer.verdict(run, time.monotonic()) for _ in range(2)]
    host = os.uname().nodename
    probably = f"probably by the kernel's OOM killer, which ended one process on host {host} in the last 0 s"
    assert verdicts == [f"killed by signal 9: {probably}", None]


def test_what_the_kernel_ended_while_nothing_ran_explains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = [7]
    monkeypatch.setattr(oom, "ends", lambda: counted[0])
    killer, run = oom.OomKiller(), SimpleNamespace(pid=0, exit=(None, 9), tree=SimpleNamespace(since=0.0))
    counted[0] += 1
    later = time.monotonic() + 10 * oom.LOOK_EVERY_S
    killer.look(later)
    assert killer.verdict(run, later) is None  # type: ignore[arg-type]
    counted[0] += 1
    verdict = killer.verdict(run, later + 1)  # type: ignore[arg-type]
    assert verdict is not None
    assert verdict.endswith("which ended one process on host " + os.uname().nodename + " in the last 1 s")


def test_a_kill_that_the_kernel_did_not_count_is_not_blamed_on_it(shop: Workshop) -> None:
    job = shop.enqueue("kill -KILL $$", max_retries=0)
    shop.worker(1)
    (ended,) = shop.finished(job)
    assert ended.error == "killed by signal 9"


def test_in_a_control_group_the_kernel_keeps_the_limit(shop: Workshop) -> None:
    shop.worker(1)
    if shop.client.workers()[0].memory_limits != "cgroup":
        pytest.skip("no control group (cgroup v2) is given to the tests: systemd-run -p Delegate=yes make test")
    (ended,) = shop.finished(shop.enqueue(HOG, memory_max="64m", max_retries=0))
    assert ended.error == "memory limit 64m exceeded (ended by the kernel)"
