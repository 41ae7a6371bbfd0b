"""`show --tree`: what a job depends on, and what depends on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from queuectl.cli.call import Call
from queuectl.cli.changed import report_refused
from queuectl.client.facade import Client
from queuectl.client.graph import GRAPH, JOBS_MAX, Graph
from queuectl.domain.dependency import Wants, parse
from queuectl.domain.errors import QueuectlError
from queuectl.domain.job import Job
from queuectl.typed import NamedTuple

BRANCHES_MAX = 20
"""More neighbours of a job than this are counted."""
LEAD_MAX = 180
"""Branches with more characters before them are not followed."""


class Branch(NamedTuple):
    """A neighbour of a job: its id, or `batch NAME`; and how the one has to end for the other, if not `completed`."""

    id: str
    wish: str


def print_trees(call: Call, client: Client, jobs: Iterable[Job], refused: Sequence[QueuectlError]) -> int:
    """Prints a tree for each job."""
    graphs = (client.graph(job.id) for job in jobs)
    if call.console.as_json:
        call.console.json_array(map(GRAPH.json, graphs))
    else:
        call.console.lines(line for each in graphs for line in lines_of(each))
    return report_refused(call.console, refused)


def lines_of(graph: Graph) -> Iterator[str]:
    """The job, what it comes after, and what comes after it. What comes again is not followed again."""
    told = {node.id: f"{node.id}  {node.state}" + (f": {node.error}" if node.error else "") for node in graph.jobs}
    above: dict[str, list[Branch]] = {}
    below: dict[str, list[Branch]] = {}
    for link in graph.links:
        on = parse(link.on)
        wish = "" if on.wants is Wants.OK else on.wants
        above.setdefault(link.job, []).append(Branch(link.parent or on.what, wish))
        if link.parent:
            below.setdefault(link.parent, []).append(Branch(link.job, wish))
        elif on.is_batch:
            told[on.what] = f"{on.what}  {'unfinished' if link.met is None else 'finished'}"
        else:
            told[on.what] = f"{on.name}  {'gone' if graph.complete else '…'}"
    yield told[graph.id]
    for title, around in (("after", above), ("before", below)):
        if graph.id in around:
            yield title
            yield from _branches("", graph.id, around, told, set())
    if not graph.complete:
        yield f"only the nearest {JOBS_MAX:,} jobs"


def _branches(
    lead: str, id: str, around: Mapping[str, list[Branch]], told: Mapping[str, str], seen: set[str]
) -> Iterator[str]:
    branches = around[id]
    for number, branch in enumerate(islice(branches, BRANCHES_MAX), 1):
        is_last = number == len(branches)
        follows = branch.id in around and branch.id not in seen and len(lead) < LEAD_MAX
        more = "" if follows or branch.id not in around else " …"
        wish = f" ({branch.wish})" if branch.wish else ""
        yield f"{lead}{'└─' if is_last else '├─'} {told[branch.id]}{wish}{more}"
        seen.add(branch.id)
        if follows:
            yield from _branches(lead + ("   " if is_last else "│  "), branch.id, around, told, seen)
    if len(branches) > BRANCHES_MAX:
        yield f"{lead}└─ and {len(branches) - BRANCHES_MAX:,} more"
