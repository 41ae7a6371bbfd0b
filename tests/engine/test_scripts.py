"""Scripts that are kept with their jobs, and the options at their heads."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from queuectl import Client
from queuectl.cli import main, scripts
from queuectl.cli.console import Screen
from queuectl.domain.errors import Invalid
from queuectl.domain.job import JobState
from queuectl.domain.selector import Selector
from queuectl.engine.supervise.script import interpreter
from tests.engine.test_limits import needs_root
from tests.stores import on_each_store
from tests.workshop import Workshop

HEAD = """#!/bin/bash
# nightly training
#QUEUECTL --timeout 1h --lock gpu   # of two
#QUEUECTL --tag 'a b' --env MODE=slow --env SIZE=1 --delay 10m

#QUEUECTL --max-retries 1
set -e
#QUEUECTL --priority 9
"""


def test_options_stand_in_marked_lines_before_the_first_command(tmp_path: Path) -> None:
    (tmp_path / "train.sh").write_text(HEAD.replace("'a b'", "'ab'"))
    script = scripts.read(str(tmp_path / "train.sh"))
    assert script.name == "train.sh"
    assert script.given == {
        "timeout": "1h", "locks": ["gpu"], "tags": ["ab"], "env": {"MODE": "slow", "SIZE": "1"}, "delay": "10m",
        "max_retries": 1,
    }  # fmt: skip
    typed = {"timeout": "2h", "env": {"MODE": "fast"}, "run_at": "18:00"}
    assert scripts.merged(script.given, typed) == {
        "timeout": "2h", "locks": ["gpu"], "tags": ["ab"], "env": {"MODE": "fast", "SIZE": "1"}, "run_at": "18:00",
        "max_retries": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--tiemout 1h", "line 2: unknown option --tiemout"), ("--timeout x", "line 2: --timeout 'x' is not"),
        ("--tag 'a", "line 2: no closing quotation"), ("make all", "line 2: 'make' is no option"),
        ("--script other", "line 2: unknown option --script"), ("--tag 'a b'", "line 2: tag \"a b\" is not valid"),
        ("--db ./other.db", "line 2: --db is not an option of a job"),
        ("--tag a --json", "line 2: --json is not an option of a job"),
        ("--color=auto", "line 2: --color is not an option of a job"), ("-h", "line 2: -h is not an option of a job"),
        ("--version", "line 2: --version is not an option"), ("--quiet", "line 2: --quiet is not an option"),
        ("-- true", "line 2: '--' is no option"), ("--max_retries x", "line 2: --max-retries must be"),
    ],
)  # fmt: skip
def test_a_bad_option_is_refused_with_its_line(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "s.sh"
    path.write_text(f"#!/bin/sh\n#QUEUECTL {line}\n")
    with pytest.raises(Invalid) as refused:
        scripts.read(str(path))
    assert refused.value.message.startswith(f"{path} {said}")


@pytest.mark.parametrize("text", ["#" * 1_200_000, "é" * 600_000, "#" + "é" * 600_000])
def test_a_script_that_is_too_long_is_read_to_the_limit_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "s.sh"
    path.write_text(text)
    with pytest.raises(Invalid) as refused:
        scripts.read(str(path))
    assert refused.value.message == f"{path} is longer than 1,048,576 bytes"


@pytest.mark.parametrize(
    ("line", "given"),
    [
        ("--tag a --output a#1", {"tags": ["a"], "output_path": "a#1"}),
        ("""--output "a' #b" --env A=' #"' # c""", {"output_path": "a' #b", "env": {"A": ' #"'}}),
        (r"""--output "a\" #b"# --env B=\  # c""", {"output_path": 'a" #b#', "env": {"B": " "}}),
        ("--tag a\t# 'b", {"tags": ["a"]}),
        ("# --tag a", {}),
    ],
)
def test_a_comment_begins_where_a_word_would(line: str, given: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "s.sh").write_text(f"#QUEUECTL {line}\n")
    assert scripts.read(str(tmp_path / "s.sh")).given == given


def test_lines_fill_in_the_options_of_a_script_too(tmp_path: Path) -> None:
    script, lines = tmp_path / "s.sh", tmp_path / "list"
    script.write_text("#QUEUECTL --id j{#} --tag x-{#} --output {}.txt --env N={#} --unique-key 'u {}' --priority 2\n")
    lines.write_text("a\nb\n")
    address = tmp_path / "jobs.db"
    words = "enqueue", "--script", str(script), "--each-line", str(lines)
    assert typed(address, *words)[0] == 0
    jobs = Client(address).find(Selector())
    assert [(job.id, job.tags, job.unique_key, job.priority, job.spec.env["N"]) for job in jobs] == [
        ("j1", ("x-1",), "u a", 2, "1"),
        ("j2", ("x-2",), "u b", 2, "2"),
    ]
    assert [Path(job.spec.output_path or "").name for job in jobs] == ["a.txt", "b.txt"]
    script.write_text("#QUEUECTL --tag x-{#} --priority high\n")
    assert "s.sh line 1: --priority must be a whole number" in typed(address, *words)[1]
    script.write_text("#QUEUECTL --tag x-{#}\n")
    assert 's.sh line 1: tag "x-{#}" is not valid' in typed(address, *words[:3])[1]
    script.write_text("#QUEUECTL --tag 'x {}'\n")
    assert 'line 1: tag "x a" is not valid' in typed(address, *words)[1]


def test_a_mark_is_a_word_and_other_text_is_none(tmp_path: Path) -> None:
    (tmp_path / "s.sh").write_text("#!/bin/sh\n#QUEUECTLX --nonsense\n# QUEUECTL --nonsense\n#QUEUECTL\n")
    assert scripts.read(str(tmp_path / "s.sh")).given == {}
    (tmp_path / "s.sh").write_text("#!/bin/sh\n# one \f two\n#QUEUECTL --priority 1\r\n")  # a line ends at LF alone
    assert scripts.read(str(tmp_path / "s.sh")).given == {"priority": 1}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("#!/bin/bash\nx", ["/bin/bash"]),
        ("#! /usr/bin/env -S python3 -u\n", ["/usr/bin/env", "-S python3 -u"]),
        ("echo", ["/bin/dash"]),
        ("#!\n", ["/bin/dash"]),
        ("# !/bin/sh\n", ["/bin/dash"]),
    ],
)
def test_the_interpreter_is_read_as_by_the_kernel(text: str, words: list[str]) -> None:
    assert interpreter(text, "/bin/dash") == words


def typed(db: object, *words: str) -> tuple[int, str]:
    """The exit code of a command line, and what it says."""
    told = io.BytesIO()
    out, err = (io.TextIOWrapper(each, "utf-8", write_through=True) for each in (io.BytesIO(), told))
    screen = Screen(out=out, err=err, terminal=False, width=None, height=None, answer=None, progress=False)
    return main.execute([words[0], "--db", str(db), *words[1:]], screen), told.getvalue().decode()


@on_each_store
def test_a_job_runs_the_text_that_its_script_had_when_it_was_added(shop: Workshop, tmp_path: Path) -> None:
    script = tmp_path / "say.sh"
    script.write_text('#!/bin/sh\n#QUEUECTL --max-retries 0\necho "$(basename "$0") $# $1"; rm "$0"; exit $2\n')
    address = shop.client.address
    assert typed(address, "enqueue", "--id", "a", "--script", str(script), "--", "a b", "0")[0] == 0
    script.write_text("echo other")
    assert typed(address, "enqueue", "--id", "b", "--script", str(script))[0] == 0
    assert typed(address, "clone", "a", "--id", "c", "--tag", "t")[0] == 0
    assert typed(address, "clone", "a", "--id", "d", "--", "echo", "plain")[0] == 0
    assert typed(address, "set", "c", "--replace", "$1", "$1!")[0] == 0
    assert typed(address, "enqueue", "--script", str(script), "-c", "x")[0] == 2
    script.unlink()
    shop.worker(1)
    done = shop.finished("a", "b", "c", "d")
    assert {job.state for job in done} == {JobState.COMPLETED}
    assert [shop.output(id) for id in "abcd"] == [
        b"say.sh 2 a b\n", b"other\n", b"say.sh 2 a b!\n", b"plain\n"
    ]  # fmt: skip
    assert [shop.client.job(id).spec.script is None for id in "abcd"] == [False, False, False, True]
    assert shop.client.job("a").spec.max_retries == 0


@pytest.mark.parametrize(
    "mess", ["mkdir $D/sub", "rm -r $D", "rm -r $D; ln -s $PWD $D", "rm -r $D; touch $D", "cd $D; touch $(seq 200)"]
)
def test_what_a_script_does_to_its_folder_is_its_own_loss(shop: Workshop, tmp_path: Path, mess: str) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    ids = [
        shop.enqueue(["x"], script=f'#!/bin/sh\nD=$(dirname "$0")\n{mess}\n', max_retries=0, cwd=str(tmp_path / "mine"))
        for _ in range(3)
    ]
    shop.worker(1)
    assert [job.state for job in shop.finished(*ids)] == [JobState.COMPLETED] * 3
    assert (tmp_path / "mine" / "file").exists()


@needs_root
def test_a_script_runs_as_another_user_that_cannot_enter_our_folder(shop: Workshop, tmp_path: Path) -> None:
    os.chmod(tmp_path, 0o711)
    job = shop.enqueue(["who.sh", "x"], script="#!/bin/sh\nid -un; echo $1\n", user="nobody", cwd="/")
    shop.worker(1)
    (ended,) = shop.finished(job)
    assert (ended.state, shop.output(job)) == (JobState.COMPLETED, b"nobody\nx\n")


def test_a_script_without_its_interpreter_fails_by_its_name(shop: Workshop) -> None:
    job = shop.enqueue(["x"], script="#!/no/such\n", max_retries=0)
    shop.worker(1)
    (ended,) = shop.finished(job)
    assert (ended.state, ended.exit_code, ended.error) == (JobState.DEAD, 127, "command not found: /no/such")
