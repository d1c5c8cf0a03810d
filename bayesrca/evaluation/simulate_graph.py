"""Random systems: layered call graphs, some with cycles, some without any edge."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np

from bayesrca.incident import Component, Edge, Topology

SIZES = (8, 60)
"""Fewest and most components of a random system unless more are asked for."""


class Shape(StrEnum):
    """How the components of a random system call each other.

    ``LAYERED``: in layers, each component the ones below it, so that no call comes back.
    ``CYCLIC``: the same with one to three calls that do. ``NONE``: not at all, or nobody knows.
    """

    LAYERED = "layered"
    CYCLIC = "cyclic"
    NONE = "none"


_SHARES = {Shape.LAYERED: 0.6, Shape.CYCLIC: 0.25, Shape.NONE: 0.15}
_FAR = 5
"""Positions a call spans at most in a deep system."""
_FAN = 4
"""Components that a component calls on average in a flat one."""


def draw_topology(
    rng: np.random.Generator, *, components: int | None = None, shape: Shape | None = None
) -> Topology:
    """Draw a system of components c0, c1, ... that call each other.

    A component is called by none, one or two others. Half of the systems of at most 60 components
    are deep, like a chain of narrow layers; the others, and all larger ones, are flat, like a tree
    in which some share a callee. Both keep the exact sum over affected sets narrow.

    Args:
        rng: source of all randomness.
        components: their number; None draws it, uniformly from 8 to 60.
        shape: see `Shape`; None draws it.
    """
    n = int(rng.integers(SIZES[0], SIZES[1] + 1)) if components is None else components
    if shape is None:
        shape = list(_SHARES)[int(rng.choice(len(_SHARES), p=list(_SHARES.values())))]
    names = [f"c{i}" for i in range(n)]
    calls: set[tuple[int, int]] = set()
    if shape is not Shape.NONE:
        calls = _draw_calls(rng, n)
        if shape is Shape.CYCLIC and calls:
            ordered = sorted(calls)
            for _ in range(int(rng.integers(1, 4))):
                caller, callee = ordered[int(rng.integers(len(ordered)))]
                calls.add((callee, caller))
    return Topology(
        components=tuple(Component(name) for name in names),
        edges=tuple(Edge(names[a], names[b]) for a, b in sorted(calls)),
    )


def _draw_calls(rng: np.random.Generator, n: int) -> set[tuple[int, int]]:
    """Pairs (caller, callee), so that callers come first in some order."""
    order = rng.permutation(n)
    position = np.repeat(np.arange(1, n), rng.choice(3, size=n - 1, p=[0.15, 0.6, 0.25]))
    if n <= SIZES[1] and rng.random() < 0.5:
        callers = rng.integers(np.maximum(0, position - _FAR), position)
    else:
        callers = np.minimum(position // _FAN + rng.integers(0, 2, len(position)), position - 1)
    return set(zip(order[callers].tolist(), order[position].tolist(), strict=True))


def find_reachable(edges: Sequence[tuple[int, int]], root: int) -> set[int]:
    """Everything that leads on from `root`, which is left out."""
    onward: dict[int, list[int]] = {}
    for a, b in edges:
        onward.setdefault(a, []).append(b)
    seen, stack = {root}, [root]
    while stack:
        new = [b for b in onward.get(stack.pop(), ()) if b not in seen]
        seen.update(new)
        stack.extend(new)
    return seen - {root}


def find_steps(
    edges: Sequence[tuple[int, int]], roots: Sequence[int], *, farthest: int = 2
) -> dict[int, int]:
    """Steps from the nearest root to all that can be reached, `farthest` at most; no roots."""
    out: dict[int, int] = {}
    near = set(roots)
    seen = set(roots)
    steps = 0
    while near:
        near = {b for a, b in edges if a in near and b not in seen}
        seen |= near
        steps = min(steps + 1, farthest)
        out |= dict.fromkeys(near, steps)
    return out
