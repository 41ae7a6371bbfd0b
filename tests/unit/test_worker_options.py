"""The options of a worker, as they are typed."""

from __future__ import annotations

from typing import Any

import pytest

from queuectl.cli.parser import parse
from queuectl.cli.table import OWN
from queuectl.domain.errors import Invalid
from queuectl.domain.served import Served
from queuectl.wire.workers import WorkerOptions, read_options, words_of


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ({"queues": ["a,b", "c", "a"], "not_queues": []}, WorkerOptions(queues=("a", "b", "c"))),
        ({"max_load": "7.5", "min_free_memory": "2g"}, WorkerOptions(max_load=7.5, min_free_memory=2 << 30)),
        ({"queues": [], "not_queues": ["a", "b,c"]}, WorkerOptions(not_queues=("a", "b", "c"))),
    ],
)
def test_options_are_read_from_text(given: dict[str, Any], options: WorkerOptions) -> None:
    assert read_options(given) == options


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"queues": ["a"], "not_queues": ["b"]}, "queues to serve and queues not to serve"),
        ({"not_queues": ["a,"]}, "queue"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        read_options(given)


@pytest.mark.parametrize(
    ("worker", "other", "includes"),
    [
        (Served(), Served(["a"]), True),
        (Served(), Served((), ["a"]), True),
        (Served(["a", "b"]), Served(["a"]), True),
        (Served(["a"]), Served(), False),
        (Served((), ["a"]), Served(["b", "c"]), True),
        (Served((), ["a"]), Served(["b", "a"]), False),
        (Served((), ["a"]), Served(), False),
        (Served((), ["a"]), Served((), ["b", "a"]), True),
    ],
)
def test_one_worker_includes_another_if_it_serves_all_its_queues(worker: Served, other: Served, includes: bool) -> None:
    assert worker.includes(other) is includes


EVERY_OPTION = WorkerOptions(
    slots=4, queues=("a", "b"), poll=0.25, drain=True, name="night", stop_timeout=30.5, max_load=7.5,
    min_free_memory=2 << 30, secrets="/a b", hooks=False,
)  # fmt: skip


@pytest.mark.parametrize("options", [EVERY_OPTION, WorkerOptions(), WorkerOptions(not_queues=("a",))])
def test_options_can_be_spelled_as_a_command_line(options: WorkerOptions) -> None:
    typed, words = parse(OWN["worker start"], words_of(options))
    assert (read_options(vars(typed)), words) == (options, [])


def test_every_option_can_be_spelled() -> None:
    others = {"supervisors", "not_queues"}  # the one follows from the slots, the other excludes `queues`
    assert {name for name, value in EVERY_OPTION._asdict().items() if value == WorkerOptions._field_defaults[name]} == (
        others
    )
