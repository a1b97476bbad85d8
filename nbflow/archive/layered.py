"""A layered drawing of a directed acyclic graph, left to right: who stands where, and which way each edge runs.

The classic four steps (Sugiyama): layers by longest paths, dummy points where an edge passes a layer, orders by
barycenters that are kept while crossings fall, positions by weighted least squares. Works on numbers alone, is
deterministic, and must not know tasks or SVG.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

SWEEPS = 12
"""Orders and positions settle within a few sweeps; more change nothing that an eye would see."""
SLOPE = 10.0
"""Pixels: two ends that differ by less look crooked, not sloped."""
MAX_DUMMIES = 4000
"""Beyond this, the longest edges run straight: time stays linear in tasks and edges."""

Point = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spacing:
    """Pixels: height of a row, least distance of two boxes, least distance of two lines, distance of layers."""

    row: float = 44.0
    between_boxes: float = 14.0
    between_lines: float = 12.0
    between_layers: float = 56.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """Left and middle of each vertex (`x`, `y`), each layer's width by vertex, routes by edge, and the whole size.

    A route is the flat run of points from box to box: curve, straight piece through a layer, curve, and so on.
    """

    x: list[float]
    y: list[float]
    width: list[float]
    routes: list[tuple[int, int, list[Point]]]
    size: Point


def place(widths: Sequence[float], upstream: Sequence[Sequence[int]], spacing: Spacing) -> Placed:
    """Lay out vertices 0..n-1 with edges `upstream[v] -> v`, which must be acyclic.

    Parts that are not connected stand below each other. Raises ValueError for a cycle.
    """
    layer = layers(upstream)
    parts = _components(upstream)
    x, y = [0.0] * len(widths), [0.0] * len(widths)
    column = [0.0] * len(widths)
    routes: list[tuple[int, int, list[Point]]] = []
    top = right = 0.0
    for part in parts:
        drawing = _Drawing([widths[v] for v in part], *_local(part, upstream, layer), spacing)
        drawing.order()
        low, high = drawing.position()
        shift = top - low
        left = drawing.columns()
        for local, vertex in enumerate(part):
            x[vertex], y[vertex] = left[drawing.layer[local]], drawing.y[local] + shift
            column[vertex] = drawing.column[drawing.layer[local]]
        routes += [(part[u], part[v], points) for u, v, points in drawing.routes(left, shift)]
        top += high - low + spacing.between_boxes
        right = max(right, left[-1] + drawing.column[-1])
    return Placed(x=x, y=y, width=column, routes=routes, size=(right, max(0.0, top - spacing.between_boxes)))


def layers(upstream: Sequence[Sequence[int]]) -> list[int]:
    """The layer of each vertex: one beyond its farthest upstream; a source stands just before what needs it."""
    downstream: list[list[int]] = [[] for _ in upstream]
    waiting = [len(set(ups)) for ups in upstream]
    for vertex, ups in enumerate(upstream):
        for up in set(ups):
            downstream[up].append(vertex)
    layer = [0] * len(upstream)
    ready = [vertex for vertex, count in enumerate(waiting) if count == 0]
    for vertex in ready:
        for down in downstream[vertex]:
            layer[down] = max(layer[down], layer[vertex] + 1)
            waiting[down] -= 1
            if waiting[down] == 0:
                ready.append(down)
    if len(ready) != len(upstream):
        raise ValueError("the graph has a cycle")
    for vertex, downs in enumerate(downstream):
        if downs and not upstream[vertex]:
            layer[vertex] = min(layer[down] for down in downs) - 1
    return layer


def _components(upstream: Sequence[Sequence[int]]) -> list[list[int]]:
    """Vertices that hang together, in the order of their first one."""
    near: list[list[int]] = [list(ups) for ups in upstream]
    for vertex, ups in enumerate(upstream):
        for up in ups:
            near[up].append(vertex)
    seen = [False] * len(upstream)
    parts = []
    for start in range(len(upstream)):
        if seen[start]:
            continue
        seen[start] = True
        part = [start]
        for vertex in part:
            for other in near[vertex]:
                if not seen[other]:
                    seen[other] = True
                    part.append(other)
        parts.append(sorted(part))
    return parts


def _local(
    part: list[int], upstream: Sequence[Sequence[int]], layer: Sequence[int]
) -> tuple[list[tuple[int, int]], list[int]]:
    """Edges and layers of one part, renumbered from 0."""
    index = {vertex: local for local, vertex in enumerate(part)}
    edges = [(index[up], index[v]) for v in part for up in dict.fromkeys(upstream[v])]
    first = min(layer[v] for v in part)
    return edges, [layer[v] - first for v in part]


class _Drawing:
    """One connected part while it is laid out. Vertices beyond `count` are dummies."""

    def __init__(self, widths: list[float], edges: list[tuple[int, int]], layer: list[int], spacing: Spacing) -> None:
        self.count = len(widths)
        self.spacing = spacing
        self.layer = layer
        self.edges = edges
        self.y = [0.0] * self.count
        self.up: list[list[int]] = [[] for _ in widths]
        self.down: list[list[int]] = [[] for _ in widths]
        self.chains: dict[tuple[int, int], list[int]] = {}
        self._add_dummies()
        depth = max(self.layer) + 1
        self.column = [24.0] * depth
        for vertex, width in enumerate(widths):
            self.column[layer[vertex]] = max(self.column[layer[vertex]], width)
        self.rows: list[list[int]] = [[] for _ in range(depth)]

    def _add_dummies(self) -> None:
        budget = MAX_DUMMIES
        for u, v in sorted(self.edges, key=lambda edge: self.layer[edge[1]] - self.layer[edge[0]]):
            span = self.layer[v] - self.layer[u]
            chain: list[int] = []
            if 0 < span - 1 <= budget:
                budget -= span - 1
                chain = list(range(len(self.layer), len(self.layer) + span - 1))
                self.layer += range(self.layer[u] + 1, self.layer[v])
                self.y += [0.0] * len(chain)
                self.up += [[] for _ in chain]
                self.down += [[] for _ in chain]
            self.chains[u, v] = chain
            path = [u, *chain, v]
            if span == len(chain) + 1:
                for a, b in pairwise(path):
                    self.down[a].append(b)
                    self.up[b].append(a)

    def order(self) -> None:
        """Choose the order within each layer: barycenters, downwards and upwards in turn, the best one kept."""
        for vertex in self._walk():
            self.rows[self.layer[vertex]].append(vertex)
        at = [0] * len(self.layer)
        for row in self.rows:
            _number(row, at)
        best, fewest = [list(row) for row in self.rows], self._crossings(at)
        for sweep in range(SWEEPS):
            if fewest == 0:
                break
            forward = sweep % 2 == 0
            near = self.up if forward else self.down
            for row in self.rows if forward else reversed(self.rows):
                middle = {v: sum(at[n] for n in near[v]) / len(near[v]) if near[v] else float(at[v]) for v in row}
                row.sort(key=lambda v: (middle[v], at[v]))
                _number(row, at)
            crossings = self._crossings(at)
            if crossings < fewest:
                best, fewest = [list(row) for row in self.rows], crossings
        self.rows = best

    def _walk(self) -> list[int]:
        """All vertices, depth first from the sources, so that what belongs together starts together."""
        seen = [False] * len(self.layer)
        walked = []
        stack = [v for v in range(len(self.layer) - 1, -1, -1) if not self.up[v]]
        while stack:
            vertex = stack.pop()
            if not seen[vertex]:
                seen[vertex] = True
                walked.append(vertex)
                stack += reversed(self.down[vertex])
        return walked

    def _crossings(self, at: list[int]) -> int:
        return sum(
            _inversions([at[d] for v in row for d in sorted(self.down[v], key=at.__getitem__)], len(below))
            for row, below in pairwise(self.rows)
        )

    def position(self) -> tuple[float, float]:
        """Choose heights; the lowest and highest pixel that boxes take."""
        for row in self.rows:
            self._settle(row, [0.0] * len(row), [1.0] * len(row))
        for sweep in range(SWEEPS):
            forward = sweep % 2 == 0
            for row in self.rows if forward else reversed(self.rows):
                near = [self._near(v, sweep) for v in row]
                self._settle(
                    row,
                    [
                        sum(self.y[n] * w for n, w in each) / sum(w for _, w in each) if each else self.y[v]
                        for v, each in zip(row, near, strict=True)
                    ],
                    [max(0.2, sum(w for _, w in each)) for each in near],
                )
        self._straighten()
        half = self.spacing.row / 2
        return min(self.y) - half, max(self.y) + half

    def _near(self, vertex: int, sweep: int) -> list[tuple[int, float]]:
        """Neighbours that pull at a vertex: one side in turn, in the last sweeps both. Dummies pull lines straight."""
        both = sweep >= SWEEPS - 4
        near = self.up[vertex] + self.down[vertex] if both else (self.down if sweep % 2 else self.up)[vertex]
        return [(n, (3.0 if n >= self.count else 1.0) * (3.0 if vertex >= self.count else 1.0)) for n in near]

    def _settle(self, row: list[int], wanted: list[float], weight: list[float]) -> None:
        """Heights of a row nearest to those wanted, in order and with the least distances (isotonic regression)."""
        offset = 0.0
        offsets = []
        for before, vertex in zip([None, *row], row, strict=False):
            offset += self._distance(before, vertex) if before is not None else 0.0
            offsets.append(offset)
        blocks: list[tuple[float, float, int]] = []
        for target, mass, gone in zip(wanted, weight, offsets, strict=True):
            block = (target - gone, mass, 1)
            while blocks and blocks[-1][0] > block[0]:
                value, heavy, many = blocks.pop()
                both = heavy + block[1]
                block = ((value * heavy + block[0] * block[1]) / both, both, many + block[2])
            blocks.append(block)
        levels = [value for value, _, many in blocks for _ in range(many)]
        for vertex, level, gone in zip(row, levels, offsets, strict=True):
            self.y[vertex] = level + gone

    def _distance(self, above: int, below: int) -> float:
        boxes = (above < self.count) + (below < self.count)
        if boxes == 2:
            return self.spacing.row + self.spacing.between_boxes
        return self.spacing.between_lines + boxes * self.spacing.row / 2

    def _straighten(self) -> None:
        """Take out the last small slopes: a vertex moves level with an upstream where its neighbours leave room."""
        for row in self.rows[1:]:
            for index, v in enumerate(row):
                near = [self.y[u] for u in self.up[v] if 0 < abs(self.y[u] - self.y[v]) < SLOPE]
                if near:
                    level = min(near, key=lambda y: abs(y - self.y[v]))
                    above = self.y[row[index - 1]] + self._distance(row[index - 1], v) if index else level
                    below = self.y[row[index + 1]] - self._distance(v, row[index + 1]) if v != row[-1] else level
                    if above <= level <= below:
                        self.y[v] = level

    def columns(self) -> list[float]:
        """The left side of each layer."""
        left = [0.0]
        for width in self.column[:-1]:
            left.append(left[-1] + width + self.spacing.between_layers)
        return left

    def routes(self, left: list[float], shift: float) -> list[tuple[int, int, list[Point]]]:
        """The points of each edge."""
        found = []
        for u, v in self.edges:
            points = [(left[self.layer[u]] + self.column[self.layer[u]], self.y[u] + shift)]
            for dummy in self.chains[u, v]:
                x, y = left[self.layer[dummy]], self.y[dummy] + shift
                points += [(x, y), (x + self.column[self.layer[dummy]], y)]
            points.append((left[self.layer[v]], self.y[v] + shift))
            found.append((u, v, points))
        return found


def _number(row: list[int], at: list[int]) -> None:
    for place_in_row, vertex in enumerate(row):
        at[vertex] = place_in_row


def _inversions(values: list[int], size: int) -> int:
    """Pairs in the wrong order, by a Fenwick tree: crossings between two layers."""
    tree = [0] * (size + 1)
    total = 0
    for seen, value in enumerate(values):
        index, smaller = value + 1, 0
        while index:
            smaller += tree[index]
            index &= index - 1
        total += seen - smaller
        index = value + 1
        while index <= size:
            tree[index] += 1
            index += index & -index
    return total
