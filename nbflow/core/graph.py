"""Order of tasks: sorting, cycles, ancestors, critical path. Graphs are mappings from a name to its upstreams.

The only module that imports networkx, and only where there is a cycle to be shown: loading it takes longer than all
else that a run is planned with. Must not know tasks or states, only names.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import networkx as nx

Edges = Mapping[str, Sequence[str]]
"""name -> names of its upstreams; upstreams that are no keys are ignored."""


def order(edges: Edges) -> list[str]:
    """Names in topological order, ties in the order of the mapping. Raises ValueError on a cycle."""
    found = _sorted(edges)
    if len(found) < len(edges):
        raise ValueError("the graph has a cycle")
    return found


def _sorted(edges: Edges) -> list[str]:
    """Names as far as they can be sorted: those on a cycle, and downstream of one, are left out."""
    position = {name: index for index, name in enumerate(edges)}
    missing = {name: len({up for up in upstreams if up in edges}) for name, upstreams in edges.items()}
    downstreams = inverted(edges)
    free = [position[name] for name, count in missing.items() if not count]
    names, found = list(edges), []
    while free:
        name = names[heapq.heappop(free)]
        found.append(name)
        for downstream in dict.fromkeys(downstreams[name]):
            missing[downstream] -= 1
            if not missing[downstream]:
                heapq.heappush(free, position[downstream])
    return found


def find_cycle(edges: Edges) -> list[str] | None:
    """A cycle, each name once and before what it is upstream of; None if there is none.

    It is the shortest of those through the first name (by the alphabet) that is part of any: short to read, found
    in time linear in names and edges.
    """
    if len(_sorted(edges)) == len(edges):
        return None
    import networkx as nx

    graph = _digraph(edges)
    for name in edges:
        if graph.has_edge(name, name):
            return [name]
    parts = [part for part in nx.strongly_connected_components(graph) if len(part) > 1]
    if not parts:
        return None
    start = min(min(part) for part in parts)
    came_from: dict[str, str] = {}
    for upstream, name in nx.bfs_edges(graph, start):
        came_from[name] = upstream
        if graph.has_edge(name, start):
            return _path(came_from, name)
    raise ValueError(f"{start} is in a strongly connected part, but on no cycle")


def _path(came_from: Mapping[str, str], last: str) -> list[str]:
    path = [last]
    while path[-1] in came_from:
        path.append(came_from[path[-1]])
    return path[::-1]


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


def weights(edges: Edges, sorted_names: Sequence[str], cost: Mapping[str, float]) -> dict[str, float]:
    """name -> what the longest path from it to an end costs, itself included: what is urgent has a high weight."""
    below = dict.fromkeys(edges, 0.0)
    result = {}
    for name in reversed(sorted_names):
        result[name] = cost[name] + below[name]
        for upstream in edges[name]:
            if upstream in below:
                below[upstream] = max(below[upstream], result[name])
    return result


def _digraph(edges: Edges) -> nx.DiGraph[str]:
    import networkx as nx

    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(edges)
    graph.add_edges_from((up, name) for name, ups in edges.items() for up in ups if up in edges)
    return graph
