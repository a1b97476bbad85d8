"""Order of tasks: sorting, cycles, ancestors, critical path. Graphs are mappings from a name to its upstreams.

The only module that imports networkx. Must not know tasks or states, only names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import networkx as nx

Edges = Mapping[str, Sequence[str]]
"""name -> names of its upstreams; upstreams that are no keys are ignored."""


def order(edges: Edges) -> list[str]:
    """Names in topological order, ties in the order of the mapping. Raises ValueError on a cycle."""
    try:
        position = {name: index for index, name in enumerate(edges)}
        return list(nx.lexicographical_topological_sort(_digraph(edges), key=position.__getitem__))
    except nx.NetworkXUnfeasible:
        raise ValueError("the graph has a cycle") from None


def find_cycle(edges: Edges) -> list[str] | None:
    """A shortest cycle among the names of one strongly connected part, each name once; None if there is none."""
    graph = _digraph(edges)
    for name in edges:
        if graph.has_edge(name, name):
            return [name]
    for part in nx.strongly_connected_components(graph):
        if len(part) > 1:
            start = min(part)
            inside = graph.subgraph(part)
            paths = (nx.shortest_path(inside, after, start) for after in sorted(inside.successors(start))[:8])
            return [start, *min(paths, key=len)[:-1]]
    return None


def ancestors(edges: Edges, name: str) -> frozenset[str]:
    """Everything upstream of `name`, however far, without itself."""
    return reached(edges, [name]) - {name}


def reached(edges: Edges, names: Iterable[str], hops: int | None = None) -> frozenset[str]:
    """`names` and what is upstream of them, at most `hops` edges away (None: however far)."""
    found = set(names)
    border, left = set(found), hops
    while border and left != 0:
        border = {up for name in border for up in edges.get(name, ()) if up in edges} - found
        found |= border
        left = None if left is None else left - 1
    return frozenset(found)


def inverted(edges: Edges) -> dict[str, list[str]]:
    """name -> its downstreams."""
    result: dict[str, list[str]] = {name: [] for name in edges}
    for name, upstreams in edges.items():
        for upstream in upstreams:
            if upstream in result:
                result[upstream].append(name)
    return result


def weights(edges: Edges, sorted_names: Sequence[str]) -> dict[str, int]:
    """name -> tasks on the longest path from it to an end, itself included: what is urgent has a high weight."""
    result = dict.fromkeys(edges, 1)
    for name in reversed(sorted_names):
        for upstream in edges[name]:
            if upstream in result:
                result[upstream] = max(result[upstream], result[name] + 1)
    return result


def _digraph(edges: Edges) -> nx.DiGraph[str]:
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(edges)
    graph.add_edges_from((up, name) for name, ups in edges.items() for up in ups if up in edges)
    return graph
