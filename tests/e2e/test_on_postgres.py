"""The same commands on a database server, as a user types them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import psycopg
import pytest

from tests.e2e.conftest import PASSWORD, Terminal, eventually


def test_retries_and_death_of_a_job_are_shown(fleet: Terminal) -> None:
    fleet.good("queuectl config set backoff-base 1")
    added = fleet.good("""queuectl enqueue '{"id":"job1","command":"echo said; exit 3","max_retries":1}'""")
    assert added.out == "enqueued job1\n"
    assert "no live worker" in added.err
    fleet.worker("--count 2 --name here")
    assert fleet.type("queuectl wait job1").code == 3
    assert fleet.good("queuectl logs job1 --attempt 2").out == "said\n"
    assert fleet.good("queuectl dlq list --json").json[0]["error"] == "exit code 3"
    assert fleet.good("queuectl dlq retry job1 --yes").code == 0
    assert fleet.type("queuectl wait job1").code == 3
    job = fleet.job("job1")
    assert (job["state"], job["attempts"], job["lost"]) == ("dead", 2, 0)
    assert fleet.good("queuectl prune --state dead --yes --quiet").out == "1\n"
    assert fleet.good("queuectl list --json").json == []


def test_workers_are_seen_told_and_stopped_through_the_server(fleet: Terminal) -> None:
    worker = fleet.worker("--name here")
    fleet.good("queuectl enqueue --id long -- sleep 300")
    eventually(lambda: fleet.job("long")["started_at"], "long starts")
    assert [each["name"] for each in fleet.good("queuectl worker list --json").json] == ["here"]
    assert fleet.good("queuectl status --json").json["counts"]["processing"] == 1
    fleet.good("queuectl cancel long")
    assert fleet.type("queuectl wait long --timeout 20").code == 143
    assert fleet.type("queuectl run -- sh -c 'echo out; exit 7'").code == 7
    assert fleet.good("queuectl worker stop").out == "stopped here\n"
    assert worker.wait(60) == 0


def test_reset_makes_a_worker_end_what_ran_and_start_afresh(fleet: Terminal) -> None:
    fleet.worker("--name here")
    fleet.good("queuectl enqueue --id old -- sleep 300")
    eventually(lambda: fleet.job("old")["started_at"], "old starts")
    assert fleet.good("queuectl reset --yes").out.startswith("removed postgresql://")
    assert fleet.type("queuectl show old").code == 3
    assert fleet.type("queuectl run -- echo afresh").out == "afresh\n"


def test_commands_reach_their_store_without_seeing_its_password(fleet: Terminal) -> None:
    assert PASSWORD in fleet.environment["QUEUECTL_DB"]
    looks = "env; cat /proc/$$/environ /proc/$PPID/environ; queuectl enqueue --id inner -- env"
    fleet.good(f"queuectl enqueue --id outer -c '{looks}'")
    fleet.good("queuectl worker start --drain")
    assert fleet.states() == {"outer": "completed", "inner": "completed"}
    for job in ("outer", "inner"):
        written = fleet.good(f"queuectl logs {job}").out
        assert "QUEUECTL_DB=postgresql://" in written
        assert PASSWORD not in written
    state = Path(fleet.environment["XDG_STATE_HOME"])
    assert [path for path in state.rglob("*") if path.is_file() and PASSWORD.encode() in path.read_bytes()] == []


def test_no_password_is_shown_to_anybody(fleet: Terminal) -> None:
    fleet.worker("--name here")
    fleet.good("queuectl enqueue --id long -- sleep 300")
    eventually(lambda: fleet.job("long")["started_at"], "long starts")
    said = [
        fleet.good(f"queuectl {words}")
        for words in (
            "status",
            "status --json",
            "worker list --json",
            "worker logs here",
            "show long",
            "init --db $QUEUECTL_DB",
        )
    ]
    said += [
        fleet.type(f"queuectl {words}")
        for words in (
            "doctor",
            "show nobody",
            "list --db ${QUEUECTL_DB/127.0.0.1/127.0.0.2}",
            "list --db ${QUEUECTL_DB}&x=y",
        )
    ]
    said.append(fleet.type("queuectl --db $QUEUECTL_DB enqueue --queue unserved -- true"))
    processes = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    assert "queuectl.engine.supervise.supervisor" in processes
    assert PASSWORD not in processes
    for done in said:
        assert PASSWORD not in done.out + done.err, done


def test_a_role_that_cannot_make_tables_gets_a_fix(fleet: Terminal, postgres_server: str) -> None:
    role = fleet.environment["QUEUECTL_DB"].partition("://")[2].partition(":")[0]
    with psycopg.connect(postgres_server, autocommit=True) as db:
        db.execute(f"REVOKE CREATE ON DATABASE {db.info.dbname} FROM {role}".encode())
        refused = fleet.type("queuectl init")
        assert refused.code == 5
        assert f"the role {role} may not make the tables" in refused.err
        fix = refused.err.partition("run: ")[2].strip()
        db.execute(fix.encode())
    fleet.good("queuectl init")
    assert fleet.good("queuectl list --json").json == []


def test_a_server_that_answers_is_not_asked_for(terminal: Terminal, postgres_server: str) -> None:
    place, _, _ = postgres_server.rpartition("/")
    refused = terminal.type(f"queuectl list --db {place}/not_made")
    assert (refused.code, "createdb" in refused.err) == (5, True)
    assert "is the server running?" not in refused.err


def test_many_hosts_may_start_on_a_new_database_at_once(fleet: Terminal) -> None:
    starts = [fleet.background("queuectl enqueue --quiet -- true") for _ in range(6)]
    printed = [start.communicate(timeout=60)[0].strip() for start in starts]
    assert sorted(job["id"] for job in fleet.good("queuectl list --json").json) == sorted(printed)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("mysql://localhost/x", "unknown kind of store mysql://"),
        ("postgresql://localhost/x?schema=a-b", "'a-b' is not a name for a schema"),
        ("postgresql://user:correct-horse@[host/db", "not a PostgreSQL address"),
        ("postgresql://user:correct-horse/battery@host/db", "not a PostgreSQL address"),
        ("postgresql://localhost/x?nonsense=1", "not a PostgreSQL address"),
        ("host=db user=me password=correct-horse dbname=work", "write it as: postgresql://me@db/work"),
    ],
)
def test_an_address_that_is_none_is_bad_input(terminal: Terminal, address: str, said: str) -> None:
    refused = terminal.type(f"queuectl list --db '{address}'")
    assert refused.code == 2
    assert said in refused.err
    assert PASSWORD not in refused.err


def test_a_queue_moves_to_a_server_when_its_running_command_has_ended(fleet: Terminal, tmp_path: Path) -> None:
    server = fleet.environment.pop("QUEUECTL_DB")
    gate = tmp_path / "gate"
    worker = fleet.worker("--name here")
    fleet.good(f"queuectl enqueue --id runs -c 'echo out; while [ ! -e {gate} ]; do sleep 0.05; done'")
    fleet.good("queuectl enqueue --id waits --hold -- true")
    eventually(lambda: fleet.job("runs")["started_at"], "it runs")
    gate.touch()
    moved = fleet.good(f"queuectl copy --to '{server}' --yes")
    assert moved.out.startswith("copied 2 jobs to postgresql://")
    assert PASSWORD not in moved.out + moved.err
    assert worker.wait(60) == 0
    refused = fleet.type("queuectl list")
    assert refused.code == 5
    assert "has moved to postgresql://" in refused.err
    assert PASSWORD not in refused.err
    fleet.environment["QUEUECTL_DB"] = server
    assert fleet.good("queuectl logs runs").out == "out\n"
    fleet.worker()
    fleet.good("queuectl release waits")
    assert fleet.type("queuectl wait runs waits").code == 0


def test_init_makes_the_tables_of_the_server_that_is_the_store(fleet: Terminal) -> None:
    made = fleet.good("queuectl init")
    assert (made.out.startswith("made postgresql://"), made.err) == (True, "")
    assert fleet.good("queuectl init").out == made.out.replace("made", "found")
    assert fleet.good("queuectl init --json").json["made"] is False
    assert list(fleet.folder.iterdir()) == []


def test_a_setting_is_shown_with_its_default_on_a_server(fleet: Terminal) -> None:
    fleet.good("queuectl init")
    shown = fleet.good("queuectl config get env-capture --json").json
    assert (shown["value"], shown["default"], shown["set"]) == ([], "", False)


def test_a_store_with_too_short_leases_is_not_copied_to_a_server(fleet: Terminal) -> None:
    server = fleet.environment.pop("QUEUECTL_DB")
    fleet.good("queuectl config set lease-ttl 3")
    refused = fleet.type(f"queuectl copy --to '{server}' --yes")
    assert (refused.code, "lease-ttl is 3s, and must be at least 10s" in refused.err) == (4, True), refused
    fleet.good("queuectl config unset lease-ttl")
    fleet.good(f"queuectl copy --to '{server}' --yes")
