"""A fresh folder with a shell in it, in which the examples of a page are played.

The shell stays the same from the first block of a page to its last, so variables and aliases remain. Before the first
block it reads `tests/docs/scenes/PAGE.sh`, which prepares what the page takes for granted: files, programs, a worker.
The folder, the host and the user are shown under made-up names; addresses that the pages make up lead to real servers.
"""

from __future__ import annotations

import os
import re
import select
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from queuectl.client.here import login_name
from tests.docs.links import ROOT
from tests.server import free_port, start_server

SCENES = Path(__file__).parent / "scenes"
WITHIN_S = 120.0
PORT = "8321"
DATABASE = "postgresql://queue@db.example/work"
"""The port and the database that the pages name."""
INDEX = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_", "SSL_CERT_"))}
"""How this machine reaches its package index."""
FOREGROUND = re.compile(
    r"^(?=queuectl (mcp|top(?!.*--(once|json))|events.* (-f|--follow)|worker logs -f|"
    r"worker start(?!.*--(drain|detach)))\b)",
    re.MULTILINE,
)
"""Commands that run until Ctrl-C: they get it once they have said something."""
SERVES = re.compile(r"^(?=queuectl serve\b)", re.MULTILINE)
"""Goes on as in another terminal, until the page is through or starts another one."""
PRELUDE = """\
shopt -s expand_aliases
set -o pipefail
failed() { echo "line $1: exit code $2: $3" >> "$STAGE/failed"; }
stub() { printf '#!/bin/sh\\n%s\\n' "${2-:}" > "$1"; chmod +x "$1"; }
program() { stub "$STAGE/bin/$1" "${2-:}"; }
"""
LEFT_RUNNING = """\
#!{python}
# Starts a server and leaves it, once it has said that it serves. Ends the one before, as with Ctrl-C.
import os, signal, subprocess, sys, time
pid_file = os.environ["STAGE"] + "/server"
if os.path.exists(pid_file):
    os.kill(int(open(pid_file).read()), signal.SIGINT)
    while os.path.exists("/proc/" + open(pid_file).read()):
        time.sleep(0.05)
with open(pid_file + ".log", "w+b") as log:
    running = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
open(pid_file, "w").write(str(running.pid))
while b"Ctrl-C" not in (said := open(pid_file + ".log", "rb").read()) and running.poll() is None:
    time.sleep(0.05)
sys.stdout.buffer.write(said)
sys.exit(running.returncode or 0)
"""
CURL = """\
#!/bin/sh
# A refusal is a failure, and a stream that goes on is none.
case " $* " in
    *" -N "*) /usr/bin/curl --fail-with-body --max-time 2 "$@"; code=$?; test $code = 28 || exit $code ;;
    *) exec /usr/bin/curl --fail-with-body "$@" ;;
esac
"""
QUEUECTL = '#!/bin/sh\nexec "{python}" "{root}/main.py" "$@"\n'
FOR_A_MOMENT = """\
#!{python}
# Runs a command on a terminal until it has said something, and presses Ctrl-C; an MCP server's client hangs up instead.
import os, pty, select, subprocess, sys, time
if sys.argv[2] == "mcp":
    sys.exit(subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL).returncode)
pid, terminal = pty.fork()
if not pid:
    os.execvp(sys.argv[1], sys.argv[1:])
said = os.read(terminal, 1 << 16)
time.sleep(0.5)
os.write(terminal, b"\\x03")
while True:
    try:
        said += os.read(terminal, 1 << 16)
    except OSError:
        break
sys.stdout.buffer.write(said.replace(b"\\r", b""))
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
sys.exit(0 if code in (130, -2) else code)
"""


class Stage:
    """The folder and the shell of one page."""

    def __init__(self, home: Path, page: str, database: str | None, installs: bool = False) -> None:
        """`installs`: there is no queuectl on the PATH until the page's lines have installed it."""
        self._home, self._database = home, database
        self.folder = home / "demo"
        self.folder.mkdir()
        for name in ("backups", "srv", "var/lib/node_exporter"):
            (home / name).mkdir(parents=True)
        self._failed = home / "failed"
        if not installs:
            self._program("queuectl", QUEUECTL)
        self._program("for-a-moment", FOR_A_MOMENT)
        self._program("left-running", LEFT_RUNNING)
        self._program("curl", CURL)
        self._port = str(free_port())
        self.environment = {
            "PATH": f"{home / 'bin'}:{os.defpath}", "HOME": str(home), "LANG": "C.UTF-8", "STAGE": str(home),
            "USER": login_name(), "TERM": "xterm-256color", "PORT": self._port, "CHECKOUT": str(ROOT),
            "SERVER": database or "", **(INDEX if installs else {}),
        }  # fmt: skip
        self._shell = subprocess.Popen(
            ["bash", "--norc", "--noprofile"], cwd=self.folder, env=self.environment, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        self.play(PRELUDE)
        scene = SCENES / f"{page}.sh"
        if scene.exists():
            output = self.play(scene.read_text())
            assert not self.failures(), f"{scene}: {self.failures()}\n" + "\n".join(output)

    def _program(self, name: str, text: str) -> None:
        file = self._home / "bin" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text.replace("{python}", sys.executable).replace("{root}", str(ROOT)))
        file.chmod(0o755)

    def begin(self, block: str) -> None:
        """Calls the function `fresh` of the page's scene, if it has one: it makes what a block takes for granted."""
        self.play(f"! declare -F fresh >/dev/null || fresh {shlex.quote(block)}")

    def play(self, text: str) -> tuple[str, ...]:
        """What a script or a command prints, on either stream, as a terminal shows it."""
        step = self._home / "step"
        step.write_text(f"trap 'failed $LINENO $? \"$BASH_COMMAND\"' ERR; {self._typed(text)}\ntrap - ERR\n")
        assert self._shell.stdin is not None
        self._shell.stdin.write(f'. "{step}" </dev/null; printf "\\001"\n'.encode())
        self._shell.stdin.flush()
        return tuple(line.rstrip() for line in self.told(self._until_done().decode(errors="replace")).splitlines())

    def _until_done(self) -> bytes:
        assert self._shell.stdout is not None
        read, deadline = bytearray(), time.monotonic() + WITHIN_S
        while not read.endswith(b"\1"):
            ready, _, _ = select.select([self._shell.stdout], [], [], max(0.0, deadline - time.monotonic()))
            piece = os.read(self._shell.stdout.fileno(), 1 << 16) if ready else b""
            assert piece, f"the shell does not go on: {read.decode(errors='replace')}"
            read += piece
        return bytes(read[:-1])

    def failures(self) -> list[str]:
        """What has failed since the last time, by line."""
        found = self._failed.read_text().splitlines() if self._failed.exists() else []
        self._failed.unlink(missing_ok=True)
        return found

    def _typed(self, text: str) -> str:
        text = SERVES.sub("left-running ", FOREGROUND.sub("for-a-moment ", text))
        text = re.sub(r"\bqueuectl serve\b", f"queuectl serve --port {self._port}", text)
        text = re.sub(rf"(127\.0\.0\.1|localhost):{PORT}", rf"\1:{self._port}", text)
        text = re.sub(r"(?<!\w)(/backups|/etc/crontab|/srv|/var/lib/node_exporter)\b", rf"{self._home}\1", text)
        return text.replace(DATABASE, self._database) if self._database else text

    def told(self, text: str) -> str:
        """A text with the names that the pages use."""
        text = text.replace(f":{self._port}", f":{PORT}")
        text = text.replace(self._database, DATABASE) if self._database else text
        names = (
            (f"{self._home}/backups", "/backups"),
            (f"{self._home}/srv", "/srv"),
            (str(self._home), "/home/ana"),
            (os.uname().nodename.partition(".")[0], "laptop"),
        )
        for real, told in (*names, (login_name(), "ana")):
            text = re.sub(rf"(?<!\w){re.escape(real)}(?!\w)", told, text)
        return text

    def close(self) -> None:
        with suppress(AssertionError, BrokenPipeError):
            self.play('kill $(jobs -p) $(cat "$STAGE/server") 2>/dev/null; cd ~/demo; queuectl worker stop --now')
        with suppress(ProcessLookupError):
            os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.communicate()


@contextmanager
def stage(page: Path) -> Iterator[Stage]:
    """The stage of a page. It leaves no worker and no server behind."""
    with (
        tempfile.TemporaryDirectory(prefix="queuectl-docs-", ignore_cleanup_errors=True) as home,
        database(page) as url,
    ):
        opened = Stage(Path(home), page.stem, url)
        try:
            yield opened
        finally:
            opened.close()


@contextmanager
def database(page: Path) -> Iterator[str | None]:
    """The URL of a real database, if the page names one."""
    if DATABASE not in page.read_text():
        yield None
        return
    server = start_server({"fsync": "on", "full_page_writes": "on"})
    try:
        yield server.url
    finally:
        server.remove()
