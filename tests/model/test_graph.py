"""Random graphs of jobs end as a reference says, whoever runs them at the same time."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from random import Random
from threading import Event

import pytest

from queuectl.domain.job import FINISHED, JobState
from queuectl.domain.lifecycle import Retried, begun
from queuectl.domain.selector import Selector
from queuectl.store.port import Store
from queuectl.store.values import Change
from tests.builders import HOST, a_grip, a_job, an_end
from tests.conformance.conftest import StoreFactory, store_factory
from tests.model.graph import Node, drawn, ends, ends_again

__all__ = ["store_factory"]

SIZE = 250
WORKERS = 3
IN_VAIN_MAX = 20_000
"""A worker that has looked so often in a row for work that there is, and got none, is stuck."""


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


def run(factory: StoreFactory, failing: set[str], seed: int) -> None:
    """Several workers claim and record, a few jobs at a time, until no job is left, or one of them has failed."""
    failed = Event()

    def work(number: int) -> None:
        try:
            work_on(number)
        except BaseException:
            failed.set()  # what it holds would keep the others waiting
            raise

    def work_on(number: int) -> None:
        chance, store = Random(seed + number), factory.open_in_thread()
        grip = a_grip(store, f"w{number}~{seed}")
        idle = in_vain = 0
        while idle < 40 and not failed.is_set():
            jobs = store.claim(grip, HOST, chance.randint(1, 6), ())
            chance.shuffle(jobs)
            idle = 0 if jobs or store.has_work(()) else idle + 1
            in_vain = 0 if jobs else in_vain + 1
            assert in_vain < IN_VAIN_MAX, {id: state for id, state in states(store).items() if state not in FINISHED}
            while jobs:
                some = [jobs.pop() for _ in range(min(len(jobs), chance.randint(1, 3)))]
                changes = [Change(job, an_end(store.now(), exit_code=int(job.id in failing))) for job in some]
                store.record(grip, changes)
        store.close()

    with ThreadPoolExecutor(WORKERS) as threads:
        done = [threads.submit(work, number) for number in range(WORKERS)]
    for each in done:
        each.result()


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
