"""Draws the changes of state as `docs/lifecycle.svg`, from the table of transitions. Places and bends are set by hand.

Called by `python -m tests.architecture.lifecycle_diagram`.
"""

from __future__ import annotations

from math import hypot

from queuectl.domain.job import JobState

Edge = tuple[str, str, str]
"""From, to, and what leads there."""
Point = tuple[float, float]

WIDTH, HEIGHT = 1000, 600
BOX = (116.0, 42.0)
PLACES: dict[str, Point] = {
    "blocked": (130, 360), "pending": (360, 170), "processing": (660, 170), "completed": (900, 170),
    "failed": (660, 370), "dead": (900, 370), "cancelled": (360, 540),
}  # fmt: skip
COLOURS = {
    "blocked": "#8b7bd8", "pending": "#6b7a90", "processing": "#2f7de1", "completed": "#2c9a5b", "failed": "#c9801a",
    "dead": "#cf3f3f", "cancelled": "#8a8f98",
}  # fmt: skip
BENDS = {
    ("completed", "pending"): -105, ("dead", "pending"): 22, ("processing", "cancelled"): 46,
    ("cancelled", "pending"): -34, ("pending", "cancelled"): -34, ("failed", "cancelled"): 16,
    ("pending", "processing"): 26, ("processing", "pending"): 26, ("processing", "failed"): 34,
    ("failed", "processing"): 34, ("processing", "dead"): 0, ("failed", "pending"): 16,
}  # fmt: skip
LABELS_AT = {
    ("dead", "pending"): 0.22, ("processing", "cancelled"): 0.62, ("failed", "cancelled"): 0.42,
    ("failed", "pending"): 0.55, ("processing", "dead"): 0.45, ("pending", "cancelled"): 0.5,
    ("cancelled", "pending"): 0.45,
}  # fmt: skip
"""Where on its way a label stands, if not half-way."""
USUAL_BEND = 24
LINE = 14.0
STYLE = """\
text { font: 13px system-ui, sans-serif; fill: #1c2430 }
.state { font-weight: 600; fill: #fff; text-anchor: middle }
.why { font-size: 11.5px; text-anchor: middle; paint-order: stroke; stroke: #fff; stroke-width: 4px }
path { fill: none; stroke: #7b8696; stroke-width: 1.4 }
"""


def picture(edges: list[Edge]) -> str:
    """The whole file."""
    both = {(start, end) for start, end, _ in edges}
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        "<title>The states of a job</title>",
        f"<style>\n{STYLE}</style>",
        '<defs><marker id="end" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0 8 4 0 8z" style="fill:#7b8696;stroke:none"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="10" fill="#fff"/>',
    ]
    curves, labels = [], []
    for start, end, why in edges:
        bend = BENDS.get((start, end), USUAL_BEND if (end, start) in both else 0)
        if start not in PLACES:
            x, y = PLACES[end]
            curves.append(_arrow((x - BOX[0] / 2 - 64, y), _edge_of(end, (0, y))))
            labels.append(_label((x - BOX[0] / 2 - 36, y - 16), why))
            continue
        curve, label = _curve(start, end, bend, why)
        curves.append(curve)
        labels.append(label)
    return "\n".join([*lines, *curves, *map(_box, PLACES), *labels, "</svg>"]) + "\n"


def _box(state: str) -> str:
    (x, y), (width, height) = PLACES[state], BOX
    return (
        f'<rect x="{x - width / 2}" y="{y - height / 2}" width="{width}" height="{height}" rx="8" '
        f'fill="{COLOURS[state]}"/><text class="state" x="{x}" y="{y + 4.5}">{JobState(state).value}</text>'
    )


def _curve(start: str, end: str, bend: float, why: str) -> tuple[str, str]:
    """A curve from box to box that leaves the straight line by `bend`, to the left of its direction."""
    (x1, y1), (x2, y2) = PLACES[start], PLACES[end]
    length = hypot(x2 - x1, y2 - y1)
    across = ((y2 - y1) / length, -(x2 - x1) / length)
    control = ((x1 + x2) / 2 + across[0] * 2 * bend, (y1 + y2) / 2 + across[1] * 2 * bend)
    begin, finish = _edge_of(start, control), _edge_of(end, control)
    at = LABELS_AT.get((start, end), 0.5)
    x, y = (
        (1 - at) ** 2 * begin[axis] + 2 * at * (1 - at) * control[axis] + at**2 * finish[axis] for axis in (0, 1)
    )  # fmt: skip
    return _arrow(begin, finish, control), _label((x, y), why)


def _label(place: Point, why: str) -> str:
    """What leads there, a line for each."""
    lines = why.split(", ")
    top = place[1] + 4 - LINE * (len(lines) - 1) / 2
    return "".join(
        f'<text class="why" x="{place[0]:.0f}" y="{top + LINE * row:.0f}">{line}</text>'
        for row, line in enumerate(lines)
    )


def _arrow(start: Point, end: Point, control: Point | None = None) -> str:
    way = f"Q{control[0]:.0f} {control[1]:.0f} " if control else "L"
    return f'<path d="M{start[0]:.0f} {start[1]:.0f} {way}{end[0]:.0f} {end[1]:.0f}" marker-end="url(#end)"/>'


def _edge_of(state: str, towards: Point) -> Point:
    """Where the line from the middle of a box to a point leaves the box."""
    (x, y), (width, height) = PLACES[state], BOX
    dx, dy = towards[0] - x, towards[1] - y
    part = min(width / 2 / abs(dx) if dx else 9e9, height / 2 / abs(dy) if dy else 9e9)
    return x + dx * part, y + dy * part
