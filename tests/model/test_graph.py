"""Random graphs of jobs end as a reference says, whoever runs them at the same time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import TypeVar

import pytest

from queuectl.domain.errors import StoreBusy
from queuectl.domain.job import FINISHED, JobState
from queuectl.domain.lifecycle import Retried, begun
from queuectl.domain.selector import Selector
from queuectl.store.port import Change, Store
from tests.builders import HOST, a_grip, a_job, an_end
from tests.conformance.conftest import StoreFactory, emptied_url, made_url, store_factory
from tests.model.graph import Node, drawn, ends, ends_again

__all__ = ["emptied_url", "made_url", "store_factory"]

T = TypeVar("T")

SIZE = 250
WORKERS = 3


def states(store: Store) -> dict[str, JobState]:
    return {job.id: job.state for job in store.find(Selector())}


def add(store: Store, nodes: Sequence[Node], chance: Random) -> None:
    """Adds the jobs in several transactions, some of many jobs in any order."""
    spec = a_job().spec._replace(max_retries=0)
    at = 0
    while at < len(nodes):
        some = list(nodes[at : at + chance.choice((1, 5, 40))])
        at += len(some)
        chance.shuffle(some)
        made = [a_job(node.id, at=store.now(), spec=spec, depends_on=node.depends_on) for node in some]
        store.insert([begun(job) for job in made])


def patiently(act: Callable[[], T]) -> T:
    """Tries again where the server has ended a deadlock, as a dispatcher does."""
    while True:
        try:
            return act()
        except StoreBusy:
            pass


def run(factory: StoreFactory, failing: set[str], seed: int) -> None:
    """Several workers claim and record, a few jobs at a time, until no job is left."""

    def work(number: int) -> None:
        chance, store = Random(seed + number), factory.open_in_thread()
        grip = a_grip(store, f"w{number}~{seed}")
        idle = 0
        while idle < 40:
            jobs = patiently(lambda: store.claim(grip, HOST, chance.randint(1, 6), ()))
            chance.shuffle(jobs)
            idle = 0 if jobs or store.has_work(()) else idle + 1
            while jobs:
                some = [jobs.pop() for _ in range(min(len(jobs), chance.randint(1, 3)))]
                changes = [Change(job, an_end(store.now(), exit_code=int(job.id in failing))) for job in some]
                patiently(lambda changes=changes: store.record(grip, changes))  # type: ignore[misc]
        store.close()

    with ThreadPoolExecutor(WORKERS) as threads:
        list(threads.map(work, range(WORKERS)))


@pytest.mark.parametrize("seed", [1, 2])
def test_a_random_graph_ends_as_the_reference_says(store_factory: StoreFactory, seed: int) -> None:
    chance, store = Random(seed), store_factory()
    nodes = drawn(chance, SIZE)
    add(store, nodes, chance)
    run(store_factory, {node.id for node in nodes if node.fails}, seed)
    first = ends(nodes)
    assert states(store) == first
    dead = [id for id, state in first.items() if state is JobState.DEAD]
    chance.shuffle(dead)
    store.change(dead, Retried(), "me")
    store.settle()
    run(store_factory, set(), seed + 100)
    assert states(store) == ends_again(nodes, first)
    assert not store._select("SELECT 1 FROM {schema}.settlements")  # type: ignore[attr-defined]
    assert set(states(store).values()) <= FINISHED
