"""The jobs around a job: what it depends on, over others too, and what depends on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from queuectl.client.operation import JOB, JOBS, Argument, plain
from queuectl.client.shapes import FLAG, TEXT, Key, Shape, listed, nullable, one_of
from queuectl.domain.job import JobState
from queuectl.store.edges import Edge
from queuectl.store.port import Store
from queuectl.typed import NamedTuple

JOBS_MAX = 500


class Node(NamedTuple):
    """A job in a graph."""

    id: str
    state: JobState
    queue: str
    error: str | None


class Link(NamedTuple):
    """`job` depends on another one, spelled `on`, which is `parent` if it is there; or on a batch, to which `parent`
    belongs if that is looked at. `met`: None while undecided."""

    job: str
    on: str
    parent: str | None
    met: bool | None
    why: str | None


class Graph(NamedTuple):
    """The jobs that a job depends on and that depend on it, with itself. `complete`: there are no more."""

    id: str
    jobs: Sequence[Node]
    links: Sequence[Link]
    complete: bool


NODE = Shape(
    "", Node, Key("id", TEXT), Key("state", one_of(JobState)), Key("queue", TEXT), Key("error", nullable(TEXT))
)  # fmt: skip
LINK = Shape(
    "", Link, Key("job", TEXT), Key("on", TEXT), Key("parent", nullable(TEXT)), Key("met", nullable(FLAG)),
    Key("why", nullable(TEXT)),
)  # fmt: skip
GRAPH = Shape(
    "Graph", Graph, Key("id", TEXT), Key("jobs", listed(NODE.kind)), Key("links", listed(LINK.kind)),
    Key("complete", FLAG),
)  # fmt: skip


def graph(store: Store, who: str, id: str) -> Graph:
    """The jobs around one. Raises `NotFound`."""
    job = store.get(id)
    edges, jobs, complete = store.around(job, JOBS_MAX)
    ids = {each.seq: each.id for each in jobs}
    links = [_link(edge, ids) for edge in edges if edge.child in ids]
    return Graph(job.id, [Node(each.id, each.state, each.queue, each.error) for each in jobs], links, complete)


def _link(edge: Edge, ids: Mapping[int, str]) -> Link:
    met = None if edge.verdict is None else edge.verdict == 1
    parent = None if edge.parent is None else ids.get(edge.parent)
    return Link(ids[edge.child], edge.ref, parent, met, edge.why)


SHOW_GRAPH = plain(
    "graph", "GET", "/jobs/{id}/graph", JOBS, "Show what a job depends on, and what depends on it", graph, GRAPH.kind,
    f"at most {JOBS_MAX} jobs, the nearest ones", arguments=(Argument("id", JOB),), fails=(404,),
)  # fmt: skip
