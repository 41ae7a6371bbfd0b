"""`run`, `wait` and `logs`: a command's output and its exit code, as if it ran here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.conftest import Terminal, eventually


@pytest.fixture
def served(terminal: Terminal) -> Terminal:
    """A prompt with a worker behind it."""
    terminal.worker("--count 2")
    return terminal


@pytest.mark.parametrize(("command", "code"), [("true", 0), ("exit 7", 7), ("kill -9 $$", 137)])
def test_run_ends_as_its_command_does(served: Terminal, command: str, code: int) -> None:
    assert served.type(f"queuectl run -c '{command}'").code == code


def test_run_keeps_the_streams_apart(served: Terminal) -> None:
    done = served.good("queuectl run -c 'echo out; echo err >&2'")
    assert (done.out, done.err) == ("out\n", "err\n")


def test_run_keeps_the_order_where_both_streams_are_one(served: Terminal) -> None:
    done = served.good("queuectl run -c 'for i in 1 2 3; do echo o$i; echo e$i >&2; done' 2>&1")
    assert done.out == "o1\ne1\no2\ne2\no3\ne3\n"


def test_run_names_what_could_not_start(served: Terminal) -> None:
    done = served.type("queuectl run -- no-such-program")
    assert done.code == 127
    assert "no-such-program" in done.err


def test_run_as_json_says_why_a_job_is_dead_as_list_does(served: Terminal) -> None:
    done = served.type("queuectl run --json -c 'echo unseen; exit 7'")
    assert (done.code, done.json[0]["reason"]) == (7, "exit code 7")
    assert done.json == served.good("queuectl list --json").json


def waits(process: subprocess.Popen[str]) -> bool:
    """Whether it has the store open and listens for commits."""
    with suppress(FileNotFoundError):  # a file that it closes meanwhile
        return any("inotify" in os.path.realpath(handle) for handle in Path(f"/proc/{process.pid}/fd").iterdir())
    return False


def test_who_waits_is_told_when_the_store_is_removed(terminal: Terminal) -> None:
    terminal.good("queuectl enqueue --id held --hold -- true")
    waiting = {line: terminal.background(f"queuectl {line}") for line in ("wait held", "logs -f held", "run -- true")}
    eventually(lambda: all(map(waits, waiting.values())), "all of them wait")
    terminal.good("rm queuectl.db")
    assert {line: process.wait(60) for line, process in waiting.items()} == {
        "wait held": 125, "logs -f held": 5, "run -- true": 125,
    }  # fmt: skip


def test_run_waits_for_a_worker(terminal: Terminal) -> None:
    terminal.good("queuectl init")  # whoever looks before there is a store is refused
    running = terminal.background("queuectl run --id a -- echo hello")
    eventually(lambda: terminal.states() == {"a": "pending"}, "the job waits")
    terminal.worker()
    assert running.communicate(timeout=60)[0] == "hello\n"
    assert running.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_cancels_what_run_started(served: Terminal, number: int) -> None:
    running = served.background("queuectl run --id a -- sleep 600")
    eventually(lambda: served.states() == {"a": "processing"}, "the job runs")
    running.send_signal(number)
    assert running.wait(60) == 128 + number
    assert served.states() == {"a": "cancelled"}


def test_after_a_signal_run_shows_the_rest_of_the_output(served: Terminal) -> None:
    command = 'trap "echo bye; exit 3" TERM; seq 100000; echo >begun; sleep 600 & wait'
    running = served.background(f"queuectl run --id a -c '{command}' 2>said")
    eventually((served.folder / "begun").exists, "the command has printed more than a pipe takes")
    running.send_signal(signal.SIGINT)
    shown = running.communicate(timeout=60)[0]
    assert shown.endswith("100000\nbye\n")
    assert shown == served.good("queuectl logs a").out
    assert (running.returncode, (served.folder / "said").read_text()) == (130, "cancelling a…\ncancelled a\n")


@pytest.mark.parametrize(("option", "told"), [("", "cancelled a\n"), ("--keep", "job a goes on; follow it with")])
def test_run_leaves_no_job_behind_when_its_output_cannot_be_written(served: Terminal, option: str, told: str) -> None:
    command = "echo hello; until [ -e gate ]; do sleep 0.05; done"
    done = served.type(f"queuectl run --id a {option} -c '{command}' >/dev/full")
    assert (done.code, served.states()) == (125, {"a": "processing" if option else "cancelled"})
    assert told in done.err
    assert "cannot write the output: No space left on device" in done.err
    (served.folder / "gate").touch()


def test_a_second_signal_leaves_the_job_that_is_being_cancelled(served: Terminal) -> None:
    command = 'trap "" TERM; echo begun; until [ -e gate ]; do sleep 0.05; done'
    running = served.background(f"queuectl run --id a --kill-grace 10m -c '{command}' 2>&1")
    assert running.stdout is not None
    for line in ("begun\n", "cancelling a…\n"):
        assert running.stdout.readline() == line
        running.send_signal(signal.SIGINT)
    assert running.communicate(timeout=60)[0] == "job a is being cancelled\n"
    assert (running.returncode, served.states()) == (130, {"a": "processing"})
    (served.folder / "gate").touch()


def test_after_a_signal_run_tells_that_its_job_had_completed(served: Terminal) -> None:
    running = served.background("queuectl run --id a -- seq 100000 2>said")
    eventually(lambda: served.states() == {"a": "completed"}, "the job ends before its output is read")
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    told = "job a is completed: it had ended before it could be cancelled\n"
    assert (running.returncode, (served.folder / "said").read_text()) == (130, told)


def test_run_says_once_that_somebody_cancelled_its_job(served: Terminal) -> None:
    running = served.background("queuectl run --id a -- sleep 600 2>&1")
    eventually(lambda: served.states() == {"a": "processing"}, "the job runs")
    served.good("queuectl cancel a")
    assert running.communicate(timeout=60)[0] == "queuectl: job a is cancelled\n"


def test_with_keep_the_job_goes_on(served: Terminal) -> None:
    running = served.background("queuectl run --keep --id a -- sleep 600")
    eventually(lambda: served.states() == {"a": "processing"}, "the job runs")
    running.send_signal(signal.SIGINT)
    assert running.wait(60) == 130
    assert served.states() == {"a": "processing"}


def test_run_ends_with_its_reader(served: Terminal) -> None:
    assert served.type("queuectl run --id a -- yes | head -1").out == "y\n"
    assert served.states() == {"a": "cancelled"}


def test_wait_gives_the_highest_exit_code(served: Terminal) -> None:
    served.good("queuectl enqueue --id a -- true; queuectl enqueue --id b --max-retries 0 -c 'exit 3'")
    done = served.type("queuectl wait a b")
    assert done.code == 3
    assert sorted(done.out.splitlines()) == ["a completed", "b dead"]
    assert served.type("queuectl wait --all").code == 3
    none = served.type("queuectl wait --queue nothing")
    assert (none.code, none.err) == (3, "0 jobs\n")
    assert served.good("queuectl wait --queue nothing --allow-none").err == "0 jobs\n"
    assert {job["id"] for job in served.type("queuectl wait a b --json").json} == {"a", "b"}


def test_a_batch_grows_by_its_own_jobs_and_wait_gives_the_highest_exit_code(served: Terminal) -> None:
    add = f"{served.type('command -v queuectl').out.strip()} enqueue --max-retries 0"
    served.good(f"""queuectl enqueue --batch b -c '{add} --batch "$QUEUECTL_BATCH" -c "exit 5"; {add} -c "exit 9"'""")
    done = served.type("queuectl batch wait b")
    assert (done.code, done.out) == (5, "b: 2 jobs done, 1 failed\n")


def test_wait_for_any_ends_with_the_first(served: Terminal) -> None:
    served.good("queuectl enqueue --id a -- sleep 600; queuectl enqueue --id b -- true")
    assert served.good("queuectl wait a b --any").out == "b completed\n"


def test_wait_gives_up_after_its_timeout(terminal: Terminal) -> None:
    terminal.good("queuectl enqueue --id a -- true")
    done = terminal.type("queuectl wait a --timeout 100ms")
    assert (done.code, done.err) == (124, "queuectl: gave up after 100ms: a is pending; give a longer --timeout\n")
    done = terminal.type("queuectl wait a --timeout 100ms --json")
    assert (done.code, done.out, json.loads(done.err)["error"]["code"]) == (124, "", "timeout")


def test_what_never_ran_gives_125(terminal: Terminal) -> None:
    terminal.good("queuectl enqueue --id a -- true; queuectl cancel a")
    assert terminal.type("queuectl wait a").code == 125


def test_logs_are_the_bytes_that_were_written(served: Terminal) -> None:
    served.good(r"""queuectl enqueue --id a -c "printf '\\377\\000x\\n'; seq 5 >&2"; queuectl wait a""")
    served.good("queuectl logs a > out.bin")
    assert (served.folder / "out.bin").read_bytes() == b"\xff\0x\n1\n2\n3\n4\n5\n"
    assert served.good("queuectl logs a --tail 2").out == "4\n5\n"


def test_a_progress_bar_does_not_hide_the_error_before_it(served: Terminal) -> None:
    bar = r"""echo 'Error: quota'; for i in 1 2 3 4; do printf '\r%d%%' $i; done; exit 1"""
    served.good(f'queuectl enqueue --id a --max-retries 0 -c "{bar}"'.replace("$", r"\$"))
    served.type("queuectl wait a")
    assert served.good("queuectl logs a").out == "Error: quota\n\r1%\r2%\r3%\r4%"
    assert served.good("queuectl logs a --tail 3").out == "Error: quota\n4%"
    assert served.good("queuectl dlq list").out.splitlines()[2:] == ["  │ Error: quota", "  │ 4%"]
    assert served.good("queuectl dlq list --json").json[0]["output_tail"] == "Error: quota\n4%"


def test_logs_of_every_attempt(served: Terminal) -> None:
    served.good("queuectl enqueue --id a --max-retries 1 --backoff-initial 10ms -c 'echo $QUEUECTL_ATTEMPT; exit 1'")
    served.type("queuectl wait a")
    assert served.good("queuectl logs a").out == "2\n"
    assert served.good("queuectl logs a --attempt 1").out == "1\n"
    done = served.good("queuectl logs a --attempt all")
    assert (done.out, done.err) == ("1\n2\n", "==> attempt 1 <==\n==> attempt 2 <==\n")
    assert served.type("queuectl logs a --attempt 3").code == 3


def test_split_streams_can_be_read_apart(served: Terminal) -> None:
    served.good("queuectl enqueue --id a --split-output -c 'echo out; echo err >&2'; queuectl wait a")
    done = served.good("queuectl logs a")
    assert (done.out, done.err) == ("out\n", "err\n")
    assert served.good("queuectl logs a --stderr").out == "err\n"
    assert served.good("queuectl logs a --stdout").out == "out\n"


def test_logs_can_be_followed_before_the_job_starts(terminal: Terminal) -> None:
    terminal.good("queuectl enqueue --id a --max-retries 1 --backoff-initial 10ms -c 'echo $QUEUECTL_ATTEMPT; exit 1'")
    following = terminal.background("queuectl logs -f a")
    terminal.worker()
    assert following.communicate(timeout=60)[0] == "1\n2\n"
    assert following.returncode == 0


def test_a_job_that_has_not_run_has_no_logs(terminal: Terminal) -> None:
    terminal.good("queuectl enqueue --id a -- true")
    done = terminal.good("queuectl logs a")
    assert (done.out, done.err) == ("", 'job a has not run: no live worker serves queue "default"\n')
    terminal.good("queuectl enqueue --id b --after a -- true; queuectl cancel a")
    assert terminal.good("queuectl logs b").err == "job b has not run: job a is cancelled\n"


def test_logs_of_several_jobs_are_told_apart(served: Terminal) -> None:
    served.good("queuectl enqueue --id a -- echo one; queuectl enqueue --id b -- echo two; queuectl wait --all")
    done = served.good("queuectl logs --all")
    assert (done.out, done.err) == ("one\ntwo\n", "==> a attempt 1 <==\n==> b attempt 1 <==\n")
    assert [each["output"] for each in served.good("queuectl logs a b --json").json] == ["one\n", "two\n"]
    assert served.type("queuectl logs -f a b").code == 2


def test_headers_and_messages_begin_on_a_line_of_their_own(served: Terminal) -> None:
    served.good("queuectl run --id a -- printf one; queuectl run --id b -- printf two")
    both = "==> a attempt 1 <==\none\n==> b attempt 1 <==\ntwo"
    assert served.good("queuectl logs a b 2>&1").out == both
    assert served.good("queuectl logs a b").out == "onetwo"
    for words, said in (("logs a b", both), ("logs a nope", "one\nqueuectl: no job nope")):
        assert served.watched(f"queuectl {words}")[1].startswith(said)
    assert served.watched("queuectl run --id c -c 'printf one; kill $$'")[1].startswith("one\nqueuectl: job c is dead")
    assert served.type("queuectl logs a nope 2>&1").out.startswith("onequeuectl: no job nope")


@pytest.mark.parametrize(
    ("line", "end"), [("wait a", []), ("logs -f a", ["job a has not run: cancelled\n"]), ("batch wait b", [])]
)
def test_who_waits_is_told_once_why(terminal: Terminal, line: str, end: list[str]) -> None:
    terminal.good("queuectl enqueue --id a --batch b --hold -- true")
    terminal.good("queuectl enqueue --id later --delay 1h -- true; queuectl enqueue --id unserved -- true")
    waits, one, two, unserved = (
        terminal.waiting(f"queuectl {each}")
        for each in (line, "wait later", "wait later unserved", "--db queuectl.db wait unserved")
    )
    assert next(waits) == "waiting for a: held; let it run with: queuectl release a\n"
    assert next(one).startswith("waiting for later: scheduled for ")
    assert next(two).startswith("waiting for later and 1 more: scheduled")
    told = next(unserved)
    assert told.startswith('waiting for unserved: no live worker serves queue "default"; start one with: queuectl --db')
    terminal.good("queuectl cancel a")
    assert list(waits) == end


def test_wait_says_why_a_job_ended_without_an_exit_code(terminal: Terminal) -> None:
    terminal.good(
        "queuectl enqueue --id a --hold -- true; queuectl enqueue --id b --after a -- true; queuectl cancel a"
    )
    waited = terminal.type("queuectl wait a b")
    assert (waited.out, waited.err, waited.code) == ("a cancelled\nb cancelled\n", "b: job a is cancelled\n", 125)


def test_run_in_a_job_tells_that_it_waits_for_its_own_slot(terminal: Terminal) -> None:
    terminal.worker("--count 1")
    terminal.good("queuectl enqueue --id outer -c 'queuectl run --id inner -- true'")
    told = "waiting for inner: it needs a slot, and outer, which waits for it, holds the only slot"
    eventually(lambda: told in terminal.good("queuectl logs outer").out, "it tells")


def test_run_gives_up_what_does_not_start_in_time(terminal: Terminal) -> None:
    done = terminal.type("queuectl run --id a --start-timeout 100ms -- true")
    assert done.code == 125
    said = 'job a did not start within 100ms: no live worker serves queue "default"; it was cancelled'
    assert done.err.splitlines()[-1] == f"queuectl: {said}"
    assert terminal.states() == {"a": "cancelled"}
    kept = terminal.type("queuectl run --id b --start-timeout 0.1 --keep -- true")
    assert kept.code == 125
    assert "job b did not start within 100ms: " in kept.err
    assert terminal.states() == {"a": "cancelled", "b": "pending"}
    terminal.worker()
    assert terminal.good("queuectl run --start-timeout 1m -- sleep 0.1").out == ""
