"""Tab in real shells: commands, options, values, and what is in the store."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from queuectl.cli import completing
from tests.needs import lacks
from tests.workshop import PATIENCE_S, Workshop, clean_environment

CASES = {
    "enq": ["enqueue"],
    "schedule pre": ["schedule", "preview"],
    "help exit": ["help", "exit-codes"],
    "help enq": ["help", "enqueue"],
    "help schedule pre": ["help", "schedule", "preview"],
    "list --older": ["list", "--older-than"],
    "list --state proc": ["list", "--state", "processing"],
    "list --queue=vid": ["list", "--queue=video"],
    "list --state pending,proc": ["list", "--state", "pending,processing"],
    "report --columns id,finished": ["report", "--columns", "id,finished_at"],
    "show job-t": ["show", "job-two"],
    "show job:o": ["show", "job:one"],
    "config get max-r": ["config", "get", "max-retries"],
    "lock show gp": ["lock", "show", "gpu"],
    "schedule pause nigh": ["schedule", "pause", "nightly"],
    "batch show imp": ["batch", "show", "import-7"],
    "worker stop dayw": ["worker", "stop", "dayworker"],
    "enqueue --file da": ["enqueue", "--file", "data.jsonl"],
    "enqueue -- printen": ["enqueue", "--", "printenv"],
}
"""What is typed behind `queuectl` before Tab, and the words that the shell has then."""
PROMPT = "READY> "
BEGINNINGS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "--no-rcs", "-i"],
}  # fmt: skip
SET_UP = {
    "bash": 'PS1="READY""> "; bind "set enable-bracketed-paste off"; eval "$(queuectl completion bash)"; ',
    "zsh": 'PS1="READY""> "; unset zle_bracketed_paste; ZLE_RPROMPT_INDENT=0; eval "$(queuectl completion zsh)"; ',
}
SHOWN = "queuectl() { printf '<%s>' \"$@\"; echo; }"
"""Shows the words that the shell has, instead of running queuectl."""


@pytest.fixture
def full(shop: Workshop) -> Workshop:
    """A store with something of each kind, and a live worker."""
    (shop.folder / "data.jsonl").touch()
    shop.client.set_lock("gpu", units=["0", "1"])
    given = {"command": "true", "queue": "video", "batch": "import-7", "held": True}
    shop.enqueue_all([{"id": "job:one", **given}, {"id": "job-two", **given}])
    shop.client.add_schedule("nightly", cron="0 3 * * *", tz="UTC", job={"command": "true"})
    shop.worker(1, "--name", "dayworker")
    return shop


def environment(shop: Workshop) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    home = {"HOME": str(shop.folder), "ZDOTDIR": str(shop.folder)}
    return clean_environment(QUEUECTL_DB=shop.address, PATH=path, TERM="dumb", PROMPT_EOL_MARK="", **home)


def needed(shell: str) -> None:
    if shutil.which(shell) is None:
        lacks(shell, f"apt install {shell}")


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_tab_completes_in_a_shell_on_a_terminal(full: Workshop, shell: str) -> None:
    needed(shell)
    first, *words = BEGINNINGS[shell]
    typist = pexpect.spawn(
        first, words, cwd=full.folder, env=environment(full), encoding="utf-8", timeout=PATIENCE_S, dimensions=(24, 200)
    )
    try:
        typist.sendline(SET_UP[shell] + SHOWN)
        typist.expect_exact(PROMPT)
        found = {}
        for typed in CASES:
            typist.send(f"queuectl {typed}\t\n")
            typist.expect(r"\n((?:<[^>]*>)+)\r*\n")
            found[typed] = re.findall(r"<([^>]*)>", typist.match[1])
        assert found == CASES
    finally:
        typist.close(force=True)


def test_fish_completes(full: Workshop) -> None:
    needed("fish")
    told = 'for line in $argv; complete -C "queuectl $line" | string split -f 1 \\t | head -1; end'
    script = f"queuectl completion fish | source; {told}"
    words = ["fish", "--no-config", "-c", script, *CASES]
    done = subprocess.run(
        words, cwd=full.folder, env=environment(full), capture_output=True, text=True, timeout=PATIENCE_S, check=True
    )
    assert done.stdout.splitlines() == [words[-1] for words in CASES.values()], done.stderr


def test_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "queuectl.db").write_text("dear diary" * 1000)
    for words in (["show", ""], ["nonsense", ""], ["queue", "show", ""], ["show", "--db", str(tmp_path / "none"), ""]):
        assert completing.lines(["fish", "--db", str(tmp_path / "queuectl.db"), *words]) == []


def test_values_with_commas_between_are_completed_each_once() -> None:
    found = completing.lines(["zsh", "list", "--state=pending,failed,"])
    assert "--state=pending,failed,dead" in found
    assert not [line for line in found if line.endswith(("pending", "failed"))]
    assert completing.lines(["fish", "enqueue", "--on-conflict", "ignore,"]) == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("queuectl show 'a b' c", ["queuectl", "show", "a b", "c"]),
        ("queuectl show ", ["queuectl", "show", ""]),
        ('queuectl -c "x \\"y" z\\ ', ["queuectl", "-c", 'x "y', "z "]),
        ("queuectl '' 'un", ["queuectl", "", "un"]),
    ],
)
def test_a_line_of_bash_is_split_as_bash_does(line: str, words: list[str]) -> None:
    assert completing.split(line) == words
