"""Sleeping on descriptors of any number."""

from __future__ import annotations

import fcntl
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from queuectl.engine.dispatch.wakeup import SELECT_MAX, Wakeup, wait_readable
from tests.workshop import PATIENCE_S


@pytest.fixture
def many() -> Iterator[None]:
    """This process may have more descriptors than `select` takes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2 * SELECT_MAX:
        pytest.skip("this machine does not allow so many descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * SELECT_MAX), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_high_descriptor_wakes_a_sleeper(many: None) -> None:
    reader, writer = os.pipe()
    high = fcntl.fcntl(reader, fcntl.F_DUPFD_CLOEXEC, SELECT_MAX)
    assert not wait_readable([high], 0.0)
    os.write(writer, b"x")
    assert wait_readable([high], PATIENCE_S)
    for handle in (reader, writer, high):
        os.close(handle)


def test_a_program_with_many_descriptors_hears_of_commits(many: None, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    wakeup = Wakeup(str(log))
    low, wakeup.handle = wakeup.handle, fcntl.fcntl(wakeup.handle, fcntl.F_DUPFD_CLOEXEC, SELECT_MAX)
    os.close(low)
    log.write_bytes(b"x")
    wakeup.wait(PATIENCE_S)
    assert wakeup.echo.next() is not None
    wakeup.close()
