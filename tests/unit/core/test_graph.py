"""Order, cycles and weights of graphs, also of large ones."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbflow.core import graph

DIAMOND = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}
LONG = 10_000


@st.composite
def acyclic(draw: st.DrawFn) -> dict[str, list[str]]:
    """Names in any order of the mapping, each with some upstreams of a hidden order."""
    names = draw(st.permutations([f"t{i}" for i in range(draw(st.integers(0, 8)))]))
    edges = {name: [up for up in names[:place] if draw(st.booleans())] for place, name in enumerate(names)}
    return {name: edges[name] for name in draw(st.permutations(names))}


any_edges = st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdef"), max_size=3), max_size=6)


@given(acyclic())
def test_order_puts_upstreams_first_and_otherwise_keeps_the_mapping(edges: dict[str, list[str]]) -> None:
    done: list[str] = []
    for name in graph.order(edges):
        free = [one for one in edges if one not in done and set(edges[one]) <= set(done)]
        assert name == free[0]
        done.append(name)
    assert sorted(done) == sorted(edges)


@pytest.mark.parametrize("edges", [{"a": ["a"]}, {"a": ["b"], "b": ["a"]}])
def test_order_refuses_a_cycle(edges: dict[str, list[str]]) -> None:
    with pytest.raises(ValueError, match="cycle"):
        graph.order(edges)


def test_upstreams_that_are_no_keys_are_ignored() -> None:
    assert graph.order({"a": ["nobody"]}) == ["a"]
    assert graph.find_cycle({"a": ["nobody"]}) is None
    assert graph.ancestors({"a": ["nobody"]}, "a") == set()


@given(any_edges)
def test_a_cycle_is_found_exactly_where_there_is_one_and_is_one(edges: dict[str, list[str]]) -> None:
    cycle = graph.find_cycle(edges)
    if cycle is None:
        assert set(graph.order(edges)) == set(edges)
        return
    assert len(set(cycle)) == len(cycle)
    for upstream, name in itertools.pairwise([*cycle, cycle[0]]):
        assert upstream in edges[name]


@given(any_edges)
def test_no_cycle_through_the_first_name_is_shorter(edges: dict[str, list[str]]) -> None:
    cycle = graph.find_cycle(edges)
    if cycle is None or len(cycle) == 1:
        return
    for size in range(2, len(cycle)):
        for rest in itertools.permutations(sorted(edges.keys() - {cycle[0]}), size - 1):
            path = [cycle[0], *rest, cycle[0]]
            assert not all(upstream in edges[name] for upstream, name in itertools.pairwise(path))


def test_a_self_edge_comes_before_longer_cycles() -> None:
    assert graph.find_cycle({"a": ["b"], "b": ["a"], "z": ["z"]}) == ["z"]


def test_a_cycle_of_ten_thousand() -> None:
    names = [f"t{i:05d}" for i in range(LONG)]
    cycle = graph.find_cycle({name: [names[place - 1]] for place, name in enumerate(names)})
    assert cycle == names


def test_a_short_cycle_inside_a_knot_of_ten_thousand() -> None:
    """Every name of the long cycle is strongly connected, but what is shown has two names."""
    names = [f"t{i:05d}" for i in range(LONG)]
    edges = {name: [names[place - 1]] for place, name in enumerate(names)}
    edges[names[0]].append(names[1])
    assert graph.find_cycle(edges) == names[:2]


def test_ancestors_leave_out_the_name_itself() -> None:
    assert graph.ancestors(DIAMOND, "d") == {"a", "b", "c"}
    assert graph.ancestors(DIAMOND, "a") == set()


@pytest.mark.parametrize(("hops", "found"), [(0, "d"), (1, "bcd"), (2, "abcd"), (None, "abcd")])
def test_reached_counts_hops(hops: int | None, found: str) -> None:
    assert graph.reached(DIAMOND, ["d"], hops) == set(found)


def test_inverted() -> None:
    assert graph.inverted({**DIAMOND, "e": ["nobody"]}) == {"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": [], "e": []}


@given(acyclic())
def test_weights_are_what_the_longest_paths_cost(edges: dict[str, list[str]]) -> None:
    below = graph.inverted(edges)
    cost = {name: len(edges[name]) + 0.5 for name in edges}

    def longest(name: str) -> float:
        return cost[name] + max((longest(one) for one in below[name]), default=0)

    assert graph.weights(edges, graph.order(edges), cost) == {name: longest(name) for name in edges}


def test_a_chain_of_ten_thousand_does_not_recurse() -> None:
    names = [f"t{i:05d}" for i in range(LONG)]
    chain = {name: names[max(0, place - 1) : place] for place, name in enumerate(names)}
    assert graph.order(chain) == names
    assert graph.weights(chain, names, dict.fromkeys(names, 1))[names[0]] == LONG
    assert len(graph.ancestors(chain, names[-1])) == LONG - 1
