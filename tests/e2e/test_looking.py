"""`status`, `list`, `show`, `explain`: for people at a terminal, and for programs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.conftest import Terminal, eventually

KEYS = {
    "id", "command", "state", "attempts", "max_retries", "created_at", "updated_at", "queue", "priority", "run_at",
    "timeout", "kill_grace", "backoff_base", "backoff_initial", "backoff_max", "backoff_jitter", "retry_on",
    "fatal_on", "cwd", "umask", "env", "secrets", "shell", "stdin", "output_path", "split_output",
    "memory_max", "nice", "user",
    "tags", "batch", "script", "scheduled_at", "unique_for",
    "schedule", "unique_key", "expires", "start_by", "depends_on", "locks", "held", "on_success", "on_failure",
    "on_dead", "owner", "worker", "host", "lease", "lost", "started_at", "finished_at", "duration", "next_retry_at",
    "exit_code", "signal", "error", "progress", "result", "output_bytes", "cpu_time", "max_rss", "reason",
}  # fmt: skip


def test_the_json_of_a_job_has_every_key(terminal: Terminal) -> None:
    terminal.good("queuectl enqueue --id a -- true")
    (listed,) = terminal.good("queuectl list --json").json
    assert set(listed) == KEYS
    shown = terminal.job("a")
    assert {key: shown[key] for key in KEYS} == listed
    assert shown["executions"] == []
    assert [event["event"] for event in shown["events"]] == ["enqueued"]
    assert isinstance(shown["attempts"], int)


def test_queuectl_alone_is_status(stored: Terminal) -> None:
    assert "none alive" in stored.good("queuectl").out
    stored.good("queuectl enqueue -- true")
    found = stored.good("queuectl --json").json
    assert found["counts"]["pending"] == 1
    assert found["store"] == f"{stored.folder}/queuectl.db"


def test_status_check_tells_what_is_wrong(terminal: Terminal) -> None:
    terminal.good("queuectl enqueue --queue video -- true")
    done = terminal.type("queuectl status --check --max-wait 0")
    assert done.code == 1
    assert "no live worker, and 1 job not finished" in done.out
    assert "the oldest due job waits" in done.out
    terminal.worker("--queue other")
    assert terminal.type("queuectl status --check").out == "no live worker serves queue video\n"
    assert terminal.type("queuectl status --check --json").json == {
        "ok": False,
        "findings": [
            {
                "level": "problem", "code": "queue_unserved", "message": "no live worker serves queue video",
                "fix": "queuectl worker start --queue video",
            }
        ],
    }  # fmt: skip
    terminal.good("queuectl cancel --all")
    assert terminal.good("queuectl status --check").out == ""


def test_a_list_in_a_pipe_is_plain_and_complete(terminal: Terminal) -> None:
    command = "echo " + "x" * 300
    terminal.good(f"queuectl enqueue --id a -c '{command}'; queuectl enqueue --id b -- true")
    out = terminal.good("queuectl list").out
    assert command in out
    assert max(len(line) for line in out.splitlines() if command not in line) < 250  # no other one is long
    assert "\x1b" not in out


def test_one_screen_has_one_zone_with_its_offset_and_json_is_utc(terminal: Terminal) -> None:
    terminal.environment["TZ"] = "Asia/Kolkata"
    terminal.good("queuectl enqueue --id later --delay 5h -- true; queuectl enqueue --id now --priority 1 -- true")
    terminal.good("queuectl hold later; queuectl config set timeout 1h; queuectl release later")
    terminal.worker("--name night")
    terminal.good("queuectl wait now")
    shown = [
        terminal.good(f"queuectl {line}").out
        for line in ("show later", "show now", "explain later", "audit", "worker logs night", "list", "status")
    ]
    moment = r"\b20\d\d-\d\d-\d\d\S*[ T]\d\d:\d\d:\d\d\S*"
    times = [[*re.findall(moment, text)] for text in shown]
    assert all(each.rstrip(",)").endswith("+05:30") for found in times for each in found), times
    assert [len(found) > 0 for found in times] == [True, True, True, True, True, False, False]
    described = json.loads(terminal.good("queuectl show later --json").out)[0]
    assert all(described[key].endswith("Z") for key in ("created_at", "run_at", "updated_at"))
    assert described["reason"] == f"scheduled for {described['run_at'][:19]}Z"
    assert terminal.good("queuectl worker logs night --json").json[0]["at"].endswith("Z")


def test_sentences_tell_times_in_the_readers_zone_and_in_json_as_utc(terminal: Terminal) -> None:
    terminal.environment["TZ"] = "Asia/Kolkata"
    terminal.good("queuectl enqueue --id later --delay 5h -- true")
    terminal.good("queuectl enqueue --id over --start-by 2026-01-01T00:00:00Z -- true; queuectl queue pause p --for 9h")
    lines = (
        "logs later", "logs over", "show over", "explain later", "explain over", "enqueue --id q -q p -- true",
        "explain q", "run --delay 5h --start-timeout 0.01 -- true", "run -q p --start-timeout 0.01 -- true",
        "schedule add s --replace --every 5m -- true",
    )  # fmt: skip
    for zone, option in (("+05:30", ""), ("Z", "--json")):
        told = [terminal.type(f"queuectl {option} {line}") for line in lines]
        text = "\n".join(done.out + done.err for done in told)
        times = re.findall(r"20\d\d-\d\d-\d\d[T ][\d:.]+[^\s\",;)]*", text)
        assert len(times) >= len(lines)
        assert not [each for each in times if not each.endswith(zone)]
        terminal.good("queuectl delete q --yes")


def test_a_list_that_a_terminal_cuts_has_what_matters_first(terminal: Terminal) -> None:
    terminal.good("queuectl enqueue --id oops --max-retries 0 -- false; queuectl worker start --drain")
    terminal.good('for i in $(seq 30); do echo \'{"command":"true"}\'; done | queuectl enqueue --file - --quiet')
    terminal.good(
        "queuectl enqueue --id newest --delay 5h -- python make_report.py --all --out /srv/reports/night.html"
    )
    _, shown = terminal.watched("queuectl --color never list", columns=80)
    titles, first, *_, last, more = [line for line in shown.splitlines() if line]
    assert titles.split() == ["ID", "STATE", "TRIES", "AGE", "COMMAND", "INFO"]
    assert first.split()[:2] == ["oops", "dead"]
    assert last.split()[:2] == ["newest", "pending"]
    assert re.search(r"python make_report\.py\S* .*…  starts in (5h|4h59m)$", last)
    assert more.endswith("more not shown; see all with --limit all")
    assert all(len(line) <= 80 for line in shown.splitlines())
    _, shown = terminal.watched("queuectl --color never list --limit 2", columns=80)
    assert "oops" not in shown


def test_a_simple_terminal_gets_no_escape_sequence(terminal: Terminal) -> None:
    terminal.good('for i in $(seq 30); do echo \'{"command":"true"}\'; done | queuectl enqueue --file - --quiet')
    for setting in ("TERM=dumb", "NO_COLOR=1"):
        for line in ("list", "status", "cancel --all --yes", "delete --all --yes"):
            code, shown = terminal.watched(f"{setting} queuectl {line}")
            assert (code, "\x1b" in shown) == (0, False), (setting, line, shown)


def test_a_list_on_a_terminal_fits_it(terminal: Terminal) -> None:
    terminal.good(f"queuectl enqueue --id an-id-that-is-quite-long -c 'echo {'x' * 300}'")
    terminal.good("for i in 1 2 3 4 5; do queuectl enqueue --quiet --queue video -- true; done")
    code, shown = terminal.watched("queuectl list")
    assert code == 0
    lines = re.sub(r"\x1b\[\d*m", "", shown).splitlines()
    assert "an-id-that-is-quite-long" in shown
    assert "…" in shown
    assert all(len(line) <= 80 for line in lines)
    assert "\x1b[" in shown
    _, plain = terminal.watched("NO_COLOR=1 queuectl list; queuectl --color never list")
    assert "\x1b" not in plain
    assert "\x1b[" in terminal.good("queuectl --color=always list").out


def test_a_list_that_is_cut_says_how_many_more(terminal: Terminal) -> None:
    (terminal.folder / "jobs.jsonl").write_text("".join(f'{{"id": "j{n}", "command": "true"}}\n' for n in range(100)))
    terminal.good("queuectl enqueue --quiet --file jobs.jsonl")
    _, shown = terminal.watched("queuectl list --color never")
    assert "80 more not shown; see all with --limit all" in shown
    assert "j99 " in shown
    assert "j0 " not in shown
    done = terminal.good("queuectl list --limit 2")
    assert [line.split()[0] for line in done.out.splitlines()] == ["ID", "j98", "j99"]
    assert done.err == "98 more not shown; see all with --limit all\n"
    assert len(terminal.good("queuectl list --json").json) == 100
    assert len(terminal.good("queuectl list --json --limit 7").json) == 7


def test_control_signs_of_a_command_never_reach_the_terminal(terminal: Terminal) -> None:
    terminal.good("queuectl enqueue --id a -- printf $'one\\ntwo \\x1b[31mred\\a'")
    for words in ("list", "show a"):
        shown = terminal.good(f"queuectl {words}").out
        assert "\x1b" not in shown
        assert "\a" not in shown
        assert r"\x1b[31mred" in shown


def test_selectors_narrow_and_widen(terminal: Terminal) -> None:
    for line in (
        "--id a --queue video --tag x -- ffmpeg -i a", "--id b --queue video --tag y -- true",
        "--id c --queue mail --tag x --hold -- sendmail",
    ):  # fmt: skip
        terminal.good(f"queuectl enqueue {line}")

    def chosen(options: str) -> list[str]:
        return terminal.good(f"queuectl list --quiet {options}").out.split()

    assert chosen("--queue video") == ["a", "b"]
    assert chosen("--queue video --queue mail") == ["a", "b", "c"]
    assert chosen("--queue video --tag x") == ["a"]
    assert chosen("--command 'ffmpeg *'") == ["a"]
    assert chosen("--state pending,dead") == ["a", "b", "c"]
    assert chosen("--state dead") == []
    assert chosen("--older-than 1h") == []
    assert chosen("--owner nobody-we-know") == []
    assert chosen("c a") == ["a", "c"]
    assert chosen("--sort -id") == ["c", "b", "a"]


def test_the_reason_is_in_words(terminal: Terminal) -> None:
    terminal.good("queuectl enqueue --id a -- true; queuectl enqueue --id b --hold -- true")
    assert terminal.good("queuectl explain a b").out == (
        'a is pending: no live worker serves queue "default"\n'
        "  bring it forward: queuectl worker start\n"
        "b is pending: held\n"
        "  held since it was added\n"
        '  no live worker serves queue "default"\n'
        "  bring it forward: queuectl release b\n"
        "  bring it forward: queuectl worker start\n"
    )
    terminal.worker("--queue other")
    assert terminal.good("queuectl explain a --json").json[0]["reason"] == 'no live worker serves queue "default"'


def test_a_lock_is_explained_by_who_holds_it(terminal: Terminal) -> None:
    terminal.good("queuectl enqueue --id a --lock gpu -c 'until test -e gate; do sleep 0.05; done'")
    terminal.good("queuectl enqueue --id b --lock gpu -- true")
    terminal.worker("--count 2")
    eventually(lambda: "1st of 1" in terminal.good("queuectl explain b").out, "it waits in line")
    first, lock, *ways = terminal.good("queuectl explain b").out.splitlines()
    assert first == "b is pending: waits for lock gpu (held by a)"
    assert re.fullmatch(r"  lock gpu: needs 1, 0 of 1 free; held by a \(\d+s\); 1st of 1", lock)
    assert ways == ["  bring it forward: queuectl lock set gpu 2"]
    assert "waits for lock gpu (held by a)" in terminal.good("queuectl list").out
    assert next(terminal.waiting("queuectl wait b")) == "waiting for b: waits for lock gpu (held by a)\n"
    (terminal.folder / "gate").touch()
    terminal.good("queuectl wait b")


def test_a_unique_prefix_stands_for_a_generated_id(terminal: Terminal) -> None:
    job_id = terminal.good("queuectl enqueue --quiet -- true").out.strip()
    assert terminal.job(job_id[:4])["id"] == job_id
    terminal.good("queuectl enqueue --id chosen -- true")
    assert terminal.type("queuectl show chos").code == 3


def test_show_takes_selectors_and_several_ids(terminal: Terminal) -> None:
    terminal.good("queuectl enqueue --id a -- true; queuectl enqueue --id b --queue video -- true")
    assert terminal.good("queuectl show --queue video --quiet").out == "b\n"
    assert [job["id"] for job in terminal.good("queuectl show a b --json").json] == ["a", "b"]
    done = terminal.type("queuectl show a nosuch --quiet")
    assert (done.code, done.out) == (3, "a\n")
    assert terminal.good("queuectl explain --all").out.count("pending") == 2


READING = [
    "status", "list", "wait --all", "wait --all --allow-none", "show --all", "logs --all", "explain --all",
    "retry --all", "delete --all --yes", "prune --older-than 1d", "dlq list", "dlq retry --all", "worker list",
    "worker stop", "config show", "config get timeout", "config unset timeout", "audit", "token list", "doctor",
    "metrics",
]  # fmt: skip


def test_a_command_that_only_reads_makes_nothing(terminal: Terminal) -> None:
    del terminal.environment["QUEUECTL_DB"]
    for line in READING:
        assert terminal.type(f"queuectl {line}").code in (0, 3), line
    assert not list(terminal.folder.iterdir())
    assert not Path(terminal.environment["HOME"]).exists()


@pytest.mark.parametrize("line", ["list", "status --check", "retry --all", "dlq list --json", "config get timeout"])
def test_a_store_that_was_named_and_is_not_there_is_an_error(terminal: Terminal, line: str) -> None:
    for named in (f"queuectl --db typo/x.db {line}", f"QUEUECTL_DB=typo/x.db queuectl {line}"):
        done = terminal.type(named)
        assert (done.code, done.out) == (5, "")
        assert f"there is no store {terminal.folder}/typo/x.db" in done.err
    assert terminal.type("queuectl --db typo/x.db wait --all").code == 125
    assert not list(terminal.folder.iterdir())


def test_metrics_are_text_for_prometheus(terminal: Terminal) -> None:
    terminal.good("queuectl enqueue --id a -q video -- true; queuectl lock set gpu 4")
    done = terminal.good("queuectl metrics")
    found = {family.name: family.samples for family in text_string_to_metric_families(done.out)}
    waiting = {sample.labels["queue"]: sample.value for sample in found["queuectl_jobs"] if sample.value}
    assert (waiting, found["queuectl_lock_capacity"][0].value, done.err) == ({"video": 1.0}, 4.0, "")
    assert found["queuectl_executions"] == []
    assert terminal.good("queuectl metrics --json").json["metrics"].startswith("# HELP queuectl_jobs ")


def test_a_limit_counts_after_the_sorting(terminal: Terminal) -> None:
    terminal.good("for i in 3 1 4 1 5 9 2 6; do queuectl enqueue --priority $i --id $i$RANDOM -- true; done")

    def listed(options: str) -> list[int]:
        return [job["priority"] for job in terminal.good(f"queuectl list --json {options}").json]

    assert listed("--sort -priority --limit 3") == [9, 6, 5]
    assert listed("--sort priority --limit 3") == [1, 1, 2]
    assert listed("--limit 3") == [9, 2, 6]
    assert listed("--sort priority") == sorted(listed(""))
    done = terminal.good("queuectl list --sort -priority --limit 3")
    assert done.err == "5 more not shown; see all with --limit all\n"
    assert terminal.good("queuectl list --quiet --sort -priority --limit 1").out.startswith("9")


def test_top_refuses_a_terminal_that_nobody_knows(terminal: Terminal) -> None:
    terminal.good("queuectl init")
    code, shown = terminal.watched("TERM=nothing queuectl top")
    assert (code, "TERM=nothing is not the name of a known terminal" in shown) == (2, True)


@pytest.mark.parametrize("columns", [1, 2, 300])
def test_top_draws_on_terminals_of_any_width(terminal: Terminal, columns: int) -> None:
    terminal.good("queuectl enqueue -- true")
    code, shown = terminal.watched("TERM=xterm queuectl top", columns, keys="q")
    assert (code, "Traceback" in shown) == (0, False)


def test_a_hook_that_gave_up_is_told_until_it_is_purged(terminal: Terminal) -> None:
    terminal.good("queuectl enqueue --id a --max-retries 0 --on-dead 'echo no; exit 9' -- false")
    terminal.good("queuectl worker start --drain --no-hooks")
    hook = terminal.good("queuectl list --hooks --quiet").out.strip()
    terminal.good(f"queuectl set {hook} max_retries=0")
    terminal.good("queuectl worker start --drain")
    (shown,) = terminal.job("a")["hooks"]
    assert (shown["id"], shown["hook"], shown["state"], shown["error"]) == (hook, "on_dead", "dead", "exit code 9")
    assert "Hooks    1 gave up; see: queuectl dlq list --hooks" in terminal.good("queuectl status").out
    said = "1 hook gave up; the latest, on_dead of job a: exit code 9"
    assert said in terminal.type("queuectl status --check").out
    assert said in terminal.type("queuectl doctor").out
    terminal.good("queuectl dlq purge --hooks --all --yes")
    assert "gave up" not in terminal.type("queuectl status --check; queuectl status; queuectl doctor").out
