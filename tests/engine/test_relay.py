"""What a running command writes is read on other machines too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from queuectl.client import following
from tests.workshop import Workshop, open_workshop, until


@pytest.fixture
def there(emptied_url: str, tmp_path: Path) -> Iterator[Workshop]:
    """A workshop whose workers are on another machine than its client: they keep their files elsewhere."""
    with open_workshop(tmp_path / "here", emptied_url) as workshop:
        yield workshop


def test_output_is_followed_from_another_machine_while_the_command_runs(there: Workshop, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = there.enqueue(f"echo one; while [ ! -e {gate} ]; do sleep 0.05; done; echo two; echo three", max_retries=0)
    there.worker(1, XDG_STATE_HOME=str(tmp_path / "there"))
    there.started(job)
    told = following.follow(there.store, job, None, None)
    assert next(told) == (1, b"one\n")
    until(lambda: list(following.read(there.store, there.job(job), None, None, None)) == [(1, b"one\n")])
    gate.touch()
    assert b"".join(data for _, data in told) == b"two\nthree\n"


def test_streams_of_a_split_output_are_followed_apart(there: Workshop, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = there.enqueue(f"echo out; echo err >&2; while [ ! -e {gate} ]; do sleep 0.05; done", split_output=True)
    there.worker(1, XDG_STATE_HOME=str(tmp_path / "there"))
    there.started(job)
    told = following.follow(there.store, job, None, None)
    assert {next(told), next(told)} == {(1, b"out\n"), (2, b"err\n")}
    gate.touch()
    assert list(told) == []


def test_what_was_passed_on_is_removed_when_nobody_asks_any_more(there: Workshop, tmp_path: Path) -> None:
    job = there.enqueue("echo one; sleep 300")
    there.worker(1, XDG_STATE_HOME=str(tmp_path / "there"))
    there.started(job)
    relay = there.store.relay
    assert relay is not None

    def asked_for() -> tuple[int, int, bytes] | None:
        relay.ask(there.job(job), 2.0)
        return relay.read(there.job(job), 1, 1, 0)

    assert until(asked_for) == (0, 4, b"one\n")
    until(lambda: relay.read(there.job(job), 1, 1, 0) is None)
