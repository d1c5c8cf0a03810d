"""Where the parts of a graph go in a picture: in layers, callers before those they call."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_SWEEPS = 8

Bend = tuple[str, str, int]
"""Where an edge passes a layer that it does not end in: its ends and the layer."""


def place_in_layers(
    nodes: Sequence[str], edges: Iterable[tuple[str, str]]
) -> list[list[str | Bend]]:
    """Return the nodes in layers, each in the order that crosses few edges.

    A node comes one layer behind the last of those that lead to it; an edge that closes a cycle
    counts for none. An edge over several layers has a place in each of them. Within a layer all go
    by the mean place of their neighbours (Sugiyama et al. 1981), swept forth and back.

    Args:
        nodes: names, in the order that decides where nothing else does.
        edges: (from, to) pairs of them.
    """
    below: dict[str, list[str]] = {node: [] for node in nodes}
    pairs = [(a, b) for a, b in dict.fromkeys(edges) if a != b]
    for a, b in pairs:
        below[a].append(b)
    order, back = _visit(nodes, below)
    depth = dict.fromkeys(nodes, 0)
    for node in order:
        for other in below[node]:
            if (node, other) not in back:
                depth[other] = max(depth[other], depth[node] + 1)
    layers: list[list[str | Bend]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for node in nodes:
        layers[depth[node]].append(node)
    links: list[tuple[str | Bend, str | Bend]] = []
    for a, b in pairs:
        bends = [(a, b, layer) for layer in range(depth[a] + 1, depth[b])]
        for bend in bends:
            layers[bend[2]].append(bend)
        links += zip([a, *bends], [*bends, b], strict=True)
    _order(layers, links)
    return layers


def _visit(
    nodes: Sequence[str], below: dict[str, list[str]]
) -> tuple[list[str], set[tuple[str, str]]]:
    """Return the nodes so that edges lead forward, but for those that close a cycle."""
    done: list[str] = []
    back: set[tuple[str, str]] = set()
    state: dict[str, int] = {}  # 1 being visited, 2 done
    entered = {b for others in below.values() for b in others}
    for root in sorted(nodes, key=lambda node: node in entered):
        stack = [] if root in state else [(root, iter(below[root]))]
        state.setdefault(root, 1)
        while stack:
            node, rest = stack[-1]
            other = next(rest, None)
            if other is None:
                state[node] = 2
                done.append(node)
                stack.pop()
            elif other not in state:
                state[other] = 1
                stack.append((other, iter(below[other])))
            elif state[other] == 1:
                back.add((node, other))
    return done[::-1], back


def _order(layers: list[list[str | Bend]], links: Sequence[tuple[str | Bend, str | Bend]]) -> None:
    neighbours: dict[str | Bend, list[str | Bend]] = {}
    for a, b in links:
        neighbours.setdefault(a, []).append(b)
        neighbours.setdefault(b, []).append(a)
    place = {n: (i + 0.5) / len(layer) for layer in layers for i, n in enumerate(layer)}
    for sweep in range(_SWEEPS):
        for layer in layers[:: 1 if sweep % 2 == 0 else -1]:
            middle = {
                n: sum(place[o] for o in found) / len(found)
                for n in layer
                if (found := neighbours.get(n, []))
            }
            layer.sort(key=lambda n: middle.get(n, place[n]))
            place.update({n: (i + 0.5) / len(layer) for i, n in enumerate(layer)})
