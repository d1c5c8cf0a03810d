"""Ways from a cause to the target."""

from __future__ import annotations

import heapq
from collections import deque

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Edges = NDArray[np.int64]


def find_most_probable_path(edges: Edges, p: Floats, source: int, target: int) -> list[int] | None:
    """Return the path with the largest product of edge probabilities (Dijkstra 1959, in -log p).

    Args:
        edges: [e, 2] pairs (from, to) of component indices.
        p: [e] their probabilities, in [0, 1]; what has none is no edge.
        source: where the path begins.
        target: where it ends.

    Returns:
        Indices of its edges, empty where source and target are the same; None without a path. Of
        equally probable paths one with the fewest edges.
    """
    out: dict[int, list[int]] = {}
    for e in np.flatnonzero(p > 0.0).tolist():
        out.setdefault(int(edges[e, 0]), []).append(e)
    came: dict[int, int | None] = {}
    queue: list[tuple[float, int, int, int | None]] = [(0.0, 0, source, None)]
    while queue:
        cost, length, here, by = heapq.heappop(queue)
        if here in came:
            continue
        came[here] = by
        if here == target:
            return _walk_back(edges, came, target)
        for e in out.get(here, ()):
            there = int(edges[e, 1])
            if there not in came:
                further = cost - float(np.log(min(p[e], 1.0)))
                heapq.heappush(queue, (further, length + 1, there, e))
    return None


def _walk_back(edges: Edges, came: dict[int, int | None], target: int) -> list[int]:
    path = []
    by = came[target]
    while by is not None:
        path.append(by)
        by = came[int(edges[by, 0])]
    return path[::-1]


def find_hops(edges: Edges, target: int | None) -> dict[int, int | None]:
    """Next hop towards the target along a shortest path, for every component that reaches it."""
    hops: dict[int, int | None] = {}
    if target is None:
        return hops
    into: dict[int, list[int]] = {}
    for a, b in edges:
        into.setdefault(int(b), []).append(int(a))
    hops[target] = None
    queue = deque([target])
    while queue:
        here = queue.popleft()
        for before in sorted(into.get(here, ())):
            if before not in hops:
                hops[before] = here
                queue.append(before)
    return hops
