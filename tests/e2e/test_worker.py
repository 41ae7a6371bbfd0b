"""Workers as people start and stop them."""

from __future__ import annotations

import signal

from tests.e2e.conftest import Terminal, eventually


def test_two_workers_run_every_job_once(terminal: Terminal) -> None:
    lines = "".join(f'{{"id": "j{n}", "command": "echo {n} >> out"}}\n' for n in range(100))
    (terminal.folder / "jobs.jsonl").write_text(lines)
    terminal.good("queuectl enqueue --quiet --file jobs.jsonl")
    workers = [terminal.background("queuectl worker start --count 4 --drain") for _ in range(2)]
    assert [worker.wait(60) for worker in workers] == [0, 0]
    assert sorted(map(int, (terminal.folder / "out").read_text().split())) == list(range(100))
    assert set(terminal.states().values()) == {"completed"}


def test_ctrl_c_lets_the_running_command_finish(terminal: Terminal) -> None:
    worker = terminal.worker()
    terminal.good("queuectl enqueue --id a -c 'touch started; while ! test -e go; do sleep 0.05; done'")
    terminal.good("queuectl enqueue --id b -- true")
    eventually(lambda: (terminal.folder / "started").exists(), "the command runs")
    worker.send_signal(signal.SIGINT)
    eventually(lambda: "stopping" in terminal.good("queuectl worker logs").out, "the worker stops")
    (terminal.folder / "go").touch()
    assert worker.wait(60) == 0
    assert terminal.states() == {"a": "completed", "b": "pending"}


def test_a_second_ctrl_c_gives_the_running_command_back(terminal: Terminal) -> None:
    worker = terminal.worker()
    terminal.good("queuectl enqueue --id a -c 'touch started; exec sleep 600'")
    eventually(lambda: (terminal.folder / "started").exists(), "the command runs")
    worker.send_signal(signal.SIGINT)

    def asked_again() -> bool:
        worker.send_signal(signal.SIGINT)
        return worker.poll() is not None

    eventually(asked_again, "the worker ends")
    assert worker.returncode == 0
    job = terminal.job("a")
    assert (job["state"], job["attempts"], job["lost"]) == ("pending", 0, 0)


def test_a_worker_told_to_stop_by_a_signal_is_counted_on_no_more(terminal: Terminal) -> None:
    worker = terminal.worker("--name night")
    terminal.good("queuectl enqueue --id a -c 'touch started; while ! test -e go; do sleep 0.05; done'")
    eventually(lambda: (terminal.folder / "started").exists(), "the command runs")
    worker.send_signal(signal.SIGTERM)
    eventually(lambda: "night (stopping)" in terminal.good("queuectl worker list").out, "others see that it stops")
    assert terminal.good("queuectl status --check").err == "all well\n", "nothing waits"
    unserved = "no live worker serves queue default; start one with: queuectl worker start\n"
    assert terminal.good("queuectl enqueue --id b -- true").err == unserved
    assert "no live worker serves queue" in terminal.good("queuectl explain b").out
    assert terminal.type("queuectl status --check").out == "no live worker serves queue default\n"
    assert terminal.good("queuectl worker start --detach --if-none --name day").out == "started 1 worker(s)\n"
    eventually(lambda: terminal.job("b")["state"] == "completed", "the next worker takes it")
    assert terminal.states() == {"a": "processing", "b": "completed"}
    (terminal.folder / "go").touch()
    assert worker.wait(60) == 0


def test_worker_stop_from_another_terminal(terminal: Terminal) -> None:
    worker = terminal.worker("--name night")
    terminal.good("queuectl enqueue --id a -c 'touch started; while ! test -e go; do sleep 0.05; done'")
    eventually(lambda: (terminal.folder / "started").exists(), "the command runs")
    stopping, named = (
        terminal.background("queuectl worker stop 2>&1"),
        terminal.background("queuectl worker stop 'n*' 2>&1"),
    )
    eventually(lambda: terminal.good("queuectl worker list --json").json[0]["stopping"], "it is asked to stop")
    assert stopping.stdout is not None
    assert named.stdout is not None
    waiting = "waiting for 1 running command; end them with: queuectl worker stop"
    assert stopping.stdout.readline() == f"{waiting} --now\n"
    assert named.stdout.readline() == f"{waiting} 'n*' --now\n"
    (terminal.folder / "go").touch()
    assert stopping.communicate(timeout=60)[0] == named.communicate(timeout=60)[0] == "stopped night\n"
    assert worker.wait(60) == 0
    assert terminal.states() == {"a": "completed"}


def test_worker_stop_without_workers_affects_none_started_later(stored: Terminal) -> None:
    done = stored.good("queuectl worker stop")
    assert (done.out, done.err) == ("", "no worker is running\n")
    stored.worker("--name later")
    stored.good("queuectl enqueue --id a -- true; queuectl wait a")
    assert [worker["name"] for worker in stored.good("queuectl worker list --json").json] == ["later"]


def test_a_named_worker_alone_is_stopped(terminal: Terminal) -> None:
    terminal.worker("--name one --count 3 --queue video")
    terminal.worker("--name two")
    listed = terminal.good("queuectl worker list").out
    assert "0/3" in listed
    assert "video" in listed
    assert terminal.good("queuectl worker stop one").out == "stopped one\n"
    assert terminal.good("queuectl worker list --quiet").out == "two\n"
    assert terminal.type("queuectl worker start --name two").code == 4


def test_a_detached_worker_serves_until_it_is_stopped(terminal: Terminal) -> None:
    done = terminal.good("queuectl worker start --detach --name night --count 2")
    assert done.out == "started 2 worker(s)\n"
    assert "queuectl worker stop night" in done.err
    terminal.good("queuectl enqueue --id a -- true; queuectl wait a")
    eventually(
        lambda: "a completed" in terminal.good("queuectl worker logs night").out, "it is logged after the commit"
    )
    assert terminal.good("queuectl worker logs --tail 1").out.count("\n") == 1
    assert terminal.good("queuectl worker stop night").out == "stopped night\n"
    assert "night stopped" in terminal.good("queuectl worker logs --tail 1").out
    unknown = terminal.type("queuectl worker logs nobody")
    assert (unknown.code, "night" in unknown.err) == (3, True)


def test_what_a_shell_holds_open_is_let_go(terminal: Terminal) -> None:
    terminal.good("exec 77>lock; flock 77; queuectl worker start --detach --name night")
    assert terminal.type("flock -n lock true").code == 0
    terminal.good("queuectl worker stop night; queuectl enqueue --id a -c 'ls /proc/$$/fd; true'")
    terminal.good("exec 77>lock; queuectl worker start --drain")
    assert terminal.good("queuectl logs a").out.split() == ["0", "1", "2"]


def test_a_worker_serves_its_queues_only(terminal: Terminal) -> None:
    terminal.good("queuectl enqueue --id a -- true; queuectl enqueue --id b --queue video -- true")
    terminal.good("queuectl worker start --drain --queue video")
    assert terminal.states() == {"a": "pending", "b": "completed"}


def test_a_paused_queue_keeps_no_draining_worker(terminal: Terminal) -> None:
    terminal.good(
        "queuectl queue pause video; queuectl enqueue --id a -- true; queuectl enqueue -q video --id b -- true"
    )
    terminal.good("queuectl worker start --drain")
    assert [terminal.job(id)["state"] for id in "ab"] == ["completed", "pending"]
    terminal.good("queuectl queue resume --all; queuectl worker start --drain")
    assert terminal.job("b")["state"] == "completed"


def test_a_draining_worker_says_what_it_waits_for(terminal: Terminal) -> None:
    terminal.good("queuectl enqueue --id tonight --delay 5h -- true")
    terminal.worker("--drain")
    eventually(lambda: "nothing to run for" in terminal.good("queuectl worker logs").out, "it says so")
    terminal.good("queuectl cancel tonight")
    eventually(lambda: "drained: stopping" in terminal.good("queuectl worker logs").out, "nothing is left")
    assert terminal.good("queuectl worker logs").out.count("nothing to run for") == 1


def test_a_draining_worker_says_that_what_is_left_cannot_start(terminal: Terminal) -> None:
    terminal.good("queuectl lock set gpu 2; queuectl enqueue --id big --lock gpu=2 -- true; queuectl lock set gpu 1")
    worker = terminal.worker("--drain")
    eventually(lambda: "nothing to run: the jobs" in terminal.good("queuectl worker logs").out, "it says so")
    terminal.good("queuectl lock set gpu 2")
    assert worker.wait(60) == 0
    assert terminal.job("big")["state"] == "completed"


def test_status_shows_what_runs(terminal: Terminal) -> None:
    terminal.worker("--count 2 --name night")
    terminal.good("queuectl enqueue --id a -- sleep 600")
    eventually(lambda: terminal.states() == {"a": "processing"}, "the job runs")
    shown = terminal.good("queuectl status").out
    assert "1 alive, 1 of 2 slots busy" in shown
    assert "night" in shown
    (worker,) = terminal.good("queuectl status --json").json["workers"]
    assert (worker["slots"], worker["busy"], worker["jobs"]) == (2, 1, ["a"])
    start_known = "a runs on night for "  # a tenth of a second after it was claimed
    eventually(lambda: terminal.good("queuectl explain a").out.startswith(start_known), "its start is on record")
    terminal.good("queuectl hold a")
    assert terminal.good("queuectl explain a").out.endswith("; held, so it is not run again\n")


def test_if_none_starts_a_worker_only_where_none_serves(terminal: Terminal) -> None:
    start = "queuectl worker start --detach --if-none --queue video"
    assert "started 1 worker(s)" in terminal.good(f"{start} --name night").out
    second = terminal.good(f"{start} --name day")
    assert (second.out, "night already serves" in second.err) == ("", True)
    assert terminal.good(f"{start} --json").json == {"name": "night", "slots": 1}
    assert [worker["name"] for worker in terminal.good("queuectl worker list --json").json] == ["night"]
    assert terminal.good("queuectl worker stop").out == "stopped night\n"


def test_a_followed_log_goes_on_in_its_next_file(terminal: Terminal) -> None:
    terminal.worker("--name night")
    follower = terminal.background("queuectl worker logs night -f")
    assert follower.stdout is not None
    assert "night started" in follower.stdout.readline()
    (log,) = terminal.folder.rglob("night.log")
    log.replace(log.with_name("night.log.1"))  # as the worker does at the limit
    log.write_text("2026-11-29T00:34:13Z it goes on\n")
    assert follower.stdout.readline().endswith(" it goes on\n")
    terminal.good("queuectl worker stop night")
    assert follower.wait(60) == 0


def test_a_workers_log_can_be_json(terminal: Terminal) -> None:
    terminal.good("queuectl enqueue --id a -- true; queuectl worker start --drain --name night")
    *_, ended, _, _ = lines = terminal.good("queuectl worker logs night --json").json
    assert ended["message"].startswith("a completed in ")
    assert all(line["at"].endswith("Z") for line in lines)
    assert terminal.good("queuectl worker logs night --json --tail 1").json == lines[-1:]
    assert terminal.type("queuectl worker logs night --json --follow").code == 2
