"""Layered drawings: nothing overlaps, edges run forward, time stays linear."""

from __future__ import annotations

import time
from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbflow.archive.layered import SLOPE, Placed, Spacing, layers, place

SPACING = Spacing()


@st.composite
def graphs(draw: st.DrawFn) -> list[list[int]]:
    """`upstream` of up to 24 vertices whose edges run from lower to higher numbers."""
    size = draw(st.integers(0, 24))
    return [sorted(draw(st.sets(st.integers(0, v - 1), max_size=3))) if v else [] for v in range(size)]


def boxes(placed: Placed, widths: list[float]) -> list[tuple[float, float, float, float]]:
    half = SPACING.row / 2
    return [
        (placed.x[v], placed.y[v] - half, placed.x[v] + width, placed.y[v] + half) for v, width in enumerate(widths)
    ]


@given(graphs())
@settings(max_examples=60, deadline=None)
def test_boxes_do_not_overlap_and_lie_inside_the_picture(upstream: list[list[int]]) -> None:
    widths = [90.0 + 10 * (v % 7) for v in range(len(upstream))]
    placed = place(widths, upstream, SPACING)
    for one, other in combinations(boxes(placed, widths), 2):
        apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] + 1e-6 or other[3] <= one[1] + 1e-6
        assert apart, (one, other)
    for left, top, right, foot in boxes(placed, widths):
        assert left >= 0
        assert top >= -1e-6
        assert right <= placed.size[0] + 1e-6
        assert foot <= placed.size[1] + 1e-6


@given(graphs())
@settings(max_examples=60, deadline=None)
def test_every_edge_has_a_route_that_runs_forward_from_box_to_box(upstream: list[list[int]]) -> None:
    placed = place([100.0] * len(upstream), upstream, SPACING)
    expected = {(up, v) for v, ups in enumerate(upstream) for up in ups}
    assert {(u, v) for u, v, _ in placed.routes} == expected
    for u, v, points in placed.routes:
        assert points[0] == (placed.x[u] + placed.width[u], placed.y[u])
        assert points[-1] == (placed.x[v], placed.y[v])
        assert all(a[0] < b[0] for a, b in pairwise(points))


@given(graphs())
@settings(max_examples=40, deadline=None)
def test_no_line_runs_through_a_box(upstream: list[list[int]]) -> None:
    widths = [100.0] * len(upstream)
    placed = place(widths, upstream, SPACING)
    for u, v, points in placed.routes:
        flat = [(a, b) for a, b in pairwise(points) if a[1] == b[1]]
        for (left, y), (right, _) in flat:
            for w, (x0, top, x1, foot) in enumerate(boxes(placed, widths)):
                if w not in (u, v) and x0 < right and left < x1:
                    assert not top + 1e-6 < y < foot - 1e-6


@given(graphs())
@settings(max_examples=20, deadline=None)
def test_the_same_graph_gives_the_same_drawing(upstream: list[list[int]]) -> None:
    assert place([100.0] * len(upstream), upstream, SPACING) == place([100.0] * len(upstream), upstream, SPACING)


def test_layers_are_longest_paths_and_sources_stand_next_to_what_needs_them() -> None:
    assert layers([[], [0], [1], [0, 2], []]) == [0, 1, 2, 3, 0]
    assert layers([[], [0], [1], [2, 4], []]) == [0, 1, 2, 3, 2]
    assert layers([]) == []


@pytest.mark.parametrize("upstream", [[[0]], [[1], [0]], [[], [0, 3], [1], [2]]])
def test_cycles_are_refused(upstream: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="cycle"):
        place([100.0] * len(upstream), upstream, SPACING)


def test_a_chain_is_a_straight_line() -> None:
    placed = place([100.0] * 6, [[v - 1] if v else [] for v in range(6)], SPACING)
    assert len(set(placed.y)) == 1
    assert placed.x == sorted(placed.x)


def test_orders_are_changed_until_nothing_crosses_that_need_not() -> None:
    """Sources 0, 1, 2 with 3 after 0 and 2, and 4 after 1: in the order given, two lines cross."""
    placed = place([100.0] * 6, [[], [], [], [0, 2], [1], [3, 4]], SPACING)
    crossings = 0
    for (u, v, _), (s, t, _) in combinations(placed.routes, 2):
        if placed.x[u] == placed.x[s]:
            crossings += (placed.y[u] - placed.y[s]) * (placed.y[v] - placed.y[t]) < 0
    assert crossings == 0


@pytest.mark.parametrize("upstream", [[[], [0], [], [1, 2], [0, 3]], [[], [0], [0, 1], [0, 1], [1, 2], [3]]])
def test_lines_are_level_or_clearly_sloped(upstream: list[list[int]]) -> None:
    placed = place([100.0] * len(upstream), upstream, SPACING)
    for _, _, points in placed.routes:
        for (_, y), (_, then) in pairwise(points):
            assert y == then or abs(y - then) >= SLOPE


def test_large_graphs_take_seconds_not_minutes() -> None:
    chain = [[v - 1] if v else [] for v in range(3000)]
    fan = [[], *[[0] for _ in range(1000)], list(range(1, 1001))]
    long_edges = [list(range(max(0, v - 40), v)) for v in range(400)]
    for upstream in (chain, fan, long_edges):
        began = time.process_time()
        place([100.0] * len(upstream), upstream, SPACING)
        assert time.process_time() - began < 15
