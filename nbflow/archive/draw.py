"""The picture of a graph of tasks with their states, as SVG: the same bytes for the same tasks.

Up to MAX_BOXES boxes and MAX_EDGES edges are a layered drawing; more are a mosaic, a small square for each task in
their order. Every text is escaped here. Must not know runs or files; links are given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from nbflow.archive import palette
from nbflow.archive.layered import Placed, Point, Spacing, layers, place
from nbflow.archive.svg import FONT, TIMES, escape, fit, num, text_width
from nbflow.archive.words import count

MANY_TASKS = 200
"""Above this, all copies that `matrix` or `for_each` made share one box; below, only those of a large group."""
LARGE_GROUP = 12
MAX_BOXES = 400
MAX_EDGES = 3000
MAX_SQUARES = 4000
"""Above this, a square of the mosaic stands for several tasks."""

LABEL, DETAIL = 13.0, 11.0
"""Sizes of the two texts of a box, in pixels."""
NARROWEST, WIDEST = 92.0, 248.0
MARGIN = 16.0
ACROSS = 5
"""Boxes beside each other in the block of tasks that hang together with nothing."""

GRAPH_CSS = (
    """
.nbflow-svg text{font-family:FONT;fill:var(--text)}
.nbflow-svg .ground{fill:var(--bg)}
.graph .label{font-size:13px;font-weight:500}
.graph .detail{font-size:11px;fill:var(--muted)}
.graph .plate{fill:var(--soft);stroke:var(--tone);stroke-width:1.2;stroke-opacity:.5}
.graph .loud .plate{stroke-width:1.6;stroke-opacity:1}
.graph .plain .plate{fill:var(--card);stroke:var(--edge);stroke-opacity:1}
.graph .quiet .plate{stroke-dasharray:4 3}
.graph .under{fill:var(--card);stroke:var(--edge);stroke-width:1}
.graph .share{fill:var(--tone)}
.graph .line{fill:none;stroke:var(--edge);stroke-width:1.4}
.graph .head{fill:var(--edge)}
.graph .idle{stroke-dasharray:3 4}
.graph .square{fill:var(--tone)}
.graph .hollow{fill:var(--soft);stroke:var(--tone);stroke-width:1}
.graph .cross{fill:none;stroke:var(--on);stroke-width:1.4}
""".replace("FONT", FONT)
    + palette.GLYPH_CSS
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnTask:
    """A task as it is drawn.

    `upstream` holds names of other drawn tasks; others are left out. `state` is None where nothing ran yet. `label` is
    shown for the name; `detail` is a second, smaller line; `copies` counts the task runs that one box stands for.
    """

    name: str
    label: str = ""
    state: str | None = None
    upstream: tuple[str, ...] = ()
    href: str | None = None
    detail: str | None = None
    copies: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One or more tasks of the same declared name; `upstream` are places of other boxes."""

    task: DrawnTask
    states: Counter[str | None] = field(default_factory=Counter)
    upstream: tuple[int, ...] = ()

    @property
    def label(self) -> str:
        text = self.task.label or self.task.name
        return f"{text} {TIMES}{self.task.copies}" if self.task.copies > 1 else text


def graph_svg(tasks: Sequence[DrawnTask], *, standalone: bool) -> str:
    """Draw tasks and their order, left to right. Acyclic graphs only: raises ValueError for a cycle.

    `standalone` gives a file of its own, with colours for light and dark; else the page around it brings `GRAPH_CSS`
    and the variables of the palette.
    """
    boxes = share_boxes(tasks)
    if len(boxes) > MAX_BOXES or sum(len(box.upstream) for box in boxes) > MAX_EDGES:
        body, size = _mosaic(tasks)
    else:
        body, size = _drawing(boxes)
    return frame("graph", body, size, GRAPH_CSS, _describe(tasks), standalone=standalone)


def frame(kind: str, body: str, size: Point, css: str, description: str, *, standalone: bool) -> str:
    """The SVG element around a picture of `size` pixels."""
    width, height = num(size[0]), num(size[1])
    style = ground = ""
    if standalone:
        style = f"<style>{palette.literal(css)}</style>"
        ground = f'<rect class="ground" width="{width}" height="{height}"/>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="nbflow-svg {kind}" role="group" '
        f'aria-label="{escape(description)}" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
        f"{style}{ground}{body}</svg>"
    )


def linked(markup: str, href: str | None) -> str:
    """Markup inside a link, where there is one."""
    return f'<a href="{escape(href)}">{markup}</a>' if href else markup


def base_name(name: str) -> str:
    """The declared name of a task run: `train` for `train[ridge,eu]`."""
    return name.split("[", 1)[0]


def _describe(tasks: Sequence[DrawnTask]) -> str:
    states = ", ".join(_counted(task.state for task in tasks))
    return f"Graph of {count(len(tasks), 'task')}" + (f": {states}" if states else "")


def _counted(states: Iterable[str | None]) -> list[str]:
    return [f"{number} {palette.word(state).lower()}" for state, number in palette.told(states)]


def share_boxes(tasks: Sequence[DrawnTask]) -> list[Box]:
    """Tasks as boxes: copies of one declared task share a box where they are many."""
    sizes = Counter(base_name(task.name) for task in tasks)
    many = len(tasks) > MANY_TASKS
    groups: dict[str, list[DrawnTask]] = {}
    group_of: dict[str, str] = {}
    for task in tasks:
        base = base_name(task.name)
        shared = sizes[base] > LARGE_GROUP or (many and sizes[base] > 1)
        group_of[task.name] = base if shared else task.name
        groups.setdefault(group_of[task.name], []).append(task)
    index = {name: position for position, name in enumerate(groups)}
    boxes = []
    for name, members in groups.items():
        ups = dict.fromkeys(
            index[group_of[up]] for task in members for up in task.upstream if group_of.get(up, name) != name
        )
        boxes.append(replace(_box(name, members), upstream=tuple(ups)))
    return boxes


def _box(name: str, members: list[DrawnTask]) -> Box:
    states = Counter(task.state for task in members)
    if len(members) == 1:
        return Box(task=members[0], states=states)
    worst = palette.worst(states)
    shown = next((task for task in members if task.state == worst), members[0])
    task = DrawnTask(
        name=name,
        state=worst,
        href=shown.href,
        detail=" · ".join(_counted(states.elements())) or None,
        copies=sum(task.copies for task in members),
    )
    return Box(task=task, states=states)


def _drawing(boxes: list[Box]) -> tuple[str, Point]:
    """Boxes and edges; what hangs together with nothing stands in a block below."""
    spacing = Spacing(row=46.0 if any(box.task.detail for box in boxes) else 36.0)
    needed = {up for box in boxes for up in box.upstream}
    bound = [i for i, box in enumerate(boxes) if box.upstream or i in needed]
    loose = [i for i, box in enumerate(boxes) if not box.upstream and i not in needed]
    index = {old: new for new, old in enumerate(bound)}
    placed = place(
        [_width(boxes[i]) for i in bound],
        [[index[up] for up in boxes[i].upstream] for i in bound],
        spacing,
    )
    lines = [_edge(boxes[bound[u]], boxes[bound[v]], points) for u, v, points in placed.routes]
    plates = [_plate(boxes[i], _corner(placed, n, spacing), placed.width[n], spacing) for n, i in enumerate(bound)]
    top = placed.size[1] + MARGIN if bound else 0.0
    block, size = _block([boxes[i] for i in loose], top, spacing)
    width, height = max(placed.size[0], size[0]), size[1] if loose else placed.size[1]
    inner = "".join([*lines, *plates, *block])
    body = f'<g transform="translate({num(MARGIN)},{num(MARGIN)})">{inner}</g>'
    return body, (width + 2 * MARGIN, height + 2 * MARGIN)


def _corner(placed: Placed, vertex: int, spacing: Spacing) -> Point:
    return placed.x[vertex], placed.y[vertex] - spacing.row / 2


def _block(boxes: list[Box], top: float, spacing: Spacing) -> tuple[list[str], Point]:
    if not boxes:
        return [], (0.0, top)
    width = max(_width(box) for box in boxes)
    across = min(ACROSS, len(boxes))
    plates = []
    for place_in_block, box in enumerate(boxes):
        row, column = divmod(place_in_block, across)
        corner = (column * (width + MARGIN), top + row * (spacing.row + spacing.between_boxes))
        plates.append(_plate(box, corner, width, spacing))
    rows = -(-len(boxes) // across)
    height = top + rows * (spacing.row + spacing.between_boxes) - spacing.between_boxes
    return plates, (across * (width + MARGIN) - MARGIN, height)


def _width(box: Box) -> float:
    text = max(text_width(box.label, LABEL), text_width(box.task.detail or "", DETAIL))
    return min(WIDEST, max(NARROWEST, text + _indent(box) + 14))


def _indent(box: Box) -> float:
    return 36.0 if palette.glyph(box.task.state) else 14.0


def _edge(u: Box, v: Box, points: list[Point]) -> str:
    """A curve that leaves and arrives level, through the points between, with a head."""
    (x, y), *rest = points
    path = [f"M{num(x)} {num(y)}"]
    for number, (to_x, to_y) in enumerate(rest):
        end = to_x - 5 if number == len(rest) - 1 else to_x
        if number % 2 == 0 and abs(to_y - y) > 0.05:
            bend = (end - x) / 2
            path.append(f"C{num(x + bend)} {num(y)} {num(end - bend)} {num(to_y)} {num(end)} {num(to_y)}")
        else:
            path.append(f"L{num(end)} {num(to_y)}")
        x, y = to_x, to_y
    idle = " idle" if v.task.state in {"pending", "upstream_failed", "skipped", "cancelled"} and u.task.state else ""
    head = f'<path class="head" d="M{num(x - 7)} {num(y - 4)}L{num(x)} {num(y)}L{num(x - 7)} {num(y + 4)}Z"/>'
    return f'<path class="line{idle}" d="{"".join(path)}"/>{head}'


def _plate(box: Box, corner: Point, width: float, spacing: Spacing) -> str:
    task, height = box.task, spacing.row
    shape = palette.glyph(task.state)
    classes = f"t-{palette.tone(task.state)}{_voice(task.state)}" if shape else "plain"
    parts = [f"<title>{escape(_title(box))}</title>"]
    if task.copies > 1:
        parts += [
            f'<rect class="under" x="{n}" y="{n}" width="{num(width)}" height="{num(height)}" rx="8"/>' for n in (6, 3)
        ]
    parts.append(f'<rect class="plate" width="{num(width)}" height="{num(height)}" rx="8"/>')
    indent, middle = _indent(box), height / 2
    if shape:
        parts.append(f'<g class="glyph" transform="translate(12,{num(middle - 8)})">{shape}</g>')
    label = escape(fit(box.label, width - indent - 12, LABEL))
    baseline = middle - 3.5 if task.detail else middle + 4.5
    parts.append(f'<text class="label" x="{num(indent)}" y="{num(baseline)}">{label}</text>')
    if task.detail:
        detail = escape(fit(task.detail, width - indent - 12, DETAIL))
        parts.append(f'<text class="detail" x="{num(indent)}" y="{num(middle + 12.5)}">{detail}</text>')
    markup = f'<g class="{classes}">{"".join(parts)}</g>{"".join(_shares(box, width, height))}'
    return linked(f'<g transform="translate({num(corner[0])},{num(corner[1])})">{markup}</g>', task.href)


def _voice(state: str | None) -> str:
    """How strongly a box speaks: what failed or runs aloud, what did not run in a broken line."""
    if state in {"failed", "running", "retrying"}:
        return " loud"
    return " quiet" if state in {"pending", "skipped", "upstream_failed", "not_run"} else ""


def _title(box: Box) -> str:
    state = palette.word(box.task.state) if box.task.state else ""
    return " · ".join(part for part in (box.label, state, box.task.detail or "") if part)


def _shares(box: Box, width: float, height: float) -> list[str]:
    """A thin bar at the foot of a box of many tasks: how many are in which state."""
    if len(box.states) < 2:
        return []
    total, x, parts = sum(box.states.values()), 8.0, []
    for state in sorted(box.states, key=palette.word):
        share = (width - 16) * box.states[state] / total
        bar = f'x="{num(x)}" y="{num(height - 4)}" width="{num(share)}" height="2.5"'
        parts.append(f'<g class="t-{palette.tone(state)}"><rect class="share" {bar}/></g>')
        x += share
    return parts


def _mosaic(tasks: Sequence[DrawnTask]) -> tuple[str, Point]:
    """A square for each task, in an order in which they can run; several tasks a square where they are too many."""
    index = {task.name: position for position, task in enumerate(tasks)}
    layer = layers([[index[up] for up in task.upstream if up in index] for task in tasks])
    ordered = [tasks[i] for i in sorted(range(len(tasks)), key=lambda i: (layer[i], i))]
    each = -(-len(tasks) // MAX_SQUARES)
    across, side, gap = 64, 11.0, 3.0
    parts = []
    for number, start in enumerate(range(0, len(ordered), each)):
        row, column = divmod(number, across)
        x, y = MARGIN + column * (side + gap), MARGIN + row * (side + gap)
        parts.append(_square(ordered[start : start + each], x, y, side))
    rows = -(-len(parts) // across)
    text = f"{len(tasks)} tasks, in the order of the graph; each square is {'one' if each == 1 else f'up to {each}'}"
    foot = MARGIN + rows * (side + gap) + 14
    parts.append(f'<text class="detail" x="{num(MARGIN)}" y="{num(foot)}">{text}</text>')
    return "".join(parts), (2 * MARGIN + across * (side + gap) - gap, foot + MARGIN)


def _square(tasks: Sequence[DrawnTask], x: float, y: float, side: float) -> str:
    state = palette.worst(task.state for task in tasks)
    shown = next((task for task in tasks if task.state == state), tasks[0])
    tone = palette.tone(state)
    look = "square" if tone in {"ok", "bad", "live"} else "hollow"
    name = (shown.label or shown.name) + (f" and {len(tasks) - 1} more" if len(tasks) > 1 else "")
    title = escape(f"{name} · {palette.word(state)}" if state else name)
    arm = num(side - 6)
    cross = f'<path class="cross" d="M{num(x + 3)} {num(y + 3)}l{arm} {arm}m0 -{arm}l-{arm} {arm}"/>'
    markup = (
        f'<g class="t-{tone}"><title>{title}</title>'
        f'<rect class="{look}" x="{num(x)}" y="{num(y)}" width="{num(side)}" height="{num(side)}" rx="2.5"/>'
        f"{cross if tone == 'bad' else ''}</g>"
    )
    return linked(markup, shown.href)
