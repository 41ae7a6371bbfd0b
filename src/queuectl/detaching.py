"""Starts a worker in the background, independent of the calling process and terminal."""

from __future__ import annotations

import os

from queuectl.bootstrap import run_worker
from queuectl.domain.errors import OperationFailed, QueuectlError, error_of
from queuectl.engine.supervise.process import close_from
from queuectl.wire.workers import WorkerOptions


def start_detached(db: str | None, options: WorkerOptions) -> str:
    """Starts a worker that outlives this process and its terminal. Returns its name once it serves.

    If it does not start, raises its error, or `OperationFailed`.
    """
    reader, writer = os.pipe()
    if os.fork() == 0:
        _become_daemon(db, options, writer)
    os.close(writer)
    with open(reader, "rb") as answer:
        said = answer.read().decode(errors="replace")
    os.wait()
    if said.startswith("started "):
        return said.removeprefix("started ").strip()
    if said.count("\0") == 2:
        raise error_of(*said.split("\0"))
    raise OperationFailed("the worker did not start", "see: queuectl worker logs")


def _become_daemon(db: str | None, options: WorkerOptions, writer: int) -> None:
    """Runs in a forked child: forks again, leaves the terminal, serves, and never returns."""
    os.setsid()
    if os.fork() != 0:
        os._exit(0)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    close_from(3, but=[writer])  # such as a lock that the shell holds, or the pipe of a script that waits for our end

    serves = False

    def started(name: str, _slots: int) -> None:
        nonlocal serves
        serves = True
        os.write(writer, f"started {name}".encode())
        os.close(writer)

    code = 1
    try:
        code = run_worker(db, options, started, lambda _line: None)
    except QueuectlError as error:
        code = error.exit_code
        if not serves:  # else its log has it
            os.write(writer, "\0".join((error.code, error.message, error.hint)).encode())
    finally:
        os._exit(code)
