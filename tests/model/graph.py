"""Random graphs of jobs, and how each job must end: a reference that knows no store.

A job ends as its `code` says if its dependencies let it start. `ends` computes that in the order of the graph.
`ends_again` does so after every dead job was retried, all at once, and now succeeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import NamedTuple

from queuectl.domain.job import JobState

COMPLETED, DEAD, CANCELLED = JobState.COMPLETED, JobState.DEAD, JobState.CANCELLED
WISHES: Mapping[str, frozenset[JobState]] = {
    "": frozenset({COMPLETED}),
    ":any": frozenset({COMPLETED, DEAD, CANCELLED}),
    ":failed": frozenset({DEAD, CANCELLED}),
}


class Node(NamedTuple):
    """A job: what it depends on, each with its wish, and whether it fails."""

    id: str
    after: tuple[tuple[str, str], ...]
    fails: bool

    @property
    def depends_on(self) -> tuple[str, ...]:
        return tuple(id + wish for id, wish in self.after)


def drawn(chance: Random, size: int) -> list[Node]:
    """A graph in an order in which each job comes after what it depends on."""
    nodes: list[Node] = []
    for number in range(size):
        near = nodes[-30:] if chance.random() < 0.8 else nodes
        parents = chance.sample(near, min(len(near), chance.choice((0, 1, 1, 2, 3))))
        wishes = chance.choices(("", ":any", ":failed"), (8, 2, 1), k=len(parents))
        after = tuple((parent.id, wish) for parent, wish in zip(parents, wishes, strict=True))
        nodes.append(Node(f"n{number}", after, chance.random() < 0.15))
    return nodes


def _is_free(node: Node, ends: Mapping[str, JobState]) -> bool:
    return all(ends[id] in WISHES[wish] for id, wish in node.after)


def ends(nodes: Sequence[Node]) -> dict[str, JobState]:
    """The final state of each job."""
    found: dict[str, JobState] = {}
    for node in nodes:
        found[node.id] = CANCELLED if not _is_free(node, found) else DEAD if node.fails else COMPLETED
    return found


def ends_again(nodes: Sequence[Node], before: Mapping[str, JobState]) -> dict[str, JobState]:
    """The same once the dead ones have been retried. What completed stays. A cancelled one revives if all that stood in
    its way is to run again."""
    found: dict[str, JobState] = {}
    again: set[str] = set()
    for node in nodes:
        in_the_way = {id for id, wish in node.after if before[id] not in WISHES[wish]}
        was = before[node.id]
        if was is DEAD or (was is CANCELLED and in_the_way <= again):
            again.add(node.id)
            found[node.id] = COMPLETED if _is_free(node, found) else CANCELLED
        else:
            found[node.id] = was
    return found
