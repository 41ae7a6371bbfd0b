"""What is started when the machine has no room for it: nothing is left open, and nobody ends of it."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from queuectl.domain.errors import OperationFailed
from queuectl.engine.dispatch.host import Host, Plan
from queuectl.engine.supervise.sentry import Sentry
from queuectl.store.passfile import Access


def opened() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


@contextmanager
def open_files_left(number: int) -> Iterator[None]:
    """Lets this process open so many more."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = [handle for handle in range(len(opened()) + 99) if not os.path.exists(f"/proc/self/fd/{handle}")]
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[number], before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_supervisor_that_cannot_be_started_leaves_nothing_open(tmp_path: Path) -> None:
    host = Host(tmp_path)
    too_long = "x" * (1 << 18)  # for an environment: the start fails as it does without processes or memory
    plan = Plan(name="w", access=Access(too_long), first_slot=0, slots=1, output_bytes_max=1)
    before = opened()
    with pytest.raises(OperationFailed, match="Argument list too long"):
        host.launch(plan)
    assert opened() == before
    assert not any((tmp_path / "workers").iterdir())


def test_a_sentry_that_cannot_start_comes_with_the_next_lease(tmp_path: Path) -> None:
    sentry = Sentry(tmp_path, bits=1)
    before = opened()
    with open_files_left(0):
        sentry.post(0.0)
    assert opened() == before
    sentry.post(0.0)
    assert len(opened()) == len(before) + 1
    sentry.dismiss()
    assert opened() == before
