"""A job between what it depends on, at its left, and what depends on it, at its right: the geometry of a drawing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from queuectl.domain.dependency import Neighbour, Neighbours, Wants
from queuectl.domain.job import Job, seen_state
from queuectl.typed import NamedTuple
from queuectl.web.rendering import segment

SHOWN, SHOWN_MAX = 8, 200
"""How many neighbours of each side are drawn at first, and at most."""
WIDE, NARROW = (760, 196), (340, 104)
"""Widths of a drawing and of a box in it, for a screen and for a telephone."""
BOX_HEIGHT, ROW, MARGIN = 38, 46, 2
CHARACTER, ICON = 7.6, 26
"""Widths of a letter, and of what stands before a box's text."""


class Box(NamedTuple):
    """A job or batch in the drawing. `told` is all of it in words; no `href`: it leads nowhere."""

    x: int
    y: float
    text: str
    about: str
    state: str
    told: str
    href: str | None = None
    is_own: bool = False


class Line(NamedTuple):
    """A dependency: an SVG path, and whether it `holds`, cannot (`broken`), or is `open`."""

    path: str
    tip: str
    how: str


class Graph(NamedTuple):
    """A drawing. `told` says what it shows."""

    width: int
    height: int
    box_width: int
    boxes: Sequence[Box]
    lines: Sequence[Line]
    told: str
    size: str


def graphs(job: Job, found: Neighbours, around: int = SHOWN) -> list[Graph]:
    """The drawings for wide and for narrow screens; none if the job has no neighbours."""
    if not found.parents_all and not found.children_all:
        return []
    return [_graph(job, found, around, *size, name) for size, name in ((WIDE, "wide"), (NARROW, "narrow"))]


def _graph(job: Job, found: Neighbours, around: int, width: int, box: int, size: str) -> Graph:
    left = [*found.parents[:around]], found.parents_all - len(found.parents[:around])
    right = [*found.children[:around]], found.children_all - len(found.children[:around])
    rows = max(len(side) + (more > 0) for side, more in (left, right))
    height = max(1, rows) * ROW
    middle, center = (width - box) // 2, height / 2
    more_at = f"/jobs/{segment(job.id)}?around={SHOWN_MAX}" if around < SHOWN_MAX else None
    boxes = [_own(job, middle, center - BOX_HEIGHT / 2, box)]
    lines = []
    for (side, more), x in ((left, MARGIN), (right, width - box - MARGIN)):
        top = center - (len(side) + (more > 0)) * ROW / 2 + (ROW - BOX_HEIGHT) / 2
        for at, each in enumerate(side):
            y = top + at * ROW
            boxes.append(_box(each, x, y, box))
            ends = (x + box, y, middle, boxes[0].y) if x < middle else (middle + box, boxes[0].y, x, y)
            lines.append(_line(*ends, each))
        if more > 0:
            y = top + len(side) * ROW
            text = f"and {more:,} more"
            boxes.append(Box(x, y, text, "", "", text, more_at))
    return Graph(width, height, box, boxes, lines, told_of(job, found), size)


def _own(job: Job, x: int, y: float, width: int) -> Box:
    state = seen_state(job)
    return Box(x, y, _cut(job.id, width), state, state, f"job {job.id}, {state}, this job", is_own=True)


def _box(each: Neighbour, x: int, y: float, width: int) -> Box:
    state = "" if each.is_batch else each.state.value if each.state else "gone"
    about = ", ".join(_about(each, state))
    what = "batch" if each.is_batch else "job"
    href = f"/{'batches' if each.is_batch else 'jobs'}/{segment(each.name)}" if each.state or each.is_batch else None
    told = f"{what} {each.name}" + (f", {about}" if about else "")
    short = about if len(about) <= _room(width) else state
    return Box(x, y, _cut(each.name, width), _cut(short, width), state, told, href)


def _about(each: Neighbour, state: str) -> Iterator[str]:
    if each.is_batch:
        yield "batch"
    elif state:
        yield state
    if each.wants is not Wants.OK:
        yield f"wants {each.wants}"


def _line(x1: float, y1: float, x2: float, y2: float, each: Neighbour) -> Line:
    y1, y2 = y1 + BOX_HEIGHT / 2, y2 + BOX_HEIGHT / 2
    half = (x2 - x1) / 2
    how = {None: "open", True: "holds", False: "broken"}[each.verdict]
    path = f"M{x1:g} {y1:g} C{x1 + half:g} {y1:g} {x2 - half:g} {y2:g} {x2 - 4:g} {y2:g}"
    return Line(path, f"M{x2 - 7:g} {y2 - 4:g} L{x2:g} {y2:g} L{x2 - 7:g} {y2 + 4:g} Z", how)


def _room(width: int) -> int:
    """How many characters a box has room for."""
    return int((width - ICON - 6) / CHARACTER)


def _cut(text: str, width: int) -> str:
    room = _room(width)
    return text if len(text) <= room else f"{text[: room - 1]}…"


def told_of(job: Job, found: Neighbours) -> str:
    """What the drawing shows, in a sentence."""
    on, by = (f"{count:,} {'other' if count == 1 else 'others'}" for count in (found.parents_all, found.children_all))
    return f"{job.id} depends on {on}; {by} depend{'s' if found.children_all == 1 else ''} on it"
