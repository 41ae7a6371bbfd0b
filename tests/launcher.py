"""A program `queuectl` for lines that need a shell. It has its command line run by a process that has queuectl loaded
(see loaded.py), and becomes the real one where its surroundings are not those of that process."""

from __future__ import annotations

import marshal
import os
import resource
import selectors
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

Become = Callable[[Sequence[int], Sequence[str], int, Mapping[str, str]], NoReturn]
"""Makes a process `queuectl`: its streams, its words, the handle of its folder, its environment."""

SOCKET = "loaded"
LIMITS = range(16)
"""All that Linux has."""
STREAMS = 3
LENGTH = 4

PROGRAM = """\
#!{python} -IS
import _signal, _socket, marshal, os, resource, sys
with open("/proc/self/environ", "rb") as file:  # os.environ has what Python puts there by itself
    environment = dict(each.split(b"=", 1) for each in file.read().split(b"\\0") if b"=" in each)

def real():
    for number in (_signal.SIGPIPE, _signal.SIGXFSZ):  # Python ignores them
        _signal.signal(number, _signal.SIG_DFL)
    os.execve({real!r}, [{real!r}, *sys.argv[1:]], environment)

def is_alike():
    at_the_start = {{k: v for k, v in environment.items() if k == b"LANG" or k.startswith((b"LC_", b"PYTHON"))}}
    ignored = [n for n in (_signal.SIGHUP, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGTERM)
               if _signal.getsignal(n) == _signal.SIG_IGN]
    handles = sorted(map(int, os.listdir("/proc/self/fd")))[:-1]  # the last is that of the folder
    limits = [resource.getrlimit(n) for n in {limits}]
    return (at_the_start, ignored, handles, limits, os.nice(0)) == ({at_the_start}, [], [0, 1, 2], {given}, {nice})

if not is_alike():
    real()
asked = marshal.dumps(([os.fsencode(each) for each in sys.argv[1:]], environment, os.umask(0)))
line = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
try:
    line.connect({socket!r})
except OSError:
    real()
handles = b"".join(n.to_bytes(4, sys.byteorder) for n in (0, 1, 2, os.open(".", os.O_RDONLY)))
line.sendmsg([len(asked).to_bytes({length}, "big")], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, handles)])
while asked:
    asked = asked[line.send(asked):]
code = int.from_bytes(line.recv({length}), "big", signed=True)
if code < 0:
    _signal.signal(-code, _signal.SIG_DFL)
    os.kill(os.getpid(), -code)
os._exit(code)
"""


def write_program(folder: Path, at_the_start: Mapping[str, str]) -> None:
    """Makes the program, which asks at the socket of this folder. `at_the_start`: what interpreters read as they start
    of the environment that queuectl is loaded with."""
    program = folder / "queuectl"
    program.write_text(
        PROGRAM.format(
            python=sys.executable, real=str(Path(sys.executable).with_name("queuectl")), length=LENGTH,
            at_the_start={os.fsencode(name): os.fsencode(value) for name, value in at_the_start.items()},
            limits=list(LIMITS), given=[resource.getrlimit(number) for number in LIMITS], nice=os.nice(0),
            socket=str(folder / SOCKET),
        )
    )  # fmt: skip
    program.chmod(0o755)


def listening(folder: Path) -> socket.socket:
    """The socket at which the programs ask."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / SOCKET))
    listener.listen(64)
    return listener


def answer(listener: socket.socket, end: int, become: Become) -> NoReturn:
    """Forks a process for each program that asks, and tells it the exit code, until there is something to read at
    `end`. The command line of a program that is killed is killed."""
    running: dict[int, tuple[int, socket.socket]] = {}
    with selectors.DefaultSelector() as waiting:
        waiting.register(listener, selectors.EVENT_READ)
        waiting.register(end, selectors.EVENT_READ)
        while True:
            for key, _ in waiting.select():
                if key.fd == end:
                    for pid, _ in running.values():
                        os.kill(pid, signal.SIGKILL)
                    os._exit(0)
                if key.fileobj is listener:
                    line, _ = listener.accept()
                    pid = _fork(line, become)
                    handle = os.pidfd_open(pid)
                    running[handle] = pid, line
                    waiting.register(handle, selectors.EVENT_READ)
                    waiting.register(line, selectors.EVENT_READ, pid)
                elif key.data is not None:
                    os.kill(key.data, signal.SIGKILL)
                    waiting.unregister(key.fileobj)
                elif key.fd in running:
                    pid, line = running.pop(key.fd)
                    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                    waiting.unregister(key.fd)
                    os.close(key.fd)
                    if line in waiting.get_map():
                        waiting.unregister(line)
                        line.sendall(code.to_bytes(LENGTH, signed=True))
                    line.close()


def _fork(line: socket.socket, become: Become) -> int:
    """The pid of the process that runs the command line which is asked for."""
    length, handles, _, _ = socket.recv_fds(line, LENGTH, STREAMS + 1)
    asked = line.recv(int.from_bytes(length), socket.MSG_WAITALL)
    pid = os.fork()
    if not pid:
        words, environment, mask = marshal.loads(asked)
        os.umask(mask)
        become(
            handles[:STREAMS], ["queuectl", *map(os.fsdecode, words)], handles[STREAMS],
            {os.fsdecode(name): os.fsdecode(value) for name, value in environment.items()},
        )  # fmt: skip
    for each in handles:
        os.close(each)
    return pid
