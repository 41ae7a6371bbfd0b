"""`retry`, `cancel`, `hold`, `release`, `delete` and the dead letter queue: by id and by selection."""

from __future__ import annotations

import json
from operator import itemgetter

import pytest

from queuectl.cli.main import execute
from queuectl.client.facade import Client
from queuectl.client.values import WorkerView
from queuectl.places import open_store
from tests.e2e.conftest import Terminal, eventually
from tests.workshop import until


@pytest.fixture
def jobs(terminal: Terminal) -> Terminal:
    """One job completed, two dead, two pending (one of them held)."""
    terminal.good("queuectl enqueue --id ok -- echo fine")
    terminal.good("queuectl enqueue --id bad --max-retries 0 -c 'echo oops >&2; exit 3'")
    terminal.good("queuectl enqueue --id worse --max-retries 0 --queue video -- no-such-program")
    terminal.good("queuectl worker start --drain")
    terminal.good("queuectl enqueue --id todo -- true; queuectl enqueue --id kept --hold -- true")
    return terminal


def test_each_verb_says_what_it_changed(jobs: Terminal) -> None:
    assert jobs.good("queuectl hold todo").out == "held todo\n"
    assert jobs.job("todo")["held"]
    assert jobs.good("queuectl release todo kept").out == "released todo\nreleased kept\n"
    assert jobs.good("queuectl cancel todo").out == "cancelled todo\n"
    assert jobs.good("queuectl retry ok todo").out == "retried ok\nretried todo\n"
    assert jobs.good("queuectl delete ok --quiet").out == "ok\n"
    assert jobs.states() == {"bad": "dead", "worse": "dead", "todo": "pending", "kept": "pending"}
    (job,) = jobs.good("queuectl cancel todo --json").json
    assert (job["id"], job["state"]) == ("todo", "cancelled")


def test_of_several_batches_an_unknown_one_stops_no_other(terminal: Terminal) -> None:
    terminal.good("queuectl enqueue --id a --batch one -- true; queuectl enqueue --id b --batch two -- true")
    done = terminal.type("queuectl batch cancel one nosuch two")
    assert (done.code, done.out) == (3, "cancelled the rest of one\ncancelled the rest of two\n")
    assert done.err.startswith("queuectl: no batch nosuch; ")
    assert terminal.states() == {"a": "cancelled", "b": "cancelled"}
    done = terminal.type("queuectl batch retry --json nosuch two")
    assert (done.code, [batch["name"] for batch in done.json]) == (3, ["two"])
    assert terminal.type("queuectl lock delete no such").code == 3


def test_a_batch_says_that_there_was_nothing_to_change(terminal: Terminal) -> None:
    terminal.good("queuectl enqueue --id a --batch one -- true")
    done = terminal.good("queuectl batch retry one")
    assert (done.out, done.err) == ("", "no job of one is dead or cancelled\n")
    assert terminal.good("queuectl batch cancel one").out == "cancelled the rest of one\n"
    done = terminal.good("queuectl batch cancel one --json")
    assert [batch["failed"] for batch in done.json] == [1]
    assert json.loads(done.err)["note"]["message"] == "no job of one is unfinished"
    assert terminal.good("queuectl batch retry one").out == "retried what failed in one\n"


def test_a_batch_names_what_may_not_run_again(terminal: Terminal) -> None:
    for id in ("a", "b"):
        terminal.good(f"queuectl enqueue --id {id} --batch one --unique-key k -- true; queuectl cancel {id}")
    terminal.good("queuectl enqueue --id c --batch one -- true; queuectl cancel c")
    done = terminal.type("queuectl batch retry one")
    assert (done.code, done.out) == (4, "")
    assert "job b cannot run again: its unique key 'k' is taken by job a" in done.err
    assert "; the rest of batch one, 2 jobs, runs again" in done.err
    assert terminal.states() == {"a": "pending", "b": "cancelled", "c": "pending"}


def test_a_wrong_state_is_a_conflict(jobs: Terminal) -> None:
    done = jobs.type("queuectl cancel ok")
    assert (done.code, done.out) == (4, "")
    assert "job ok is completed" in done.err
    assert jobs.type("queuectl dlq retry ok").code == 4
    assert jobs.type("queuectl dlq purge ok").code == 4
    assert jobs.type("queuectl dlq show ok").code == 4


def test_a_selection_takes_what_can_be_changed(jobs: Terminal) -> None:
    assert jobs.good("queuectl cancel --all").out.split() == ["cancelled", "todo", "cancelled", "kept"]
    done = jobs.good("queuectl cancel --queue nothing")
    assert (done.out, done.err) == ("", "0 jobs\n")
    assert jobs.good("queuectl cancel --all --json").json == []


def test_a_dry_run_changes_nothing(jobs: Terminal) -> None:
    before = jobs.states()
    assert jobs.good("queuectl dlq retry --all --dry-run").out == "would retry bad\nwould retry worse\n"
    assert jobs.good("queuectl delete ok -n").out == "would delete ok\n"
    assert jobs.states() == before


def test_a_dry_run_says_what_would_be_done_and_refused(jobs: Terminal) -> None:
    jobs.good(
        "queuectl enqueue --id kid --after bad:any --hold -- true; queuectl enqueue -q busy --id runs -- sleep 60"
    )
    jobs.good(
        "queuectl enqueue -q busy --id goes -- sleep 60; queuectl enqueue -q busy --id taken --unique-key k -- true"
    )
    jobs.worker("--count 3 --queue busy")
    running = {"runs": "processing", "goes": "processing", "taken": "completed"}
    eventually(lambda: running.items() <= jobs.states().items(), "they run")
    jobs.good("queuectl enqueue --id first --unique-key k --delay 1h -- true")
    for line in (
        "hold ok kept", "set ok kept runs priority=5", "set kept --replace nothing x", "retry taken runs worse",
        "dlq purge ok", "dlq retry ok bad nix", "delete runs kept nix", "retry --cascade taken kid",
        "delete runs --force", "cancel ok first nix first", "retry --state dead -q video", "delete --force --all --yes",
    ):  # fmt: skip
        before = jobs.states()
        dry = jobs.type(f"queuectl {line} --dry-run")
        assert jobs.states() == before
        done = jobs.type(f"queuectl {line}")
        assert (dry.code, dry.err) == (done.code, done.err), line
        would = [each.split()[2] for each in dry.out.splitlines()]
        assert would == [each.split()[1].rstrip(";") for each in done.out.splitlines()], line


def test_a_job_that_is_named_twice_counts_once(jobs: Terminal) -> None:
    made = jobs.good("queuectl enqueue --hold --quiet -- true").out.strip()
    for line in (f"show {made} {made[:6]}", f"list {made[:6]} {made}", f"explain {made} {made}"):
        assert [each["id"] for each in jobs.good(f"queuectl {line} --json").json] == [made]
    for verb in ("retry", "hold", "release", "set priority=3", "cancel", "delete"):
        done = jobs.good(f"queuectl {verb} {made} {made[:6]} {made} todo")
        assert len(done.out.splitlines()) == 2
    assert jobs.good("queuectl logs ok ok").out == "fine\n"


def test_on_a_terminal_a_selection_is_asked_about(jobs: Terminal) -> None:
    code, shown = jobs.watched("queuectl dlq retry --all", keys="n\n")
    assert "retry 2 jobs? [y/N]" in shown
    assert code == 1
    assert jobs.states()["bad"] == "dead"
    code, shown = jobs.watched("queuectl dlq retry --all", keys="\x04")
    assert (code, shown.splitlines()[-2:]) == (1, ["retry 2 jobs? [y/N] ", "nothing was changed"])
    code, shown = jobs.watched("queuectl dlq retry --all", keys="y\n")
    assert code == 0
    assert jobs.states()["bad"] == jobs.states()["worse"] == "pending"
    code, shown = jobs.watched("queuectl cancel --all --yes")
    assert code == 0
    assert "?" not in shown


@pytest.mark.parametrize("elsewhere", ["2>/dev/null", ">/dev/null", ">/dev/null 2>&1", "--json"])
def test_a_selection_is_asked_about_wherever_stdin_is_a_terminal(jobs: Terminal, elsewhere: str) -> None:
    code, shown = jobs.watched(f"queuectl delete --state pending --all {elsewhere}", keys="n\n")
    assert code == 1
    assert "delete 2 jobs? [y/N]" in shown
    assert jobs.states()["todo"] == "pending"


@pytest.mark.parametrize(
    ("line", "would"),
    [("delete --all", "5 jobs would be deleted"), ("delete --all --force", "5 jobs would be deleted"),
     ("dlq purge --all", "2 jobs would be deleted"), ("delete ok --state completed", "1 job would be deleted")],
)  # fmt: skip
def test_where_nobody_can_be_asked_deleting_a_selection_wants_yes(jobs: Terminal, line: str, would: str) -> None:
    done = jobs.type(f"echo n | queuectl {line}")
    assert (done.code, done.out) == (2, "")
    assert done.err == f"queuectl: {would}; confirm with --yes\n"
    assert len(jobs.states()) == 5
    assert jobs.good(f"queuectl {line} --dry-run").out.startswith("would delete ")
    assert jobs.good(f"queuectl {line.replace('--all', '--tag nothing')} --tag nothing").err == "0 jobs\n"
    jobs.good(f"queuectl {line} --yes")
    assert len(jobs.states()) < 5


def test_the_dead_letter_queue_shows_reason_and_last_words(jobs: Terminal) -> None:
    out = jobs.good("queuectl dlq list").out
    assert "exit code 3" in out
    assert "oops" in out
    assert "no-such-program" in out
    bad, worse = sorted(jobs.good("queuectl dlq list --json").json, key=itemgetter("id"))
    assert (bad["id"], bad["error"], bad["output_tail"]) == ("bad", "exit code 3", "oops\n")
    assert "not found" in worse["error"]
    assert jobs.good("queuectl dlq list --queue video --quiet").out == "worse\n"
    (group,) = jobs.good("queuectl dlq list --group --queue default --json").json
    assert (group["jobs"], group["queue"], group["command"]) == (1, "default", "echo oops >&2; exit 3")
    assert (group["exit_code"], group["error"], group["last_at"]) == (3, "exit code 3", bad["finished_at"])
    assert (group["last_line"], group["waiting"], sum(group["recent"])) == ("oops", 0, 1)
    assert group["selector"] == {"state": ["dead"], "fault": [group["fault"]]}
    assert jobs.good(f"queuectl list --fault {group['fault']} --quiet").out == "bad\n"
    assert "oops" in jobs.good("queuectl dlq list --group").out
    assert jobs.good("queuectl dlq list --group --limit 1 --json").json[0]["jobs"] == 1
    assert jobs.good("queuectl dlq list --group --state pending --json").json == []
    assert "bad  dead" in jobs.good("queuectl dlq show bad").out


def test_a_retry_from_the_dead_letter_queue_starts_afresh(jobs: Terminal) -> None:
    assert jobs.good("queuectl dlq retry bad").out == "retried bad\n"
    job = jobs.job("bad")
    assert (job["state"], job["attempts"], job["error"], len(job["executions"])) == ("pending", 0, None, 1)
    jobs.good("queuectl worker start --drain")
    assert [execution["number"] for execution in jobs.job("bad")["executions"]] == [1, 2]
    assert jobs.good("queuectl dlq purge --all --yes").out == "deleted bad\ndeleted worse\n"


def test_a_running_job_is_ended_by_cancel_and_by_forced_delete(terminal: Terminal) -> None:
    terminal.worker("--count 2")
    terminal.good("queuectl enqueue --id a -- sleep 600; queuectl enqueue --id b -- sleep 600")
    eventually(lambda: set(terminal.states().values()) == {"processing"}, "both run")
    assert terminal.type("queuectl delete a").code == 4
    assert terminal.good("queuectl delete a --force").out == "deleted a\n"
    assert terminal.good("queuectl cancel b").out == "cancelling b\n"
    assert terminal.type("queuectl wait b").code == 128 + 15
    assert terminal.states() == {"b": "cancelled"}


def test_a_selection_to_retry_means_what_did_not_succeed(jobs: Terminal) -> None:
    assert jobs.good("queuectl retry --all --dry-run").out == "would retry bad\nwould retry worse\n"
    assert jobs.good("queuectl retry --state completed").out == "retried ok\n"


def test_a_selection_to_hold_or_release_means_those_that_are_not_yet(jobs: Terminal) -> None:
    assert jobs.good("queuectl release --all").out == "released kept\n"
    assert jobs.good("queuectl hold --all").out == "held todo\nheld kept\n"
    assert jobs.good("queuectl hold --all").err == "0 jobs\n"


def test_what_a_failure_cancelled_runs_once_it_is_retried(terminal: Terminal) -> None:
    terminal.good("queuectl enqueue --id build --max-retries 0 -- test -e fixed")
    terminal.good(
        "queuectl enqueue --id test --after build -- true; queuectl enqueue --id page --after test:failed -- true"
    )
    assert terminal.type("queuectl enqueue --after nix -- true").code == 3
    circle = '{"id": "x", "command": "true", "after": ["y"]}\n{"id": "y", "command": "true", "after": ["x"]}'
    refused = terminal.type(f"echo '{circle}' | queuectl enqueue -")
    assert (refused.code, "x after y after x" in refused.err) == (2, True)
    terminal.good("queuectl worker start --drain")
    assert terminal.states() == {"build": "dead", "test": "cancelled", "page": "completed"}
    late = terminal.good("queuectl enqueue --id late --after build -- true")
    assert late.out == "enqueued late; cancelled at once: job build is dead\n"
    terminal.good("touch fixed; queuectl retry build")
    assert terminal.states() == {"build": "pending", "test": "blocked", "late": "blocked", "page": "completed"}
    assert terminal.good("queuectl show test --tree").out == (
        "test  blocked\nafter\n└─ build  pending\nbefore\n└─ page  completed (failed)\n"
    )
    terminal.good("queuectl enqueue --batch docs -- true; queuectl enqueue --id site --after batch:docs:any -- true")
    assert terminal.good("queuectl show site --tree").out == "site  blocked\nafter\n└─ batch docs  unfinished (any)\n"
    terminal.good("queuectl worker start --drain")
    assert terminal.good("queuectl show site --tree").out == "site  completed\nafter\n└─ batch docs  finished (any)\n"
    terminal.good("queuectl delete site --yes; queuectl delete --batch docs --yes")
    assert terminal.states() == dict.fromkeys(("build", "test", "late", "page"), "completed")
    again = terminal.good("queuectl retry build --cascade").out.splitlines()
    assert again == ["retried build", "retried test", "retried page", "retried late"]
    assert terminal.states() == {"build": "pending", "test": "blocked", "late": "blocked", "page": "blocked"}


class SeesNoWorker(Client):
    """A client that looks for workers only after they have exited."""

    def workers(self) -> list[WorkerView]:
        until(lambda: not super(SeesNoWorker, self).workers(), "they exit")
        return super().workers()


@pytest.mark.parametrize("line", ["cancel a", "delete --force a"])
def test_a_worker_that_exits_after_a_cancel_is_not_missed(
    terminal: Terminal, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal.good("queuectl enqueue --id a -- sleep 600; queuectl worker start --drain --detach")
    eventually(lambda: terminal.states() == {"a": "processing"}, "the job runs")
    db = str(terminal.folder / "queuectl.db")
    assert execute(line.split(), open_client=lambda _: SeesNoWorker(open_store(db))) == 0
    assert capsys.readouterr().err == ""
