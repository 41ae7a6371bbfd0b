"""The installed release of queuectl, which may have changed since this process started."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from queuectl import environment, program
from queuectl.typed import Any
from queuectl.wire.workers import WorkerOptions, words_of

RESTARTED = "QUEUECTL_RESTARTED"
"""Set for a worker that goes on in the process of an earlier one."""
TRIED_FOR_S = 10.0
"""A worker does nothing else meanwhile; its lease lasts longer, by default."""


def why_unfit(address: str, options: WorkerOptions) -> str | None:
    """Why it cannot go on with these options on this store; None if it can."""
    surroundings = {**environment.given(), "QUEUECTL_DB": address}
    said = objection(["worker", "start", *words_of(options)], env=surroundings)
    return None if said is None else f"the installed release says: {said}"


def objection(words: Sequence[str], **how: Any) -> str | None:
    """Why a command that takes `--check` cannot start; None if it can. `how` is for `subprocess.run`."""
    import subprocess  # most workers never need it

    try:
        done = subprocess.run(
            [*program.command(), *words, "--check", "--json"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True, timeout=TRIED_FOR_S, check=False, **how,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"no answer within {TRIED_FOR_S:g}s"
    except OSError as error:
        return f"cannot start {sys.executable}: {error.strerror}"
    return _last_said(done.stderr) if done.returncode else None


def _last_said(stderr: str) -> str:
    last = stderr.strip().rpartition("\n")[2]
    try:
        last = json.loads(last)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        pass
    return last or "nothing"


def become(options: WorkerOptions, more: Sequence[str], variables: Mapping[str, str]) -> NoReturn:
    """Replaces this process by it, with the same pid, children and streams, and with these variables in addition."""
    words = ["worker", "start", *words_of(options), *more]
    os.execve(sys.executable, [*program.command(), *words], {**environment.given(), **variables, RESTARTED: "1"})
