"""The keys of a job as keyword arguments, with Python's types for paths, times and durations."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from queuectl.domain.errors import Invalid, not_an_id
from queuectl.domain.job import Job
from queuectl.typed import TYPE_CHECKING, Any, TypedDict
from queuectl.wire.times import parse_duration

if TYPE_CHECKING:
    from typing import NotRequired

Path = str | os.PathLike[str]
Duration = float | str | timedelta
"""Seconds, or text such as `90s`, `10m`, `1h30m`, `2d`."""


class JobKeys(TypedDict):
    """Keys of a new job; `command` is required. docs/commands.md says what they mean."""

    command: str | Sequence[Path]
    id: NotRequired[str | None]
    queue: NotRequired[str | None]
    priority: NotRequired[int | None]
    run_at: NotRequired[str | datetime | None]
    delay: NotRequired[Duration | None]
    start_by: NotRequired[str | datetime | None]
    tags: NotRequired[Sequence[str] | None]
    batch: NotRequired[str | None]
    at_most: NotRequired[int | None]
    max_fails: NotRequired[int | str | None]
    unique_key: NotRequired[str | None]
    depends_on: NotRequired[Sequence[str] | None]
    after: NotRequired[Sequence[str] | None]
    locks: NotRequired[Sequence[str] | None]
    held: NotRequired[bool | None]
    max_retries: NotRequired[int | None]
    backoff_base: NotRequired[float | None]
    backoff_initial: NotRequired[Duration | None]
    backoff_max: NotRequired[Duration | None]
    backoff_jitter: NotRequired[float | None]
    retry_on: NotRequired[Sequence[int] | None]
    fatal_on: NotRequired[Sequence[int] | None]
    timeout: NotRequired[Duration | None]
    kill_grace: NotRequired[Duration | None]
    cwd: NotRequired[Path | None]
    umask: NotRequired[str | None]
    env: NotRequired[Mapping[str, str] | None]
    shell: NotRequired[Path | None]
    stdin: NotRequired[Path | None]
    output_path: NotRequired[Path | None]
    split_output: NotRequired[bool | None]
    expires: NotRequired[Duration | None]
    memory_max: NotRequired[int | str | None]
    nice: NotRequired[int | None]
    user: NotRequired[str | None]
    unique_for: NotRequired[Duration | None]
    secrets: NotRequired[Sequence[str] | None]
    script: NotRequired[str | None]
    on_success: NotRequired[Path | None]
    on_failure: NotRequired[Path | None]
    on_dead: NotRequired[Path | None]


def as_json(value: Any) -> Any:
    """A value of `JobKeys` for JSON. A time without a zone is local."""
    if isinstance(value, datetime):
        return value.astimezone().isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {key: as_json(each) for key, each in value.items()}
    if isinstance(value, (tuple, list, set, frozenset)):
        return [as_json(each) for each in value]
    return value


def each_id(refs: str | Iterable[object]) -> Iterator[str]:
    """The ids in what a program names jobs by. Raises `Invalid`."""
    for ref in [refs] if isinstance(refs, (str, Job)) else refs:
        if not isinstance(ref, str):
            raise not_an_id(ref)
        yield ref


def seconds_of(duration: Duration) -> float:
    """A duration's seconds. Raises `Invalid`."""
    return parse_duration(as_json(duration))


def stream_name(stream: int | None) -> str | None:
    """The name of a stream; None for both. Raises `Invalid`."""
    if stream not in (None, 1, 2):
        raise Invalid(f"there is no stream {stream!r}", "1 is stdout, 2 is stderr, None both")
    return None if stream is None else ("stdout", "stderr")[stream - 1]
