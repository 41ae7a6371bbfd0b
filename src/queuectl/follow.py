"""Reading a command's output, finished or running, and waiting for jobs to end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from queuectl.domain.job import Job
from queuectl.store.port import Store


def read(store: Store, job: Job, number: int | None, stream: int | None, tail: int | None) -> Iterator[bytes]:
    """What an attempt (none: the latest) has written so far. `stream` 1 or 2, where split; `tail`: last lines only."""
    raise NotImplementedError


def follow(store: Store, ref: str, stream: int | None, tail: int | None) -> Iterator[tuple[int, bytes]]:
    """The output as it comes, as (stream, bytes), over all retries, until the job has ended."""
    raise NotImplementedError


def wait(store: Store, refs: Sequence[str], any_: bool, timeout: float | None) -> list[Job]:
    """The jobs once all (or any) have finished. Raises `TimeoutError`."""
    raise NotImplementedError
