"""Crontabs as people have them, as schedules: what cron ran runs, and what it ignored is told."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from queuectl.client.importing import as_command, as_schedule
from queuectl.wire.crontab import Crontab, Dialect, read_crontab
from tests.unit.test_json_everywhere import typed


def runs(found: Crontab, tmp_path: Path) -> list[str]:
    """What each command writes, run as its job is run."""
    written = []
    for entry in found.entries:
        job = as_schedule(entry, "UTC")["job"]
        words = [job.get("shell", "/bin/sh"), "-c", job["command"]]
        env = {"HOME": str(tmp_path), **job["env"]}
        done = subprocess.run(words, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
        written.append(done.stdout)
    return written


CRONTABS: list[tuple[bytes, dict[str, Any], list[str], list[int]]] = [
    # a laptop's, with comments
    (b"# m h dom mon dow command\n0 5 * * 1 echo weekly backup # of home\n", {}, ["weekly backup\n"], []),
    # variables, quotes, and what is not expanded
    (b'A=1\nB="two words"\nC=$A\n@daily echo "$A-$B-$C"\n', {}, ["1-two words-$A\n"], []),
    # a later value counts for the lines below only
    (b"X=old\n0 1 * * * echo $X\nX=new\n0 2 * * * echo $X\n", {}, ["old\n", "new\n"], []),
    # percent signs
    (b'0 8 * * * cat%Dear all,%%backup is \\%100\n1 8 * * * date -u -d @0 "+\\%Y-\\%m"\n', {},
     ["Dear all,\n\nbackup is %100\n", "1970-01\n"], []),
    # another shell
    (b"SHELL=/bin/bash\n0 0 * * * [[ abc == a* ]] && echo matches\n", {}, ["matches\n"], []),
    # the machine's, with users
    (b"SHELL=/bin/sh\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\n17 *\t* * *\troot\tcd / && echo hourly\n"
     b"25 6 * * * root test -x /none || ( cd / && echo daily )\n", {"is_system": True}, ["hourly\n", "daily\n"], []),
    # a user column where none belongs
    (b"0 0 * * * root echo x\n", {}, [""], [1]),
    # from another system: CRLF
    (b"0 0 * * * echo crlf\r\n", {}, ["crlf\n"], [1]),
    # no newline at the end
    (b"0 0 * * * echo a\n0 1 * * * echo b", {}, [], [1, 2]),
    # @reboot, a backward range, a day that never comes
    (b"@reboot echo up\n0 0 * * sat-mon echo weekend\n0 0 30 2 * echo never\n0 9 * * * echo ok\n", {},
     ["ok\n"], [1, 2, 3]),
    # names of days and months, and what cron drops
    (b"0 0 1 jan,JUL * echo half\n0 0 * * fri#2 echo friday\n", {}, ["half\n", "friday\n"], [2]),
    # MAILTO, and one bad line that made cron ignore all
    (b"MAILTO=me@example.org\n0 0 * * * echo a\n0 24 * * * echo b\n", {}, [], [2, 3]),
    # the same for cronie, with a zone
    (b"CRON_TZ=Asia/Tokyo\n0 0 * * * echo a\n0 24 * * * echo b\n", {"dialect": Dialect.CRONIE}, ["a\n"], [3]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "options", "written", "told"), CRONTABS)
def test_what_cron_ran_runs_and_what_it_ignored_is_told(
    text: bytes, options: dict[str, Any], written: list[str], told: list[int], tmp_path: Path
) -> None:
    found = read_crontab(text, **options)
    assert runs(found, tmp_path) == written
    assert sorted({each.line for each in found.told} | {each.line for each in found.entries if each.notes}) == told


def test_the_printed_lines_add_the_same_schedules(tmp_path: Path) -> None:
    given = tmp_path / "crontab"
    given.write_bytes(b"Q=it's\n0 3 * * * cat%a%b\n@weekly /opt/report.sh 'x y'\n")
    printed, applied = tmp_path / "printed.db", tmp_path / "applied.db"
    code, lines, _ = typed(printed, f"import crontab {given}")
    assert code == 0
    environment = {**os.environ, "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    script = lines.replace("queuectl ", f"{shlex.quote(_queuectl())} ")
    subprocess.run(["/bin/sh", "-e", "-c", script], check=True, capture_output=True, env=environment)
    assert typed(applied, f"import crontab {given} --apply")[0] == 0
    told = []
    for db in (printed, applied):
        found = json.loads(typed(db, "schedule list --json")[1])
        told.append([(each["name"], each["cron"], each["zone"], each["job"]) for each in found])
    assert told[0] == told[1]
    assert [each[0] for each in told[0]] == ["cat", "report"]
    assert all(each["paused"] for each in json.loads(typed(applied, "schedule list --json")[1]))
    assert typed(applied, f"import crontab {given} --apply")[0] == 4


def _queuectl() -> str:
    import sys

    return str(Path(sys.executable).parent / "queuectl")


def test_all_entries_are_added_or_none(tmp_path: Path) -> None:
    db, first, second = tmp_path / "jobs.db", tmp_path / "first", tmp_path / "second"
    first.write_text("0 1 * * * b\n")
    second.write_text("0 1 * * * a\n0 2 * * * b\n")
    assert typed(db, f"import crontab {first} --apply")[0] == 0
    code, _, said = typed(db, f"import crontab {second} --apply --json")
    assert (code, json.loads(said)["error"]["message"]) == (4, "schedule b exists; nothing was imported")
    assert "schedule delete b" in said
    assert [each["name"] for each in json.loads(typed(db, "schedule list --json")[1])] == ["b"]
    assert typed(db, f"import crontab {tmp_path}/missing")[0] == 2


def test_a_line_has_what_cron_gave_a_command() -> None:
    (entry,) = read_crontab(b"HOME=/srv\nSHELL=/bin/bash\n5 0 * * * a\n").entries
    line = as_command(as_schedule(entry, "Europe/Berlin"), "queuectl")
    assert line == (
        "queuectl schedule add a --cron '5 0 * * *' --tz Europe/Berlin --env PATH=/usr/bin:/bin --env HOME=/srv "
        "--cwd /srv --shell /bin/bash -c a"
    )


def test_the_hint_resumes_all_that_was_added(tmp_path: Path) -> None:
    table = tmp_path / "table"
    table.write_text("".join(f"0 1 * * * {name}\n" for name in "abcd"))
    assert "schedule resume a b c d\n" in typed(tmp_path / "jobs.db", f"import crontab {table} --apply")[2]


def test_a_crontab_needs_a_zone_with_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "table"
    table.write_text("0 1 * * * a\n")
    monkeypatch.setenv("TZ", "JST-9")
    code, _, said = typed(tmp_path / "jobs.db", f"import crontab {table}")
    assert (code, "name one: export TZ=Europe/Berlin" in said) == (2, True)
