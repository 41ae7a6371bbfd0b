"""A path that hangs costs the jobs that name it, and nobody else."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from queuectl.domain.errors import Invalid
from queuectl.domain.job import JobState
from queuectl.engine.dispatch import secrets
from queuectl.engine.dispatch.secrets import READ_WITHIN_S, Secrets
from queuectl.engine.supervise import starting
from queuectl.engine.supervise.hanging import CHANGED, Mounts
from tests.engine.test_secrets import a_file
from tests.hung import hung_file_system, lease_on, mounts_of_our_own, why_none
from tests.workshop import PATIENCE_S, open_workshop, until

PATHS = [("cwd", "{}"), ("stdin", "{}/file"), ("output_path", "{}/file"), ("shell", "{}/sh"), ("cwd", "{}")]
WORDS = ["cannot enter folder {}", "cannot read stdin file {}/file", "cannot write output file {}/file",
         "cannot execute {}/sh"]  # fmt: skip


@pytest.fixture
def hung(tmp_path: Path) -> Iterator[Path]:
    """A folder in which nothing ever answers."""
    if reason := why_none():
        pytest.skip(reason)
    place = tmp_path / "hung"
    place.mkdir()
    with mounts_of_our_own(), hung_file_system(place):
        yield place


def test_jobs_that_hang_cost_their_neighbours_nothing_and_fail_by_themselves(hung: Path, tmp_path: Path) -> None:
    with open_workshop(tmp_path) as shop:
        cancelled, limited = shop.enqueue("sleep 300"), shop.enqueue("sleep 300", timeout=3.0, max_retries=0)
        worker = shop.worker(9, "--queue", "default", "--poll", "1")
        row, *others = shop.store.workers()
        shop.started(cancelled, limited)
        hang = shop.enqueue_all(
            [{"command": "true", "max_retries": 0, "kill_grace": 0.1, key: path.format(hung)} for key, path in PATHS]
        )
        shop.started(*hang)
        shop.finished(shop.enqueue("echo other"))
        shop.client.cancel([cancelled, hang[-1]])
        states = [job.state for job in shop.finished(cancelled, limited, hang[-1])]
        assert states == [JobState.CANCELLED, JobState.DEAD, JobState.CANCELLED]
        host, within = os.uname().nodename, f"{starting.START_WITHIN_S:g} s"
        for job, what in zip(shop.finished(*hang[:-1]), WORDS, strict=True):
            assert (job.state, job.lost) == (JobState.DEAD, 0)
            said = re.escape(f"{what.format(hung)}: no answer within {within} on host {host}; could not be ended: ")
            assert re.fullmatch(said + r"\S+ \(pid \d+\)", job.error or ""), job.error
        shop.finished(*shop.enqueue_all([{"command": "true"}] * 20))
        assert [each.id for each in shop.store.workers()] == [row.id, *(each.id for each in others)]
        assert worker.stop() == 0


@pytest.mark.parametrize("field", ["stdin", "output_path"])
def test_a_file_under_a_lease_hinders_no_other_job(tmp_path: Path, field: str) -> None:
    path = tmp_path / "file"
    with open_workshop(tmp_path) as shop:
        shop.worker(2)
        (row,) = shop.store.workers()
        with lease_on(path):
            waits = shop.enqueue("echo done", **{field: str(path)})
            shop.started(waits)
            others = shop.enqueue_all([{"command": "true"}] * 20)
            shop.finished(*others)
            assert not shop.job(waits).finished
        (done,) = shop.finished(waits)
        assert (done.state, done.lost, shop.output(waits)) == (JobState.COMPLETED, 0, b"done\n")
        assert [each.id for each in shop.store.workers()] == [row.id]


def test_beside_a_file_system_that_may_hang_jobs_run_as_ever(hung: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with open_workshop(tmp_path) as shop:
        shop.worker(2)
        fields: list[dict[str, Any]] = [
            {"command": "echo $PWD; umask", "cwd": str(tmp_path), "umask": "027"},
            {"command": ["printf", "%s", "a b"]},
            {"command": "echo out; echo err >&2", "split_output": True},
            {"command": "echo file", "output_path": str(out)},
            {"command": "exit 7"},
            {"command": ["no-such-program"]},
            {"command": "true", "cwd": "/nowhere"},
            {"command": "sleep 300", "timeout": 0.3},
        ]
        for _ in range(2):  # the second time their paths are known to be local
            jobs = shop.enqueue_all([{"max_retries": 0, **each} for each in fields])
            found = shop.finished(*jobs)
            states = [job.state.value for job in found]
            assert states == ["completed"] * 4 + ["dead"] * 4
            written = [shop.output(job) for job in jobs]
            assert written[:4] == [f"{tmp_path}\n0027\n".encode(), b"a b", b"out\n", b"file\n"]
            assert shop.output(jobs[2], stream=2) == b"err\n"
            assert out.read_text() == "file\n"
            assert [job.exit_code for job in found][4:6] == [7, 127]
            assert found[5].error == "command not found: no-such-program"
            assert (found[6].error or "").startswith("cannot enter folder /nowhere on host ")
            assert found[7].error == "timed out after 0.3s"


def test_mounts_that_may_hang_are_seen_when_they_come(tmp_path: Path) -> None:
    if reason := why_none():
        pytest.skip(reason)
    place = tmp_path / "a b"
    place.mkdir()
    with mounts_of_our_own():
        mounts, poll = Mounts(), select.poll()
        poll.register(mounts.handle, CHANGED)
        assert not poll.poll(0)
        assert not mounts.holds(str(place))
        with hung_file_system(place):
            assert poll.poll(0)
            before = mounts.generation
            mounts.refresh()
            assert (mounts.any, mounts.generation) == (True, before + 1)
            assert (mounts.holds(f"{place}/x"), mounts.holds(f"{place}x")) == (True, False)


def test_links_to_a_mount_that_may_hang_are_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = Mounts()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    monkeypatch.setattr(mounts, "_places", [str(tmp_path / "there")])
    assert mounts.hold_any([str(tmp_path / "link" / "x")])
    assert not mounts.hold_any([str(tmp_path / "elsewhere")])
    (tmp_path / "round").symlink_to("round")
    assert not mounts.hold_any([str(tmp_path / "round" / "x")])


def test_a_command_line_that_names_a_path_that_hangs_does_not(hung: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(f"../{tmp_path.name}/hung")
    queuectl = [sys.executable, "-m", "queuectl", "--db", str(tmp_path / "q.db")]
    for place in (hung, tmp_path / "link" / ".." / "link"):
        named = f"--cwd {place} --stdin {place}/file --output {place}/file --shell {place}/sh".split()
        done = subprocess.run(
            [*queuectl, "enqueue", *named, "-c", "true"], capture_output=True, text=True, timeout=PATIENCE_S, check=True
        )
        assert "here (--" not in done.stderr
    words = ["schedule", "add", "s", "--cron", "@daily", *named, "-c", "true"]
    done = subprocess.run([*queuectl, *words], capture_output=True, text=True, timeout=PATIENCE_S)
    assert "here (--" not in done.stderr


def test_a_start_that_takes_too_long_is_killed_and_then_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "START_WITHIN_S", 0.05)
    patience = starting.Patience[str]()

    def hang(step: starting.Step) -> None:
        step("cannot read stdin file /x")
        time.sleep(300)

    start = starting.start_apart(hang, 77 << 32, (), lambda: None)
    until(lambda: start.is_over() or b"/x" in start._said, "it has said what it waits for")
    patience.begin("run", start)
    until(lambda: patience.step(time.monotonic()) or start.failure)
    until(lambda: os.waitpid(start.pid, os.WNOHANG)[0], "it is killed")
    start.judge()
    assert start.failure
    assert start.failure.reason.startswith("cannot read stdin file /x: no answer within 0.05 s on host ")


def test_a_secrets_file_that_hangs_costs_only_the_jobs_that_need_it(hung: Path, tmp_path: Path) -> None:
    (there := tmp_path / "there").mkdir()
    path = a_file(there, "CODE=7\n")
    (way := tmp_path / "way").symlink_to(there)
    with open_workshop(tmp_path) as shop:
        worker = shop.worker(3, "--secrets", str(way / path.name))
        fields: dict[str, Any] = {"command": "exit $CODE", "secrets": ["CODE"], "max_retries": 0}
        (well,) = shop.finished(shop.enqueue(**fields))
        assert well.exit_code == 7
        limited, cancelled = shop.enqueue("sleep 300", timeout=1.0, max_retries=0), shop.enqueue("sleep 300")
        shop.started(limited, cancelled)
        way.unlink()
        way.symlink_to(hung)
        needs = [shop.enqueue(**fields) for _ in range(5)]
        shop.finished(shop.enqueue("true"))
        late = f"cannot read secrets file {way / path.name}: no answer within {READ_WITHIN_S:g} s on host "
        for job in shop.finished(*needs):
            assert (job.state, (job.error or "").startswith(late)) == (JobState.DEAD, True), job.error
        shop.client.cancel([cancelled])
        assert [job.state for job in shop.finished(limited, cancelled)] == [JobState.DEAD, JobState.CANCELLED]
        assert worker.stop() == 0


def test_a_secrets_file_under_a_lease_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, secrets_file = a_file(tmp_path, "CODE=7\n"), Secrets(str(tmp_path / "secrets.env"))
    monkeypatch.setattr(secrets, "READ_WITHIN_S", 0.2)
    with lease_on(path):
        for _ in range(2):
            with pytest.raises(Invalid, match="no answer within"):
                secrets_file.values(["CODE"])
    monkeypatch.setattr(secrets_file, "_again_at", 0.0)
    assert secrets_file.values(["CODE"]) == {"CODE": "7"}
