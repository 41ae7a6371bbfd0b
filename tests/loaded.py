"""Command lines of queuectl, each run by a process forked from one that has queuectl loaded.

The interpreter's start and its imports are nine tenths of a command's cost; tests of what commands say and do need not
repeat them. Where a line needs a shell, its `queuectl` asks for the same (see launcher.py). Long-running commands start
as a user's do.
"""

from __future__ import annotations

import gc
import os
import pickle
import re
import selectors
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import NoReturn

from tests import launcher

ROOT = Path(__file__).parents[1]
SAME_IN_ANY_SHELL = re.compile(r"""queuectl(?: (?:[A-Za-z0-9_./:,+@%=-]|'[^']*'|"[^"$`\\!]*")+)*""")
WANTS_THE_REAL_ONE = re.compile(r"\b(exec|kill|timeout|trap|setsid|nohup|ulimit|strace)\b|[^&>]&(?![&>])")
"""A shell that does more with a process than to wait for it."""
READ_AT_THE_START = re.compile("LANG|LC_.*|PYTHON.*")
"""Variables that the interpreter reads at its start only."""
LOADED = ("queuectl.cli", "queuectl.client", "queuectl.store", "queuectl.domain", "queuectl.wire")
LENGTH = 4


def plain_words(line: str) -> list[str] | None:
    """The words of a line that is one call of queuectl, None if a shell would change them."""
    return shlex.split(line) if SAME_IN_ANY_SHELL.fullmatch(line) else None


class Loaded:
    """The process that has queuectl loaded. It runs one command line at a time."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.folder = Path(tempfile.mkdtemp(prefix="queuectl-loaded-"))
        launcher.write_program(self.folder, _read_at_the_start(environment))
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.loaded", str(theirs.fileno()), str(self.folder)], cwd=ROOT,
                env=environment, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def stands_for(self, environment: Mapping[str, str]) -> bool:
        """Whether an interpreter that started with this environment would be no different."""
        return _read_at_the_start(environment) == _read_at_the_start(self.environment)

    def for_a_shell(self, line: str, environment: Mapping[str, str]) -> dict[str, str]:
        """The environment for a shell with this line: its `queuectl` starts quicker, unless it has to be a program."""
        if WANTS_THE_REAL_ONE.search(line) or not (self.folder / launcher.SOCKET).exists():
            return dict(environment)
        return {**environment, "PATH": f"{self.folder}{os.pathsep}{environment['PATH']}"}

    def run(
        self, words: Sequence[str], folder: Path, environment: Mapping[str, str], stdin: bytes, patience_s: float
    ) -> tuple[int, bytes, bytes]:
        """The exit code, stdout and stderr of a command line, once nobody holds these any more."""
        (out, their_out), (err, their_err) = os.pipe(), os.pipe()
        asked = pickle.dumps((list(words), str(folder), dict(environment)))
        with tempfile.TemporaryFile() as given:
            given.write(stdin)
            given.seek(0)
            socket.send_fds(self._socket, [len(asked).to_bytes(LENGTH)], [given.fileno(), their_out, their_err])
        os.close(their_out)
        os.close(their_err)
        self._socket.sendall(asked)
        pid = self._told()
        try:
            written = _read_to_their_end([out, err], time.monotonic() + patience_s)
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            self._told()
            raise subprocess.TimeoutExpired(list(words), patience_s) from None
        return self._told(), bytes(written[out]), bytes(written[err])

    def _told(self) -> int:
        told = self._socket.recv(LENGTH, socket.MSG_WAITALL)
        assert len(told) == LENGTH, "the process that has queuectl loaded is gone"
        return int.from_bytes(told, signed=True)

    def close(self) -> None:
        self._socket.close()
        self._process.wait()
        shutil.rmtree(self.folder)


def _read_at_the_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if READ_AT_THE_START.fullmatch(name)}


def _read_to_their_end(pipes: Sequence[int], deadline: float) -> dict[int, bytearray]:
    """What is written to these pipes until nobody holds their other ends. Closes them."""
    read = {pipe: bytearray() for pipe in pipes}
    with selectors.DefaultSelector() as waiting:
        for pipe in pipes:
            waiting.register(pipe, selectors.EVENT_READ)
        try:
            while waiting.get_map():
                if not (ready := waiting.select(max(0.0, deadline - time.monotonic()))):
                    raise TimeoutError
                for key, _ in ready:
                    read[key.fd] += (piece := os.read(key.fd, 1 << 16))
                    if not piece:
                        waiting.unregister(key.fd)
        finally:
            for pipe in pipes:
                os.close(pipe)
    return read


def serve(asking: socket.socket, folder: Path) -> None:
    """Forks a process for each command line it is sent, and answers with its pid and its exit code. Another process
    does so for shells, which may run several at a time."""
    for package in LOADED:
        for module in walk_packages(import_module(package).__path__, f"{package}."):
            import_module(module.name)
    gc.freeze()
    listener, (end, ends) = launcher.listening(folder), os.pipe()
    for_shells = os.fork()
    if not for_shells:
        asking.close()
        os.close(ends)
        launcher.answer(listener, end, become)
    listener.close()
    os.close(end)
    while True:
        length, streams, _, _ = socket.recv_fds(asking, LENGTH, 3)
        if not length:
            os.close(ends)
            os.waitpid(for_shells, 0)
            return
        asked = asking.recv(int.from_bytes(length), socket.MSG_WAITALL)
        pid = os.fork()
        if not pid:
            become(streams, *pickle.loads(asked))
        for each in streams:
            os.close(each)
        asking.sendall(pid.to_bytes(LENGTH))
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        asking.sendall(code.to_bytes(LENGTH, signed=True))


def become(streams: Sequence[int], words: Sequence[str], folder: str | int, environment: Mapping[str, str]) -> NoReturn:
    """Makes this process `queuectl` with these words."""
    from queuectl.cli.main import run

    try:
        os.chdir(folder)
        for number, each in enumerate(streams):
            os.dup2(each, number)
        os.closerange(3, 1 << 10)
        sys.stdin, sys.stdout = os.fdopen(0, closefd=False), os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", 1, errors="backslashreplace", closefd=False)
        os.environ.clear()
        os.environ.update(environment)
        time.tzset()
        sys.argv = list(words)
        run()
    except BaseException:  # noqa: BLE001 - as an interpreter does
        traceback.print_exc()
        sys.stderr.flush()
    os._exit(1)


if __name__ == "__main__":
    sys.path.remove(str(ROOT))
    with socket.socket(fileno=int(sys.argv[1])) as asking:
        serve(asking, Path(sys.argv[2]))
