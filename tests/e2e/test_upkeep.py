"""Settings, stores, pruning, the doctor, completion and the demo."""

from __future__ import annotations

import json
import stat

from tests.e2e.conftest import Terminal


def test_settings_are_shown_changed_and_put_back(stored: Terminal) -> None:
    assert stored.good("queuectl config get max-retries").out == "3\n"
    assert stored.good("queuectl config set max_retries 1").out == "max-retries = 1\n"
    assert stored.good("queuectl config set base_backoff_seconds 1").out == "backoff-initial = 1s\n"
    assert stored.good("queuectl config get backoff-initial --json").json["value"] == 1.0
    stored.good("queuectl enqueue --id a -- true")
    stored.good("queuectl config set max-retries 9")
    assert stored.job("a")["max_retries"] == 1
    assert stored.good("queuectl config unset max-retries").out == "max-retries = 3\n"
    rows = {row["name"]: row for row in stored.good("queuectl config show --json").json}
    assert rows["backoff-initial"]["set"]
    assert not rows["max-retries"]["set"]
    assert rows["backoff-initial"]["help"]


def test_a_copy_tells_which_tokens_it_leaves(terminal: Terminal) -> None:
    terminal.good("queuectl enqueue --id a -- true")
    assert "tokens" not in terminal.good("queuectl copy --to one.db --keep --yes").err
    terminal.good("queuectl token create grafana")
    expected = "tokens are not copied: grafana; make each with: queuectl --db two.db token create NAME"
    assert expected in terminal.good("queuectl copy --to two.db --yes").err
    assert "no token" in terminal.good("queuectl --db two.db token list").err


def test_a_store_with_a_worker_is_not_replaced(terminal: Terminal) -> None:
    terminal.good("queuectl enqueue --id a --hold -- true; queuectl backup saved.db")
    terminal.good("queuectl --db two.db enqueue --id b --hold -- true")
    terminal.worker("--name night")
    refused = terminal.type("queuectl --db two.db copy --to queuectl.db --keep --replace --yes")
    assert (refused.code, "worker night is running on queuectl.db" in refused.err) == (4, True)
    assert "first: queuectl --db queuectl.db worker stop" in refused.err
    refused = terminal.type("queuectl restore saved.db --replace --yes")
    assert (refused.code, "worker night is running on this store" in refused.err) == (4, True)
    assert terminal.good("queuectl list --quiet").out == "a\n"


def test_replacing_a_store_tells_which_of_its_tokens_are_gone(terminal: Terminal) -> None:
    told = "tokens of the store before are gone: grafana; make each with: queuectl --db two.db token create NAME"
    terminal.good("queuectl enqueue --id a -- true; queuectl backup saved.db")
    for replace in ("copy --to two.db --keep", "--db two.db restore saved.db"):
        terminal.good("queuectl --db two.db token create grafana")
        assert told in terminal.good(f"queuectl {replace} --replace --yes").err
        assert told not in terminal.good(f"queuectl {replace} --replace --yes").err


def test_a_preview_begins_at_a_time_of_its_own_zone(terminal: Terminal) -> None:
    for zone, first in (("Asia/Tokyo", "2027-03-26T00:00:00Z"), ("America/New_York", "2027-03-26T13:00:00Z")):
        for start in ("2027-03-26 08:59", "2027-03-26T08:59"):
            line = f'queuectl schedule preview "0 9 * * *" --tz {zone} --from "{start}" -n 1 --json'
            assert terminal.good(line).json == [first]
    for start in ("08:59", "2027-03-26T08:59:00+09:00", "+1h"):
        terminal.good(f'queuectl schedule preview "0 9 * * *" --tz Asia/Tokyo --from {start}')


def test_the_first_delay_follows_the_base_until_it_is_set(terminal: Terminal) -> None:
    terminal.good("queuectl config set backoff-base 3")
    assert terminal.good("queuectl config get backoff-initial").out == "3s\n"


def test_a_short_retention_without_a_unit_is_refused(stored: Terminal) -> None:
    refused = stored.type("queuectl config set retention-completed 30")
    assert (refused.code, "30d for days" in refused.err) == (2, True)
    assert stored.good("queuectl config set retention-completed 30d").out == "retention-completed = 30d\n"
    assert stored.good("queuectl config set retention-completed 86400").out == "retention-completed = 86400s\n"


def test_init_makes_a_store_for_this_folder_and_those_below(terminal: Terminal) -> None:
    del terminal.environment["QUEUECTL_DB"]
    assert terminal.good("queuectl init").out == f"made {terminal.folder}/queuectl.db\n"
    assert terminal.good("queuectl init").out == f"found {terminal.folder}/queuectl.db\n"
    assert stat.S_IMODE((terminal.folder / "queuectl.db").stat().st_mode) == 0o600
    terminal.good("mkdir below; cd below; queuectl enqueue --id a -- true")
    assert terminal.states() == {"a": "pending"}


def test_without_any_other_the_store_is_the_users_own(terminal: Terminal) -> None:
    del terminal.environment["QUEUECTL_DB"]
    home = terminal.environment["HOME"]
    assert terminal.good("queuectl --json").json["store"] == f"{home}/.local/share/queuectl/queuectl.db"
    terminal.environment["XDG_DATA_HOME"] = f"{home}/data"
    assert terminal.good("queuectl --json").json["store"] == f"{home}/data/queuectl/queuectl.db"


def test_a_project_store_that_others_can_write_is_refused_by_name(terminal: Terminal) -> None:
    del terminal.environment["QUEUECTL_DB"]
    terminal.good("queuectl init; chmod 666 queuectl.db")
    done = terminal.type("queuectl list")
    assert done.code == 5
    assert f"{terminal.folder}/queuectl.db" in done.err


def test_reset_removes_everything(terminal: Terminal) -> None:
    terminal.good("queuectl enqueue --id a -- true; queuectl config set max-retries 1")
    code, shown = terminal.watched("queuectl reset", keys="\n")
    assert code == 1
    assert "[y/N]" in shown
    assert terminal.states() == {"a": "pending"}
    assert terminal.good("queuectl reset --yes").out == f"removed {terminal.folder}/queuectl.db\n"
    assert "there is no store" in terminal.good("queuectl reset --yes").err
    assert terminal.states() == {}
    assert terminal.good("queuectl config get max-retries").out == "3\n"


def test_no_store_is_backed_up(terminal: Terminal) -> None:
    refused = terminal.type("queuectl --db none.db backup saved.db")
    assert (refused.code, "there is no store" in refused.err) == (5, True)
    assert not list(terminal.folder.iterdir())


def test_a_backup_is_changed_only_by_writing_to_it_and_then_serves_workers(terminal: Terminal) -> None:
    terminal.good("queuectl enqueue --id a -- true")
    terminal.good("queuectl backup saved.db")
    saved = (terminal.folder / "saved.db").read_bytes()
    assert "a" in terminal.good("queuectl --db saved.db list --quiet").out
    terminal.good("queuectl --db saved.db doctor")
    assert (terminal.folder / "saved.db").read_bytes() == saved
    terminal.good("queuectl --db saved.db worker start --drain")
    assert terminal.good("queuectl --db saved.db list --quiet --state completed").out == "a\n"
    assert terminal.states() == {"a": "pending"}


def test_a_restored_store_serves_workers(terminal: Terminal) -> None:
    terminal.good("queuectl enqueue --id a -- true")
    terminal.good("queuectl backup saved.db")
    terminal.good("queuectl restore saved.db --replace --yes")
    terminal.good("queuectl queue resume --all")
    terminal.good("queuectl worker start --drain")
    assert terminal.states() == {"a": "completed"}


def test_a_damaged_store_tells_how_a_backup_takes_its_place(terminal: Terminal) -> None:
    terminal.good("queuectl enqueue --id a -- true; queuectl backup saved.db; head -c 5000 saved.db > half.db")
    refused = terminal.type("queuectl --db half.db restore saved.db --replace --yes")
    _, _, way_out = refused.err.rpartition("; to remove it, and then restore a backup: ")
    assert (refused.code, way_out) == (5, "queuectl --db half.db reset\n")
    terminal.good(f"{way_out.rstrip()} --yes; queuectl --db half.db restore saved.db")
    assert terminal.good("queuectl --db half.db list --quiet").out == "a\n"


def test_reset_removes_nothing_but_stores(terminal: Terminal) -> None:
    terminal.good("queuectl enqueue --id a -- true; echo text > text.txt; mkdir empty")
    terminal.good('python3 -c \'import sqlite3; sqlite3.connect("other.db").execute("CREATE TABLE t (a)")\'')
    for foreign in ("text.txt", "other.db", "empty"):
        refused = terminal.type(f"queuectl --db {foreign} reset --yes")
        assert (refused.code, "not a queuectl store" in refused.err) == (5, True)
        assert (terminal.folder / foreign).exists()
    assert terminal.type("queuectl --db /dev/null list").code == 5
    assert "there is no store" in terminal.good("queuectl --db nowhere.db reset --yes").err
    nothing = terminal.good("queuectl --db nowhere.db reset --yes --json")
    assert (json.loads(nothing.out), json.loads(nothing.err)["note"]["code"]) == ({"removed": None}, "no_store")
    unasked = terminal.type("queuectl reset")
    assert (unasked.code, "would be removed with all its jobs; confirm with --yes" in unasked.err) == (2, True)
    unnamed = terminal.type("queuectl --db '' reset --yes")
    assert (unnamed.code, "is empty" in unnamed.err) == (2, True)
    assert terminal.states() == {"a": "pending"}


def test_prune_follows_the_options_or_the_settings(terminal: Terminal) -> None:
    terminal.good("queuectl enqueue --id a -- true; queuectl enqueue --id b --max-retries 0 -- false")
    terminal.good("queuectl enqueue --id c --hold -- true; queuectl worker start --drain")
    assert terminal.good("queuectl prune --older-than 1h").out == "deleted 0 jobs\n"
    assert terminal.good("queuectl prune --older-than 0 --dry-run").out == "would delete 2 jobs\n"
    for line in ("prune --older-than 30", "delete --older-than 30 --yes", "dlq purge --older-than 30 --yes"):
        refused = terminal.type(f"queuectl {line}")
        assert (refused.code, "30d for days, 30s for seconds" in refused.err) == (2, True)
    terminal.good("queuectl enqueue --id d --after a --hold -- true")
    assert terminal.good("queuectl prune --state completed --dry-run --json").json == {"pruned": 0, "matching": 0}
    terminal.good("queuectl delete d --yes")
    assert terminal.good("queuectl prune --state dead").out == "deleted 1 job\n"
    terminal.good("queuectl config set retention-completed 0s")
    assert terminal.good("queuectl prune --json").json == {"pruned": 1, "matching": 1}
    assert terminal.states() == {"c": "pending"}


def test_prune_takes_hooks_as_jobs_of_their_state(terminal: Terminal) -> None:
    terminal.good(
        "queuectl enqueue --id a --max-retries 0 --on-dead true -- false; queuectl worker start --drain --no-hooks"
    )
    terminal.good("queuectl cancel --hooks --all")
    assert terminal.good("queuectl prune --state cancelled").out == "deleted 1 job\n"
    assert terminal.good("queuectl list --hooks --quiet").out == ""
    assert terminal.states() == {"a": "dead"}


def test_the_doctor_finds_a_sound_store_well(terminal: Terminal) -> None:
    missing = terminal.good("queuectl doctor")
    assert "there is no store" in missing.out
    assert not (terminal.folder / "queuectl.db").exists()
    terminal.good("queuectl enqueue -- true")
    found = terminal.good("queuectl doctor --json").json
    assert found["ok"]
    assert {finding["level"] for finding in found["findings"]} <= {"ok", "warning"}


def test_the_doctor_names_what_is_wrong_with_its_fix(terminal: Terminal) -> None:
    terminal.good("queuectl enqueue -- true; chmod 644 queuectl.db")
    done = terminal.good("queuectl doctor")
    assert "chmod 600" in done.out
    (terminal.folder / "queuectl.db").write_text("dear diary" * 1000)
    done = terminal.type("queuectl doctor")
    assert done.code == 1
    assert "problem" in done.out
    assert "Traceback" not in done.err


def test_the_demo_shows_the_main_job_and_leaves_nothing(terminal: Terminal) -> None:
    terminal.environment["TMPDIR"] = str(terminal.folder)
    shown = terminal.good("queuectl demo").out
    for line in (
        "$ queuectl status",
        "$ queuectl list",
        "$ queuectl dlq list",
        "$ queuectl logs",
        "started 2 worker(s)",
    ):
        assert line in shown
    assert "exit code 2" in shown
    assert "timed out after 1s" in shown
    assert "attempt 3" in shown
    assert list(terminal.folder.iterdir()) == []


def test_removing_a_projects_store_begins_it_anew_in_the_same_place(terminal: Terminal) -> None:
    terminal.good("queuectl init && queuectl enqueue --id old -- true && rm queuectl.db*")
    terminal.good("queuectl enqueue --id new -- true")
    assert (terminal.folder / "queuectl.db").exists()
    assert terminal.states() == {"new": "pending"}


def test_a_shell_that_is_no_program_here_is_refused(terminal: Terminal) -> None:
    for wrong in ("/nowhere/sh", "/tmp", "/etc/passwd", "bash -x", "nosuchsh"):
        done = terminal.type(f"queuectl config set shell '{wrong}'")
        assert (done.code, f"shell {wrong} is not a program" in done.err) == (2, True)
    assert "in each job's folder" in terminal.type("queuectl config set shell ./sh").err
    assert terminal.good("queuectl config set shell bash").out == "shell = bash\n"
    assert terminal.good("queuectl config set shell /bin/sh").out == "shell = /bin/sh\n"
