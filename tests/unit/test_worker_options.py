"""The options of a worker, as they are typed."""

from __future__ import annotations

from typing import Any

import pytest

from queuectl.domain.errors import Invalid
from queuectl.domain.served import Served
from queuectl.wire.workers import WorkerOptions, read_options


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
    [({"queues": ["a"], "not_queues": ["b"]}, "--queue and --not-queue"), ({"not_queues": ["a,"]}, "queue")],
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
