"""Hooks: what is run when a job succeeds, fails or dies.

A hook is a job itself, of a queue that nobody else can name, so it is claimed, retried and kept as any other. It has no
hooks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit, urlunsplit

from queuectl.domain.events import Ended, Event, Lost
from queuectl.domain.job import HOOKS, Job, JobState, Outcome, Spec
from queuectl.domain.lifecycle import outcome
from queuectl.typed import Any

TRIES = 5
COMMAND_TIMEOUT_S, CALL_TIMEOUT_S = 300.0, 60.0
URL, SECRET, ID = "QUEUECTL_WEBHOOK_URL", "QUEUECTL_WEBHOOK_SECRET", "QUEUECTL_WEBHOOK_ID"
"""The variables that tell engine/webhook.py what to call: arguments are there for all to see."""
ALERT, PING = "alert", "ping"
"""The keys of hooks of schedules."""
PING_BYTES = 10_000
"""How much of the output a ping of a failure has."""
PING_WITHIN_S = 3600.0
"""A ping that is older tells nobody anything."""
TAIL_BYTES, VARIABLE_TAIL_BYTES = 64 << 10, 4 << 10
_BLANKS = r"\u0001-\u0020\u007F\u0085\u00A0\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000"
CALLS = rf"[{_BLANKS}]*https?://"
"""How a hook begins that is meant as a URL; no command has such a name. In capitals or not, as `ADDRESS`."""
ADDRESS = (
    rf"https?://(?:[^{_BLANKS}/?#]*@)?(?:\[[0-9a-f:.]+\]|[^{_BLANKS}/?#@:\[\]]+)(?::[0-9]{{0,5}})?"
    rf"(?:[/?#][^{_BLANKS}]*)?"
)
"""The whole of a URL that can be called. PostgreSQL reads both expressions alike."""

POLICY: dict[str, Any] = {
    **{name: Spec._field_defaults[name] for name in (
        "backoff_max", "backoff_jitter", "retry_on", "fatal_on", "stdin", "output_path", "split_output", "expires",
        "memory_max", "script", "unique_for", "on_success", "on_failure", "on_dead",
    )},
    "max_retries": TRIES - 1, "backoff_base": 3.0, "backoff_initial": 2.0, "timeout": COMMAND_TIMEOUT_S,
}  # fmt: skip
"""What of a hook's spec is not its job's."""


def is_hook(job: Job) -> bool:
    return job.queue == HOOKS


def is_url(command: object) -> bool:
    """Whether a hook is meant as a call and no command. One that cannot be called then says so when it is tried."""
    return isinstance(command, str) and re.match(CALLS, command, re.IGNORECASE) is not None


def is_address(url: object) -> bool:
    """Whether this can be called: it has a host, and no blanks."""
    return isinstance(url, str) and re.fullmatch(ADDRESS, url, re.IGNORECASE) is not None


def pinged(url: str, word: str) -> str:
    """The URL with a word at the end of its path."""
    to = urlsplit(url)
    return urlunsplit(to._replace(path=f"{to.path.rstrip('/')}/{word}"))


def due(event: Event, after: Job) -> Iterator[tuple[str, str]]:
    """The hooks that an event makes due, by the key that names each."""
    spec = after.spec
    if after.state is JobState.COMPLETED:
        if spec.on_success and isinstance(event, Ended):
            yield "on_success", spec.on_success
        return
    if spec.on_failure and isinstance(event, Ended) and outcome(event) in (Outcome.FAILED, Outcome.TIMEOUT):
        yield "on_failure", spec.on_failure
    if spec.on_dead and after.state is JobState.DEAD and isinstance(event, Ended | Lost):
        yield "on_dead", spec.on_dead


def hook_of(job: Job, key: str, command: str, new_id: str, now: float) -> Job:
    """The job that runs a hook of another job, in its folder and with its variables; a call needs neither."""
    spec = job.spec._replace(**POLICY)
    if is_url(command):
        spec = Spec(**{**Spec._field_defaults, **POLICY, "timeout": CALL_TIMEOUT_S})
    return Job(
        id=new_id, generated_id=True, command=command, spec=spec, queue=HOOKS, tags=(key, f"job:{job.id}"),
        owner=job.owner, created_at=now, run_at=now, updated_at=now,
    )  # fmt: skip


def tells(kind: str, name: str, command: str) -> str:
    """Whom a hook tells of what: what tells the same one of the same is run in its order. It begins with `about`."""
    from hashlib import blake2b  # brings a library of several MB, and few workers have a hook

    return about(kind, name) + blake2b(command.encode("utf-8", "surrogatepass"), digest_size=9).hexdigest()


def about(kind: str, name: str) -> str:
    return f"{kind} {name} "


def tail_text(outputs: Iterable[tuple[bytes, bytes]], most: int = TAIL_BYTES) -> str:
    """The last that an execution wrote, given the beginning and the end of each of its outputs."""
    tails = [(head + tail)[-most:] for head, tail in outputs]
    return b"".join(tails)[-most:].decode("utf-8", "replace")
