"""Every form of `enqueue`, typed at a real prompt."""

from __future__ import annotations

import json
import os
import signal

import pytest

from tests.e2e.conftest import DEADLINE_S, Terminal

SHELLS = pytest.mark.parametrize("shell", ["bash", "sh"])


@SHELLS
@pytest.mark.parametrize(
    ("line", "id", "command", "max_retries"),
    [
        ("""{"id":"job1","command":"echo 'Hello World'","max_retries":3}""", "job1", "echo 'Hello World'", 3),
        (
            r"""{"id":"fail1","command":"python -c \"import sys; sys.exit(1)\""}""",
            "fail1", 'python -c "import sys; sys.exit(1)"', 3,
        ),
        ("""'{"id":"job1","command":"sleep 2","max_retries":2}'""", "job1", "sleep 2", 2),
        ("""{"id":"job1", "command":"echo hi"}""", "job1", "echo hi", 3),
        ("""'{"id":"job1","command":["echo","a b"]}'""", "job1", ["echo", "a b"], 3),
        ("""'{"id":"job1","command":"true","max-retries":0,"state":"pending","attempts":0}'""", "job1", "true", 0),
    ],
)  # fmt: skip
def test_json_is_read_quoted_and_unquoted(
    terminal: Terminal, shell: str, line: str, id: str, command: object, max_retries: int
) -> None:
    assert terminal.good(f"queuectl enqueue {line}", shell).out == f"enqueued {id}\n"
    job = terminal.job(id)
    assert (job["command"], job["max_retries"], job["state"]) == (command, max_retries, "pending")


@SHELLS
def test_a_single_unquoted_key_gets_a_random_id(terminal: Terminal, shell: str) -> None:
    job_id = terminal.good("""queuectl enqueue {"command":"echo hi"} --quiet""", shell).out.strip()
    assert terminal.job(job_id)["command"] == "echo hi"


def test_words_behind_two_dashes_are_kept_exactly(terminal: Terminal) -> None:
    terminal.good("queuectl enqueue --id a -- printf '%s|' 'a  b' '$HOME' -- --json -c ''")
    assert terminal.job("a")["command"] == ["printf", "%s|", "a  b", "$HOME", "--", "--json", "-c", ""]


def test_a_string_goes_to_the_shell(terminal: Terminal) -> None:
    terminal.good("queuectl enqueue --id a -c 'echo a | tr a b > c'")
    assert terminal.job("a")["command"] == "echo a | tr a b > c"


def test_options_are_the_keys_of_the_json(terminal: Terminal) -> None:
    terminal.good(
        "queuectl enqueue --id a --queue video --priority -3 --delay 10m --timeout 1h30m --kill-grace 5 "
        "--max_retries 7 --backoff-base 3 --backoff-initial 500ms --backoff-max 1m --backoff-jitter 0.5 "
        "--retry-on 75,111 --fatal-on 2 --env A=1 --env B=x=y --env HOME --cwd sub --stdin in.txt --output out.txt "
        "--split-output --tag x --tag y --hold -- true"
    )
    job = terminal.job("a")
    wanted = {
        "queue": "video", "priority": -3, "timeout": 5400, "kill_grace": 5, "max_retries": 7, "backoff_base": 3,
        "backoff_initial": 0.5, "backoff_max": 60, "backoff_jitter": 0.5, "retry_on": [75, 111], "fatal_on": [2],
        "cwd": str(terminal.folder / "sub"), "split_output": True, "tags": ["x", "y"], "held": True, "reason": "held",
    }  # fmt: skip
    assert {key: job[key] for key in wanted} == wanted
    assert job["env"]["A"] == "1"
    assert job["env"]["B"] == "x=y"
    assert job["env"]["HOME"] == terminal.environment["HOME"]


def test_a_time_of_the_day_is_a_time(terminal: Terminal) -> None:
    terminal.good("queuectl enqueue --id a --at 2099-11-21T18:00:00Z -- true")
    assert terminal.job("a")["run_at"].startswith("2099-11-21T18:00:00")
    assert terminal.job("a")["reason"].startswith("scheduled for 2099-11-21T18:00:00")


def test_json_is_the_array_of_the_jobs(terminal: Terminal) -> None:
    (job,) = terminal.good("queuectl --json enqueue --id a -- true").json
    shown = terminal.job("a")
    assert {key: shown[key] for key in job} == job


def test_an_unserved_queue_is_noted_with_a_command_to_serve_it(terminal: Terminal) -> None:
    said = terminal.good("queuectl enqueue -- true").err
    assert said == "no live worker serves queue default; start one with: queuectl worker start\n"
    terminal.worker("--queue other")
    assert "no live worker serves queue default" in terminal.good("queuectl enqueue -- true").err
    assert terminal.good("queuectl enqueue --queue other -- true").err == ""


def test_the_hint_names_the_store_that_was_typed(terminal: Terminal) -> None:
    assert "queuectl --db ./other.db worker start" in terminal.good("queuectl --db ./other.db enqueue -- true").err


@pytest.mark.parametrize("source", ["--file jobs.jsonl", "--file - < jobs.jsonl", "- < jobs.jsonl"])
def test_a_file_has_a_job_a_line(terminal: Terminal, source: str) -> None:
    lines = [json.dumps({"id": f"j{number}", "command": f"echo {number}"}) for number in range(50)]
    (terminal.folder / "jobs.jsonl").write_text("\ufeff" + "\n\n".join(lines) + "\n")
    out = terminal.good(f"queuectl enqueue {source} --queue bulk --quiet").out
    assert out.split() == [f"j{number}" for number in range(50)]
    assert {job["queue"] for job in terminal.good("queuectl list --json").json} == {"bulk"}


@pytest.mark.parametrize(
    ("bad", "about"),
    [
        ('{"id": "x"}', "needs a command"),
        ("nonsense", "not valid JSON"),
        ('{"id": "a", "command": "true"}', "id a comes twice"),
        ('{"command": "true", "comand": 1}', "unknown key 'comand'"),
        ("[" * 100_000, "nested too deeply"),
        ('{"command": "true", "id": "y", "id": "z"}', "key 'id' comes twice"),
        ('{"id": "there", "command": "true"}', "job there exists already"),
        ('{"id": "x", "command": "true", "locks": ["gpu=2"]}', "job x needs 2 units of lock gpu, which has 1"),
    ],
)
def test_a_file_with_one_bad_line_enqueues_nothing(terminal: Terminal, bad: str, about: str) -> None:
    lines = ['{"id": "a", "command": "true"}', "", bad, '{"id": "b", "command": "true"}']
    (terminal.folder / "jobs.jsonl").write_text("\n".join(lines))
    terminal.good("queuectl enqueue --id there -- true")
    done = terminal.type("queuectl enqueue --file jobs.jsonl")
    assert done.code in (2, 4)
    assert about in done.err
    assert "jobs.jsonl line 3: " in done.err
    assert len(done.err.splitlines()) == 1
    assert terminal.states() == {"there": "pending"}


def test_chunks_are_kept_up_to_a_bad_line(terminal: Terminal) -> None:
    lines = [f'{{"id": "a{number}", "command": "true"}}' for number in range(25)]
    (terminal.folder / "jobs").write_text("\n".join([*lines, "bad"]))
    done = terminal.type("queuectl enqueue --file jobs --chunk 10 --quiet")
    assert (done.code, done.out.split()) == (2, [f"a{number}" for number in range(20)])
    assert "jobs line 26: the job is not valid JSON" in done.err
    assert done.err.endswith("; enqueued so far: 20 jobs, to line 20\n")
    (terminal.folder / "jobs").write_text("\n".join(lines[20:] + lines[:1]))
    done = terminal.type("queuectl enqueue --file jobs --chunk 5 --json")
    assert (done.code, len(done.json)) == (4, 5)
    assert "jobs line 6: job a0 exists already" in done.err
    assert len(terminal.good("queuectl list --json").json) == 25
    assert terminal.type("queuectl enqueue --chunk 5 -- true").code == 2


def test_a_chunk_is_committed_as_soon_as_its_jobs_are_read(terminal: Terminal) -> None:
    os.mkfifo(terminal.folder / "jobs")
    adding = terminal.background("queuectl enqueue --file jobs --chunk 1")
    assert adding.stdout is not None
    with (terminal.folder / "jobs").open("w", buffering=1) as jobs:
        for number in range(4):
            jobs.write(f'{{"id": "a{number}", "command": "true"}}\n')
            assert adding.stdout.readline() == f"enqueued a{number}\n"
    assert adding.wait(DEADLINE_S) == 0


@pytest.mark.parametrize("option", ["", "--json"])
def test_an_interrupt_while_ids_are_printed_says_what_was_added(terminal: Terminal, option: str) -> None:
    (terminal.folder / "list").write_text("\n" * 5 + "x\n" * 20_000)
    adding = terminal.background(f"queuectl enqueue --each-line list {option} -- echo {{}} 2> errors")
    assert adding.stdout is not None
    adding.stdout.read(1)  # all are added, and the other ids fill the pipe
    adding.send_signal(signal.SIGINT)
    adding.communicate(timeout=DEADLINE_S)
    assert adding.returncode == 130
    assert "enqueued so far: 20,000 jobs, to line 20,005" in (terminal.folder / "errors").read_text()


def test_each_line_makes_a_job(terminal: Terminal) -> None:
    (terminal.folder / "list").write_text("a b.txt\n\nit's.txt\r\n-x\n")
    done = terminal.good("queuectl enqueue --each-line list --dry-run --id 'j{#}' --tag t{#} -c 'echo {} > {.}.out'")
    assert done.out.splitlines()[0] == """{"command": "echo 'a b.txt' > 'a b'.out", "id": "j1", "tags": ["t1"]}"""
    assert not (terminal.folder / "queuectl.db").exists()
    terminal.good("""queuectl enqueue --each-line list --id 'j{#}' --env F={} -c 'echo got {}; echo "env $F"'""")
    two = terminal.good(r"printf 'u\0v\nw\0' | queuectl enqueue --quiet --each-line - -0 -- printf").out.split()
    assert [terminal.job(id)["command"] for id in two] == [["printf", "u"], ["printf", "v\nw"]]
    terminal.good("queuectl worker start --drain")
    assert [terminal.good(f"queuectl logs j{n}").out for n in (1, 2, 3)] == [
        f"got {name}\nenv {name}\n" for name in ("a b.txt", "it's.txt", "-x")
    ]
    terminal.good("queuectl enqueue --id off -- true; queuectl cancel off")
    after = terminal.good("printf 'k1\\nk2\\n' | queuectl enqueue --each-line - --id {} --after off -- true").out
    assert after.splitlines()[1] == "enqueued k2; cancelled at once: job off is cancelled"
    lost = terminal.type("printf 'a\\n\\nb\\n' | queuectl enqueue --each-line - --after {} -- true")
    assert (lost.code, "stdin line 1: no job a" in lost.err, "nothing was enqueued" in lost.err) == (3, True, True)
    refused = terminal.type("""queuectl enqueue --each-line list -c 'echo "{}"'""")
    assert (refused.code, "column 7 of the command is inside double quotes" in refused.err) == (2, True)
    fish = terminal.type("queuectl enqueue --each-line list --shell fish -c 'echo {}'")
    assert (fish.code, "fish" in fish.err) == (2, True)
    assert terminal.good("queuectl enqueue --each-line - -- x < /dev/null").err == (
        "stdin has no line: nothing is enqueued\n"
    )
    assert terminal.good("queuectl enqueue --each-line - --json -- x < /dev/null").json == []
    for wrong in ("--colsep , -- x", "-0 --file list", "--each-line list", "--each-line nowhere -- x"):
        assert terminal.type(f"queuectl enqueue {wrong}").code == 2


def test_a_job_may_have_no_time_limit_though_others_have_one(terminal: Terminal) -> None:
    terminal.good("queuectl enqueue --id before --hold -- true; queuectl config set timeout 1h")
    terminal.good("queuectl queue set q timeout=2h; queuectl enqueue --id none -q q --timeout none -- true")
    terminal.good("queuectl enqueue --id usual -q q -- true; queuectl clone usual --id copy --timeout none")
    terminal.good("queuectl show before --json | queuectl enqueue - --id again")
    found = {id: terminal.job(id)["timeout"] for id in ("none", "usual", "copy", "again")}
    assert found == {"none": None, "usual": 7200, "copy": None, "again": None}


def test_a_dry_run_refuses_what_enqueue_would(terminal: Terminal) -> None:
    twice = "printf 'x\\ny\\n' | queuectl enqueue -n --each-line - --id same -- echo"
    assert terminal.good("queuectl --db new.db enqueue -n --id a -- true").err == "would enqueue 1 job\n"
    assert "id same comes twice" in terminal.type(twice.replace("-n", "-n --db new.db")).err
    assert not (terminal.folder / "new.db").exists()
    terminal.good("queuectl enqueue --id a --unique-key k --hold -- true")
    assert terminal.type("queuectl enqueue -n --id a -- true").code == 4
    assert terminal.type("queuectl enqueue -n --after nix -- true").code == 3
    assert terminal.type(twice).code == 4
    met = terminal.good("printf 'x\\ny\\n' | queuectl enqueue -n --each-line - --unique-key k -- echo")
    assert met.err == "would enqueue 0 jobs; 2 would meet others\n"
    assert terminal.states() == {"a": "pending"}


def test_a_variable_that_workers_set_themselves_is_noted(terminal: Terminal) -> None:
    terminal.worker()
    told = "--env QUEUECTL_JOB_ID has no effect: a job's worker sets it\n"
    line = "queuectl enqueue --id j --env QUEUECTL_JOB_ID=3 --env A=1 -c 'echo $QUEUECTL_JOB_ID'"
    assert terminal.good(line).err == told
    assert terminal.good("queuectl wait j; queuectl logs j").out == "j completed\nj\n"
    assert told in terminal.good("queuectl schedule add s --every 1h --env QUEUECTL_JOB_ID=3 -- true").err
    assert terminal.good("""queuectl enqueue '{"command": "true", "env": {"QUEUECTL_JOB_ID": "3"}}'""").err == told


def test_a_note_sends_no_control_characters_to_the_terminal(terminal: Terminal) -> None:
    done = terminal.good("queuectl enqueue --cwd $'/nowhere/\\e[31m' -- true")
    assert (r"no folder /nowhere/\x1b[31m here" in done.err, "\x1b" in done.err) == (True, False)


def test_the_surroundings_are_captured(terminal: Terminal) -> None:
    terminal.good("umask 027; LC_ALL=C.UTF-8 SECRET=x queuectl enqueue --id a -- true")
    job = terminal.job("a")
    assert job["cwd"] == str(terminal.folder)
    assert job["umask"] == "0027"
    assert job["env"]["LC_ALL"] == "C.UTF-8"
    assert "SECRET" not in job["env"]


def test_the_locale_that_python_chose_itself_is_no_ones_variable(terminal: Terminal) -> None:
    bare = 'env -i QUEUECTL_DB="$QUEUECTL_DB"'
    terminal.good(f"{bare} $(command -v queuectl) enqueue --id a -- env")
    assert terminal.job("a")["env"] == {}
    terminal.good(f"{bare} LC_CTYPE=C.UTF-8 $(command -v queuectl) enqueue --id b -- env")
    assert terminal.job("b")["env"] == {"LC_CTYPE": "C.UTF-8"}
    terminal.good(f"{bare} HERE=1 $(command -v queuectl) worker start --drain")
    without, given = (terminal.good(f"queuectl logs {job}").out.split() for job in "ab")
    assert "HERE=1" in without
    assert [line for line in without if line.startswith("LC_")] == []
    assert "LC_CTYPE=C.UTF-8" in given


def test_surroundings_that_are_no_text_are_taken_where_they_can_be(terminal: Terminal) -> None:
    terminal.good(r"PATH=$PATH:$'/caf\xe9' queuectl enqueue --id a -- printenv PATH; queuectl worker start --drain")
    assert terminal.good(r"queuectl logs a | LC_ALL=C grep -c $'/caf\xe9$'").out == "1\n"
    there = terminal.type(r"mkdir $'caf\xe9' && cd $'caf\xe9' && queuectl enqueue -- true")
    assert (there.code, "the name of the current folder holds bytes" in there.err) == (2, True)
    named = terminal.type(r"queuectl config set env-capture '*'; env $'caf\xe9=x' queuectl enqueue -- true")
    assert (named.code, "the name of the variable" in named.err) == (2, True)


def test_enqueue_loads_only_what_it_needs(terminal: Terminal) -> None:
    program = "import sys; from queuectl.cli.main import main; main(sys.argv[1:]); print(*sys.modules)"
    names = set(terminal.good(f"python3 -c '{program}' enqueue --quiet -- true").out.split())
    assert "queuectl.cli.enqueue" in names
    assert not names & {
        "queuectl.client.following",
        "queuectl.cli.listing",
        "queuectl.domain.dependency",
        "queuectl.domain.lifecycle",
        "queuectl.store.port",
        "subprocess",
        "asyncio",
        "logging",
        "tempfile",
    }
    assert not [name for name in names if name.startswith("queuectl.engine")]


@pytest.mark.parametrize(
    ("options", "missing"),
    [("--cwd nosuchdir", "no folder {here}/nosuchdir here (--cwd)"),
     ("--stdin nofile", "no file {here}/nofile here (--stdin)"),
     ("--output no/log", "no folder {here}/no here (--output)"),
     ("--shell /no/sh", "no program /no/sh here (--shell)"),
     ("--shell no-such-shell", "no program no-such-shell here (--shell)"),
     ("--user no-such-user", "no user no-such-user here (--user)")],
)  # fmt: skip
def test_what_is_not_here_yet_is_warned_of(terminal: Terminal, options: str, missing: str) -> None:
    done = terminal.good(f"queuectl enqueue {options} -- true")
    warned = f"{missing.format(here=terminal.folder)}: the job fails unless it is there when it starts\n"
    assert warned in done.err
    assert "there is no" not in terminal.good("queuectl enqueue --cwd / --stdin /dev/null --shell sh -- true").err
    assert warned in terminal.good(f"queuectl schedule add s --every 1d {options} -- true").err
    assert "(--" not in terminal.good("queuectl schedule set s --every 2d").err


def test_what_a_change_leads_to_and_is_not_here_yet_is_warned_of(terminal: Terminal) -> None:
    terminal.good("queuectl enqueue --id a -- true; queuectl schedule add s --every 1d -- true")
    warned = f"no folder {terminal.folder}/nowhere here (--cwd): the job fails unless it is there when it starts\n"
    assert warned in terminal.good("queuectl set a cwd=nowhere").err
    assert warned in terminal.good("queuectl schedule set s --cwd nowhere").err
    assert terminal.good("queuectl set a priority=5").err == ""


@pytest.mark.parametrize("options", ["--retry-on 75 --fatal-on 75", "--env 'BAD NAME=1'"])
def test_what_can_never_work_is_refused(terminal: Terminal, options: str) -> None:
    assert terminal.type(f"queuectl enqueue {options} -- true").code == 2
    assert not (terminal.folder / "queuectl.db").exists()


def test_a_shell_is_chosen_by_option_or_setting(terminal: Terminal) -> None:
    terminal.good("queuectl enqueue --id a --shell bash -c '[[ a == a ]] && echo $BASH'")
    terminal.good("queuectl config set shell bash; queuectl enqueue --id b -c '[[ b == b ]] && echo $BASH'")
    terminal.good("queuectl worker start --drain")
    shell = terminal.good("command -v bash").out
    assert terminal.good("queuectl logs a").out == terminal.good("queuectl logs b").out == shell


def test_an_id_that_is_taken_may_be_ignored(terminal: Terminal) -> None:
    terminal.good("queuectl enqueue --id a -c 'echo first'")
    done = terminal.good("queuectl enqueue --id a --on-conflict ignore -c 'echo second'")
    assert (done.out, done.err) == ("", "a is already there (pending) and left as it is\n")
    (terminal.folder / "jobs").write_text('{"id": "a", "command": "x"}\n{"id": "b", "command": "y"}\n')
    assert terminal.type("queuectl enqueue --file jobs").code == 4
    done = terminal.good("queuectl enqueue --file jobs --on-conflict ignore")
    assert done.out == "enqueued b\n"
    assert "a is already there (pending) and left as it is\n" in done.err
    assert terminal.job("a")["command"] == "echo first"


@pytest.mark.parametrize(
    "line",
    ["enqueue --id a --on-conflict ignore -c true", "clone b --id a --on-conflict ignore", "enqueue --file jobs"],
)
def test_a_program_hears_the_id_whether_it_was_there_or_not(terminal: Terminal, line: str) -> None:
    (terminal.folder / "jobs").write_text('{"id": "a", "command": "true", "on_conflict": "ignore"}\n')
    terminal.good("queuectl enqueue --id b -- true")
    for _ in range(2):
        assert terminal.good(f"queuectl {line} --quiet").out == "a\n"
        assert [job["id"] for job in terminal.good(f"queuectl {line} --json").json] == ["a"]


SAME = ("command", "queue", "priority", "timeout", "cwd", "env", "tags", "shell", "umask", "max_retries")


@pytest.mark.parametrize(
    "line", ["show a --json", "list --json", "list --json | jq -c '.[]'", "show a --json | jq '.[]'"]
)
def test_a_job_as_it_is_shown_can_be_enqueued_again(terminal: Terminal, line: str) -> None:
    terminal.good("queuectl enqueue --id a -q video --timeout 2h --tag t --env A=1 -c 'echo x | cat'")
    terminal.good("queuectl worker start --drain")
    done = terminal.good(f"queuectl {line} | queuectl enqueue -")
    assert "ignored keys that queuectl writes: id, state, attempts, " in done.err
    new = done.out.removeprefix("enqueued ").strip()
    assert {key: terminal.job(new)[key] for key in SAME} == {key: terminal.job("a")[key] for key in SAME}
    assert terminal.job(new)["state"] == "pending"
    terminal.good(f"queuectl delete {new}")
    assert terminal.good(f"queuectl {line} | queuectl enqueue - --id b").out == "enqueued b\n"


def test_a_job_that_expires_can_be_enqueued_again_as_it_is_shown(terminal: Terminal) -> None:
    terminal.good("queuectl enqueue --id a --expires 10m --delay 1h -- true")
    assert terminal.good("queuectl show a --json | queuectl enqueue - --json").json[0]["expires"] == 600


def test_broken_json_over_several_lines_is_refused_with_its_line(terminal: Terminal) -> None:
    done = terminal.type("queuectl enqueue -", stdin='{\n"command": "x"\n"id": "a"\n}')
    assert (done.code, done.err) == (
        2, "queuectl: the input is not valid JSON: Expecting ',' delimiter in line 3; nothing was enqueued\n",
    )  # fmt: skip
    assert terminal.type("queuectl enqueue -", stdin='[{"command": "x"}, 5]').code == 2
    assert (
        terminal.good("queuectl enqueue --quiet -", stdin='[{"command": "x"},\n {"command": "y"}]').out.count("\n") == 2
    )


def test_a_clone_runs_the_same_or_another_command(terminal: Terminal) -> None:
    terminal.good("queuectl enqueue --id a -q video --timeout 2h -- echo first")
    assert terminal.good("queuectl clone a --id b").out == "enqueued b\n"
    terminal.good("queuectl clone a --id c --timeout 1m -- echo second")
    jobs = {each: terminal.job(each) for each in "abc"}
    assert jobs["b"]["command"] == jobs["a"]["command"]
    assert (jobs["c"]["command"], jobs["c"]["timeout"], jobs["c"]["queue"]) == (["echo", "second"], 60, "video")
    assert terminal.type("queuectl clone nosuch").code == 3
    assert terminal.type("queuectl clone a --id b").code == 4
    refused = terminal.type("queuectl clone a --at nonsense")
    assert (refused.code, "--at 'nonsense' is not a time" in refused.err) == (2, True)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--start-by 2026-01-01T00:00:00Z", "start_by 2026-01-01 "),
        ("--start-by 2030-01-01T00:00:00Z --at 2030-01-02T00:00:00Z", "start_by 2030-01-01 "),
        ("--start-by 2030-01-02T00:00:00Z --at 2030-01-01T00:00:00Z", ""),
        ("--expires 1s --delay 1h", ""),
    ],
)
def test_a_job_that_is_too_late_to_start_is_told_of(terminal: Terminal, options: str, told: str) -> None:
    (terminal.folder / "jobs.jsonl").write_text('{"command": "true"}\n' * 2)
    for line in ("enqueue {} -- true", "enqueue {} --file jobs.jsonl"):
        said = terminal.good(f"queuectl {line.format(options)}").err
        assert ("is over before the job may start: it will be cancelled" in said, told in said) == (bool(told), True)
        assert said.count("start_by") == bool(told)


def test_a_replaced_job_says_what_it_does_not_wait_for(terminal: Terminal) -> None:
    terminal.good("queuectl enqueue --id one -- true; queuectl enqueue --id two -- true")
    again = "queuectl enqueue --unique-key k --on-conflict replace --id site"
    terminal.good(f"{again} --after one -- true")
    assert "does not wait" not in terminal.good(f"{again} --after one -- true").err
    told = terminal.good(f"{again} --after one --after two:any -- true")
    assert told.out == "replaced site\n"
    assert told.err == "site does not wait for two:any: its dependencies stay as they were\n"
