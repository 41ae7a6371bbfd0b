"""Starts a worker as a separate process."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence

from queuectl import program
from queuectl.domain.errors import Invalid, OperationFailed, error_of
from queuectl.wire.keywords import Duration, as_json
from queuectl.wire.kinds import check_positive_duration, whole_number
from queuectl.wire.requests import parse_request
from queuectl.wire.times import parse_duration
from queuectl.wire.workers import SLOTS_MAX

STARTS_WITHIN_S = 30.0


def start_worker(
    address: str, count: int = 1, *, queues: Sequence[str] = (), not_queues: Sequence[str] = (),
    name: str | None = None, drain: bool = False, poll: Duration | None = None, stop_timeout: Duration | None = None,
) -> str:  # fmt: skip
    """Starts a worker of the store at `address`; see `Client.start_worker`."""
    queues = [queues] if isinstance(queues, str) else queues  # a text is a sequence of texts too
    not_queues = [not_queues] if isinstance(not_queues, str) else not_queues
    whole_number(1, SLOTS_MAX)(count, "count")
    for queue in (*queues, *not_queues):
        parse_request({"command": "true", "queue": queue}, 0.0)  # checks the name
    line = [*program.command(), "worker", "start", "--detach", "--json", "--count", str(count)]
    line += [f"--queue={queue}" for queue in queues] + [f"--not-queue={queue}" for queue in not_queues]
    line += [f"--name={name}"] if name is not None else []
    line += ["--drain"] if drain else []
    line += ["--poll", f"{check_positive_duration(as_json(poll), 'poll')}s"] if poll is not None else []
    line += (
        ["--stop-timeout", f"{parse_duration(as_json(stop_timeout), 'stop_timeout')}s"]
        if stop_timeout is not None
        else []
    )
    environment = {**os.environ, "QUEUECTL_DB": address}  # not an argument: others could read a password
    try:
        done = subprocess.run(
            line, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=STARTS_WITHIN_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise OperationFailed("the worker did not start in time", "see: queuectl worker logs") from None
    except OSError as error:
        raise Invalid(f"cannot start a worker: {error.strerror}", "give fewer queues, a shorter name") from None
    if done.returncode != 0:
        raise _told(done.stderr)
    return str(json.loads(done.stdout)["name"])


def _told(stderr: str) -> Exception:
    """The error that the command printed as JSON, or else its last line."""
    last = stderr.strip().rpartition("\n")[2]
    try:
        error = json.loads(last)["error"]
    except (ValueError, KeyError, TypeError):
        return OperationFailed(last or "the worker did not start", "see: queuectl worker logs")
    return error_of(error["code"], error["message"], error["hint"] or "")
