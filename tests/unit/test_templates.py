"""Jobs that the lines of an input make: placeholders, columns, and what a shell command may have where."""

from __future__ import annotations

import re
import shutil
import subprocess
from io import BytesIO
from typing import Any

import pytest

from queuectl.domain.errors import Invalid
from queuectl.wire.lines import Cut, jobs_of_lines
from queuectl.wire.reading import Reader
from queuectl.wire.requests import JobRequest
from queuectl.wire.templates import Template
from tests.needs import lacks

PATHS = [
    "a/b.c.png", ".hidden", "dir/", "noext", "/", "-lead", "a.tar.gz", "dir.d/file", "x.", "..", "/a", "a//b", "dir.d/",
    "a/b/", "//", "/a.b/c", "  sp ace .x ", "it's", '"$(id)`\\', "é.ü", "*", "~/x.y", "a/./.b",
]  # fmt: skip


def made(document: dict[str, Any], text: bytes, **cut: Any) -> list[JobRequest]:
    documents, template = jobs_of_lines(BytesIO(text), document, Cut(**cut))
    return [job for jobs in Reader(documents, "f", 1.0, given=template.fixed).chunks() for job in jobs]


def commands(command: Any, text: bytes, **cut: Any) -> list[Any]:
    return [job.command for job in made({"command": command}, text, **cut)]


def as_parallel_has_it(words: list[str], text: bytes, *options: str) -> list[list[str]]:
    """What GNU parallel passes to a command, for each line."""
    if shutil.which("parallel") is None:
        lacks("parallel", "apt-get install parallel")
    command = ["parallel", "--will-cite", "-k", "-j1", *options, "printf", "'%s\\0'", *words, "END"]
    done = subprocess.run(command, input=text, capture_output=True, check=True)
    return [line.split("\0")[:-1] for line in done.stdout.decode().split("END\0")[:-1]]


def ours(words: list[str], text: bytes, **cut: Any) -> list[list[str]]:
    return [list(each[1:]) for each in commands(["x", *words], text, **cut)]


def test_placeholders_are_as_gnu_parallel_has_them() -> None:
    words = ["{}", "{.}", "{/}", "{//}", "{/.}", "{#}", "+{.}.{/}+", "{1}", "{1/.}", "{-1//}"]
    text = "".join(f"{path}\n" for path in PATHS).encode()
    assert ours(words, text) == as_parallel_has_it(words, text)


def test_columns_are_as_gnu_parallel_has_them() -> None:
    words = ["{1}", "{2.}", "{-1/}", "{}", "{.}", "{#}", "+{3}+"]
    text = b"a.b,c/d.e\n x , y \na,b,c\n"
    assert ours(words, text, colsep=",") == as_parallel_has_it(words, text, "--colsep", ",")
    text = b"n,name\n1,a.b\n2,c d\n"
    words = ["{n}", "{name.}", "{2}", "{name/}"]
    theirs = as_parallel_has_it(words, text, "--colsep", ",", "--header", ":")
    assert ours(words, text, colsep=",", header=True) == theirs
    assert ours(["{a b}", "{other}"], b"a b\n1\n", header=True) == [["1", "{other}"]]
    assert ours(["{2}", "+{}+"], b"1\n", colsep=",") == [["", "+1+"]]


def test_a_separator_of_one_character_is_taken_as_it_is() -> None:
    assert commands(["x", "{2}"], b"a|b.c|d\n", colsep="|") == [("x", "b.c")]
    assert commands(["x", "{2}"], b"a\tb\n", colsep="\\t") == [("x", "b")]
    assert commands(["x", "{3}"], b"a;  b,c\n", colsep="[;,] *") == [("x", "c")]
    for wrong in ("(a", "(a)b", "", "[[:space:]]", "[,||;]", "[a~~b]", "a{99999999999999999999}", "(" * 5000):
        with pytest.raises(Invalid, match="--colsep"):
            commands(["x"], b"a", colsep=wrong)


def test_a_line_is_appended_where_nothing_takes_it() -> None:
    assert commands(["gzip"], b"a b\n-x\n") == [("gzip", "a b"), ("gzip", "-x")]
    assert commands(["gzip"], b"a,b\nc\n", colsep=",") == [("gzip", "a", "b"), ("gzip", "c")]
    (line,) = commands(["sh", "-c", "{}"], b"echo 'it is' \"$HOME\" > {}\n")
    assert line == ("sh", "-c", "echo 'it is' \"$HOME\" > {}")
    assert commands("gzip -9", b"it's\n") == ["gzip -9 'it'\"'\"'s'"]
    (job,) = made({"command": ["gzip"], "id": "{/.}-{#}", "tags": ["{//}"]}, b"a/b.c\n")
    assert (job.command, job.id, job.columns["tags"]) == (("gzip", "a/b.c"), "b-1", ("a",))
    (job,) = made({"command": "make", "cwd": "/{}", "env": {"D": "{}", "E": "e"}}, b"a")
    assert (job.command, job.spec["cwd"], job.spec["env"]) == ("make", "/a", {"D": "a", "E": "e"})
    (job,) = made({"command": ["x", "{}"], "priority": "{#}", "locks": ["l{#}"]}, b"a")
    assert (job.columns["priority"], job.columns["locks"]) == (1, ("l1",))


@pytest.mark.parametrize(
    ("command", "place", "inside"),
    [
        ("echo '{}'", 7, "single quotes"),
        ('echo "a {}"', 9, "double quotes"),
        ('echo "$(cat {})"', 13, "$()"),
        ("echo $(cat {})", 12, "$()"),
        ('echo $(echo "{}")', 14, "double quotes"),
        ("echo `cat {}`", 11, "backticks"),
        ("echo ${x:-{}}", 11, "${}"),
        ("echo $((1+{}))", 11, "$(( ))"),
        ("((x={}))", 5, "(( ))"),
        ("echo x # {}", 10, "a comment"),
        ("cat <<E\n{}\nE", 9, "a here-document"),
        ("cat <<-'E' && ls {1}\n{}\nE", 22, "a here-document"),
        ("echo $'a\\'{}'", 11, r"$'\'', which shells read differently"),
        ("echo $'a\\'' {} '", 13, r"$'\'', which shells read differently"),
        ("echo 'a' \\' '{}'", 14, "single quotes"),
    ],
)
def test_no_placeholder_stands_where_quotes_would_not_hold(command: str, place: int, inside: str) -> None:
    with pytest.raises(Invalid) as refused:
        commands(command, b"x\n")
    assert refused.value.message.endswith(f"in column {place} of the command is inside {inside}")


@pytest.mark.parametrize("appended", ["echo # x", "echo 'x", 'echo "x', "echo \\", "echo $(x", "cat <<E\nx\nE"])
def test_no_line_is_appended_where_quotes_would_not_hold(appended: str) -> None:
    with pytest.raises(Invalid, match="the line would be appended to the command in column"):
        commands(appended, b"x\n")


NASTY = ["$(touch x)", "`touch x`", "'; touch x; '", '"', "a\nb", "\\", "-n", "#", "~", "*", "", "{}", "${HOME}", "%s"]


@pytest.mark.parametrize(
    "command",
    [
        "printf '<%s>' {}", "printf '<%s>' \"a'b\" \\' x{}y", "(cd / && printf '<%s>' {})",
        "if [ -n {} ]; then printf '<%s>' {}; fi", "printf '<%s>' {} ${#} \\{} # end",
        "x={}; printf '<%s>' \"$x\" $'a' {}", "case {} in z) ;; *) printf '<%s>' {};; esac",
        "printf '<%s>' a#b {} | cat - | (cat)", "cat <<E; printf '<%s>' {}\nE",
        "a=$((1<<2))\nprintf '<%s>' $'a\\\\' {}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_value_is_one_word_of_a_shell_command(command: str, shell: str, tmp_path: Any) -> None:
    values = [value for value in NASTY if value]
    for value, line in zip(values, commands(command, "\0".join(values).encode(), null=True), strict=True):
        done = subprocess.run([shell, "-c", line], cwd=tmp_path, capture_output=True, text=True, check=True)
        wanted = f"x{value}y" if "x{}y" in command else value
        assert f"<{wanted}>" in done.stdout
        assert list(tmp_path.iterdir()) == []


def test_a_hook_is_a_shell_command_too_unless_it_is_a_url() -> None:
    hooks = {"on_dead": "mail -s {} ops; true {#}", "on_success": "https://h/{#}", "on_failure": "./tell"}
    (job,) = made({"command": ["x"], **hooks}, b"a;$(touch x)\n")
    assert job.command == ("x", "a;$(touch x)")
    assert job.spec["on_dead"] == "mail -s 'a;$(touch x)' ops; true 1"
    assert (job.spec["on_success"], job.spec["on_failure"]) == ("https://h/1", "./tell")
    with pytest.raises(Invalid, match=r"\{\} in column 8 of on_dead is inside double quotes"):
        made({"command": ["x"], "on_dead": 'mail x"{}"'}, b"a\n")


def test_the_text_of_a_script_stays_as_it_is() -> None:
    text = "#!/bin/sh\nfind . -exec echo {} \\;\n"
    (job,) = made({"command": ["s.sh", "{}"], "script": text}, b"$(touch x)\n")
    assert (job.command, job.spec["script"]) == (("s.sh", "$(touch x)"), text)


@pytest.mark.parametrize(
    ("document", "quotes"),
    [
        ({"command": "x"}, True), ({"command": "x {}"}, True), ({"command": "x", "env": {"A": "{}"}}, False),
        ({"command": ["x"], "on_dead": "y"}, False), ({"command": ["x"], "on_dead": "y {}"}, True),
    ],
)  # fmt: skip
def test_a_template_knows_whether_quotes_of_a_shell_stand_in_it(document: dict[str, Any], quotes: bool) -> None:
    assert Template(document).quotes is quotes


def test_lines_end_as_they_do_anywhere() -> None:
    assert commands(["x"], b"\xef\xbb\xbfa\r\n\n\r\n  \nlast") == [("x", "a"), ("x", "  "), ("x", "last")]
    assert commands(["x"], b"a\nb\0\0c\r\n\0", null=True) == [("x", "a\nb"), ("x", "c\r\n")]
    assert commands(["x"], b"\n\n") == []
    assert commands(["x", "{#}"], b"\na\n\nb") == [("x", "1"), ("x", "2")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"ok\nb\0c\n", "f line 2: a NUL byte is in it"),
        (b"ok\n\nb\xff\n", "f line 3: not UTF-8 text"),
        (b"ok\n" + b"x" * 140_000, "f line 2: command is 140,002 bytes long"),
        (b"ok\n" + b"x" * (17 << 20), "line 2 is longer than 16,777,216 bytes"),
    ],
)
def test_a_line_that_makes_no_job_is_named(text: bytes, message: str) -> None:
    with pytest.raises(Invalid) as refused:
        commands("x", text)
    assert refused.value.message.startswith(message)


def test_a_column_without_a_name_leaves_the_line_alone() -> None:
    line = b",name,,x\n0,a.b,,c\n"
    assert commands(["x", "{}", "{name.}", "{1}"], line, colsep=",", header=True) == [
        ("x", "0", "a.b", "", "c", "a", "0")
    ]


@pytest.mark.parametrize(
    ("word", "message"),
    [("{2}", "{2}: a line has one column"), ("{%}", "is no placeholder"), ("{= s/x/y/ =}", "is no placeholder")],
)
def test_what_cannot_be_filled_in_is_refused(word: str, message: str) -> None:
    with pytest.raises(Invalid, match=re.escape(message)):
        commands(["x", word], b"a")
    with pytest.raises(Invalid, match="the header names 'a' twice"):
        commands(["x"], b"a,a\n", colsep=",", header=True)


def test_braces_that_are_no_placeholder_stay() -> None:
    words = ["{a,b}", "{ }", "{print $1}", "{name}", "{1,2}", "{.x}", "}{", "{0}"]
    assert commands([*words, "{}"], b"v") == [(*words, "v")]
    assert commands("find . -name {} -exec rm \\{} +", b"v") == ["find . -name v -exec rm \\{} +"]
