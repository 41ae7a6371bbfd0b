"""A line that is started without the shell means what it means to the shell: every line here is run both ways."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queuectl.engine.supervise import process
from queuectl.engine.supervise.shell import is_plain_shell, plain_words

ENV = {b"PATH": b"%s:/usr/local/bin:/usr/bin:/bin", b"LANG": b"C.UTF-8", b"HOME": b"/nowhere"}

PROGRAMS = {
    "args": '#!/bin/sh\nfor arg; do echo "<$arg>"; done\n',
    "fails": "#!/bin/sh\nexit 7\n",
    "dies": "#!/bin/sh\nkill -TERM $$\n",
    "noisy": "#!/bin/sh\necho out; echo err >&2; exit 3\n",
    "nohashbang": "echo run by $0 with $#\n",
    "wronghashbang": "#!/no/such/interpreter\n",
    "a+b": '#!/bin/sh\necho "plus $@"\n',
    "7up": '#!/bin/sh\necho "seven $@"\n',
    "[x]": "#!/bin/sh\necho brackets\n",
}

PLAIN = """
    args
    args one
    args one two   three
    args	tab	separated
    args -x --long --key=value -n 5
    args a=b c=d
    args /usr/bin ./here ../there a/b/c
    args user@host:path 50% 1,2,3 a+b
    args - --
    args .
    ./local
    ./local x
    sub/program
    a+b 1
    7up 2
    fails
    dies
    noisy
    env
    ls
    ls -1 .
    cat data
    cat data data
    cat absent
    cp data copy
    mv data moved
    rm data
    mkdir -p deep/er
    touch new
    ln -s data link
    head -c 3 data
    seq 3
    expr 1 + 2
    sh -c args
    /bin/true
    /bin/false
    /bin/echo hello
    /usr/bin/env
    id -u
    dirname /a/b/c
    basename /a/b.c .c
    nice -n 1 args
    uname
    nosuchprogram
    nosuchprogram with words
    /no/such/file
    ./absent
    nohashbang
    nohashbang 1 2
    wronghashbang
    notexecutable
    ./data
    sub
    ./sub
    /
    data/x
    shadowed
    dangling
"""

SHELLS_OWN = r"""
    echo hello
    echo hello world
    echo -n x
    echo a\tb
    printf %s x
    true
    false
    test -f data
    test -f absent
    [ -f data ]
    cd sub
    pwd
    exit 5
    exec args x
    kill -0 1
    umask
    ulimit -n
    export
    set
    read x
    times
    : anything
    . ./script
    eval args x
    command args x
    type args
    wait
    trap
    unset HOME
    time args
    if
    then
    while
    for
    case
    { args; }
    !
    ! fails
    A=1
    A=1 args
    A=1 env
    A+=1
    args $HOME
    args "quoted words" 'single'
    args "$HOME"
    args \$HOME
    args a\ b
    args *
    args da?a
    args [d]ata
    args {a,b}
    args ~
    args ~root
    args a:~
    args `args x`
    args $(args x)
    args $((1 + 2))
    args # comment
    args a#b
    args; args
    args && fails
    fails || args
    args | cat
    args &
    args > out
    args 2> err
    noisy 2>&1
    noisy > out 2>&1
    cat < data
    cat <<X
    args a^b
    args a!b
    args a=~
    args -x;
    (args)
    [x]
    -x
    --help
    =x
    %1
    args
    args ü
"""

NOT_ALIKE = ("time args", "args &", "dies")
"""One tells the time, one may outlive its shell, and one's signal is a code and a word of its own to some shells."""

LINES = [line[4:] for text in (PLAIN, SHELLS_OWN) for line in text.splitlines() if line.strip()]
LINES += [
    "",
    " ",
    "\t",
    "\n",
    "args\nargs",
    "args \\\nx",
    "args a\rb",
    "  args  padded  ",
    "args 'unended",
    "args\x0bx",
]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Makes folders in which programs lie and commands run."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in PROGRAMS.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    (programs / "notexecutable").write_text("#!/bin/sh\necho never\n")
    (programs / "shadowed").mkdir()
    (programs / "dangling").symlink_to("nowhere")
    return tmp_path


def run(place: Path, line: str, may_skip_shell: bool) -> tuple[int, list[str], dict[str, str]]:
    """Exit code, output and files of a line that runs in a folder as it was at first."""
    home = os.getcwd()
    folder = place / "work"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "sub").mkdir(parents=True)
    (folder / "data").write_text("some data\n")
    (folder / "script").write_text("echo sourced\n")
    for program in (folder / "local", folder / "sub" / "program"):
        program.write_text('#!/bin/sh\necho "local $0 $@"\n')
        program.chmod(0o755)
    env = {**ENV, b"PATH": ENV[b"PATH"] % os.fsencode(place / "programs"), b"PWD": os.fsencode(folder)}
    output = os.open(place / "output", os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    os.chdir(folder)
    try:
        with open(os.devnull) as nothing:
            pid = process.spawn(
                line, shell="/bin/sh", may_skip_shell=may_skip_shell, env=env, stdin=nothing.fileno(), stdout=output,
                stderr=output, tag=1 << 40,
            )  # fmt: skip
        _, status = os.waitpid(pid, 0)
    finally:
        os.chdir(home)
        os.close(output)
    files = {str(path.relative_to(folder)): _content(path) for path in sorted(folder.rglob("*"))}
    exit_code = os.waitstatus_to_exitcode(status)
    lines = sorted((place / "output").read_text().splitlines())
    return exit_code, lines, files


def _content(path: Path) -> str:
    return path.read_text() if path.is_file() else "folder"


@pytest.mark.parametrize("line", [line for line in LINES if line not in NOT_ALIKE])
def test_a_line_does_the_same_with_and_without_the_shell(place: Path, line: str) -> None:
    assert run(place, line, may_skip_shell=True) == run(place, line, may_skip_shell=False)


def test_a_shell_may_report_a_signal_as_a_code(place: Path) -> None:
    assert run(place, "dies", may_skip_shell=True)[0] == -15
    assert run(place, "dies", may_skip_shell=False)[0] in (-15, 128 + 15)


@pytest.mark.parametrize("line", [line[4:] for line in PLAIN.splitlines() if line.strip()])
def test_plain_words_need_no_shell(line: str) -> None:
    assert plain_words(line) == tuple(line.split())


@pytest.mark.parametrize("line", [line[4:] for line in SHELLS_OWN.splitlines() if line.strip() and line[4:] != "args"])
def test_what_a_shell_sees_something_in_goes_to_the_shell(line: str) -> None:
    assert plain_words(line) is None


@given(st.text(st.characters(min_codepoint=1, max_codepoint=0x2100, exclude_categories=["Cs"]), max_size=12))
@settings(max_examples=300, deadline=None)
def test_the_shell_splits_a_plain_line_into_the_same_words(text: str) -> None:
    split_alike(text)


def split_alike(text: str) -> None:
    """Compares the words of a line after its first, where it is plain."""
    if words := plain_words(f"x {text}"):
        script = 'x() { for word; do printf "%s\\0" "$word"; done; }; x ' + text
        out = subprocess.run(["/bin/sh", "-c", script], capture_output=True, check=True).stdout
        assert tuple(out.decode().split("\0")[:-1]) == words[1:]


@given(st.text("ab-=.,:%@+/_ \t~^{}[]*?$&|;<>()!#'\"\\`\n", max_size=10))
@settings(max_examples=300, deadline=None)
def test_so_it_does_where_signs_are_dense(text: str) -> None:
    split_alike(text)


def test_other_shells_and_exported_functions_are_never_skipped() -> None:
    env = {b"PATH": b"/bin"}
    assert is_plain_shell("/bin/sh", env)
    assert not is_plain_shell("/bin/bash", env)
    assert not is_plain_shell("/bin/sh", {})
    assert not is_plain_shell("/bin/sh", {**env, b"BASH_FUNC_args%%": b"() { echo; }"})
    assert not is_plain_shell("/bin/sh", {**env, b"SHELLOPTS": b"xtrace"})
