"""Crontabs, read as the daemon does that has run them."""

from __future__ import annotations

import pytest

from queuectl.wire.crontab import Crontab, Dialect, read_crontab, split_percent

FILE_IGNORED = "did not run: cron ignored the whole file"


def brief(found: Crontab) -> list[str]:
    return [f"{each.cron} {each.command}" for each in found.entries]


def reasons(found: Crontab) -> list[str]:
    return [f"{each.line}: {each.reason}" for each in found.told]


def test_variables_count_for_the_lines_below_them() -> None:
    found = read_crontab(b"""
# nightly
0 1 * * * first
PATH=/opt/bin:/usr/bin
 QUOTED = "a b"
X=v # c
USER=somebody
0 2 * * * second
X='w'
0 3 * * * third
""")
    first, second, third = (dict(entry.variables) for entry in found.entries)
    assert first == {"PATH": "/usr/bin:/bin", "SHELL": "/bin/sh"}
    assert second == {"PATH": "/opt/bin:/usr/bin", "SHELL": "/bin/sh", "QUOTED": "a b", "X": "v # c"}
    assert third == {**second, "X": "w"}
    assert not found.told


@pytest.mark.parametrize(
    ("text", "command", "stdin"),
    [
        ("mail root%Hello%there", "mail root", "Hello\nthere\n"),
        (r'date "+\%F" # x', 'date "+%F" # x', None),
        ('echo "50%"', 'echo "50', '"\n'),
        (r"a%b\%c%d", "a", "b%c\nd\n"),
        ("a%", "a", ""),
        (r"a\\b", r"a\b", None),
        (r"printf '\n'", r"printf '\n'", None),
    ],
)
def test_a_percent_sign_ends_the_command_and_begins_its_input(text: str, command: str, stdin: str | None) -> None:
    assert split_percent(text, Dialect.DEBIAN) == (command, stdin)


def test_cronie_leaves_double_backslashes() -> None:
    assert split_percent(r"a\\b \%", Dialect.CRONIE) == (r"a\\b %", None)


@pytest.mark.parametrize(
    ("line", "cron"),
    [
        (b"0 0 * * 5#3 x", "0 0 * * 5"),
        (b"0 0 * * FRI#2 x", "0 0 * * FRI"),
        (b"1.5 * * * * x", "1 * * * *"),
        (b"1~10 * * * * x", "1 * * * *"),
        (b"0 5-1,12 * * * x", "0 12 * * *"),
        (b"0 0 1 * 5-1 x", "0 0 1 * *"),
        (b"*/61 * * * * x", "*/61 * * * *"),
        (b"0\t0 \t1 jan-mar 7 x", "0 0 1 jan-mar 7"),
        (b"@daily\tx", "@daily"),
    ],
)
def test_debian_drops_what_it_does_not_read(line: bytes, cron: str) -> None:
    assert brief(read_crontab(line + b"\n")) == [f"{cron} x"]


@pytest.mark.parametrize(
    "line", [b"0 0 * * fri-mon x", b"5-1 * * * * x", b"* 22-2 * * * x", b"0 0 31 2 * x", b"0 0 */2 * 5-1 x"]
)
def test_what_never_ran_is_told(line: bytes) -> None:
    found = read_crontab(line + b"\n0 1 * * * y\n")
    assert brief(found) == ["0 1 * * * y"]
    assert found.told[0].reason.startswith("never ran")


@pytest.mark.parametrize(
    "bad",
    [
        b"export X=1\n", b"MAILTO=\n", b"60 * * * * x\n", b"3/15 * * * * x\n", b"0 0 L * * x\n", b"0 0 * * 5L x\n",
        b"\xef\xbb\xbf0 0 * * * x\n", b"@every_minute x\n", b"0 0 * * * " + b"x" * 999 + b"\n", b"* * * *\n", b"\r\n",
        b"*/0 * * * * x\n",
    ],
)  # fmt: skip
def test_a_bad_line_makes_debian_ignore_the_file(bad: bytes) -> None:
    found = read_crontab(b"0 1 * * * y\n" + bad)
    assert not found.entries
    assert f"1: {FILE_IGNORED}" in reasons(found)
    assert [each.line for each in found.told] == [1, 2]
    if b"x" * 999 not in bad:
        cronie = read_crontab(b"0 1 * * * y\n" + bad, Dialect.CRONIE)
        assert brief(cronie) == ["0 1 * * * y"]
        assert [each.line for each in cronie.told] == [2]


def test_a_missing_newline_makes_debian_ignore_the_file() -> None:
    assert not read_crontab(b"0 1 * * * y\n0 2 * * * x").entries
    assert brief(read_crontab(b"0 1 * * * y\n0 2 * * * x", Dialect.CRONIE)) == ["0 1 * * * y"]


def test_crlf_is_told_and_left_out() -> None:
    found = read_crontab(b"0 1 * * * y\r\n")
    assert brief(found) == ["0 1 * * * y"]
    assert "carriage return" in found.told[0].reason


def test_a_zone_is_cronies() -> None:
    lines = b"0 1 * * * a\nCRON_TZ=Asia/Tokyo\n0 2 * * * b\n"
    assert [each.zone for each in read_crontab(lines, Dialect.CRONIE).entries] == [None, "Asia/Tokyo"]
    assert dict(read_crontab(lines).entries[1].variables)["CRON_TZ"] == "Asia/Tokyo"


def test_a_system_crontab_names_users() -> None:
    found = read_crontab(b"17 *\t* * *\troot\tcd / && run-parts /etc/cron.hourly\n", is_system=True)
    assert [(each.user, each.name) for each in found.entries] == [("root", "run-parts")]
    unknown = read_crontab(b"1 1 * * * root a\n1 1 * * * nobdy b\n", is_system=True, is_user="root".__eq__)
    assert not unknown.entries
    assert not read_crontab(b"1 1 * * * root a\n", is_system=True, name="backup.dpkg-old").entries
    assert read_crontab(b"1 1 * * * root a\n").entries[0].notes


def test_what_has_no_equivalent_is_told() -> None:
    found = read_crontab(b'MAILTO="ops@example.org"\n@reboot start\n1 1 * * *\n0 * * * * 1 cmd\n')
    assert brief(found) == ["0 * * * * 1 cmd"]
    assert found.entries[0].notes
    assert [each.line for each in found.told] == [2, 3]
    assert "ops@example.org" in found.hints[0]


def test_names_come_from_programs() -> None:
    found = read_crontab(
        b"1 1 * * * /opt/backup.sh -v\n1 2 * * * cd /srv; A=1 nice ./backup.sh\n1 3 * * * (true)\n"
        b"1 4 * * * sudo -n -u x y\n1 5 * * * nice -n 10 ionice -c3 z.py\n1 6 * * * /usr/bin/sudo --user=x -- w\n"
        b"1 7 * * * env -u A B=1 timeout -k 5 1h v a b\n1 8 * * * flock -n /run/u sudo t\n1 9 * * * sudo -u x\n"
    )
    names = ["backup", "backup-2", "entry", "y", "z", "w", "v", "t", "entry-2"]
    assert [each.name for each in found.entries] == names


def test_what_cronie_does_with_times_is_told() -> None:
    text = b"CRON_TZ=Mars/Base\n0 0 * * * a\nCRON_TZ=Asia/Tokyo\nRANDOM_DELAY=30\n0 1 * * * b\n"
    found = read_crontab(text, Dialect.CRONIE, is_zone=lambda zone: zone == "Asia/Tokyo")
    assert [(each.line, each.reason) for each in found.told] == [
        (2, "there is no time zone 'Mars/Base'; name another one in CRON_TZ")
    ]
    (entry,) = found.entries
    assert (entry.zone, entry.notes) == (
        "Asia/Tokyo", ["cronie ran it up to 30 minutes later, at random; --jitter 30m is like it"]
    )  # fmt: skip
    for no_delay in (b"0", b"soon", b""):
        (entry,) = read_crontab(b"RANDOM_DELAY=" + no_delay + b"\n0 1 * * * b\n", Dialect.CRONIE).entries
        assert entry.notes == []


def test_each_entry_has_a_name_of_its_own() -> None:
    found = read_crontab(b"0 0 * * * a\n0 1 * * * a\n0 2 * * * a-2\n0 3 * * * a\n")
    assert [entry.name for entry in found.entries] == ["a", "a-2", "a-2-2", "a-3"]
