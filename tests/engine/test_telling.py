"""What commands tell of themselves while they run, and at their end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from queuectl.domain.job import JobState
from queuectl.engine.supervise.told import NOTHING, Telling, told_in
from queuectl.wire.results import checked_result
from tests.stores import on_each_store
from tests.workshop import Workshop, until


@on_each_store
def test_progress_outlives_the_dispatcher_and_goes_on_after_a_take_over(shop: Workshop, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = shop.enqueue(
        f"echo 10 early > $QUEUECTL_PROGRESS; while [ ! -e {gate} ]; do sleep 0.05; done; "
        "echo 90 late >> $QUEUECTL_PROGRESS; sleep 2; echo '{\"frames\": 7}' > $QUEUECTL_RESULT"
    )
    first = shop.worker(1)
    until(lambda: shop.job(job).progress == "10 early", "it tells of its progress")
    first.kill()
    gate.touch()
    shop.worker(1)
    until(lambda: shop.job(job).progress == "90 late", "its new dispatcher hears of its progress")
    (done,) = shop.finished(job)
    assert (done.state, done.starts, done.result) == (JobState.COMPLETED, 1, '{"frames":7}')


def test_a_large_result_that_only_a_journal_knows_is_kept(shop: Workshop, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = shop.enqueue(
        f"while [ ! -e {gate} ]; do sleep 0.02; done; seq -s , 1 9000 | sed 's/.*/[&]/' > $QUEUECTL_RESULT"
    )
    worker = shop.worker(1)
    shop.started(job)
    worker.kill()
    gate.touch()
    until(lambda: not shop.commands(), "the command and its supervisor have ended")
    shop.worker(1)
    (done,) = shop.finished(job)
    assert done.starts == 1
    assert done.result is not None
    assert done.result.startswith("[1,2,3,")
    assert len(done.result) > 40_000


@pytest.mark.parametrize(
    ("command", "note"),
    [
        ("echo '{bad' > $QUEUECTL_RESULT", "it is not JSON"),
        ("head -c 70000 /dev/zero > $QUEUECTL_RESULT", "70,000 bytes; the limit is 65,536"),
        ("mkfifo $QUEUECTL_RESULT $QUEUECTL_PROGRESS", "it is not a regular file"),
        ("ln -s /etc/passwd $QUEUECTL_RESULT", "it is not a file that can be read"),
    ],
)
def test_what_is_no_result_fails_no_job_and_is_noted(shop: Workshop, command: str, note: str) -> None:
    job = shop.enqueue(command)
    shop.worker(1)
    (done,) = shop.finished(job)
    assert (done.state, done.result) == (JobState.COMPLETED, None)
    (attempt,) = shop.store.attempts(done)
    assert attempt.note is not None
    assert note in attempt.note


def test_a_process_left_running_tells_nothing_of_the_next_command(shop: Workshop, tmp_path: Path) -> None:
    gate, told = tmp_path / "gate", tmp_path / "told"
    first = shop.enqueue(
        f"(while [ ! -e {gate} ]; do sleep 0.02; done; echo 99 > $QUEUECTL_PROGRESS; touch {told}) > /dev/null 2>&1 &"
    )
    shop.worker(1)
    shop.finished(first)
    next_one = shop.enqueue(f"touch {gate}; while [ ! -e {told} ]; do sleep 0.02; done")
    (done,) = shop.finished(next_one)
    assert done.progress is None


@pytest.mark.parametrize(
    "mess", ["rm -r", "mv $D $D.old; :", "mkdir $D/progress; mv $D $D.old; ln -s /", "mkdir $D/x; :"]
)
@on_each_store
def test_what_a_command_does_to_its_folder_is_its_own_loss(shop: Workshop, mess: str) -> None:
    first = shop.enqueue(f"D=$(dirname $QUEUECTL_RESULT); {mess} $D")
    next_one = shop.enqueue("echo 1 > $QUEUECTL_PROGRESS && echo 2 > $QUEUECTL_RESULT", max_retries=0)
    shop.worker(1)
    _, done = shop.finished(first, next_one)
    assert (done.state, done.progress, done.result) == (JobState.COMPLETED, "1", "2")


def a_telling(folder: Path) -> tuple[Telling, Path]:
    telling = Telling(folder, "slot-0", folder.parent)
    return telling, Path(os.fsdecode(telling.begin()[b"QUEUECTL_RESULT"])).parent


def test_a_command_that_tells_nothing_costs_one_look(tmp_path: Path) -> None:
    telling, folder = a_telling(tmp_path)
    assert telling.collect(False, 1000) is NOTHING
    assert telling.begin()[b"QUEUECTL_PROGRESS"] == os.fsencode(folder / "progress")
    (folder / "other").touch()
    assert telling.collect(False, 1000) == NOTHING
    telling.begin()
    assert telling.collect(False, 1000) is NOTHING
    assert list(folder.iterdir()) == []


def test_a_result_without_room_is_handed_over_as_a_file(tmp_path: Path) -> None:
    telling, folder = a_telling(tmp_path)
    (folder / "result").write_text('"' + "x" * 100 + '"')
    kept = telling.collect(False, 50).result
    assert kept is not None
    assert (tmp_path.parent / kept["path"]).stat().st_size == kept["size"] == 102
    assert not folder.exists()


def test_the_last_line_of_progress_counts_cut_and_printable(tmp_path: Path) -> None:
    telling, folder = a_telling(tmp_path)
    (folder / "progress").write_bytes(b"1\n" * 9000 + b"  40\tenc\x1b[31mod\xc3\xa9 \xff \n\n")
    assert telling.look()
    assert telling.progress == "40 enc\ufffd[31modé \ufffd"
    assert not telling.look()
    (folder / "progress").write_text("9" * 5000)
    assert telling.look()
    assert telling.progress == "9" * 200
    assert told_in(folder).progress == "9" * 200


@pytest.mark.parametrize(
    "text", [b"", b" \n", b"nan", b"[1e999]", b"-Infinity", b'"\\ud800"', b"\xff", b"{}{}", b"[" * 60000, b"9" * 5000]
)
def test_only_json_that_every_reader_takes_is_a_result(text: bytes) -> None:
    compact, note = checked_result(text)
    assert compact is None
    assert note is not None
    assert len(note) < 200
    assert "sys." not in note


def test_a_result_is_kept_compact(tmp_path: Path) -> None:
    assert checked_result(b'\n{"a": [1, 2.50, null, "\xc3\xa9\\u0000"]}\n') == ('{"a":[1,2.5,null,"é\\u0000"]}', None)
