"""What commands write: kept whole, bounded on disk, and nobody's concern once they have ended."""

from __future__ import annotations

import os
import resource
import shutil
import signal
from pathlib import Path

import pytest

from queuectl.client import following
from queuectl.domain.job import JobState
from queuectl.engine.supervise import descriptors
from tests.needs import lacks
from tests.stores import on_each_store
from tests.workshop import Workshop, until

GATED = "while [ ! -e {} ]; do sleep 0.05; done"


@pytest.mark.parametrize(
    ("command", "written"),
    [
        ("echo first; echo warn > /dev/stderr; echo last", b"first\nwarn\nlast\n"),
        ("echo first; echo warn | tee /dev/stderr; echo last", b"first\nwarn\nwarn\nlast\n"),
        ("echo first; cat /dev/null > /dev/stdout; echo last", b"first\nlast\n"),
        ("yes | head -n 30000; echo warn > /dev/stderr; echo last", b"y\n" * 30000 + b"warn\nlast\n"),
    ],
)  # fmt: skip
def test_output_opened_again_by_its_name_loses_nothing(shop: Workshop, command: str, written: bytes) -> None:
    job = shop.enqueue(command)
    shop.worker()
    shop.finished(job)
    assert shop.output(job) == written


def test_another_user_may_open_its_output_again(shop: Workshop) -> None:
    if os.geteuid() != 0:
        lacks("the right to become another user", "run as root")
    job = shop.enqueue("setpriv --reuid 65534 --clear-groups sh -c 'echo one; echo two > /dev/stderr'", cwd="/")
    shop.worker()
    shop.finished(job)
    assert shop.output(job) == b"one\ntwo\n"


@on_each_store
def test_a_follower_sees_what_came_before_and_after_a_reopening(shop: Workshop, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = shop.enqueue(f"echo early; echo warn > /dev/stderr; {GATED.format(gate)}; echo late")
    shop.worker()
    pieces = following.follow(shop.store, job, None, None)
    seen = b""
    while seen != b"early\nwarn\n":
        seen += next(pieces)[1]
    gate.touch()
    assert b"".join(data for _, data in pieces) == b"late\n"


@on_each_store
def test_following_from_the_last_lines_begins_at_the_end_of_what_is_there(shop: Workshop, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = shop.enqueue(f"seq 400000; {GATED.format(gate)}; seq 3")
    shop.worker()
    shop.started(job)
    until(lambda: following.tail(shop.store, shop.job(job)).endswith("\n400000\n"), "it has written")
    pieces = following.follow(shop.store, job, None, 2)
    assert next(pieces) == (1, b"399999\n400000\n")
    gate.touch()
    assert b"".join(data for _, data in pieces) == b"1\n2\n3\n"


@on_each_store
def test_following_from_the_last_lines_takes_them_of_each_stream(shop: Workshop) -> None:
    job = shop.enqueue("seq 5; seq 11 15 >&2", split_output=True)
    shop.worker()
    shop.finished(job)
    for lines, seen in ((2, {(1, b"4\n5\n"), (2, b"14\n15\n")}), (0, set())):
        assert set(following.follow(shop.store, job, None, lines)) == seen


@on_each_store
def test_following_from_the_last_lines_takes_all_of_what_has_yet_to_begin(shop: Workshop) -> None:
    job = shop.enqueue("seq 1 50", held=True)
    shop.worker()
    pieces = following.follow(shop.store, job, None, 2, ticks=True)
    assert next(pieces) == (0, b"")
    shop.client.release(job)
    assert b"".join(data for _, data in pieces) == b"".join(b"%d\n" % number for number in range(1, 51))


def test_leftover_processes_write_no_file_and_outlive_the_worker(shop: Workshop) -> None:
    job, after = shop.enqueue("yes & echo started"), shop.enqueue("echo after")
    worker = shop.worker(1)
    assert [each.state for each in shop.finished(job, after)] == [JobState.COMPLETED] * 2
    assert shop.output(job).endswith(b"started\n") or b"started\n" in shop.output(job)
    assert shop.output(after) == b"after\n"
    (left,) = shop.commands()
    assert [path for path in _open_files(left) if path.startswith(str(shop.folder))] == []
    assert worker.stop() == 0
    written = _bytes_written(left)
    until(lambda: _bytes_written(left) > written + (1 << 20), "it goes on writing")
    os.kill(left, signal.SIGKILL)


def test_what_a_command_leaves_running_outlives_a_killed_supervisor(shop: Workshop) -> None:
    job = shop.enqueue("(while :; do echo tick || exit; sleep 0.05; done) & echo started")
    worker = shop.worker(1)
    shop.finished(job)
    (row,) = shop.supervisors()
    left = [pid for pid in shop.commands() if _name(pid) == "sh"]
    written = _bytes_written(left[0])
    worker.kill()
    until(lambda: not shop.supervisors(), "the supervisor leaves")
    until(lambda: _bytes_written(left[0]) > written + 10, "it goes on writing")
    assert row.id not in [each.id for each in shop.supervisors()]


def test_the_middle_of_a_huge_output_takes_no_space(shop: Workshop, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    shop.client.set_setting("output-max", "1mb")
    job = shop.enqueue(f"head -c 300000000 /dev/zero | tr '\\0' x; echo END; {GATED.format(gate)}")
    shop.worker(1)
    folder = shop.store.folder / "workers"
    until(lambda: any(path.stat().st_size == 300000004 for path in folder.rglob("slot-*")), "all is written")
    (path,) = [path for path in folder.rglob("slot-*") if path.stat().st_size]
    assert path.stat().st_blocks * 512 < 5 << 20
    gate.touch()
    shop.finished(job)
    (kept,) = shop.store.outputs(shop.job(job), 1)
    assert (kept.head[:3], kept.tail[-5:]) == (b"xxx", b"xEND\n")
    assert len(kept.head) + kept.cut_bytes + len(kept.tail) == 300000004


def test_many_slots_open_more_files_than_commands_may(shop: Workshop) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        shop.worker(400)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    jobs = shop.enqueue_all([{"command": "ulimit -n; sleep 1"}] * 300)
    shop.finished(*jobs)
    assert {shop.output(job) for job in jobs} == {b"256\n"}


@pytest.mark.skipif(not shutil.which("prlimit"), reason="needs prlimit")
def test_a_worker_that_its_limit_of_files_lets_start_uses_all_slots(shop: Workshop, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    shop.worker(2, under=["prlimit", f"--nofile={descriptors.needed(2)}"])
    jobs = shop.enqueue_all([{"command": GATED.format(gate), "split_output": True}] * 2)
    shop.started(*jobs)
    gate.touch()
    assert {job.state for job in shop.finished(*jobs)} == {JobState.COMPLETED}


def _open_files(pid: int) -> list[str]:
    return [os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()]


def _bytes_written(pid: int) -> int:
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("wchar")).split()[1])


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""  # it has just ended
